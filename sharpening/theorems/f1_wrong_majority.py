"""F1: how often the vote of N rollouts is not the mode: a bound for any number of answers, and the exact rate
for two.
"""

from __future__ import annotations

import numpy as np

from sharpening.logspace import log_sum
from sharpening.theorems.assumptions import HAS_LEADER
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.constructed import two_answers
from sharpening.theorems.f3_lone_dissenter import TWO_VOTABLE
from sharpening.theorems.finite_votes import log_binomials, mode_vote_shares
from sharpening.theorems.registry import register_theorem

MOST = 8


def log_chernoff(votable: np.ndarray, mode: np.ndarray) -> np.ndarray:
    """log of the sum over rivals b of (1 - (sqrt p_mode - sqrt p_b)²)^N is at most log(rivals) + N times the
    largest of these: that one, per rollout, (prompts,), nats; `votable` log-probs with -infinity for what
    cannot win.
    """
    rows = np.arange(len(votable))
    rivals = votable.copy()
    rivals[rows, mode] = -np.inf
    gap = np.exp(votable[rows, mode] / 2) - np.exp(rivals.max(axis=1) / 2)
    with np.errstate(divide="ignore"):
        return np.log1p(-(gap**2))


def binomial_error(log_mode: np.ndarray, log_other: np.ndarray, rollouts: int) -> np.ndarray:
    """Two answers: P(fewer than half vote for the mode) + P(exactly half)/2, (prompts,); in logs, so tiny
    errors keep their digits.
    """
    n = np.arange(rollouts // 2 + 1)
    share = np.where(2 * n == rollouts, np.log(0.5), 0.0)
    safe = lambda log_p: np.maximum(log_p, -1e6)[:, None]  # noqa: E731
    return np.exp(
        log_sum(log_binomials(rollouts)[n] + share + n * safe(log_mode) + (rollouts - n) * safe(log_other))
    )


@register_theorem
class WrongMajority(Theorem):
    """P(the vote is not the mode) <= sum over rivals (1 - (sqrt p_1 - sqrt p_b)²)^N, a shared tie counting as
    its wrong share.

    Proof. The vote is not surely the mode only if some rival b has N_b >= N_1. For s >= 0, P(N_b >= N_1) <= E
    e^{s(N_b - N_1)} = (1 - p_1 - p_b + p_1 e^-s + p_b e^s)^N, least at e^s = sqrt(p_1/p_b). Other answers,
    and silence, count in 1 - p_1 - p_b.
    """

    name = "F1"
    title = "Wrong majorities are exponentially rare"
    statement = (
        "With N rollouts the vote, ties shared, is not the mode with probability at most (K-1)(1 - (sqrt p_1"
        " - sqrt p_2)²)^N, p_1 and p_2 the two largest masses and K the answers that may win; for two answers"
        " it is P(Bin(N, p_1) < N/2) + P(Bin = N/2)/2."
    )
    source = "proved here; Chernoff's bound"
    assumptions = (HAS_LEADER, TWO_VOTABLE)

    def formula(self):
        import sympy as sp

        p1, p2, n, count = sp.symbols("p_1 p_2 N K", positive=True)
        return sp.Le(sp.Symbol("P"), (count - 1) * (1 - (sp.sqrt(p1) - sp.sqrt(p2)) ** 2) ** n)

    def derivation(self):
        import sympy as sp

        p1, p2, x = sp.symbols("p_1 p_2 x", positive=True)
        moment = 1 - p1 - p2 + p1 / x + p2 * x
        best = sp.sqrt(p1 / p2)
        p = sp.Symbol("p", positive=True)
        q = 1 - p
        wrong = lambda n: sum(  # noqa: E731
            sp.binomial(n, k) * p**k * q ** (n - k) * (sp.Rational(1, 2) if 2 * k == n else 1)
            for k in range(n // 2 + 1)
        )
        return {
            "the moment's slope in x = e^s vanishes at sqrt(p_1/p_2)": sp.diff(moment, x).subs(x, best),
            "where it is 1 - (sqrt p_1 - sqrt p_2)²": sp.expand(
                moment.subs(x, best) - 1 + (sp.sqrt(p1) - sp.sqrt(p2)) ** 2
            ),
            "two answers: an even group of 2n is as good as one of 2n-1 (here 4 and 3)": sp.expand(
                wrong(4) - wrong(3)
            ),
        }

    def constructed(self, rng):
        return two_answers(rng)

    def claims(self, case: Case):
        population = case.population
        votable, mode, rows = population.votable, population.mode, np.arange(population.num_prompts)
        shares = mode_vote_shares(population.log_probs, mode, MOST, population.no_answer)
        possible = votable > -np.inf
        rate, rivals = log_chernoff(votable, mode), np.maximum(possible.sum(axis=1) - 1, 1)
        others = votable.copy()
        others[rows, mode] = -np.inf
        two = (population.log_probs > -np.inf).sum(axis=1) == 2
        two &= possible.sum(axis=1) == 2
        for n in range(1, MOST + 1):
            error = 1 - shares[:, n - 1]
            yield Claim.at_most(
                f"P(wrong vote of {n}) is within the bound",
                error,
                np.exp(np.log(rivals) + n * rate),
                absolute=1e-12,
            )
            exact = np.where(two, binomial_error(votable[rows, mode], others.max(axis=1), n), error)
            yield Claim.equal(
                f"two answers: it is the binomial tail at N = {n}", error, exact, absolute=1e-13
            ).where(two)
