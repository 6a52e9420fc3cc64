"""S20: pass@k of a sharpened policy is bounded by the prior's: what k samples find, k/p samples of the prior find
nearly as often.
"""

from __future__ import annotations

import numpy as np

from sharpening.logspace import log_mass
from sharpening.population import Population
from sharpening.theorems.assumptions import COMONOTONE, HAS_LEADER, LABELLED, WEIGHTED
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.constructed import PROMPTS
from sharpening.theorems.numerics import path, take_step
from sharpening.theorems.registry import register_theorem
from sharpening.theorems.s16_pass_at_k import pass_at_k
from sharpening.updates import GRPO, KLProx, NaturalGradient, SoftmaxGradient

SIZES, STEPS, SHORT = (1, 8, 32), 2, 1e-6
KEPT = 1 - np.exp(-1.0)


def most_passed(log_right: np.ndarray, log_mode: np.ndarray, k: int) -> np.ndarray:
    """1 - (1 - min(1, pi_c/p))^k, (prompts,): no sharpened policy's pass@k is above; logs of the prior's masses."""
    lifted = np.minimum(log_right - log_mode, 0.0)
    with np.errstate(divide="ignore"):
        return pass_at_k(np.where(lifted < 0, np.log(-np.expm1(lifted)), -np.inf), k)


def passed_by_prior(log_right: np.ndarray, log_mode: np.ndarray, k: int) -> np.ndarray:
    """Pass@N of the prior at N = k/p, not rounded, (prompts,): 1 - (1 - pi_c)^(k/p)."""
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        log_wrong = np.log1p(-np.minimum(np.exp(log_right), 1.0))
        tries = k * np.exp(-log_mode)
        # a mass that float64 loses beside 1 counts as itself: log(1 - c) = -c
        log_wrong = np.where(log_right < -30.0, -np.exp(log_right), log_wrong)
        return -np.expm1(np.where(log_right > -np.inf, tries * log_wrong, 0.0))


def first_slope(right: np.ndarray, mass: np.ndarray, aligned: np.ndarray, k: int) -> np.ndarray:
    """d pass@k/dt at the start of the majority flow, (prompts,): k P (1 - pi_c)^(k-1) (1[aligned] - pi_c)."""
    return k * mass * np.power(np.maximum(1 - right, 0.0), k - 1) * (aligned - right)


@register_theorem
class MoreSamples(Theorem):
    """pi_t/pi_0 <= 1/p at every answer, p the prior's mode: so pi_t,c <= pi_c/p, at all times and for any such reward.

    Proof. A comonotone step lifts the mode's logit most, so the likelihood ratio is largest at the mode, where it is at most
    1/p (S9). Hence pass_t@k <= 1 - (1 - min(1, pi_c/p))^k <= min(1, y), y = k pi_c/p. The prior's (1 - pi_c)^(k/p) <= e^-y,
    and 1 - e^-y >= (1 - 1/e) min(1, y) by concavity. A rare mode that is right, at consensus, with k = 1 has pass 1 after and 1 - (1-p)^(1/p)
    before, which tends to 1 - 1/e. Under the majority flow d pi_c = P (1[aligned] - pi_c) dt, and pass@k has slope
    k (1-pi_c)^(k-1) in pi_c.
    """

    name = "S20"
    title = "What sharpening finds, more samples of the prior find"
    statement = (
        "Let every step be comonotone, p = pi_0(mode), pi_c the prior's mass of right answers. At all times pass_t@k <= 1 - (1 -"
        " min(1, pi_c/p))^k, and pass_0@(k/p) >= (1 - 1/e) pass_t@k: what k samples of a sharpened policy solve, k/p samples of the prior"
        " solve with at least .632 of the chance, and no better constant holds. So sharpening saves at most a factor of e to the prior's"
        " min-entropy in samples, and solves nothing that the prior cannot. Under the majority flow the population's pass@k moves at first at E[k"
        " P (1-pi_c)^(k-1) (1[aligned] - pi_c)], P the mode's mass: the larger k, the more the prompts with rare right answers"
        " decide, so pass@1 can rise while pass@k falls. A policy whose pass@1 exceeds pi_c/p was not"
        " sharpened: labels, verifiers or other prompts moved it."
    )
    source = "proved here; S9 for the likelihood ratio"
    rewards = ("majority", "trajectory-entropy")
    any_reward = True
    assumptions = (LABELLED, HAS_LEADER, WEIGHTED, COMONOTONE)

    def formula(self):
        import sympy as sp

        k, p, e = sp.Symbol("k"), sp.Symbol("p", positive=True), sp.E
        return sp.Ge(sp.Function("pass_0")(k / p), (1 - 1 / e) * sp.Function("pass_t")(k))

    def derivation(self):
        import sympy as sp

        y, p, c, k, t = sp.symbols("y p pi_c k t", positive=True)
        chord = 1 - sp.exp(-y) - (1 - sp.exp(-1)) * y
        right = sp.Function("pi")(t)
        return {
            "1 - e^-y meets (1 - 1/e) y at 0": chord.subs(y, 0),
            "and at 1": sp.simplify(chord.subs(y, 1)),
            "and is concave between: its second derivative is -e^-y": sp.diff(chord, y, 2) + sp.exp(-y),
            "the constant is met: (1-p)^(1/p) tends to 1/e": sp.limit((1 - p) ** (1 / p), p, 0) - sp.exp(-1),
            "pass@k moves at k (1-pi_c)^(k-1) d pi_c": sp.simplify(
                sp.diff(1 - (1 - right) ** k, t) - k * (1 - right) ** (k - 1) * sp.diff(right, t)
            ),
            "replicator: aligned, pi_c gains P (1 - pi_c)": sp.expand(
                p * (1 - p) + (c - p) * (0 - p) - p * (1 - c)
            ),
        }

    def constructed(self, rng):
        """Right modes and wrong ones of every weight, so that pass@k rises at first or falls, for small k and large."""
        num_answers, half = 24, PROMPTS // 2
        mass, tilt = np.exp(rng.uniform(-2.5, -0.4, size=PROMPTS)), np.exp(rng.uniform(-6.0, 3.0))
        other = mass * rng.uniform(0.02, 0.9, size=PROMPTS) * np.minimum(1.0, (1 - mass) / mass)
        log_probs = np.log((1 - mass - other) / (num_answers - 2))[:, None] * np.ones(num_answers)
        log_probs[:, 0], log_probs[:, 1] = np.log(mass), np.log(other)
        correct = np.arange(num_answers) == np.where(np.arange(PROMPTS) < half, 0, 1)[:, None]
        weights = np.where(np.arange(PROMPTS) < half, 1.0, tilt) * rng.uniform(0.9, 1.1, size=PROMPTS)
        return Population(log_probs, correct, weights)

    def claims(self, case: Case):
        population = case.population
        start, correct, silent = population.log_probs, population.labels, population.no_answer
        log_right, log_mode = log_mass(start, correct), start.max(axis=1)
        labels = dict(correct=correct, no_answer=silent)
        for update in (KLProx(1 / case.step_size), SoftmaxGradient(case.step_size), GRPO(case.step_size)):
            *_, now = path(update, case.reward, start, STEPS, **labels)
            with np.errstate(invalid="ignore"):
                lifted = np.where(start > -np.inf, now - start, -np.inf).max(axis=1)
            yield Claim.at_most(
                f"no answer gains more than 1/p under {update.name}", lifted, -log_mode, absolute=1e-9
            )
            log_wrong = log_mass(now, ~correct)
            for k in SIZES:
                passed = pass_at_k(log_wrong, k)
                yield Claim.at_most(
                    f"pass@{k} is at most 1 - (1 - pi_c/p)^k under {update.name}",
                    passed,
                    most_passed(log_right, log_mode, k),
                    absolute=1e-9,
                ).where(log_right > -np.inf)
                yield Claim.at_most(
                    f"k/p samples of the prior pass with (1 - 1/e) of it, k = {k}, under {update.name}",
                    KEPT * passed,
                    passed_by_prior(log_right, log_mode, k),
                    absolute=1e-9,
                ).where(log_right > -np.inf)
        yield from self._turned(case, log_right, log_mode)
        if case.reward.name == "majority":
            yield from self._first(case)

    def _turned(self, case, log_right, log_mode):
        """The policy that gives a right answer only: within the bound iff no right answer was behind the mode."""
        behind = (log_right < log_mode - 1e-9) & (log_right > -np.inf)
        bound = most_passed(log_right, log_mode, 1)
        yield (
            Claim.equal(
                "a policy of right answers only exceeds the bound iff they were behind the mode",
                (bound < 1.0).astype(float),
                behind.astype(float),
            )
            .where((log_right > -np.inf) & (np.abs(log_right - log_mode) > 1e-6))
            .iff(behind)
        )

    def _first(self, case):
        population, weights = case.population, case.restricted().prompt_weights
        start, correct = population.log_probs, population.labels
        now = take_step(
            NaturalGradient(SHORT), case.reward, start, correct=correct, no_answer=population.no_answer
        )
        right, mass = (np.exp(log_mass(start, one)) for one in (correct, population.leaders))
        weights = np.where(population.leaders.sum(axis=1) == 1, weights, 0.0)
        aligned = (population.leaders & correct).any(axis=1).astype(float)
        for k in SIZES:
            gained = pass_at_k(log_mass(now, ~correct), k) - pass_at_k(log_mass(start, ~correct), k)
            slope = first_slope(right, mass, aligned, k)
            found, wanted = (
                float(weights @ np.where(weights > 0, one, 0.0)) for one in (gained / SHORT, slope)
            )
            yield Claim.equal(
                f"pass@{k} moves at first at E[k P (1-pi_c)^(k-1) (1[aligned] - pi_c)]",
                found,
                wanted,
                absolute=1e-4 * (1 + abs(wanted)),
            )
            told = f"pass@{k} rises at first iff that is positive"
            yield Claim.equal(told, np.sign(found), np.sign(wanted)).where(abs(wanted) > 1e-3).iff(wanted > 0)
