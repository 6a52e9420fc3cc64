"""N3: computed naively in float64, r - mean r cancels near a vertex and fakes failures of S5; taken relative
to the maximum it does not.
"""

from __future__ import annotations

import math

import numpy as np

from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.registry import register_theorem
from sharpening.updates import SoftmaxGradient

EXAMPLE = [0.2] * 5 + [1e-20]
EXAMPLE_REWARDS, EXAMPLE_SIZE = [0.8] * 5 + [0.0], 1e19


def naive_step(probs: list[float], rewards: list[float], size: float) -> list[float]:
    """The softmax-gradient step as it is written in papers, in plain IEEE arithmetic from left to right: the
    new masses.
    """
    mean = 0.0
    for p, r in zip(probs, rewards, strict=True):
        mean += p * r
    logits = [math.log(p) + size * (p * (r - mean)) for p, r in zip(probs, rewards, strict=True)]
    masses = [math.exp(z - max(logits)) for z in logits]
    return [mass / sum(masses) for mass in masses]


def pairwise_advantage(log_probs: np.ndarray, rewards: np.ndarray) -> np.ndarray:
    """sum_b pi_b (max r - r_b) over possible answers, (prompts,): the best answer's advantage as a sum of
    terms >= 0, so exact.
    """
    possible = log_probs > -np.inf
    top = np.where(possible, rewards, -np.inf).max(axis=1, keepdims=True)
    return (np.exp(log_probs) * np.where(possible, top - rewards, 0.0)).sum(axis=1)


@register_theorem
class Cancellation(Theorem):
    """A_m = r_m - mean r is a difference of two equal numbers when 1 - pi_m < 1e-16: its sign is that of a
    rounding error.
    """

    name = "N3"
    title = "Counterexample in float64: a fake failure of majorization"
    statement = (
        "'Subtract the mean reward' is not safe in floating point. With five modes of 1/5 and a loser of"
        " 1e-20, r - sum pi r rounds to a negative advantage for the modes, and a long step hands all mass to"
        " the loser although S5 forbids it. Rewards taken relative to their maximum first give every"
        " advantage to full relative precision down to masses of 1e-300."
    )
    source = "proved here, numerics"
    rewards = ("majority", "trajectory-entropy")
    any_reward = True

    def formula(self):
        import sympy as sp

        b = sp.Symbol("b", integer=True)
        pi, r = sp.IndexedBase("pi"), sp.IndexedBase("r")
        count, top = sp.symbols("K r_{max}")
        return sp.Eq(sp.Symbol("A_{max}"), sp.Sum(pi[b] * (top - r[b]), (b, 1, count)))

    def derivation(self):
        import sympy as sp

        pi, r = sp.symbols("pi_0:4", positive=True), sp.symbols("r_0:4", real=True)
        mean = sum(x * y for x, y in zip(pi, r, strict=True))
        pairs = sum(x * (r[0] - y) for x, y in zip(pi, r, strict=True))
        return {
            "r_0 - mean r is the sum of pi_b (r_0 - r_b): no cancellation at the largest (4 answers)": (
                sp.expand((r[0] - mean - pairs).subs(pi[3], 1 - pi[0] - pi[1] - pi[2]))
            )
        }

    def claims(self, case: Case):
        log_probs, rewards = case.population.log_probs, case.rewards()
        rows = np.arange(len(log_probs))
        possible = log_probs > -np.inf
        best = np.where(possible, rewards, -np.inf).argmax(axis=1)
        shipped = np.asarray(SoftmaxGradient().direction(log_probs, rewards))[rows, best] / np.exp(
            log_probs[rows, best]
        )
        wanted = pairwise_advantage(log_probs, rewards)
        with np.errstate(divide="ignore", invalid="ignore"):
            error = np.where(wanted > 0, np.abs(shipped - wanted) / wanted, np.abs(shipped))
        yield Claim.at_most("the best answer's advantage is right to 12 digits", error, 0.0, absolute=1e-12)
        naive = naive_step(EXAMPLE, EXAMPLE_REWARDS, EXAMPLE_SIZE)
        yield Claim.at_most("naively the five modes lose all their mass", np.float64(sum(naive[:5])), 0.0)
        kept = np.asarray(SoftmaxGradient(EXAMPLE_SIZE).step(np.log([EXAMPLE]), np.array([EXAMPLE_REWARDS])))
        yield Claim.equal("the shipped step keeps it", np.float64(np.exp(kept[0, :5]).sum()), 1.0)
