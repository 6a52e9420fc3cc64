"""S18: coverage: how many rollouts it takes to sharpen, exactly for a prompt, and by one number for a population."""

from __future__ import annotations

import numpy as np

from sharpening.logspace import log_mass
from sharpening.theorems.assumptions import UNIQUE_MODE, WEIGHTED
from sharpening.theorems.base import Assumption, Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.constructed import few_answers
from sharpening.theorems.finite_votes import count_vectors, group_weights
from sharpening.theorems.registry import register_theorem

LISTED, MOST_ANSWERS = (1, 2, 5), 5
RAREST = 1e-290
DELTAS = (0.5, 0.1, 1e-3)
SIZES = (1, 8, 64, 4096)


def _countable(case: Case) -> np.ndarray:
    return case.population.votable.max(axis=1) >= np.log(RAREST)


COUNTABLE = Assumption(
    "countable rollouts", f"the mode has a mass of at least {RAREST:g}: float64 counts to 1/p", _countable
)


def misses(log_rest: np.ndarray, rollouts: float | np.ndarray) -> np.ndarray:
    """P(the mode is not among the rollouts) = (1 - pi(mode))^N, (prompts,), from log(1 - pi(mode))."""
    return np.exp(rollouts * np.maximum(log_rest, -1e6))


def rollouts_needed(log_rest: np.ndarray, delta: float) -> np.ndarray:
    """The least N for which best-of-N by the policy's own log-probability gives the mode with chance 1 - delta:
    ceil(log delta/log(1 - pi(mode))), (prompts,).
    """
    with np.errstate(divide="ignore"):
        return np.ceil(np.maximum(np.log(delta) / np.minimum(log_rest, -RAREST) - 1e-12, 1.0))


def coverage(log_mode: np.ndarray, weights: np.ndarray) -> float:
    """C_cov = E[1/pi_0(mode)], at least 1 and at most the number of answers that may be given."""
    return float(weights @ np.where(weights > 0, np.exp(-log_mode), 0.0))


@register_theorem
class Coverage(Theorem):
    """Best-of-N by the policy's own log-probability is the mode iff the mode was drawn: P = 1 - (1 - p)^N.

    Proof. The mode is the one answer of largest log-probability, so it wins if it is among the N, and cannot win else.
    (1-p)^N <= delta iff N >= log delta/log(1-p); p <= -log(1-p) <= p/(1-p) gives both bounds. Markov: over prompts
    E[(1-p)^N] <= E[1/(N p)], since x e^-x < 1 at x = N p and (1-p)^N <= e^(-N p), so the average miss is at most C_cov/(e N).
    The last step: e^-x <= 1/(e x).
    """

    name = "S18"
    title = "Coverage: rollouts that sharpening needs"
    statement = (
        "Take the best of N rollouts by the policy's own log-probability. It is the mode with probability exactly 1 - (1-p)^N,"
        " p = pi_0(mode): N >= log(1/delta)/p rollouts suffice for chance 1 - delta, and fewer than (1-p)/p log(1/delta) do"
        " not. Over prompts the average miss is at most C_cov/(e N) with the coverage C_cov = E[1/pi_0(mode)], between 1 and"
        " the number of answers. Where C_cov is not bounded no N serves every prompt: N = 1/p rollouts still miss the mode"
        " with chance 1/4 or more (p <= 1/2). What is sharpened so is the mode, right or wrong."
    )
    source = "proved here; Huang et al. 2024 (arXiv:2412.01951) for best-of-N sharpening and its coverage"
    assumptions = (UNIQUE_MODE, COUNTABLE, WEIGHTED)

    def formula(self):
        import sympy as sp

        p, n = sp.symbols("p N", positive=True)
        return sp.Eq(sp.Symbol("P"), 1 - (1 - p) ** n)

    def derivation(self):
        import sympy as sp

        p, x, n, delta = sp.symbols("p x N delta", positive=True)
        needed = sp.log(delta) / sp.log(1 - p)
        return {
            "(1-p)^N is delta at N = log delta/log(1-p)": sp.simplify(sp.log(1 - p) * needed - sp.log(delta)),
            "-log(1-p) - p is 0 at 0 and has slope p/(1-p) >= 0": (
                sp.diff(-sp.log(1 - p) - p, p) - p / (1 - p)
            ),
            "p/(1-p) + log(1-p) is 0 at 0 and has slope p/(1-p)² >= 0": sp.simplify(
                sp.diff(p / (1 - p) + sp.log(1 - p), p) - p / (1 - p) ** 2
            ),
            "x e^-x is largest at x = 1, where it is 1/e": sp.diff(x * sp.exp(-x), x).subs(x, 1),
            "and falls from there: its slope is (1-x) e^-x": sp.diff(x * sp.exp(-x), x)
            - (1 - x) * sp.exp(-x),
        }

    def constructed(self, rng):
        return few_answers(rng)

    def claims(self, case: Case):
        population, weights = case.population, case.restricted().prompt_weights
        start, mode = population.log_probs, population.leaders
        log_p = np.where(case.applies, log_mass(start, mode), 0.0)
        p = np.exp(log_p)
        # 1 - p loses a small p to rounding
        log_rest = np.where(p < 0.5, np.log1p(-np.minimum(p, 0.5)), log_mass(start, ~mode))
        log_rest = np.where(case.applies, log_rest, -np.inf)
        silent = (
            np.zeros(len(p), bool)
            if population.no_answer is None
            else start[:, population.no_answer] > -np.inf
        )
        if population.num_answers <= MOST_ANSWERS:
            for n in LISTED:
                counts, _ = count_vectors(n, population.num_answers)
                scored = np.where(counts[None] > 0, start[:, None, :], -np.inf)
                picked = np.take_along_axis(mode, scored.argmax(axis=2), axis=1)
                found = (group_weights(start, n) * picked).sum(axis=1)
                told = f"the best of {n} by log-probability is the mode with chance 1 - (1-p)^N"
                yield Claim.equal(told, found, 1 - misses(log_rest, n), absolute=1e-12).where(~silent)
        for delta in DELTAS:
            needed = rollouts_needed(log_rest, delta)
            told = f"(delta {delta:g})"
            left = misses(log_rest, needed)
            yield Claim.at_most(f"so many rollouts suffice {told}", left, delta, relative=1e-9)
            fewer = misses(log_rest, needed - 1)
            yield Claim.at_most(f"one fewer does not {told}", delta, fewer, relative=1e-9).where(needed > 1)
            least, most = (np.log(1 / delta) / p * part for part in (1 - p, 1.0))
            yield Claim.at_most(f"no fewer than (1-p)/p log(1/delta) {told}", least, needed, relative=1e-9)
            yield Claim.at_most(
                f"and at most log(1/delta)/p, rounded up {told}", needed, most + 1, relative=1e-9
            )
        known = coverage(log_p, weights)
        yield Claim.at_most("coverage is at least 1", 1.0, known)
        votable = (start > -np.inf).sum(axis=1)
        yield Claim.at_most("an answer that leads has mass 1/K at least", 1 / votable, p).where(~silent)
        for n in SIZES:
            miss = float(weights @ np.where(weights > 0, misses(log_rest, n), 0.0))
            yield Claim.at_most(
                f"the average miss of {n} rollouts is at most C_cov/(e N)", miss, known / (np.e * n)
            )
        few = misses(log_rest, np.floor(1 / p))
        yield Claim.at_most("1/p rollouts miss the mode with chance 1/4 or more", 0.25, few).where(p <= 0.5)
