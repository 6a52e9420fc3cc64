"""S2: with the initial policy as reference for ever, KL-prox stops 1/beta above the prior."""

from __future__ import annotations

from sharpening.logspace import log_odds
from sharpening.theorems.assumptions import UNIQUE_MODE
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.numerics import path
from sharpening.theorems.registry import register_theorem
from sharpening.updates import KLProx


@register_theorem
class FixedReference(Theorem):
    """logit p* = logit p_ref + 1/beta, reached at the first exact step and kept."""

    name = "S2"
    title = "A fixed reference does not collapse"
    statement = (
        "Under the majority reward, the policy that maximises E[r] - beta KL(pi || pi_0) has its majority"
        " answer's log-odds exactly 1/beta above the prior's, and stays there at every later step: no"
        " collapse. Compare S1."
    )
    source = "proved here"
    assumptions = (UNIQUE_MODE,)

    def formula(self):
        import sympy as sp

        p0, beta = sp.symbols("p_0 beta", positive=True)
        return sp.Eq(sp.Symbol("p^*"), 1 / (1 + (1 - p0) / p0 * sp.exp(-1 / beta)))

    def derivation(self):
        import sympy as sp

        p, p0, beta = sp.symbols("p p_0 beta", positive=True)
        objective = p - beta * (p * sp.log(p / p0) + (1 - p) * sp.log((1 - p) / (1 - p0)))
        odds = p0 / (1 - p0) * sp.exp(1 / beta)
        best = odds / (1 + odds)
        return {
            "the objective's slope is 1 at the prior": sp.diff(objective, p).subs(p, p0) - 1,
            "and falls by beta per nat of log-odds, so it vanishes 1/beta above": (
                sp.diff(objective, p, 2) * p * (1 - p) + beta
            ),
            "p* has exp(1/beta) times the prior's odds": best / (1 - best) - odds,
        }

    def claims(self, case: Case):
        population, beta = case.population, 1 / case.step_size
        start, leader = population.log_probs, population.leaders
        wanted = log_odds(start, leader) + 1 / beta
        fixed = path(KLProx(beta, reference="initial"), case.reward, start, 3, no_answer=population.no_answer)
        for k, now in enumerate(fixed, start=1):
            yield Claim.equal(f"logit p_{k} is logit p_0 + 1/beta", log_odds(now, leader), wanted)
