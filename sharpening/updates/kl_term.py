"""The KL term of a gradient update, under TRL's names: its weight, its reference, and how that follows the policy.

Departure from TRL: an answer is one token here, so there is one term a rollout instead of a mean over tokens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

from sharpening.arrays import array_module, quiet
from sharpening.errors import InputError
from sharpening.updates.base import ExactStep
from sharpening.updates.policy import Policy, row_sum


@dataclass(frozen=True, kw_only=True)
class KLTerm(ExactStep):
    """Settings of - beta KL(pi || pi_ref) in the objective of an update; nats, reward per nat.

    `beta` >= 0; 0, the default, leaves the term and the reference out, to the last bit. The reference is the
    initial policy. `sync_ref_model` lets it follow: after every `ref_model_sync_steps` updates its logits become
    ref_model_mixup_alpha * z + (1 - ref_model_mixup_alpha) * z_ref, as TRL mixes weights; so (1, alpha = 1) is "the
    previous policy" and (n, alpha = 1) the policy at the last multiple of n. Towards the very policy that
    the gradient is taken at, KL has gradient 0: with (1, alpha = 1) every `beta` gives the run without the term.
    Steps are explicit: a step size * beta above about 1 overshoots the reference instead of staying at it.
    Raises: InputError for a negative beta, alpha outside (0, 1], steps below 1, or a synchronised reference without
    beta (which TRL refuses too).
    """

    beta: float = 0.0
    sync_ref_model: bool = False
    ref_model_mixup_alpha: float = 0.6
    ref_model_sync_steps: int = 512

    def _check_kl(self) -> None:
        beta, alpha, steps = self.beta, self.ref_model_mixup_alpha, self.ref_model_sync_steps
        if isinstance(beta, (int, float)) and not (math.isfinite(beta) and beta >= 0):
            raise InputError("beta", beta, "it is a finite number >= 0", "Use beta=0 for no KL term")
        if isinstance(alpha, (int, float)) and not 0 < alpha <= 1:
            raise InputError("ref_model_mixup_alpha", alpha, "it is above 0 and at most 1")
        if isinstance(steps, (int, float, np.integer)) and (steps != int(steps) or steps < 1):
            raise InputError("ref_model_sync_steps", steps, "it is a whole number of updates >= 1")
        if self.sync_ref_model not in (True, False):
            raise InputError("sync_ref_model", self.sync_ref_model, "it is true or false")
        if self.sync_ref_model and not self.has_kl:
            rule = "without beta there is no reference to synchronise"
            raise InputError("sync_ref_model", True, rule, "Give beta > 0, or leave sync_ref_model out")

    @property
    def has_kl(self) -> bool:
        """Whether there is a KL term: False where beta is a plain 0."""
        return not (isinstance(self.beta, (int, float)) and self.beta == 0)

    @property
    def moves_reference(self) -> bool:
        """Whether the reference follows the policy."""
        return self.has_kl and self.sync_ref_model

    def synchronised(self, reference, now, step):
        """The reference's logits (any pytree) after update `step`, counted from 0, which led to logits `now`."""
        alpha, due = self.ref_model_mixup_alpha, (step + 1) % self.ref_model_sync_steps == 0
        mixed = lambda old, new: jnp.where(due, alpha * new + (1 - alpha) * old, old)  # noqa: E731
        return tuple(mixed(old, new) for old, new in zip(reference, now, strict=True))


def check_initial_reference(update: object, where: str) -> None:
    """InputError if the update's reference follows the policy, which `where` has no place for."""
    if getattr(update, "moves_reference", False):
        rule = f"{where} knows the initial policy only"
        raise InputError("sync_ref_model", True, rule, "Leave sync_ref_model out, or use sharpening.simulate")


def log_ratio(
    log_probs: Shaped[Any, "*batch answers"], reference: Shaped[Any, "*batch answers"] | None
) -> Shaped[Any, "*batch answers"]:
    """log pi - log pi_ref, nats, 0 for impossible answers. Raises: InputError without a reference."""
    if reference is None:
        rule = "a KL term needs the log-probabilities of the policy it pulls towards"
        raise InputError("reference", None, rule, "Give reference, or use beta=0")
    xp = array_module(log_probs, reference)
    with quiet():
        return xp.where(log_probs > -xp.inf, log_probs - reference, 0.0)


def reverse_kl_gradient(
    policy: Policy, reference: Shaped[Any, "*batch answers"] | None
) -> Shaped[Any, "*batch answers"]:
    """d KL(pi || pi_ref) / d z_a = pi_a (log pi_a/pi_ref_a - KL), (..., answers), nats."""
    gap = log_ratio(policy.log_probs, reference)
    return policy.probs * (gap - row_sum(policy.probs * gap))


def forward_kl_gradient(
    policy: Policy, reference: Shaped[Any, "*batch answers"] | None
) -> Shaped[Any, "*batch answers"]:
    """d KL(pi_ref || pi) / d z_a = pi_a - pi_ref_a, (..., answers): what k3 without correction descends on."""
    gap = log_ratio(policy.log_probs, reference)
    xp = array_module(gap, reference)
    near = -policy.probs * xp.expm1(-xp.maximum(gap, -1.0))  # no cancellation, and 0 at the reference itself
    return xp.where(gap > -1.0, near, policy.probs - xp.exp(xp.asarray(reference)))


def sampled_kl_scores(
    log_ratios: Shaped[Any, "prompts rollouts"], corrected: bool
) -> Shaped[Any, "prompts rollouts"]:
    """What TRL's loss multiplies grad log pi(a_i) of each rollout by, per beta: the log-ratio l_i = log pi/pi_ref
    where k3 = e^-l + l - 1 is weighted by the importance ratio ("corrected"), else 1 - e^-l.
    """
    return log_ratios if corrected else -array_module(log_ratios).expm1(-log_ratios)


@dataclass(frozen=True, kw_only=True)
class ScoreKLTerm(KLTerm):
    """A `KLTerm` of an update that follows grad log pi, with TRL's estimator k3 = e^-l + l - 1, l = log pi/pi_ref.

    The exact direction is the estimator's expectation; sampled groups use the estimator, one term a rollout and no
    baseline, as TRL does. `use_bias_correction_kl` (the default of TRL 1.16) weights k3 by the differentiable
    importance ratio: the expectation is the gradient of KL(pi || pi_ref), and without scale the run comes to rest
    at pi_ref e^(r/beta), normalised, the optimum of `KLProx(beta, reference="initial")`. Without it the expected gradient is that
    of KL(pi_ref || pi), and rest is where pi_a = pi_ref_a / (1 - (r_a - mean r)/beta).
    """

    use_bias_correction_kl: bool = True

    @property
    def follows_logits(self) -> bool:
        """True: its direction is a gradient with respect to logits, so that a temperature scales it."""
        return True

    def _minus_kl(self, direction, policy: Policy, reference, old: Policy | None = None):
        """The direction with - beta grad KL, unchanged where there is no term; `old`: whose rollouts the estimator's
        expectation is over, if not the policy's own (the correction makes them count as the policy's).
        """
        if not self.has_kl:
            return direction
        if self.use_bias_correction_kl:
            return direction - self.beta * reverse_kl_gradient(policy, reference)
        if old is None:
            return direction - self.beta * forward_kl_gradient(policy, reference)
        pulls = old.probs * sampled_kl_scores(log_ratio(policy.log_probs, reference), False)
        return direction - self.beta * (pulls - policy.probs * row_sum(pulls))

    def _minus_sampled_kl(self, advantages, policy: Policy, answers, reference, ratios=None):
        """The advantages with - beta times the estimator of each rollout, unchanged where there is no term; `ratios`
        pi/pi_old of the rollouts, if another policy gave them.
        """
        if not self.has_kl:
            return advantages
        gaps = log_ratio(policy.log_probs, reference)
        gaps = array_module(gaps, answers).take_along_axis(gaps, answers, axis=-1)
        scores = sampled_kl_scores(gaps, self.use_bias_correction_kl)
        if ratios is not None and self.use_bias_correction_kl:
            scores = ratios * scores
        return advantages - self.beta * scores
