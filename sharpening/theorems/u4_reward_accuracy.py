"""U4: reward accuracy of one prompt under the population vote, in closed form."""

from __future__ import annotations

import numpy as np

from sharpening.metrics import exact_metrics
from sharpening.theorems.assumptions import LABELLED, UNIQUE_MODE
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.registry import register_theorem


@register_theorem
class RewardAccuracy(Theorem):
    """1 - pi(C Δ {m}); for one correct answer: 1 if aligned, else 1 - pi(m) - pi_c."""

    name = "U4"
    title = "Reward accuracy of one prompt"
    statement = (
        "Under the vote of infinitely many rollouts with a unique mode m, reward accuracy is 1 - pi(C Δ {m}),"
        " C the correct answers: if aligned, 1 - (pi_c - pi(m)), which is 1 for one correct answer; if"
        " misaligned, 1 - pi(m) - pi_c."
    )
    source = "proved here, extended to several correct answers"
    assumptions = (LABELLED, UNIQUE_MODE)

    def formula(self):
        import sympy as sp

        m, c = sp.symbols("pi_m pi_c", positive=True)
        return sp.Eq(
            sp.Symbol("RewardAccuracy"), sp.Piecewise((1 - c + m, sp.Symbol("aligned")), (1 - m - c, True))
        )

    def derivation(self):
        import sympy as sp

        pi = sp.symbols("pi_0:5", positive=True)
        vote = (1, 0, 0, 0, 0)
        accuracy = lambda truth: 1 - sum(p * abs(v - c) for p, v, c in zip(pi, vote, truth, strict=True))  # noqa: E731
        return {
            "aligned, one correct answer: 1": accuracy((1, 0, 0, 0, 0)) - 1,
            "aligned, several correct answers: 1 - (pi_c - pi(m))": (
                accuracy((1, 1, 1, 0, 0)) - (1 - (pi[0] + pi[1] + pi[2] - pi[0]))
            ),
            "misaligned: 1 - pi(m) - pi_c": accuracy((0, 1, 1, 0, 0)) - (1 - pi[0] - (pi[1] + pi[2])),
        }

    def claims(self, case: Case):
        population = case.population
        rows, probs = np.arange(population.num_prompts), population.probs
        at_mode = probs[rows, population.mode]
        right = np.where(population.labels, probs, 0.0).sum(axis=1)
        aligned = population.labels[rows, population.mode]
        found = exact_metrics(population.log_probs, population.labels, no_answer=population.no_answer)[
            "reward_accuracy"
        ]
        vote = case.rewards()
        by_hand = 1 - (probs * np.abs(vote - population.labels)).sum(axis=1)
        wanted = np.where(aligned, 1 - (right - at_mode), 1 - at_mode - right)
        yield Claim.equal("reward_accuracy has the closed form", found, wanted, absolute=1e-12).iff(aligned)
        yield Claim.equal(
            "and so has the reward itself against the truth", by_hand, wanted, absolute=1e-12
        ).iff(aligned)
