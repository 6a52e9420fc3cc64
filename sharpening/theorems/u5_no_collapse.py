"""U5: uncoupled prompts end at reward accuracy alpha, so their Model Collapse Step is infinite below
alpha.
"""

from __future__ import annotations

import numpy as np

from sharpening.collapse import Outcome, collapse_step, get_criterion
from sharpening.theorems.assumptions import (
    LABELLED,
    ONE_CORRECT,
    RESOLVED_MODE,
    UNCOUPLED,
    UNIQUE_MODE,
    WEIGHTED,
)
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.coupled import exact_run
from sharpening.theorems.registry import register_theorem
from sharpening.theorems.u1_accuracy_limit import STEPS, run_to_consensus
from sharpening.updates import KLProx


@register_theorem
class NoCollapse(Theorem):
    """RewardAccuracy(t) >= alpha at all times and tends to alpha: sharpening prompt by prompt cannot produce
    the collapse.
    """

    name = "U5"
    title = "No finite collapse step without coupling"
    statement = (
        "Uncoupled prompts with one correct answer each have RewardAccuracy(t) >= alpha at every step of the"
        " majority reward and end at alpha: the Model Collapse Step is infinite for every threshold below"
        " alpha. It takes coupling (part C) or sampling noise to collapse. A tie of three or more with one"
        " correct answer ends above its share of alpha, so the mode must be unique."
    )
    source = "proved here; the limit of He et al. 2026, Theorem 1"
    assumptions = (LABELLED, ONE_CORRECT, UNIQUE_MODE, RESOLVED_MODE, WEIGHTED, UNCOUPLED)

    def formula(self):
        import sympy as sp

        accuracy, t = sp.Function("RewardAccuracy"), sp.Symbol("t")
        return sp.Eq(sp.Limit(accuracy(t), t, sp.oo), sp.Symbol("alpha"))

    def derivation(self):
        import sympy as sp

        p0, c0, k, beta = sp.symbols("p_0 c_0 k beta", positive=True)
        p = p0 * sp.exp(k / beta) / (p0 * sp.exp(k / beta) + 1 - p0)
        c = c0 * (1 - p) / (1 - p0)
        a, b = sp.symbols("a b", positive=True)
        return {
            "misaligned: 1 - p_k - pi_c tends to 0 along S1's law": sp.limit(1 - p - c, k, sp.oo),
            "and is the mass of the other wrong answers, so never negative": sp.simplify(
                (1 - p - c) - (1 - p0 - c0) * (1 - p) / (1 - p0)
            ),
            "a tie of m leaders, a of them correct, ends at 1 - (b + a (m-1))/m², b = m - a: a/m for m = 2": (
                (1 - (b + a * (a + b - 1)) / (a + b) ** 2 - a / (a + b)).subs({a: 1, b: 1})
            ),
        }

    def claims(self, case: Case):
        population = case.restricted()
        alpha, absolute = population.alignment, get_criterion("absolute")
        slow = exact_run(case, population, KLProx(1 / case.step_size), STEPS)
        fast = run_to_consensus(case)
        for run in (slow, fast):
            for t, accuracy in zip(run.step, run["reward_accuracy"], strict=True):
                yield Claim.at_most(f"alpha is at most RewardAccuracy({t})", alpha, accuracy, absolute=1e-9)
            if alpha > absolute.amount:
                collapsed = collapse_step(run, absolute.name).outcome is Outcome.COLLAPSED
                yield Claim.equal("the run never meets a threshold below alpha", float(collapsed), 0.0)
        yield Claim.equal(
            "RewardAccuracy at consensus is alpha", np.float64(fast["reward_accuracy"][-1]), alpha
        )
