"""N5: 'reward accuracy below 1 % detects collapse' is false: a model that always gives one answer scores that
answer's base rate.
"""

from __future__ import annotations

import numpy as np

from sharpening.collapse import get_criterion
from sharpening.metrics import exact_metrics
from sharpening.theorems.assumptions import LABELLED, WEIGHTED
from sharpening.theorems.base import Assumption, Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.constructed import rare_answers
from sharpening.theorems.registry import register_theorem

HAS_TRUTH = Assumption(
    "a correct answer", "the prompt has at least one", lambda case: case.population.labels.any(axis=1)
)

MOST = 16  # answers, and the commonest, of which a model that gives nothing else is scored


@register_theorem
class FixedThreshold(Theorem):
    """RewardAccuracy of a policy that gives answer a to every prompt is a's base rate; the largest is at
    least 1/K by the pigeonhole.
    """

    name = "N5"
    title = "Counterexample: a fixed threshold misses collapse"
    statement = (
        "'Collapse is when reward accuracy falls below 1 %' is false: a policy that answers a whatever the"
        " prompt has RewardAccuracy = b_a, the share of prompts for which a is correct. If every prompt has a"
        " correct answer among K, some b_a >= 1/K: with at most 100 answers there is a total collapse that"
        " the 1 % rule never sees, while the rule relative to the floor max b_a does."
    )
    source = "against He et al. 2026, definition of the Model Collapse Step; proved here"
    assumptions = (LABELLED, HAS_TRUTH, WEIGHTED)

    def formula(self):
        import sympy as sp

        base, count = sp.symbols("b_a K", positive=True)
        return sp.Ge(sp.Max(base, evaluate=False), 1 / count)

    def derivation(self):
        import sympy as sp

        base = sp.symbols("b_0:4", nonnegative=True)
        correct = sp.Symbol("c", nonnegative=True)
        top = sp.Symbol("b", positive=True)
        return {
            "one answer of mass 1 that wins the vote: 1 - |1 - c| is c for c = 1": (
                1 - sp.Abs(1 - correct.subs(correct, 1)) - 1
            ),
            "and for c = 0": 1 - sp.Abs(1 - correct.subs(correct, 0)),
            "if no base rate exceeded b, they would sum to at most K b, so b >= 1/K (4 answers)": (
                sum(one.subs(one, top) for one in base) - 4 * top
            ),
        }

    def constructed(self, rng):
        return rare_answers(rng)

    def claims(self, case: Case):
        population = case.restricted()
        weights = population.prompt_weights
        base = weights @ population.correct
        votable = population.num_answers - (population.no_answer is not None)
        yield Claim.at_most(
            "some answer is correct for at least one prompt in K", 1 / votable, np.float64(base.max())
        )
        absolute, relative = get_criterion("absolute"), get_criterion("relative")
        floor = population.base_rate_floor
        before = float(
            weights
            @ exact_metrics(population.log_probs, population.correct, no_answer=population.no_answer)[
                "reward_accuracy"
            ]
        )
        for answer in np.unique([int(base.argmax()), *range(min(votable, MOST))]):
            gone = np.where(np.arange(population.num_answers) == answer, 0.0, -np.inf) * np.ones(
                (population.num_prompts, 1)
            )
            scored = exact_metrics(gone, population.correct, no_answer=population.no_answer)[
                "reward_accuracy"
            ]
            yield Claim.equal(
                "a model that gives one answer scores its base rate",
                np.float64(weights @ scored),
                base[answer],
            )
        worst = np.array([base.max()])
        fires = float(absolute.holds(worst, absolute.threshold(worst, floor))[0])
        yield Claim.equal(
            "the 1 % rule fires on the commonest answer iff 1 % exceeds its base rate",
            fires,
            float(base.max() < 0.01),
        ).iff(base.max() < 0.01)
        if before > floor + 1e-9:
            curve = np.array([before, base.max()])
            sees = relative.holds(curve, relative.threshold(curve, floor))
            yield Claim.equal("the relative rule sees it", float(sees[-1]), 1.0)
