"""S1: iterated KL-prox steps on the majority reward move the majority answer's log-odds by exactly 1/beta
each.
"""

from __future__ import annotations

import numpy as np

from sharpening.logspace import log_odds
from sharpening.theorems.assumptions import RESOLVED_STEP, UNIQUE_MODE
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.numerics import path
from sharpening.theorems.registry import register_theorem
from sharpening.updates import KLProx

STEPS = 4


@register_theorem
class LogitLaw(Theorem):
    """logit p_k = logit p_0 + k/beta for the mass p of the majority answer; ratios of the other answers
    stay.
    """

    name = "S1"
    title = "Logit law of the KL-prox"
    statement = (
        "Under the majority reward, k steps pi' ∝ pi exp(r/beta) with the previous policy as reference add"
        " exactly k/beta to the majority answer's log-odds, so 1 - p_k = O(exp(-k/beta)); ratios of the other"
        " answers never change."
    )
    source = "He et al. 2026, Theorem 1 (exact form)"
    assumptions = (UNIQUE_MODE, RESOLVED_STEP)

    def formula(self):
        import sympy as sp

        p0, beta = sp.symbols("p_0 beta", positive=True)
        k = sp.Symbol("k", integer=True, nonnegative=True)
        return sp.Eq(sp.Symbol("p_k"), 1 / (1 + (1 - p0) / p0 * sp.exp(-k / beta)))

    def derivation(self):
        import sympy as sp

        p, beta, k = sp.symbols("p beta k", positive=True)
        gain = sp.exp(1 / beta)
        step = p * gain / (p * gain + 1 - p)
        law = lambda steps: 1 / (1 + (1 - p) / p * sp.exp(-steps / beta))  # noqa: E731
        return {
            "one step multiplies the odds by exp(1/beta)": step / (1 - step) - gain * p / (1 - p),
            "a step from p_k gives p_{k+1}": step.subs(p, law(k)) - law(k + 1),
            "the law starts at p_0": law(0) - p,
        }

    def claims(self, case: Case):
        population, beta = case.population, 1 / case.step_size
        start, leader = population.log_probs, population.leaders
        others = ~leader & (start > -np.inf)
        with np.errstate(invalid="ignore"):
            for k, now in enumerate(
                path(KLProx(beta), case.reward, start, STEPS, no_answer=population.no_answer), start=1
            ):
                yield Claim.equal(
                    f"logit p_{k} is logit p_0 + {k}/beta",
                    log_odds(now, leader),
                    log_odds(start, leader) + k / beta,
                )
                shift = np.where(others, now - start, np.nan)
                spread = np.where(others.sum(axis=1) > 1, _spread(shift), 0.0)
                yield Claim.equal(
                    f"log-ratios of the other answers have not changed at step {k}", spread, 0.0
                ).where(others.sum(axis=1) > 1)


def _spread(shift: np.ndarray) -> np.ndarray:
    present = ~np.isnan(shift)
    return np.where(present, shift, -np.inf).max(axis=1) - np.where(present, shift, np.inf).min(axis=1)
