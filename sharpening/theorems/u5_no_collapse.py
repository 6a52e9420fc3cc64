"""U5: a prompt that keeps its mode keeps its reward accuracy, so uncoupled prompts end at alpha and their Model
Collapse Step is infinite below alpha.
"""

from __future__ import annotations

import numpy as np

from sharpening.collapse import Outcome, collapse_step, get_criterion
from sharpening.logspace import normalised
from sharpening.metrics import exact_metrics
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
from sharpening.theorems.coupled import FULL_SUPPORT, RIVAL, exact_run
from sharpening.theorems.numerics import beyond, path
from sharpening.theorems.registry import register_theorem
from sharpening.theorems.u1_accuracy_limit import STEPS, run_to_consensus
from sharpening.trajectory import Trajectory
from sharpening.updates import GRPO, KLProx, NaturalGradient, SoftmaxGradient

FEW, CONSENSUS = 2, 4000.0


@register_theorem
class NoCollapse(Theorem):
    """RewardAccuracy >= alpha - (1 - mode retention), whatever moved the policies; sharpening prompt by prompt keeps
    every mode, so it cannot produce the collapse.
    """

    name = "U5"
    aliases = ("N10",)
    title = "No finite collapse step without coupling"
    statement = (
        "One correct answer a prompt, initial modes unique. For any policies at all RewardAccuracy >= alpha - (1 -"
        " retention), since a prompt that still answers its correct initial mode is rewarded truthfully. Every"
        " update of this package keeps every mode of uncoupled prompts, so they have RewardAccuracy(t) >= alpha at"
        " every step of the majority reward and end at alpha: 'sharpening each prompt to its mode gives a finite Model"
        " Collapse Step' is false for every threshold below alpha. Collapse needs moved modes, hence coupling (part"
        " C) or sampling noise; a shared drift to one wrong answer is enough. A tie of three or more with one correct"
        " answer ends above its share of alpha, so the mode must be unique."
    )
    source = (
        "proved here; the limit of He et al. 2026, Theorem 1, and against reading it as an explanation of their"
        " collapse step"
    )
    assumptions = (LABELLED, ONE_CORRECT, UNIQUE_MODE, WEIGHTED)

    def formula(self):
        import sympy as sp

        accuracy, t = sp.Function("RewardAccuracy"), sp.Symbol("t")
        bound = sp.Ge(accuracy(t), sp.Symbol("alpha") - (1 - sp.Function("retention")(t)))
        return sp.And(bound, sp.Eq(sp.Limit(accuracy(t), t, sp.oo), sp.Symbol("alpha")), evaluate=False)

    def derivation(self):
        import sympy as sp

        p0, c0, k, beta = sp.symbols("p_0 c_0 k beta", positive=True)
        p = p0 * sp.exp(k / beta) / (p0 * sp.exp(k / beta) + 1 - p0)
        c = c0 * (1 - p) / (1 - p0)
        a, b = sp.symbols("a b", positive=True)
        aligned, retained = sp.symbols("aligned retained")
        return {
            "1[aligned][retained] - (1[aligned] - 1[moved]) = (1 - 1[aligned]) (1 - 1[retained]) >= 0": sp.expand(
                aligned * retained - (aligned - (1 - retained)) - (1 - aligned) * (1 - retained)
            ),
            "misaligned: 1 - p_k - pi_c tends to 0 along S1's law": sp.limit(1 - p - c, k, sp.oo),
            "and is the mass of the other wrong answers, so never negative": sp.simplify(
                (1 - p - c) - (1 - p0 - c0) * (1 - p) / (1 - p0)
            ),
            "a tie of m leaders, a of them correct, ends at 1 - (b + a (m-1))/m², b = m - a: a/m for m = 2": (
                (1 - (b + a * (a + b - 1)) / (a + b) ** 2 - a / (a + b)).subs({a: 1, b: 1})
            ),
        }

    def claims(self, case: Case):
        alone, everywhere = case.narrowed(RESOLVED_MODE, UNCOUPLED), case.narrowed(RIVAL, FULL_SUPPORT)
        if alone.applies.any():
            yield from self._alone(alone)
        if everywhere.applies.any():
            yield from self._anywhere(everywhere)
            yield from self._shared(everywhere)

    @staticmethod
    def _alone(case):
        """Uncoupled prompts, slowly and to the end."""
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

    @staticmethod
    def _anywhere(case):
        """Every update keeps the modes; and any policies at all."""
        population, h, here = case.population, case.step_size, case.applies
        start, correct, silent = population.log_probs, population.correct, population.no_answer
        aligned = (population.leaders & correct).any(axis=1).astype(float)
        labels = dict(correct=correct, no_answer=silent)
        for update in (KLProx(1 / h), NaturalGradient(h), SoftmaxGradient(h), GRPO(h)):
            *_, end = path(update, case.reward, start, FEW, **labels)
            found = exact_metrics(end, correct, start, no_answer=silent)
            yield Claim.equal(
                f"uncoupled prompts keep their modes under {update.name}", found["mode_retention"], 1.0
            ).where(here)
            yield Claim.at_most(
                f"so reward accuracy is at least 1[aligned] under {update.name}",
                aligned,
                found["reward_accuracy"],
            ).where(here)
        for other in (np.roll(start, 1, axis=0), np.roll(start, 1, axis=1)):
            found = exact_metrics(other, correct, start, no_answer=silent)
            yield Claim.at_most(
                "any policies: RewardAccuracy >= 1[aligned] - 1[moved]",
                aligned - (1 - found["mode_retention"]),
                found["reward_accuracy"],
            ).where(here)

    @staticmethod
    def _shared(case):
        """One shared drift, the same for every prompt, to the answer that is right least often."""
        population, weights = case.population, case.restricted().prompt_weights
        base = np.where(population.votable.max(axis=0) > -np.inf, weights @ population.correct, np.inf)
        worst = int(base.argmin())
        pushed = population.log_probs + beyond(population.log_probs, CONSENSUS) * (
            np.arange(population.num_answers) == worst
        )
        ends = [
            exact_metrics(one, population.correct, population.log_probs, no_answer=population.no_answer)
            for one in (population.log_probs, normalised(pushed))
        ]
        first, last = (float(weights @ one["reward_accuracy"]) for one in ends)
        run = Trajectory(np.arange(3), {"reward_accuracy": np.array([first, last, last])}, 0.0)
        if base[worst] < get_criterion("absolute").amount < first:
            gone = collapse_step(run, "absolute").outcome is Outcome.COLLAPSED
            yield Claim.equal("coupled, the same prompts collapse", float(gone), 1.0)
        yield Claim.equal("to the base rate of the answer that all give", last, base[worst])
