"""U1: uncoupled prompts end at accuracy alpha, the share of prompts whose mode is correct."""

from __future__ import annotations

import numpy as np

from sharpening.logspace import log_odds
from sharpening.theorems.assumptions import HAS_LEADER, LABELLED, RESOLVED_MODE, UNCOUPLED, WEIGHTED
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.coupled import exact_run
from sharpening.theorems.registry import register_theorem
from sharpening.updates import KLProx

STEPS = 6
NEGLIGIBLE = 45.0  # nats: e^-45 is below float64's resolution of 1


def run_to_consensus(case: Case):
    """An exact KL-prox run on the prompts of the case, long enough that every one is at consensus."""
    population = case.restricted()
    leaders = population.leaders
    with np.errstate(invalid="ignore"):  # prompts without a leader have no odds
        needed = leaders.sum(axis=1) * (NEGLIGIBLE - log_odds(population.log_probs, leaders))
    total = float(needed[case.applies].max(initial=NEGLIGIBLE)) / population.coupling.private
    return exact_run(case, population, KLProx(STEPS / max(total, NEGLIGIBLE)), STEPS)


@register_theorem
class AccuracyLimit(Theorem):
    """Accuracy(t) is within the average mass off the modes of alpha, and that mass dies by S1's law; ties
    count by their share.
    """

    name = "U1"
    title = "Accuracy ends at the alignment"
    statement = (
        "Uncoupled prompts under the majority reward end at Accuracy = alpha, the share of prompts whose mode"
        " is correct (a tie of m counts by its correct share): |Accuracy(t) - alpha| <= the average mass off"
        " the modes, whose log-odds fall by 1/(m beta) a step. So training helps in the long run iff alpha >"
        " Accuracy(0)."
    )
    source = "proved here"
    assumptions = (LABELLED, HAS_LEADER, RESOLVED_MODE, WEIGHTED, UNCOUPLED)

    def formula(self):
        import sympy as sp

        accuracy, t = sp.Function("Accuracy"), sp.Symbol("t")
        return sp.Eq(sp.Limit(accuracy(t), t, sp.oo), sp.Symbol("alpha"))

    def derivation(self):
        import sympy as sp

        odds, t, m, beta = sp.symbols("o t m beta", positive=True)
        mass = odds * sp.exp(t / (m * beta)) / (1 + odds * sp.exp(t / (m * beta)))
        share, rest = sp.symbols("s c", positive=True)
        accuracy = mass * share + (1 - mass) * rest
        return {
            "mass on the m modes tends to 1": sp.limit(1 - mass, t, sp.oo),
            "accuracy minus the modes' correct share s is (1 - mass)(c - s), c the share of the rest that is correct": sp.expand(
                accuracy - share - (1 - mass) * (rest - share)
            ),
        }

    def claims(self, case: Case):
        population = case.restricted()
        alpha, leaders, private = population.alignment, population.leaders, population.coupling.private
        run = exact_run(case, population, KLProx(1 / case.step_size), STEPS)
        gain = case.step_size * private / np.maximum(leaders.sum(axis=1), 1)
        with np.errstate(over="ignore"):
            odds = np.exp(log_odds(population.log_probs, leaders)[:, None] + gain[:, None] * run.step)
            remainder = population.prompt_weights @ np.where(case.applies[:, None], 1 / (1 + odds), 0.0)
        for t, distance, bound in zip(run.step, np.abs(run["accuracy"] - alpha), remainder, strict=True):
            yield Claim.at_most(
                f"|Accuracy({t}) - alpha| is at most the average mass off the modes", distance, bound
            )
        yield Claim.equal("Accuracy at consensus is alpha", run_to_consensus(case)["accuracy"][-1], alpha)
