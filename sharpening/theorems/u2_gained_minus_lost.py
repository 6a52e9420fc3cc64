"""U2: what sharpening gains on aligned prompts minus what it loses on the others, at the end and at every
time before.
"""

from __future__ import annotations

import numpy as np

from sharpening.logspace import log_mass
from sharpening.metrics import exact_metrics
from sharpening.theorems.assumptions import HAS_LEADER, LABELLED, UNCOUPLED, WEIGHTED
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.numerics import path
from sharpening.theorems.registry import register_theorem
from sharpening.updates import KLProx

STEPS = 3


def correct_share(population) -> np.ndarray:
    """s: the share of a prompt's leaders that are correct, 1 or 0 where the mode is unique; (prompts,)."""
    leaders = population.leaders
    return (leaders & population.correct).sum(axis=1) / np.maximum(leaders.sum(axis=1), 1)


def progress(start: np.ndarray, now: np.ndarray, leaders: np.ndarray) -> np.ndarray:
    """tau = (P_t - P_0)/(1 - P_0), P the mass of the initial leaders: 0 at the start, 1 at consensus;
    (prompts,).

    Computed from the mass off the leaders, so that 1 - 1e-300 keeps its digits; 1 where nothing was off them.
    """
    off, was_off = log_mass(now, ~leaders), log_mass(start, ~leaders)
    with np.errstate(invalid="ignore"):
        return np.where(was_off > -np.inf, -np.expm1(off - was_off), 1.0)


@register_theorem
class GainedMinusLost(Theorem):
    """Accuracy_x(t) = pi_c + tau (s - pi_c): every prompt walks the straight line from its accuracy to its
    mode's.
    """

    name = "U2"
    title = "Gained minus lost"
    statement = (
        "Uncoupled prompts under the majority reward: Accuracy(inf) - Accuracy(0) = E[1{aligned}(1 - pi_c)] -"
        " E[1{misaligned} pi_c]. With KL-prox or natural gradient it is so on the way too: Accuracy(t) -"
        " Accuracy(0) = E[tau (s - pi_c)], where tau in 0..1 is the share of the mass off the modes that has"
        " moved onto them, and s = 1 if aligned, 0 if not (of m tied leaders, the correct share)."
    )
    source = "proved here, extended to every time and to ties"
    assumptions = (LABELLED, HAS_LEADER, WEIGHTED, UNCOUPLED)

    def formula(self):
        import sympy as sp

        tau, s, c = sp.symbols("tau s pi_c", nonnegative=True)
        gain = sp.Function("Accuracy")
        t = sp.Symbol("t")
        return sp.Eq(gain(t) - gain(0), sp.Function("E")(tau * (s - c)))

    def derivation(self):
        import sympy as sp

        # rest: correct mass off the modes at the start
        p0, p, s, rest = sp.symbols("P_0 P s c_0", positive=True)
        start = s * p0 + rest
        now = s * p + rest * (1 - p) / (1 - p0)  # S1: ratios inside and outside the modes stay
        tau = (p - p0) / (1 - p0)
        c = sp.Symbol("pi_c", positive=True)
        return {
            "Accuracy_x(t) = pi_c + tau (s - pi_c) along S1's law": now - start - tau * (s - start),
            "tau tends to 1 as P does": sp.limit(tau, p, 1) - 1,
            "aligned prompts gain 1 - pi_c": (s - c).subs(s, 1) - (1 - c),
            "misaligned ones lose pi_c": (s - c).subs(s, 0) + c,
        }

    def claims(self, case: Case):
        population, weights = case.population, case.restricted().prompt_weights
        start, leaders, s = population.log_probs, population.leaders, correct_share(case.population)
        labels = dict(correct=population.correct, no_answer=population.no_answer)

        def accuracy(log_probs):
            return exact_metrics(log_probs, population.correct, no_answer=population.no_answer)["accuracy"]  # noqa: E731

        before = accuracy(start)
        for k, now in enumerate(
            path(KLProx(1 / case.step_size), case.reward, start, STEPS, **labels), start=1
        ):
            walked = progress(start, now, leaders) * (s - before)
            yield Claim.equal(
                f"accuracy at step {k} is pi_c + tau (s - pi_c)", accuracy(now), before + walked
            )
            gained = float(weights @ (accuracy(now) - before))
            yield Claim.equal(
                f"Accuracy({k}) - Accuracy(0) = E[tau (s - pi_c)]", gained, float(weights @ walked)
            )
        far = leaders.sum(axis=1).max() * (50.0 - 2 * float(start[start > -np.inf].min()))
        *_, end = path(KLProx(1 / far), case.reward, start, 1, **labels)
        aligned, misaligned = weights @ (s * (1 - before)), weights @ ((1 - s) * before)
        yield Claim.equal(
            "at consensus: gained minus lost",
            float(weights @ (accuracy(end) - before)),
            float(aligned - misaligned),
        )
