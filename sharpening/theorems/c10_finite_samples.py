"""C10: how sure C1 and C2 are from finite data: shares of modes in D prompts, and the shared drift of n groups."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import bdtr, bdtrc, gammaln, xlog1py, xlogy

from sharpening.logspace import log_logistic
from sharpening.simulation.vote_path import critical_ratio
from sharpening.theorems.assumptions import RESOLVED_MODE, UNIQUE_MODE, WEIGHTED
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.constructed import two_camps
from sharpening.theorems.finite_votes import group_directions, group_weights
from sharpening.theorems.registry import register_theorem
from sharpening.updates import GRPO

SIZES, DELTA, DRAWS, ROLLOUTS = (16, 256), 0.05, 6, 3
MOST_GROUPS = 20_000


def share_error(size: float, count: int, delta: float = DELTA) -> float:
    """eps_D = sqrt(log(2K/delta)/(2D)): with chance 1 - delta no share of K modes in D prompts is off by more."""
    return math.sqrt(math.log(2 * count / delta) / (2 * size))


def surely_safe_ratio(spread: float, size: float, count: int, delta: float = DELTA) -> float:
    """1/(m_max - m_min + 2 eps_D): R up to this keeps every mode of a data set of D prompts with chance 1 - delta."""
    return 1 / (spread + 2 * share_error(size, count, delta))


def groups_needed(gap: float, delta: float = DELTA) -> int:
    """Groups after which the drift of two answers has its expected sign with chance 1 - delta: 2 log(1/delta)/gap²,
    rounded up; `gap` the mean difference of their pushes, which lie within 1 of each other in a GRPO group.
    """
    return math.ceil(2 * math.log(1 / delta) / gap**2)


def group_chances(log_probs: np.ndarray, weights: np.ndarray, update) -> tuple[np.ndarray, np.ndarray]:
    """What a group of three does to z_0 - z_1, from a prompt drawn by weight: values (ways,) and their chances."""
    from sharpening.rewards import get_reward

    moved = group_directions(update, get_reward("majority"), log_probs[0], ROLLOUTS)
    return moved[:, 0] - moved[:, 1], weights @ group_weights(log_probs, ROLLOUTS)


def binomial_chance(count: np.ndarray, size: int, chance: float) -> np.ndarray:
    """P(`count` of `size` draws succeed), (...,)."""
    ways = gammaln(size + 1) - gammaln(count + 1) - gammaln(size - count + 1)
    return np.exp(ways + xlogy(count, chance) + xlog1py(size - count, -chance))


def chance_of_wrong_sign(up: float, down: float, groups: int) -> float:
    """P(the sum of `groups` steps of +1, -1 or 0 with chances `up`, `down` is not positive), exact: given m moves, a
    binomial tail.
    """
    if up + down <= 0:
        return 1.0
    moves = np.arange(groups + 1)
    tail = bdtr(moves // 2, moves, up / (up + down))
    return float(min(1.0, (binomial_chance(moves, groups, min(1.0, up + down)) * tail).sum()))


def _spread(shares: np.ndarray) -> float:
    present = shares[shares > 1e-12]
    return float(present.max() - present.min())


@register_theorem
class FiniteSamples(Theorem):
    """Shares of D independent prompts are means of 0s and 1s, pushes of groups means of numbers within a unit: Hoeffding.

    Proof. P(|m' - m| >= eps) <= 2 e^(-2 D eps²) for each of K modes, so all are within eps_D with chance 1 - delta; then the
    spread of the data set's shares, whose least is over modes that it has, is at most m_max - m_min + 2 eps_D, and C2 with R times that
    at most 1 is safe. In a GRPO group advantages times shares are +sqrt(q(1-q)(G-1)/G) at the winner, and no less than minus that elsewhere,
    so z_a - z_b moves by something within [-1, 1], of range 2: a mean of n groups has the sign of its
    expectation d but for chance e^(-n d²/2). Neither bound knows kappa or eta: they are clocks (C1).
    """

    name = "C10"
    title = "How sure a finite data set and finite rollouts are"
    statement = (
        "D prompts drawn from a population of K modes: with chance 1 - delta every share of modes is within eps_D = sqrt(log(2K/delta)/(2D))"
        " of the population's. So C2's verdict can be told of a data set before it is drawn: it keeps all its modes with chance 1 - delta if R"
        " (m_max - m_min + 2 eps_D) <= 1. And C1's winner is"
        " known from groups: the mean push of n GRPO groups, one for each fresh prompt, parts two answers with the sign of its expectation d but"
        " for chance e^(-n d²/2), so n >= 2 log(1/delta)/d² groups do, whatever kappa and eta. For an even population d = 0 and no number does:"
        " there chance decides which answer wins."
    )
    source = "proved here, by Hoeffding 1963"
    assumptions = (UNIQUE_MODE, RESOLVED_MODE, WEIGHTED)

    def formula(self):
        import sympy as sp

        d, n, k, delta = sp.symbols("D epsilon_D K delta", positive=True)
        return sp.Eq(n, sp.sqrt(sp.log(2 * k / delta) / (2 * d)))

    def derivation(self):
        import sympy as sp

        size, count, delta, gap, n = sp.symbols("D K delta d n", positive=True)
        eps = sp.sqrt(sp.log(2 * count / delta) / (2 * size))
        q, g = sp.symbols("q G", positive=True)
        winner, loser = q * (1 - q), (1 - q) * q  # shares times advantages, before the std; one loser
        std = sp.sqrt(q * (1 - q) * g / (g - 1))
        return {
            "K shares, each beyond eps_D with chance 2 e^(-2 D eps²): delta in all": sp.simplify(
                count * 2 * sp.exp(-2 * size * eps**2) - delta
            ),
            "a mean of n numbers within [-1, 1] falls d short with chance e^(-2 n d²/2²): delta at n = 2 log(1/delta)/d²": sp.simplify(
                sp.exp(-2 * n * gap**2 / 4).subs(n, 2 * sp.log(1 / delta) / gap**2) - delta
            ),
            "a GRPO group parts two answers by at most 1: 1 - its square is 1/G + (1-1/G)(1-2q)²": sp.simplify(
                1 - ((winner + loser) / std) ** 2 - 1 / g - (1 - 1 / g) * (1 - 2 * q) ** 2
            ),
        }

    def constructed(self, rng):
        return two_camps(rng)

    def claims(self, case: Case):
        used = case.restricted().select(np.flatnonzero(case.applies))
        weights, mode = used.prompt_weights, used.mode
        shares = np.minimum(np.bincount(mode, weights, minlength=used.num_answers), 1.0)
        present = shares[shares > 1e-12]
        count, rng = len(present), case.rng()
        for size in SIZES:
            eps = share_error(size, count)
            low, high = np.ceil(size * (present - eps)) - 1, np.floor(size * (present + eps))
            outside = np.where(low < 0, 0.0, bdtr(low, size, present)) + np.where(
                high >= size, 0.0, bdtrc(high, size, present)
            )
            yield Claim.at_most(
                f"P(some share of {size} prompts is off by more than eps_D) is at most delta",
                outside.sum(),
                DELTA,
            )
            ratio = surely_safe_ratio(_spread(shares), size, count)
            if count == 2:
                votes = np.arange(1, size)
                unsafe = binomial_chance(votes, size, present[0])[
                    ratio * np.abs(2 * votes - size) / size > 1
                ].sum()
                yield Claim.at_most(
                    f"two modes: P(a data set of {size} prompts is not safe) is at most delta", unsafe, DELTA
                )
            yield from self._drawn(used, shares, size, eps, ratio, rng)
        yield from self._groups(used, weights)

    @staticmethod
    def _drawn(used, shares, size, eps, ratio, rng):
        """Data sets of that size: if no share is off, C2 calls them safe."""
        prompts = rng.choice(len(used.log_probs), size=(DRAWS, size), p=used.prompt_weights)
        found = np.stack([np.bincount(used.mode[row], minlength=used.num_answers) / size for row in prompts])
        near = np.abs(found - shares).max(axis=1) <= eps
        spread = np.array([_spread(row) for row in found])
        yield Claim.at_most(
            f"where no share is off, the spread in {size} prompts is at most m_max - m_min + 2 eps_D",
            spread[near].max(initial=0.0),
            1 / ratio,
        )
        first = used.select(np.unique(prompts[0]))
        first = first.replace(weights=np.unique(prompts[0], return_counts=True)[1] / size)
        critical = critical_ratio(first)
        if near[0]:
            yield Claim.at_most(
                f"and C2 calls such a data set safe ({size} prompts)",
                ratio,
                min(critical, 1e12),
                absolute=1e-9,
            )

    @staticmethod
    def _groups(used, weights):
        """Two answers, groups of three: the exact chance that n groups point the wrong way."""
        if used.num_answers != 2 or used.no_answer is not None:
            return
        moved, chances = group_chances(used.log_probs, weights, GRPO(1.0, eps=0.0))
        yield Claim.at_most("a group parts two answers by at most 1", np.abs(moved).max(), 1.0)
        up, down = (float(chances[side * moved > 1e-9].sum()) for side in (1, -1))
        gap = float(chances @ moved)
        if abs(gap) < 1e-12:
            return
        groups = groups_needed(abs(gap))
        up, down = (up, down) if gap > 0 else (down, up)
        if groups <= MOST_GROUPS:
            wrong = chance_of_wrong_sign(up, down, groups)
            yield Claim.at_most("so many groups point the wrong way with chance at most delta", wrong, DELTA)
        mean = log_logistic(0.0)  # an even population: p = 1/2
        even, law = group_chances(np.full((1, 2), mean), np.ones(1), GRPO(1.0, eps=0.0))
        yield Claim.equal("an even population has no sign to find", law @ even, 0.0).about_constants()
