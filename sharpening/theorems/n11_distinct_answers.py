"""N11: "collapse shows as fewer distinct answers" is false: a rule can be wrong everywhere and give every
prompt an answer of its own.
"""

from __future__ import annotations

import numpy as np

from sharpening.coupling import LowRankPlusDiagonal
from sharpening.logspace import normalised
from sharpening.metrics import exact_metrics
from sharpening.theorems.assumptions import LABELLED, RESOLVED_MODE, UNIQUE_MODE, WEIGHTED
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.coupled import FULL_SUPPORT
from sharpening.theorems.numerics import beyond
from sharpening.theorems.registry import register_theorem
from sharpening.theorems.x1_noisy_verifier import ALWAYS_ANSWERS

FAR = 4000.0


@register_theorem
class DistinctAnswers(Theorem):
    """Give each prompt labels of its own and couple the strategies: consensus on a wrong rule keeps all
    answers distinct.
    """

    name = "N11"
    title = "Counterexample: collapse without fewer distinct answers"
    statement = (
        "'A collapsed model gives fewer distinct answers' is false. Let strategy s give prompt x the label"
        " (x, s), which no other prompt uses ('repeat the subject'), and let the shared drift end on one"
        " strategy: distinct answers are as many as prompts before and after, entropy falls to 0, and"
        " accuracy ends at the share of prompts on which that strategy is right, 0 for a rule that never is."
        " Mode retention and excess KL see it: retention ends at the rule's initial share of modes, and a"
        " prompt that it turned has spent -log pi_0(rule) > its budget. The converse fails too: fewer"
        " distinct answers need not be collapse, where one answer is right for all."
    )
    source = "proved here; seen on SmolLM2-135M-Instruct ('the capital of France is France')"
    assumptions = (LABELLED, UNIQUE_MODE, RESOLVED_MODE, WEIGHTED, FULL_SUPPORT, ALWAYS_ANSWERS)

    def formula(self):
        import sympy as sp

        return sp.And(
            sp.Eq(sp.Symbol("distinct"), sp.Symbol("prompts")),
            sp.Eq(sp.Symbol("Accuracy"), 0),
            evaluate=False,
        )

    def derivation(self):
        import sympy as sp

        p, s, n, k = sp.symbols("x s n K", integer=True, nonnegative=True)
        label = p * k + s
        q, top = sp.symbols("pi_s pi_m", positive=True)
        return {
            "label (x, s) = x K + s: with 0 <= s < K two prompts never share one: their labels differ by K (x' - x) + s' - s": sp.expand(
                label.subs({p: p + n, s: s + 1}) - label - (n * k + 1)
            ),
            "excess KL of a turned prompt at consensus: -log pi_0(rule) + log pi_0(mode)": sp.expand_log(
                -sp.log(q) + sp.log(top) - sp.log(top / q)
            ),
        }

    def claims(self, case: Case):
        used = case.restricted().select(np.flatnonzero(case.applies))
        prompts, strategies = used.log_probs.shape
        table = np.arange(prompts)[:, None] * strategies + np.arange(strategies)
        kernel = LowRankPlusDiagonal.strategies(table, private=0.0, num_answers=prompts * strategies)
        start, truth = (
            np.full((prompts, prompts * strategies), -np.inf),
            np.zeros((prompts, prompts * strategies), bool),
        )
        rows = np.arange(prompts)[:, None]
        start[rows, table], truth[rows, table] = used.log_probs, used.correct
        weights = used.prompt_weights
        right = weights @ used.correct
        rule = int(right.argmin())
        end = normalised(
            start + np.asarray(kernel.reach(beyond(used.log_probs, FAR) * np.eye(strategies)[rule]))
        )
        before, after = exact_metrics(start, truth, start), exact_metrics(end, truth, start)
        yield Claim.equal(
            "as many distinct answers as prompts before", float(before["distinct_answers"]), prompts
        )
        yield Claim.equal("and after", float(after["distinct_answers"]), prompts)
        yield Claim.equal(
            "accuracy ends where the rule is right", float(weights @ after["accuracy"]), right[rule]
        )
        yield Claim.equal("entropy ends at 0", float(np.max(after["entropy"])), 0.0)
        held = used.mode == rule
        yield Claim.equal(
            "retention ends at the rule's initial share of modes",
            float(weights @ after["mode_retention"]),
            float(weights @ held),
        )
        budget = -used.log_probs.max(axis=1)
        spent = -used.log_probs[:, rule]
        yield Claim.equal(
            "excess KL ends at the mode's lead over the rule",
            float(np.abs(after["excess_kl"] - (spent - budget)).max()),
            0.0,
        )
        yield Claim.at_most(
            "which is above 0 where the rule turned the prompt",
            float(np.where(held, 0.0, budget - spent).max()),
            0.0,
        )
