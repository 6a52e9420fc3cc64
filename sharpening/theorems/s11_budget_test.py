"""S11: a finite-sample test that KL(pi_t || pi_0) exceeds the budget: rollouts of both policies, no labels, a
stated false-alarm rate.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from sharpening.errors import InputError
from sharpening.logspace import log_sum
from sharpening.metrics import NO_ANSWER
from sharpening.theorems.assumptions import HAS_LEADER
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.finite_votes import binomial_law, log_binomials
from sharpening.theorems.numerics import relative_entropy
from sharpening.theorems.registry import register_theorem

ROLLOUTS, LEVEL = 24, 0.05
CHOOSING = 4  # one rollout in four chooses the answers, the others test


class BudgetTest(NamedTuple):
    """What `budget_test` says of each prompt, (prompts,): `kl_at_least` and `budget_at_most` in nats, and
    whether the first is larger.
    """

    kl_at_least: np.ndarray
    budget_at_most: np.ndarray
    exceeds: np.ndarray


def _log_tail(successes: np.ndarray, trials: int, share: np.ndarray) -> np.ndarray:
    """log P(Binomial(trials, share) >= successes), (n,)."""
    n = np.arange(trials + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(n > 0, n * np.log(share)[:, None], 0.0) + np.where(
            n < trials, (trials - n) * np.log1p(-share)[:, None], 0.0
        )
    return log_sum(np.where(n >= successes[:, None], log_binomials(trials) + terms, -np.inf))


def clopper_pearson(successes: np.ndarray, trials: int, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bounds of a probability, each wrong with probability at most `level`, (n,) each.

    lower = the share at which P(Binomial >= successes) = level (0 for no success), by bisection; upper = 1 -
    lower of the failures.
    """

    def lower(counts: np.ndarray) -> np.ndarray:
        low, high = np.zeros(len(counts)), np.ones(len(counts))
        for _ in range(60):
            middle = (low + high) / 2
            above = _log_tail(counts, trials, middle) > np.log(level)
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        return np.where(counts > 0, low, 0.0)

    counts, place = np.unique(successes, return_inverse=True)
    return lower(counts)[place], 1 - lower(trials - counts)[place]


def binary_divergence(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """d(p || q) = p log p/q + (1-p) log (1-p)/(1-q), nats: by data processing at most the KL of the policies
    with these masses.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        one, other = (
            np.where(p > 0, p * np.log(p / q), 0.0),
            np.where(p < 1, (1 - p) * np.log((1 - p) / (1 - q)), 0.0),
        )
    return one + other


def bounds(
    now_a, start_a, start_b, trials_now: int, trials_start: int, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """(kl_at_least, budget_at_most), nats, from counts of answer a now and at the start and of answer b at
    the start, (n,) each.

    Three Clopper-Pearson bounds at level/3: KL >= d(L_t(a) || U_0(a)) where L > U, budget = -log max pi_0 <=
    -log L_0(b).
    """
    least = clopper_pearson(now_a, trials_now, level / 3)[0]
    most = clopper_pearson(start_a, trials_start, level / 3)[1]
    with np.errstate(divide="ignore"):
        budget = -np.log(clopper_pearson(start_b, trials_start, level / 3)[0])
    return np.where(least > most, binary_divergence(least, most), 0.0), budget


def _commonest(answers: np.ndarray, count_silence: bool) -> np.ndarray:
    same = (answers[:, :, None] == answers[:, None, :]).sum(axis=2)
    same = same if count_silence else np.where(answers == NO_ANSWER, 0, same)
    return np.take_along_axis(answers, same.argmax(axis=1)[:, None], axis=1)


def budget_test(initial: np.ndarray, current: np.ndarray, level: float = LEVEL) -> BudgetTest:
    """Does KL(pi_t || pi_0) exceed what sharpening can spend? Answer ids (prompts, rollouts) of the initial
    and the current policy.

    The first quarter of the rollouts chooses the answer a (commonest now) and b (commonest at the start), the
    rest tests: so the false-alarm rate of each prompt is at most `level` whatever the policies and the number
    of answers. Not a test of many prompts at once: among n that did not leave sharpening, up to `level` * n
    alarms are expected. Raises: InputError for shapes, fewer than 4 rollouts, or a level outside (0, 1).
    """
    initial, current = np.asarray(initial), np.asarray(current)
    if (
        initial.ndim != 2
        or current.ndim != 2
        or len(initial) != len(current)
        or min(initial.shape[1], current.shape[1]) < 4
    ):
        raise InputError(
            "initial, current",
            (initial.shape, current.shape),
            "they are (prompts, at least 4 rollouts), same prompts",
        )
    if not 0 < level < 1:
        raise InputError("level", level, "a false-alarm rate lies strictly between 0 and 1", "Use 0.05")
    cut_start, cut_now = initial.shape[1] // CHOOSING, current.shape[1] // CHOOSING
    a, b = _commonest(current[:, :cut_now], True), _commonest(initial[:, :cut_start], False)
    start, now = initial[:, cut_start:], current[:, cut_now:]
    counts = (
        (now == a).sum(axis=1),
        (start == a).sum(axis=1),
        ((start == b) & (start != NO_ANSWER)).sum(axis=1),
    )
    kl, budget = bounds(*counts, now.shape[1], start.shape[1], level)
    return BudgetTest(kl, budget, kl > budget)


@cache
def _alarms(rollouts: int, level: float) -> np.ndarray:
    """Whether the test alarms, for every (now_a, start_a, start_b), (N+1, N+1, N+1) bool."""
    n = np.arange(rollouts + 1)
    kl, _ = bounds(
        np.repeat(n, len(n)), np.tile(n, len(n)), np.zeros(len(n) ** 2, int), rollouts, rollouts, level
    )
    budget = bounds(n, n, n, rollouts, rollouts, level)[1]
    return kl.reshape(len(n), len(n), 1) > budget


def alarm_rate(
    now_a: np.ndarray, start: np.ndarray, same: np.ndarray, rollouts: int = ROLLOUTS, level: float = LEVEL
) -> np.ndarray:
    """P(alarm), exactly, (prompts,): now_a = log pi_t(a); start (prompts, 3) = log pi_0 of a, b and the rest;
    same: a is b.
    """
    n = np.arange(rollouts + 1)
    orders = log_binomials(rollouts)
    safe = lambda log_p: np.maximum(log_p, -1e6)[:, None]  # noqa: E731
    now = binomial_law(now_a, rollouts)
    left = rollouts - n[:, None] - n
    second = np.full((rollouts + 1, rollouts + 1), -np.inf)
    for one in range(rollouts + 1):
        second[one, : rollouts + 1 - one] = log_binomials(rollouts - one)
    a, b, rest = (safe(start[:, i])[:, :, None] for i in range(3))
    both = np.exp(orders[:, None] + second + n[:, None] * a + n * b + np.maximum(left, 0) * rest)
    diagonal = np.zeros_like(both)
    diagonal[:, n, n] = np.exp(orders + n * safe(start[:, 0]) + (rollouts - n) * safe(start[:, 2]))
    law = np.where(same[:, None, None], diagonal, both)
    return np.einsum("pi,pjk,ijk->p", now, law, _alarms(rollouts, level).astype(float), optimize=True)


@register_theorem
class BudgetTestLevel(Theorem):
    """P(alarm) <= level whenever KL(pi_t || pi_0) <= -log max pi_0, sharpening or not; at the boundary too,
    counted exactly.

    Proof. The first quarters fix a and b; given them the other rollouts are fresh. With probability >= 1 -
    level all three bounds hold: then d(L_t(a) || U_0(a)) <= d(pi_t(a) || pi_0(a)) <= KL, since d rises in its
    first argument and falls in its second where the first is larger, and by data processing; and -log L_0(b)
    >= -log pi_0(b) >= -log max pi_0. So an alarm then says KL > budget.
    """

    name = "S11"
    title = "A test for leaving the budget"
    statement = (
        "From rollouts of pi_t and pi_0, a quarter to choose an answer a now and b at the start and the rest"
        " to test, alarm if d(L_t(a) || U_0(a)) > -log L_0(b), with Clopper-Pearson bounds at level/3 each:"
        " the false-alarm rate is at most the level for every pi_t with KL(pi_t || pi_0) <= -log max pi_0, so"
        " for every sharpening path (S9), whatever the number of answers."
    )
    source = "proved here, its finite-sample test; Clopper and Pearson 1934"
    assumptions = (HAS_LEADER,)

    def formula(self):
        import sympy as sp

        low, high, base = sp.symbols("L_t U_0 L_0", positive=True)
        return sp.Gt(low * sp.log(low / high) + (1 - low) * sp.log((1 - low) / (1 - high)), -sp.log(base))

    def derivation(self):
        import sympy as sp

        p, q, n = sp.symbols("p q n", positive=True)
        d = p * sp.log(p / q) + (1 - p) * sp.log((1 - p) / (1 - q))
        return {
            "d(p || q) has slope log p/q - log (1-p)/(1-q) in p, >= 0 where p >= q": sp.expand_log(
                sp.diff(d, p) - sp.log(p / q) + sp.log((1 - p) / (1 - q)), force=True
            ),
            "and slope (q-p)/(q(1-q)) in q, <= 0 there": sp.simplify(sp.diff(d, q) - (q - p) / (q * (1 - q))),
            "all N rollouts on one answer bound its mass from below by level^(1/N)": sp.expand_log(
                sp.log((p ** (1 / n)) ** n) - sp.log(p), force=True
            ),
        }

    def claims(self, case: Case):
        population = case.population
        start, rows = population.log_probs, np.arange(population.num_prompts)
        b = population.mode
        rivals = start.copy()
        rivals[rows, b] = -np.inf
        a = np.where(rivals.max(axis=1) > -np.inf, rivals.argmax(axis=1), b)
        now = at_budget(start, a, population.kl_budget)
        masses = start.copy()
        masses[rows, a], masses[rows, b] = -np.inf, -np.inf
        told = np.stack([start[rows, a], start[rows, b], log_sum(masses)], axis=1)
        rate = alarm_rate(now[rows, a], told, a == b)
        yield Claim.at_most(
            f"P(alarm) from {ROLLOUTS} test rollouts each is at most the level at KL = budget", rate, LEVEL
        )
        counts = np.arange(ROLLOUTS + 1)
        lower, upper = clopper_pearson(counts, ROLLOUTS, LEVEL)
        share = np.exp(told[:, 1])[:, None]
        law = binomial_law(told[:, 1], ROLLOUTS)
        yield Claim.at_most(
            "the lower bound is wrong with at most its level", (law * (lower > share)).sum(axis=1), LEVEL
        )
        yield Claim.at_most("and so is the upper", (law * (upper < share)).sum(axis=1), LEVEL)


def at_budget(start: np.ndarray, answer: np.ndarray, budget: np.ndarray) -> np.ndarray:
    """(1-s) pi_0 + s onehot(answer), log, with s such that KL to pi_0 is the budget, by bisection; (prompts,
    answers).
    """
    chosen = np.arange(start.shape[1]) == answer[:, None]
    mix = lambda s: np.logaddexp(start + np.log1p(-s)[:, None], np.where(chosen, np.log(s)[:, None], -np.inf))  # noqa: E731
    low, high = np.full(len(start), 1e-300), np.full(len(start), 1 - 1e-12)
    for _ in range(50):
        middle = (low + high) / 2
        over = relative_entropy(mix(middle), start) > budget
        low, high = np.where(over, low, middle), np.where(over, middle, high)
    return mix(low)
