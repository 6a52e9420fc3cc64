"""X5: even a perfect verifier needs more than half of the reward; at exactly half, truth and majority share
the mass for ever.
"""

from __future__ import annotations

import numpy as np

from sharpening.logspace import log_mass
from sharpening.metrics import exact_metrics
from sharpening.rewards.hybrid import HybridReward
from sharpening.theorems.assumptions import CORRECT_POSSIBLE, LABELLED, MISALIGNED, UNIQUE_MODE
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.constructed import two_answers
from sharpening.theorems.numerics import path
from sharpening.theorems.registry import register_theorem
from sharpening.updates import GRPO, KLProx, NaturalGradient, SoftmaxGradient
from sharpening.verification.thresholds import hybrid_threshold, uniform_share

OFFSET = 0.02
RATES = tuple((tpr, fpr) for tpr in (0.3, 0.7, 1.0) for fpr in (0.0, 0.2))


@register_theorem
class HalfAVerifier(Theorem):
    """lambda* = J/(1+J) <= 1/2, with equality for J = 1 only."""

    name = "X5"
    title = "Half of the reward is the most that any verifier can leave to the vote"
    statement = (
        "No verifier, however good, rescues a misaligned prompt if the majority vote has weight 1/2 or more:"
        " J/(1+J) <= 1/2, with equality only for the perfect one (J = 1). With the perfect verifier and"
        " weight exactly 1/2, KL-prox keeps the ratio of truth to wrong mode and everything else dies:"
        " accuracy tends to pi_c/(pi_c + pi_m). With two answers natural gradient, softmax gradient and GRPO"
        " have the same threshold 1/2. With more, softmax gradient may first let the wrong mode gain although"
        " the truth has the larger reward."
    )
    source = "proved here, corollary"
    assumptions = (LABELLED, UNIQUE_MODE, MISALIGNED, CORRECT_POSSIBLE)

    def formula(self):
        import sympy as sp

        j = sp.Symbol("J", positive=True)
        return sp.Le(j / (1 + j), sp.Rational(1, 2))

    def derivation(self):
        import sympy as sp

        j, p, weight = sp.symbols("J p lambda", positive=True)
        mean = p * weight + (1 - p) * (1 - weight)  # p: mass of the wrong mode, two answers
        gap = (1 - p) * ((1 - weight) - mean) - p * (weight - mean)
        third = sp.symbols("c m", positive=True)
        mean3 = third[0] * sp.Rational(51, 100) + third[1] * sp.Rational(49, 100)
        drift3 = third[0] * (sp.Rational(51, 100) - mean3) - third[1] * (sp.Rational(49, 100) - mean3)
        return {
            "1/2 - J/(1+J) = (1-J)/(2(1+J)), which is 0 at J = 1 only": (
                sp.Rational(1, 2) - j / (1 + j) - (1 - j) / (2 * (1 + j))
            ),
            "softmax gradient, two answers: log pi_c/pi_m drifts at 2p(1-p)(1-2 lambda)": sp.expand(
                gap - 2 * p * (1 - p) * (1 - 2 * weight)
            ),
            "three answers, lambda = .49, pi_c = .01, pi_m = .5: its drift is negative": (
                sp.sign(drift3.subs({third[0]: sp.Rational(1, 100), third[1]: sp.Rational(1, 2)})) + 1
            ),
        }

    def constructed(self, rng):
        return two_answers(rng)

    def claims(self, case: Case):
        population = case.population
        start, correct, mode = population.log_probs, population.labels, population.leaders
        labels = dict(correct=correct, no_answer=population.no_answer)
        for tpr, fpr in RATES:
            threshold = hybrid_threshold(tpr, fpr)
            yield Claim.at_most(
                f"no verifier tolerates half (TPR {tpr}, FPR {fpr})",
                threshold,
                0.5 - (tpr - fpr < 1) * 1e-12,
                absolute=0,
                relative=0,
            ).about_constants()
            yield Claim.equal(
                "share and weight are complements", uniform_share(tpr, fpr), 1 - threshold
            ).about_constants()
        ratio = lambda log_probs: log_mass(log_probs, correct) - log_mass(log_probs, mode)  # noqa: E731
        far = 60.0 - 2 * float(start[case.applies][start[case.applies] > -np.inf].min())
        half = HybridReward(1.0, 0.0, 0.5)
        (end,) = path(KLProx(1 / (2 * far)), half, start, 1, **labels)
        with np.errstate(invalid="ignore"):
            yield Claim.equal(
                "at half the ratio of truth and mode stays",
                ratio(end) - ratio(start),
                0.0,
                absolute=1e-9 + 1e-12 * far,
            )
        right = np.exp(log_mass(start, correct))
        at_mode = np.exp(log_mass(start, mode))
        accuracy = exact_metrics(end, correct, no_answer=population.no_answer)["accuracy"]
        wanted = np.divide(right, right + at_mode, out=np.zeros_like(right), where=right + at_mode > 0)
        yield Claim.equal("and accuracy tends to pi_c/(pi_c + pi_m)", accuracy, wanted)
        two = ((start > -np.inf) == (correct | mode)).all(axis=1) & ((start > -np.inf).sum(axis=1) == 2)
        for weight in (0.5 - OFFSET, 0.5, 0.5 + OFFSET):
            rewards = np.asarray(
                HybridReward(1.0, 0.0, weight).exact(start, correct, no_answer=population.no_answer)
            )
            for update in (NaturalGradient(), SoftmaxGradient(), GRPO(1.0, "group", 0.0)):
                direction = np.asarray(update.direction(start, rewards))
                drift = np.where(correct & (start > -np.inf), direction, 0.0).sum(axis=1) - np.where(
                    mode, direction, 0.0
                ).sum(axis=1)
                sign = np.where(np.abs(drift) > 1e-300, np.sign(drift), 0.0)
                expected = np.sign(np.round(0.5 - weight, 9)) if weight != 0.5 else 0.0
                told = (sign != 0) | (weight == 0.5)
                yield Claim.equal(
                    f"two answers, lambda = {weight}: the truth gains iff lambda < 1/2 ({update.name})",
                    np.where(two & told, sign, expected),
                    expected,
                ).where(two & told)
