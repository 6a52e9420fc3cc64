"""S4: one comonotone KL-prox or natural-gradient step of any size majorizes the policy."""

from __future__ import annotations

import numpy as np

from sharpening.metrics import exact_metrics
from sharpening.theorems.assumptions import COMONOTONE
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.numerics import log_tails, take_step
from sharpening.theorems.registry import register_theorem
from sharpening.updates import KLProx, NaturalGradient

ROLLOUTS = 8


def distinct_answers(log_probs: np.ndarray) -> np.ndarray:
    """Mean number of distinct answers among ROLLOUTS, sum_a 1 - (1 - pi_a)^N, (prompts,): Schur-concave."""
    return -np.expm1(ROLLOUTS * np.log1p(-np.minimum(np.exp(log_probs), 1 - 1e-16))).sum(axis=1)


def majorization_claims(case: Case, updates: dict):
    """One step of each update (name -> update): no tail sum grows, so entropy does not grow and the mode's
    mass does not fall.
    """
    population = case.population
    start = population.log_probs
    before, seen = exact_metrics(start)["entropy"], distinct_answers(start)
    for name, update in updates.items():
        after = take_step(
            update, case.reward, start, correct=population.correct, no_answer=population.no_answer
        )
        yield Claim.at_most(
            f"no sum of smallest masses grows under {name}", log_tails(after), log_tails(start)
        )
        yield Claim.at_most(f"entropy does not grow under {name}", exact_metrics(after)["entropy"], before)
        yield Claim.at_most(
            f"{ROLLOUTS} rollouts give no more distinct answers under {name}", distinct_answers(after), seen
        )


@register_theorem
class Majorization(Theorem):
    """pi' majorizes pi when pi'/pi is nondecreasing in pi (likelihood-ratio order)."""

    name = "S4"
    title = "General sharpening: one step majorizes"
    statement = (
        "If the reward is a nondecreasing function of pi(a), one KL-prox, natural-gradient or replicator step"
        " of any size gives a policy that majorizes pi: every Schur-concave diversity falls, and the mode's"
        " mass never does. S1 and S3 are special cases."
    )
    source = "proved here"
    assumptions = (COMONOTONE,)
    rewards = ("majority", "trajectory-entropy")
    any_reward = True

    def formula(self):
        import sympy as sp

        i, k = sp.symbols("i k", integer=True, positive=True)
        # masses in increasing order
        new, old = sp.Indexed(sp.IndexedBase("p'"), i), sp.Indexed(sp.IndexedBase("p"), i)
        return sp.Le(sp.Sum(new, (i, 1, k)), sp.Sum(old, (i, 1, k)))

    def derivation(self):
        import sympy as sp

        pi, w = sp.symbols("pi_0:5", positive=True), sp.symbols("w_0:5", positive=True)
        top, rest = range(2), range(2, 5)
        over = lambda members, weights: sum(pi[a] * weights[a] for a in members)  # noqa: E731
        ones = (1,) * 5
        gain = over(top, w) * over(rest, ones) - over(top, ones) * over(rest, w)
        pairs = sum(pi[i] * pi[j] * (w[i] - w[j]) for i in top for j in rest)
        return {
            "a top set S gains mass by the sum over i in S, j outside of pi_i pi_j (w_i - w_j), w = exp(r/beta) (5 answers)": sp.expand(
                gain - pairs
            )
        }

    def claims(self, case: Case):
        h = case.step_size
        updates = {
            "KLProx": KLProx(1 / h),
            "NaturalGradient": NaturalGradient(h),
            "NaturalGradient / std": NaturalGradient(h, "group"),
        }
        return majorization_claims(case, updates)
