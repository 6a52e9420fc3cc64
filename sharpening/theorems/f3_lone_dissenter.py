"""F3: GRPO gives the one rollout that dissents an advantage of order sqrt(G), however rare its answer is."""

from __future__ import annotations

import numpy as np

from sharpening.theorems.base import Assumption, Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.registry import register_theorem
from sharpening.updates import GRPO

GROUPS = (3, 8, 64)


def _two_votable(case: Case) -> np.ndarray:
    return (case.population.votable > -np.inf).sum(axis=1) >= 2


TWO_VOTABLE = Assumption("a rival", "at least two answers are possible", _two_votable)


@register_theorem
class LoneDissenter(Theorem):
    """A = -(G-1)/sqrt(G) with the sample std, -sqrt(G-1) with the population std; the signal does not die
    near consensus.
    """

    name = "F3"
    title = "The lone dissenter"
    statement = (
        "In a group of G >= 3 rollouts of which one dissents, GRPO's advantage of the dissenter under the"
        " majority reward is -(G-1)/sqrt(G) with the sample std (-sqrt(G-1) with the population std), however"
        " rare its answer is: normalisation keeps the signal from dying near consensus."
    )
    source = "proved here"
    assumptions = (TWO_VOTABLE,)

    def formula(self):
        import sympy as sp

        g = sp.Symbol("G", positive=True)
        return sp.Eq(sp.Symbol("A"), -(g - 1) / sp.sqrt(g))

    def derivation(self):
        import sympy as sp

        g = sp.Symbol("G", positive=True)
        m = sp.Symbol("m", positive=True)  # G - 1
        mean = m / (m + 1)
        squares = m * (1 - mean) ** 2 + mean**2
        sample, population = sp.sqrt(sp.simplify(squares / m)), sp.sqrt(sp.factor(squares / (m + 1)))
        return {
            "sample std: (0 - mean)/std = -(G-1)/sqrt(G)": (
                (-mean / sample + (g - 1) / sp.sqrt(g)).subs(g, m + 1)
            ),
            "population std: (0 - mean)/std = -sqrt(G-1)": -mean / population + sp.sqrt(m),
        }

    def claims(self, case: Case):
        population, update = case.population, GRPO(1.0, eps=0.0)
        votable = population.votable
        mode, rows = population.mode, np.arange(population.num_prompts)
        rarest = np.where(
            (votable > -np.inf) & (np.arange(population.num_answers) != mode[:, None]), votable, np.inf
        ).argmin(axis=1)
        for size in GROUPS:
            answers = np.repeat(mode[:, None], size, axis=1)
            answers[:, -1] = rarest
            rewards = np.asarray(case.reward.group(answers))
            direction = np.asarray(update.group_direction(population.log_probs, answers, rewards))
            yield Claim.equal(
                f"advantage of one dissenter in {size}",
                size * direction[rows, rarest],
                -(size - 1) / np.sqrt(size),
            )
        shares = np.log([[1 - 1 / GROUPS[-1], 1 / GROUPS[-1]]])
        exact = np.asarray(update.direction(shares, np.asarray(case.reward.exact(shares))))[0, 1] * GROUPS[-1]
        yield Claim.equal(
            f"advantage at share 1/{GROUPS[-1]} with the population std", exact, -np.sqrt(GROUPS[-1] - 1)
        ).about_constants()
