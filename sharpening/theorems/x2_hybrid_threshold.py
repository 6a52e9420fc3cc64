"""X2: how much intrinsic reward a verifier can bear before a wrong majority wins."""

from __future__ import annotations

import numpy as np

from sharpening.logspace import log_mass
from sharpening.rewards.hybrid import HybridReward
from sharpening.theorems.assumptions import CORRECT_POSSIBLE, LABELLED, MISALIGNED, UNIQUE_MODE
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.constructed import misaligned
from sharpening.theorems.numerics import path, take_step
from sharpening.theorems.registry import register_theorem
from sharpening.updates import KLProx
from sharpening.verification.thresholds import hybrid_threshold, youden

PERFECT, LEAST_J = (1.0, 0.0), 0.05
OFFSET, STEPS = 0.01, 2


@register_theorem
class HybridThreshold(Theorem):
    """r = (1-lambda) verifier + lambda majority rescues a misaligned prompt iff lambda < J/(1+J)."""

    name = "X2"
    title = "Hybrid threshold"
    statement = (
        "On a misaligned prompt, under r = (1-lambda) verifier + lambda majority with J = TPR - FPR > 0,"
        " KL-prox ends on the correct answer iff lambda < J/(1+J), and keeps the ratio of truth and mode at"
        " equality. A perfect verifier needs weight above 1/2; equivalently, verifying a uniform share q of"
        " the rollouts rescues iff q > 1/(1+J)."
    )
    source = "proved here"
    assumptions = (LABELLED, UNIQUE_MODE, MISALIGNED, CORRECT_POSSIBLE)

    def formula(self):
        import sympy as sp

        j = sp.Symbol("J", positive=True)
        return sp.Eq(sp.Symbol("lambda^*"), j / (1 + j))

    def derivation(self):
        import sympy as sp

        tpr, fpr, j = sp.symbols("TPR FPR J", positive=True)
        weight, share = sp.symbols("lambda q", real=True)
        drift = (1 - weight) * tpr - ((1 - weight) * fpr + weight)
        root = sp.solve(drift, weight)[0].subs(tpr, fpr + j)
        by_share = sp.solve(drift.subs(weight, 1 - share).subs(tpr, fpr + j), share)[0]
        return {
            "the drift of log pi(correct)/pi(mode) vanishes at lambda = J/(1+J)": root - j / (1 + j),
            "and falls in lambda: its slope is -(1+J)": sp.diff(drift, weight).subs(tpr, fpr + j) + 1 + j,
            "as a share of verified rollouts: q = 1/(1+J)": by_share - 1 / (1 + j),
        }

    def constructed(self, rng):
        return misaligned(rng)

    def claims(self, case: Case):
        population, h = case.population, case.step_size
        start, correct, mode = population.log_probs, population.labels, population.leaders
        labels = dict(correct=correct, no_answer=population.no_answer)
        ratio = lambda log_probs: log_mass(log_probs, correct) - log_mass(log_probs, mode)  # noqa: E731
        finite = start[case.applies]
        depth = 60.0 - 2 * float(finite[finite > -np.inf].min())
        rng = case.rng()
        good = float(rng.uniform(LEAST_J, 1.0))
        for tpr, fpr in (PERFECT, (good, float(rng.uniform(0.0, good - LEAST_J)))):
            j, threshold = youden(tpr, fpr), hybrid_threshold(tpr, fpr)
            told = f"TPR {tpr:.3f}, FPR {fpr:.3f}"
            for weight in (threshold * (1 - OFFSET), threshold, threshold * (1 + OFFSET)):
                after = take_step(KLProx(1 / h), HybridReward(tpr, fpr, weight), start, **labels)
                drift = h * ((1 - weight) * j - weight)
                with np.errstate(invalid="ignore"):
                    grown = ratio(after) - ratio(start)
                yield Claim.equal(
                    f"log pi(correct)/pi(mode) drifts by (1-lambda)J - lambda ({told})",
                    grown,
                    drift,
                    absolute=1e-9 + 1e-12 * depth,
                )
            total = depth / (OFFSET * j)
            for weight, winner, what in (
                (threshold * (1 - OFFSET), correct, "below the threshold the truth takes all"),
                (threshold * (1 + OFFSET), mode, "above it the wrong mode does"),
            ):
                *_, end = path(KLProx(STEPS / total), HybridReward(tpr, fpr, weight), start, STEPS, **labels)
                yield Claim.equal(f"{what} ({told})", np.exp(log_mass(end, winner)), 1.0)
