"""S16: sharpening sells pass@k for pass@1: at consensus pass@k is alpha for every k, so beyond a crossing it
has fallen.
"""

from __future__ import annotations

import numpy as np

from sharpening.logspace import log_mass, log_odds
from sharpening.theorems.assumptions import HEARD_MODE, LABELLED, UNIQUE_MODE, WEIGHTED
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.numerics import take_step
from sharpening.theorems.registry import register_theorem
from sharpening.updates import GRPO, KLProx, SoftmaxGradient

NEGLIGIBLE = 45.0  # nats: e^-45 is below float64's resolution of 1
ROUNDING = 1e-12
SIZES = (1, 2, 4, 8, 64, 1024, 10**9)


def pass_at_k(log_wrong: np.ndarray, k: int) -> np.ndarray:
    """P(at least one of k answers is correct) = 1 - (1 - pi_c)^k, from log(1 - pi_c), the log of the wrong
    answers' mass; same shape.
    """
    return -np.expm1(np.maximum(k * log_wrong, -1e6))


def crossing(log_wrong: np.ndarray, weights: np.ndarray, alpha: float) -> float:
    """The least k at which the initial policies' pass@k exceeds alpha; infinity if none does. Doubling, then
    bisection.
    """
    over = lambda k: float(weights @ pass_at_k(log_wrong, k)) > alpha + ROUNDING  # noqa: E731
    high = 1
    while not over(high):
        if high > 1e15:
            return np.inf
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if over(middle) else (middle, high)
    return high


@register_theorem
class PassAtK(Theorem):
    """Aligned prompts rise to pass@k = 1, misaligned ones fall to 0, for every k at once; so the average ends
    at alpha whatever k is.

    Proof. Under the majority reward every answer but the mode loses mass: KL-prox divides it by p g + 1 - p;
    the softmax gradient and GRPO multiply it by e^(-eta pi_b p)/Z, and log Z >= E[Delta z] = eta p (p(1-p) -
    sum over losers of pi_b²) >= 0 as long as no loser, silence included, outweighs the mode. Where giving no
    answer does, Z can fall below 1 and a rare answer gains mass. On a misaligned prompt pi_c is mass of
    losers; on an aligned one the wrong answers' mass is. pass@k rises with pi_c alone. The average of 1 - (1
    - pi_c)^k rises in k, from accuracy to the share of prompts with pi_c > 0, which is alpha or more.
    """

    name = "S16"
    title = "Pass@k: what sharpening sells"
    statement = (
        "Each step of the majority reward raises pass@k = 1 - (1 - pi_c)^k of an aligned prompt and lowers it"
        " on a misaligned one, for every k; uncoupled prompts end at pass@k = alpha for all k. Before"
        " training pass@k rises in k, so there is a crossing k*: training raises pass@k below it and lowers"
        " it from k* on; k* is finite iff a misaligned prompt can give a correct answer. Where giving no"
        " answer outweighs the mode this fails for policy gradients: rare answers, right or wrong, can gain."
    )
    source = "proved here for pass@1; pass@k crossings as reported for RLVR"
    assumptions = (LABELLED, UNIQUE_MODE, HEARD_MODE, WEIGHTED)

    def formula(self):
        import sympy as sp

        k = sp.Symbol("k", integer=True, positive=True)
        return sp.Eq(
            sp.Limit(sp.Function("pass")(k, sp.Symbol("t")), sp.Symbol("t"), sp.oo), sp.Symbol("alpha")
        )

    def derivation(self):
        import sympy as sp

        p, c, gain, k = sp.symbols("p c g k", positive=True)
        total = p * gain + 1 - p
        return {
            "misaligned: a step divides pi_c by p g + 1 - p, g = exp(1/beta)": sp.simplify(
                c / total - c + c * p * (gain - 1) / total
            ),
            "aligned: it divides 1 - pi_c by the same, c now holding the mode": sp.simplify(
                (1 - (p * gain + c - p) / total) - (1 - c) / total
            ),
            "pass@k rises in pi_c: its slope is k (1-pi_c)^(k-1)": sp.simplify(
                sp.diff(1 - (1 - c) ** k, c) - k * (1 - c) ** (k - 1)
            ),
            "and in k: the next rollout adds pi_c (1-pi_c)^k": sp.simplify(
                (1 - (1 - c) ** (k + 1)) - (1 - (1 - c) ** k) - c * (1 - c) ** k
            ),
        }

    def claims(self, case: Case):
        population = case.population
        start, leaders, correct = population.log_probs, population.leaders, population.labels
        aligned = (leaders & correct).any(axis=1)
        wrong = log_mass(start, ~correct)
        right = log_mass(start, correct)
        for update in (KLProx(1 / case.step_size), SoftmaxGradient(case.step_size), GRPO(case.step_size)):
            after = take_step(update, case.reward, start, no_answer=population.no_answer)
            for what, members, had, where in (
                ("wrong", ~correct, wrong, aligned),
                ("correct", correct, right, ~aligned),
            ):
                change = log_mass(after, members) - np.where(had > -np.inf, had, 0.0)
                lost = np.where(where & (had > -np.inf), change, 0.0)
                prompts = "an aligned" if what == "wrong" else "a misaligned"
                yield Claim.at_most(
                    f"{what} answers do not gain on {prompts} prompt under {update.name}", lost, 0.0
                ).where(where & (had > -np.inf))
        weights = np.where(case.applies, population.prompt_weights, 0.0)
        weights = weights / weights.sum()
        alpha = float(weights @ aligned)
        total = NEGLIGIBLE - min(0.0, float(log_odds(start, leaders)[case.applies].min()))
        end = take_step(KLProx(1 / total), case.reward, start, no_answer=population.no_answer)
        least = crossing(wrong, weights, alpha)
        ends = log_mass(end, ~correct)
        for k in SIZES[:-1]:
            before, then = float(weights @ pass_at_k(wrong, k)), float(weights @ pass_at_k(ends, k))
            yield Claim.equal(f"pass@{k} ends at alpha", np.float64(then), alpha)
            gain = (then - before) * (1.0 if k < least else -1.0)
            yield Claim.at_most(
                f"pass@{k} has risen before the crossing, fallen after it",
                np.float64(-gain),
                0.0,
                absolute=1e-9,
            )
        reachable = bool((weights[~aligned & (right > -np.inf)] > 0).any())
        most = float(weights @ pass_at_k(wrong, SIZES[-1]))
        yield Claim.at_most("the initial pass@k reaches alpha or more", alpha, most, absolute=1e-9)
        if not reachable:
            yield Claim.equal("no crossing if misaligned prompts cannot be right", np.float64(least), np.inf)
