"""Exact updates of a network: the same update rules as in simulation, carried out on shared weights instead
of a table of logits.

For a policy over answers, log pi_theta(a|x), and the directions d(a|x) of `sharpening.updates`:

* softmax gradient, GRPO: d_a = pi_a A_a (A over the standard deviation for GRPO), theta += eta * mean_x sum_a
  d_a grad log pi_a: the gradient of the expected reward at fixed rewards, by backpropagation of sum_a
  stopgrad(d_a) log pi_a. "sgd" adds it, "adam" hands it to Adam.
* natural gradient: theta += eta * delta, delta the least-squares fit of A by grad log pi . delta under pi,
  E_pi[(A - J delta)^2], of least norm. This is F^+ g with the exact Fisher matrix F = E_pi[J^T J]; it is
  solved in the space of answers, which is far smaller than that of the weights, so no conjugate gradients are
  needed.
* KL-prox: the target pi' proportional to pi_ref e^{r/beta} is formed exactly, then KL(pi' || pi_theta) is
  minimised over theta by Gauss-Newton steps in log-space (each the least-norm fit of log pi' - log pi_theta
  under the mean of both policies), halved until the KL falls.

All in float64. The tabular policy is the case J = identity minus pi: there the three are exactly the updates
of the core.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from llm_bridge.exact.distribution import ExactModel
from llm_bridge.exact.kernel import jacobian, pull_back
from sharpening.errors import InputError
from sharpening.rewards import Reward, get_reward
from sharpening.rewards.asking import exact_rewards
from sharpening.simulation.precision import precision_context
from sharpening.updates import GRPO, KLProx, NaturalGradient, SoftmaxGradient, Update
from sharpening.updates.kl_term import check_initial_reference
from sharpening.updates.reuse import check_fresh_rollouts

CUTOFF = 1e-13
TOLERANCE, MAX_FITS = 1e-13, 30


@dataclass(frozen=True)
class ExactStep:
    """One step. `before`, `after`, `tabular`: log-masses (prompts, answers), nats: at the start, of the
    network after the step, and of a table of logits after the same step. `missed`: for the natural gradient,
    the share of E_pi[A^2] that no change of the weights can produce; for the KL-prox, the KL(pi' || pi_theta)
    left, in nats; 0 for the others.
    """

    before: np.ndarray
    after: np.ndarray
    tabular: np.ndarray
    missed: float


class ExactTraining:
    """Train an `ExactModel` in place without sampling: `step(prompts)` again and again.

    `reward`: a reward or its name; `update`: SoftmaxGradient, GRPO, NaturalGradient or KLProx; `optimizer`:
    "sgd", or "adam" (the first two updates only), with the update's learning rate. Raises: InputError for
    another update, or Adam with one of the last two.
    """

    def __init__(self, exact: ExactModel, reward: Reward | str, update: Update, *, optimizer: str = "sgd"):
        if not isinstance(update, (SoftmaxGradient, GRPO, NaturalGradient, KLProx)):
            raise InputError("update", update, "it is SoftmaxGradient, GRPO, NaturalGradient or KLProx")
        check_initial_reference(update, "exact training")
        check_fresh_rollouts(update, "exact training")
        self._by_score = isinstance(update, (SoftmaxGradient, GRPO))
        if optimizer not in ("sgd", "adam") or (optimizer == "adam" and not self._by_score):
            raise InputError("optimizer", optimizer, 'it is "sgd", or "adam" for SoftmaxGradient and GRPO')
        self.exact, self.reward, self.update = exact, get_reward(reward), update
        self._adam = torch.optim.Adam(exact.parameters, lr=update.step_size) if optimizer == "adam" else None
        self._initial: dict[str, np.ndarray] = {}

    def step(self, prompts: Sequence[str], correct: np.ndarray | None = None) -> ExactStep:
        """One step on these prompts; `correct` (prompts, answers) bool for rewards that read labels.

        Every reward of `Reward.exact` without further signals will do; "other" is its no-answer column.
        """
        before = self.exact.policy(prompts)
        for prompt, row in zip(prompts, before, strict=True):
            self._initial.setdefault(prompt, row)
        initial = np.stack([self._initial[prompt] for prompt in prompts])
        with precision_context("float64"):
            rewards = np.asarray(exact_rewards(self.reward, before, correct, no_answer=before.shape[1] - 1))
            tabular = np.asarray(self.update.step(before, rewards, initial))
            direction = np.asarray(self.update.direction(before, rewards, initial))
        missed = 0.0
        if self._by_score:
            self._follow(pull_back(self.exact, prompts, torch.tensor(direction / len(prompts))))
        elif isinstance(self.update, NaturalGradient):
            delta, missed = fit(jacobian(self.exact, prompts), direction, np.exp(before))
            self.exact.set_weights(self.exact.weights + self.update.step_size * delta)
        else:
            missed = project(self.exact, prompts, tabular)
        return ExactStep(before, self.exact.policy(prompts), tabular, missed)

    def _follow(self, gradient: torch.Tensor) -> None:
        if self._adam is None:
            self.exact.set_weights(self.exact.weights + self.update.step_size * gradient)
            return
        place = 0
        for parameter in self.exact.parameters:
            parameter.grad = -gradient[place : place + parameter.numel()].reshape(parameter.shape)
            place += parameter.numel()
        self._adam.step()


def fit(
    rows: torch.Tensor, wanted: np.ndarray, weights: np.ndarray, cutoff: float = CUTOFF
) -> tuple[torch.Tensor, float]:
    """The change of the weights, (parameters,), of least norm that moves the log-masses by `wanted`, least
    squares under `weights`.

    `rows`: the Jacobian (prompts * answers, parameters); `wanted`, `weights`: (prompts, answers). Directions
    whose eigenvalue in the weighted Gram matrix is below `cutoff` times the largest are left alone. Also
    returns the share of sum weights * wanted^2 that is missed, 0..1.
    """
    root = torch.from_numpy(np.sqrt(weights)).reshape(-1)
    possible = torch.from_numpy(np.isfinite(wanted)).reshape(-1) & (root > 0)
    target = torch.where(possible, torch.from_numpy(np.nan_to_num(wanted)).reshape(-1), 0.0) * root
    scaled = rows * root[:, None]
    values, vectors = torch.linalg.eigh(scaled @ scaled.T)
    kept = values > cutoff * values[-1]
    delta = scaled.T @ (vectors[:, kept] @ ((vectors[:, kept].T @ target) / values[kept]))
    missed = ((target - scaled @ delta) ** 2).sum() / (target**2).sum().clamp(
        min=torch.finfo(torch.float64).tiny
    )
    return delta, float(missed)


def project(
    exact: ExactModel,
    prompts: Sequence[str],
    target: np.ndarray,
    *,
    tolerance: float = TOLERANCE,
    max_fits: int = MAX_FITS,
) -> float:
    """Move the weights until the policy is `target` (prompts, answers), log-masses in nats; returns the mean
    KL(target || policy) left.
    """
    now, left = exact.policy(prompts), _kl(target, exact.policy(prompts))
    for _ in range(max_fits):
        if left <= tolerance:
            break
        gap = target - now
        delta, _ = fit(
            jacobian(exact, prompts),
            gap - (np.exp(now) * gap).sum(axis=1, keepdims=True),
            (np.exp(now) + np.exp(target)) / 2,
        )
        start, share = exact.weights, 1.0
        while share > 1e-4:
            exact.set_weights(start + share * delta)
            reached = exact.policy(prompts)
            if _kl(target, reached) < left:
                break
            share /= 2
        else:
            exact.set_weights(start)
            break
        now, left = reached, _kl(target, reached)
    return left


def _kl(target: np.ndarray, policy: np.ndarray) -> float:
    """Mean KL(target || policy), nats; each term p (log p/q + q/p - 1) is >= 0, so nothing cancels near 0."""
    gap = np.where(target > -np.inf, target - policy, 0.0)
    return float((np.exp(target) * (gap + np.expm1(-gap))).sum(axis=1).mean())
