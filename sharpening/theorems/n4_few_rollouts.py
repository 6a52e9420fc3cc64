"""N4: 'majority voting ends at the initial majority' needs infinitely many rollouts or vanishing steps: with
few it may end anywhere.
"""

from __future__ import annotations

import numpy as np

from sharpening.logspace import log_logistic, log_odds
from sharpening.theorems.assumptions import UNIQUE_MODE
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.constructed import two_answers
from sharpening.theorems.f2_fixation import log_backward_ratio, wrong_fixation
from sharpening.theorems.registry import register_theorem
from sharpening.theorems.s6_four_speeds import TWO_ANSWERS

ODD = (3, 5, 9)
# mass of the mode and beta; rollouts -> chance of the wrong limit
EXAMPLE, EXAMPLE_CHANCES = (0.6, 1.0), {3: 0.336, 8: 0.206, 64: 0.041}


def straight_down(odds: np.ndarray, step: float, rollouts: int, sites: int = 400) -> np.ndarray:
    """P(every step that moves goes down) = product over sites below of P(loses)/(P(loses) + P(wins)),
    (prompts,): > 0.
    """
    below = np.asarray(odds)[:, None] - step * np.arange(sites)
    return np.exp(log_logistic(log_backward_ratio(below, rollouts)).sum(axis=1))


@register_theorem
class FewRollouts(Theorem):
    """The chance of the wrong limit is at least the product of P(loses)/(P(loses)+P(wins)) down the walk,
    which converges: > 0.

    The factors tend to 1 geometrically, since P(wins)/P(loses) falls by e^(-cN/2) per nat below the tie; so
    the product is positive.
    """

    name = "N4"
    title = "Counterexample: few rollouts can fix on the wrong answer"
    statement = (
        "'Under majority voting the policy converges to its initial majority answer' is false for any finite"
        " number of rollouts at any fixed step: with two answers and N >= 3 rollouts KL-prox ends at the"
        " rarer one with probability at least prod_j 1/(1 + w_j/l_j) > 0, w_j and l_j the chances that the"
        " mode wins and loses a mixed group j steps below. From (.6, .4) with beta = 1 it is .336, .206 and"
        " .041 for N = 3, 8 and 64. The chance falls along odd N (checked for 3, 5, 9) and vanishes as the"
        " step does (F2): the claim holds in those limits only."
    )
    source = "against He et al. 2026, Theorem 1, assumptions A1 and A2, read for finite groups; proved here"
    assumptions = (UNIQUE_MODE, TWO_ANSWERS)

    def formula(self):
        import sympy as sp

        j = sp.Symbol("j", integer=True, nonnegative=True)
        win, lose = sp.IndexedBase("w"), sp.IndexedBase("l")
        return sp.Ge(sp.Symbol("P"), sp.Product(1 / (1 + win[j] / lose[j]), (j, 0, sp.oo)))

    def derivation(self):
        import sympy as sp

        ratio, odds, eta = sp.symbols("rho L eta", positive=True)
        total = sp.exp(odds) / (1 - sp.exp(-eta))
        return {
            "3 rollouts: w_j/l_j = e^(L - j eta) has a finite sum S, S = e^L + e^-eta S, so the product, >= e^-S, is positive": (
                total - sp.exp(odds) - sp.exp(-eta) * total
            ),
            "and 1/(1 + x) >= e^-x: log(1 + x) - x has slope -x/(1 + x)": (
                sp.diff(sp.log(1 + ratio) - ratio, ratio) + ratio / (1 + ratio)
            ),
        }

    def constructed(self, rng):
        return two_answers(rng)

    def claims(self, case: Case):
        eta = case.step_size
        odds = np.where(case.applies, log_odds(case.population.log_probs, case.population.leaders), 1.0)
        chances = [wrong_fixation(odds, eta, n) for n in ODD]
        for n, chance in zip(ODD, chances, strict=True):
            yield Claim.at_most(
                f"the chance is at least that of walking straight down (N = {n})",
                straight_down(odds, eta, n),
                chance,
            )
            yield Claim.at_most(f"and less than 1/2 (N = {n})", chance, 0.5)
        for few, more, n in zip(chances, chances[1:], ODD[1:], strict=False):
            yield Claim.at_most(f"{n} rollouts go wrong less often than the odd number before", more, few)
        yield Claim.at_most(
            "a quarter of the step goes wrong less often", wrong_fixation(odds, eta / 4, 3), chances[0]
        )
        mass, beta = EXAMPLE
        for n, told in EXAMPLE_CHANCES.items():
            found = wrong_fixation(np.log([mass / (1 - mass)]), 1 / beta, n)[0]
            yield Claim.equal(
                f"from (.6, .4), beta = 1, N = {n}", found, told, absolute=6e-4
            ).about_constants()
