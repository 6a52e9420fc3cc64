"""S14: exact updates never break an exact tie under a reward that treats equals equally; a sampled group
breaks it at once.
"""

from __future__ import annotations

import math

import numpy as np

from sharpening.rewards import get_reward
from sharpening.theorems.base import Assumption, Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.finite_votes import count_vectors, group_directions, group_weights
from sharpening.theorems.registry import register_theorem
from sharpening.updates import GRPO, KLProx, NaturalGradient, SoftmaxGradient

GROUPS = (3, 8)


def _neighbours(case: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    log_probs, rewards = case.population.log_probs, case.rewards()
    order = np.lexsort((rewards, log_probs), axis=1)
    masses, ordered = np.take_along_axis(log_probs, order, axis=1), np.take_along_axis(rewards, order, axis=1)
    tied = (masses[:, 1:] == masses[:, :-1]) & (masses[:, 1:] > -np.inf)
    return order, tied, ordered


def _equal_treatment(case: Case) -> np.ndarray:
    _, tied, ordered = _neighbours(case)
    return ~(tied & (ordered[:, 1:] != ordered[:, :-1])).any(axis=1)


EQUAL_TREATMENT = Assumption(
    "equal treatment", "answers of exactly equal mass earn exactly equal rewards", _equal_treatment
)


def tie_survives(rollouts: int) -> float:
    """P(a sampled group leaves two equal answers equal) = P(all agree) + P(an even split), 2^-N (2 + C(N,
    N/2) for even N).
    """
    return (2 + (math.comb(rollouts, rollouts // 2) if rollouts % 2 == 0 else 0)) / 2**rollouts


@register_theorem
class Ties(Theorem):
    """Equal masses and equal rewards give equal steps, bit for bit; the tie is a repelling set, which
    sampling leaves at once.
    """

    name = "S14"
    title = "Exact ties stay ties"
    statement = (
        "If answers of equal mass earn equal rewards, every exact update keeps them equal for ever: m tied"
        " modes that win end at 1/m each. Sampling does not: two answers at 1/2 each stay equal after one"
        " majority step from N rollouts only if all agree or the group splits evenly, with probability"
        " 2^(1-N) + [N even] C(N, N/2) 2^-N."
    )
    source = "proved here, ties"
    assumptions = (EQUAL_TREATMENT,)
    rewards = ("majority", "trajectory-entropy")
    any_reward = True

    def formula(self):
        import sympy as sp

        n = sp.Symbol("N", integer=True, positive=True)
        even = sp.Piecewise((sp.binomial(n, n / 2) / 2**n, sp.Eq(sp.Mod(n, 2), 0)), (0, True))
        return sp.Eq(sp.Symbol("P_{tie}"), 2 ** (1 - n) + even)

    def derivation(self):
        import sympy as sp

        pi, r = sp.symbols("pi_0:3", positive=True), sp.symbols("r_0:3", real=True)
        eta, odds = sp.symbols("eta L", real=True)
        mean = sum(x * y for x, y in zip(pi, r, strict=True))
        gap = sp.log(pi[0] / pi[1]) + eta * (pi[0] * (r[0] - mean) - pi[1] * (r[1] - mean))
        slope = sp.diff(gap, pi[0]).subs({pi[0]: pi[1], r[0]: r[1]})
        p = 1 / (1 + sp.exp(-odds))
        drift = sum(sp.binomial(3, n) * p**n * (1 - p) ** (3 - n) * sp.sign(2 * n - 3) for n in (1, 2))
        return {
            "softmax gradient: at equal masses and rewards the log-ratio after the step is 0 (3 answers)": (
                gap.subs({pi[0]: pi[1], r[0]: r[1]})
            ),
            "and off the tie it has slope 1/pi + eta (r - mean - pi r_1) in the mass, mean included (3 answers)": sp.simplify(
                slope - 1 / pi[1] - eta * (r[1] - mean.subs({pi[0]: pi[1], r[0]: r[1]}))
            ),
            "sampling leaves it: the mean drift of 3 rollouts has slope 3/8 a nat at the tie": (
                sp.diff(drift, odds).subs(odds, 0) - sp.Rational(3, 8)
            ),
        }

    def claims(self, case: Case):
        population, h = case.population, case.step_size
        start = population.log_probs
        order, tied, _ = _neighbours(case)
        for update in (
            KLProx(1 / h),
            NaturalGradient(h),
            NaturalGradient(h, "group"),
            SoftmaxGradient(h),
            GRPO(h),
        ):
            after = np.take_along_axis(np.asarray(update.step(start, case.rewards())), order, axis=1)
            broken = (tied & (after[:, 1:] != after[:, :-1])).sum(axis=1)
            yield Claim.equal(f"no exact tie is broken by {update.name}", broken, 0.0, absolute=0.0).where(
                tied.any(axis=1)
            )
        half = np.log([[0.5, 0.5]])
        for rollouts in GROUPS:
            weights, (counts, _) = group_weights(half, rollouts)[0], count_vectors(rollouts, 2)
            moved = group_directions(KLProx(1 / h), get_reward("majority"), half[0], rollouts)
            kept = float(weights[moved[:, 0] == moved[:, 1]].sum())
            told = f"a sampled step from {rollouts} rollouts keeps a tie of two"
            yield Claim.equal(told, kept, tie_survives(rollouts), absolute=1e-12).about_constants()
            uneven = np.where(
                (counts[:, 0] == counts[:, 1]) | (counts == 0).any(axis=1), 0.0, moved[:, 0] - moved[:, 1]
            )
            against = (-uneven * np.sign(counts[:, 0] - counts[:, 1])).max()
            yield Claim.at_most("and else favours the one drawn more often", against, 0.0).about_constants()
