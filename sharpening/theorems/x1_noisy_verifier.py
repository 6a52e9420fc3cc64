"""X1: under a noisy verifier the odds of a correct answer drift with the sign of J = TPR - FPR, whatever the
noise.
"""

from __future__ import annotations

from math import comb

import numpy as np

from sharpening.logspace import log_mass
from sharpening.rewards.hybrid import HybridReward
from sharpening.theorems.assumptions import LABELLED
from sharpening.theorems.base import Assumption, Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.numerics import path
from sharpening.theorems.registry import register_theorem
from sharpening.updates import GRPO, KLProx, NaturalGradient, SoftmaxGradient
from sharpening.updates.advantages import group_advantages
from sharpening.verification.thresholds import youden

VERIFIERS = ((0.8, 0.6), (0.5, 0.5), (0.2, 0.7))
GROUP, STEPS = 4, 2


def _open(case: Case) -> np.ndarray:
    log_probs, correct = case.population.log_probs, case.population.labels
    return (log_mass(log_probs, correct) > -np.inf) & (log_mass(log_probs, ~correct) > -np.inf)


def _always_answers(case: Case) -> np.ndarray:
    population = case.population
    silent = population.no_answer is not None and population.log_probs[:, population.no_answer] > -np.inf
    return ~np.broadcast_to(silent, population.num_prompts)


OPEN = Assumption("undecided", "both right and wrong answers are possible", _open)
ALWAYS_ANSWERS = Assumption(
    "always answers", "giving no answer is impossible, so every rollout is right or wrong", _always_answers
)


def expected_group_pull(tpr: float, fpr: float, right: np.ndarray, advantages: np.ndarray) -> np.ndarray:
    """E[mean_i A_i 1[rollout i is right]] with Bernoulli verdicts, (prompts,), by summing over the number k
    of accepted rollouts.

    `advantages` (rollouts + 1, rollouts): row k when the first k rollouts were accepted. Given k, accepted
    rollouts are right with probability P(right|accepted), the others with P(right|rejected).
    """
    rollouts = advantages.shape[1]
    rate = right * tpr + (1 - right) * fpr
    with np.errstate(invalid="ignore", divide="ignore"):
        if_accepted = np.where(rate > 0, right * tpr / rate, 0.0)
        if_rejected = np.where(rate < 1, right * (1 - tpr) / (1 - rate), 0.0)
    pull = np.zeros_like(right)
    for k in range(rollouts + 1):
        chance = comb(rollouts, k) * rate**k * (1 - rate) ** (rollouts - k)
        pull += (
            chance
            * (advantages[k, :k].sum() * if_accepted + advantages[k, k:].sum() * if_rejected)
            / rollouts
        )
    return pull


@register_theorem
class NoisyVerifier(Theorem):
    """logit pi_c grows by J a unit of time, so the noise costs time, not direction, as long as J > 0."""

    name = "X1"
    title = "A noisy verifier"
    statement = (
        "A verifier that accepts right answers at rate TPR and wrong ones at FPR, J = TPR - FPR, its noise"
        " independent between calls: under KL-prox and natural gradient logit pi_c grows by exactly J/beta a"
        " step, so noise costs a factor 1/J of time; under softmax gradient and GRPO its drift has the sign"
        " of J. In groups of any size with random verdicts the expected pull of GRPO towards right answers is"
        " J pi_c (1-pi_c)/(r(1-r)) times a positive number, r = FPR + J pi_c the acceptance rate: J = 0 moves"
        " nothing, J < 0 ends at the wrong answers."
    )
    source = "proved here; RLVεR for the setting"
    assumptions = (LABELLED, OPEN, ALWAYS_ANSWERS)

    def formula(self):
        import sympy as sp

        t, j = sp.symbols("t J", real=True)
        return sp.Eq(sp.Derivative(sp.Function("logit")(sp.Symbol("pi_c")), t), j)

    def derivation(self):
        import sympy as sp

        c, tpr, fpr, h = sp.symbols("pi_c TPR FPR h", positive=True)
        a, b = sp.symbols("a b", positive=True)  # sum of squared masses of right and of wrong answers
        rate = c * tpr + (1 - c) * fpr
        j = tpr - fpr
        right, wrong = c * sp.exp(h * tpr), (1 - c) * sp.exp(h * fpr)
        softmax = a / c * (tpr - rate) - b / (1 - c) * (fpr - rate)
        given = c * tpr / rate - c * (1 - tpr) / (1 - rate)
        return {
            "a KL-prox step multiplies the odds of a right answer by exp(hJ)": (
                right / wrong - c / (1 - c) * sp.exp(h * j)
            ),
            "softmax gradient: d logit pi_c = J [(1-c) a/c + c b/(1-c)], a positive multiple of J": (
                softmax - j * ((1 - c) * a / c + c * b / (1 - c))
            ),
            "P(right|accepted) - P(right|rejected) = J c(1-c)/(r(1-r))": (
                given - j * c * (1 - c) / (rate * (1 - rate))
            ),
        }

    def claims(self, case: Case):
        population, h = case.population, case.step_size
        start, correct = population.log_probs, population.labels
        labels = dict(correct=correct, no_answer=population.no_answer)
        logit = lambda log_probs: log_mass(log_probs, correct) - log_mass(log_probs, ~correct)  # noqa: E731
        right = np.minimum(np.exp(log_mass(start, correct)), 1.0)
        undecided = right * np.exp(log_mass(start, ~correct))  # pi_c (1 - pi_c)
        concentration = sum((_shares(start, side) ** 2).sum(axis=1) for side in (correct, ~correct))
        accepted = np.tri(GROUP + 1, GROUP, -1)
        advantages = np.asarray(group_advantages(accepted, "group", 0.0))
        for tpr, fpr in VERIFIERS:
            j, reward = youden(tpr, fpr), HybridReward(tpr, fpr, 0.0)
            told = f"(TPR {tpr}, FPR {fpr})"
            for k, now in enumerate(path(KLProx(1 / h), reward, start, STEPS, **labels), start=1):
                with np.errstate(invalid="ignore"):
                    grown = logit(now) - logit(start)
                yield Claim.equal(
                    f"KL-prox: logit pi_c grew by kJ/beta at step {k} {told}", grown, k * h * j, absolute=1e-9
                )
            rewards = np.asarray(reward.exact(start, correct, no_answer=population.no_answer))
            for update in (NaturalGradient(), SoftmaxGradient(), GRPO(1.0, "group", 0.0)):
                drift = _logit_drift(update, rewards, start, correct)
                if update.name == "natural_gradient":
                    yield Claim.equal(
                        f"natural gradient: logit pi_c drifts at J {told}", drift, j, absolute=1e-9
                    )
                    continue
                wanted = j * undecided * concentration
                if update.name == "grpo":
                    spread = abs(j) * np.sqrt(undecided)
                    wanted = np.divide(wanted, spread, out=np.zeros_like(wanted), where=spread > 1e-6)
                    drift = np.where(spread > 1e-6, drift, 0.0)
                yield Claim.equal(
                    f"{update.name}: the drift of logit pi_c is a positive multiple of J {told}",
                    drift,
                    wanted,
                    absolute=1e-7,
                )
            pull = expected_group_pull(tpr, fpr, right, advantages)
            signal = j * undecided
            fair = np.where(np.abs(signal) > 1e-12, np.sign(pull) * np.sign(signal), 1.0)
            yield Claim.equal(
                f"random verdicts in groups of {GROUP}: the pull has the sign of J {told}",
                np.where(j == 0, 1.0, fair),
                1.0,
            ).where((j != 0) & (np.abs(signal) > 1e-12))
            yield Claim.at_most(
                f"and none where J = 0 {told}", np.abs(pull) * (j == 0), 0.0, absolute=1e-12
            ).where(np.asarray(j == 0))


def _shares(log_probs, side) -> np.ndarray:
    """pi_a over the mass of its side, 0 on the other side; (prompts, answers)."""
    with np.errstate(invalid="ignore"):
        shares = np.where(side, log_probs, -np.inf) - log_mass(log_probs, side)[:, None]
    return np.exp(np.where(np.isnan(shares), -np.inf, shares))


def _logit_drift(update, rewards, log_probs, correct) -> np.ndarray:
    direction = np.asarray(update.direction(log_probs, rewards))
    return ((_shares(log_probs, correct) - _shares(log_probs, ~correct)) * direction).sum(axis=1)
