"""N10: "the theory of one prompt gives a finite collapse step" is false: without moved modes there is no
collapse below alpha.
"""

from __future__ import annotations

import numpy as np

from sharpening.collapse import Outcome, collapse_step, get_criterion
from sharpening.logspace import normalised
from sharpening.metrics import exact_metrics
from sharpening.theorems.assumptions import LABELLED, ONE_CORRECT, UNIQUE_MODE, WEIGHTED
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.coupled import FULL_SUPPORT, RIVAL
from sharpening.theorems.numerics import beyond, path
from sharpening.theorems.registry import register_theorem
from sharpening.trajectory import Trajectory
from sharpening.updates import GRPO, KLProx, NaturalGradient, SoftmaxGradient

STEPS, CONSENSUS = 2, 4000.0


@register_theorem
class NoCollapseAlone(Theorem):
    """RewardAccuracy >= alpha - (1 - mode retention), whatever moved the policies."""

    name = "N10"
    title = "Counterexample: prompt by prompt there is no collapse step"
    statement = (
        "'Sharpening each prompt to its mode gives a finite Model Collapse Step' is false. For any policies"
        " at all (one correct answer a prompt, initial modes unique): RewardAccuracy >= alpha - (1 -"
        " retention), since a prompt that still answers its correct initial mode is rewarded truthfully."
        " Every update of this package keeps every mode of uncoupled prompts, so retention is 1 and no"
        " threshold below alpha is ever met. Collapse needs moved modes, hence coupling or sampling noise; a"
        " shared drift to one wrong answer is enough."
    )
    source = (
        "proved here; against the reading of He et al. 2026, Theorem 1, as an explanation of their collapse"
        " step"
    )
    assumptions = (LABELLED, ONE_CORRECT, UNIQUE_MODE, WEIGHTED, RIVAL, FULL_SUPPORT)

    def formula(self):
        import sympy as sp

        return sp.Ge(sp.Symbol("RewardAccuracy"), sp.Symbol("alpha") - (1 - sp.Symbol("retention")))

    def derivation(self):
        import sympy as sp

        m, c = sp.symbols("pi_m pi_c", positive=True)
        aligned, retained = sp.symbols("aligned retained")
        bound = aligned * retained - (aligned - (1 - retained))
        return {
            "one prompt, aligned and retained: U4's closed form is 1": 1 - (c - m).subs(c, m) - 1,
            "1[aligned][retained] - (1[aligned] - 1[moved]) = (1 - 1[aligned]) (1 - 1[retained]) >= 0": sp.expand(
                bound - (1 - aligned) * (1 - retained)
            ),
        }

    def claims(self, case: Case):
        population, h = case.population, case.step_size
        start, correct, silent = population.log_probs, population.correct, population.no_answer
        aligned = (population.leaders & correct).any(axis=1).astype(float)
        measure = lambda policy: exact_metrics(policy, correct, start, no_answer=silent)  # noqa: E731
        labels = dict(correct=correct, no_answer=silent)
        for update in (KLProx(1 / h), NaturalGradient(h), SoftmaxGradient(h), GRPO(h)):
            *_, end = path(update, case.reward, start, STEPS, **labels)
            found = measure(end)
            yield Claim.equal(
                f"uncoupled prompts keep their modes under {update.name}", found["mode_retention"], 1.0
            )
            yield Claim.at_most(
                f"so reward accuracy is at least 1[aligned] under {update.name}",
                aligned,
                found["reward_accuracy"],
            )
        for other in (np.roll(start, 1, axis=0), np.roll(start, 1, axis=1)):
            found = measure(other)
            yield Claim.at_most(
                "any policies: RewardAccuracy >= 1[aligned] - 1[moved]",
                aligned - (1 - found["mode_retention"]),
                found["reward_accuracy"],
            )
        yield from self._shared(case, measure)

    def _shared(self, case, measure):
        """One shared drift, the same for every prompt, to the answer that is right least often."""
        population, weights = case.population, case.restricted().prompt_weights
        base = np.where(population.votable.max(axis=0) > -np.inf, weights @ population.correct, np.inf)
        worst = int(base.argmin())
        pushed = population.log_probs + beyond(population.log_probs, CONSENSUS) * (
            np.arange(population.num_answers) == worst
        )
        ends = [measure(policy)["reward_accuracy"] for policy in (population.log_probs, normalised(pushed))]
        curve = np.array([float(weights @ ends[0])] + 2 * [float(weights @ ends[1])])
        run = Trajectory(np.arange(3), {"reward_accuracy": curve}, 0.0)
        if base[worst] < get_criterion("absolute").amount < curve[0]:
            gone = collapse_step(run, "absolute").outcome is Outcome.COLLAPSED
            yield Claim.equal("coupled, the same prompts collapse", float(gone), 1.0)
        yield Claim.equal("to the base rate of the answer that all give", curve[-1], base[worst])
