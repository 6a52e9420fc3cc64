"""S8: a cluster reward ends in the heaviest cluster, which need not hold the mode: not all intrinsic rewards
keep the initial mode.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sharpening.logspace import log_mass, log_odds
from sharpening.rewards.semantic_clusters import SemanticClustersReward
from sharpening.theorems.assumptions import UNIQUE_MODE
from sharpening.theorems.base import Assumption, Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.constructed import weak_modes
from sharpening.theorems.numerics import take_step
from sharpening.theorems.registry import register_theorem
from sharpening.updates import KLProx

STEPS = 4


@dataclass(frozen=True, eq=False)
class ClusterReward(SemanticClustersReward):
    """The shipped reward "semantic-clusters" with two clusters a prompt: `members` (prompts, answers) bool,
    and the rest.
    """

    members: np.ndarray = field(kw_only=True)

    def exact(self, log_probs, correct=None, *, no_answer: int | None = None, **_):
        """r(a) = pi(cluster of a), (prompts, answers), in 0..1."""
        return super().exact(log_probs, clusters=self.members.astype(int))


def _minority_mode(case: Case) -> np.ndarray:
    population = case.population
    return log_mass(population.log_probs, population.leaders) < log_mass(
        population.log_probs, ~population.leaders
    )


MINORITY_MODE = Assumption(
    "mode below one half", "the mode has less mass than all other answers together", _minority_mode
)


@register_theorem
class HeaviestCluster(Theorem):
    """Put the mode in a cluster of its own and everything else in another: the mode dies whenever its mass is
    below 1/2.
    """

    name = "S8"
    title = "Counterexample: the heaviest cluster need not hold the mode"
    statement = (
        "'All intrinsic rewards converge to the initial mode' is false. Under the cluster reward r(a) ="
        " pi(cluster of a), a KL-prox step adds (2P - 1)/beta to the log-odds of a cluster of mass P among"
        " two. So with the mode alone in its cluster and mass below 1/2, the mode loses all its mass; ratios"
        " inside the other cluster stay."
    )
    source = "proved here; EMPO for the reward"
    assumptions = (UNIQUE_MODE, MINORITY_MODE)

    def formula(self):
        import sympy as sp

        now, beta = sp.symbols("P_k beta", positive=True)
        logit = lambda x: sp.log(x / (1 - x))  # noqa: E731
        return sp.Eq(logit(sp.Symbol("P_{k+1}", positive=True)), logit(now) + (2 * now - 1) / beta)

    def derivation(self):
        import sympy as sp

        p, beta = sp.symbols("P beta", positive=True)
        inside, outside = p * sp.exp(p / beta), (1 - p) * sp.exp((1 - p) / beta)
        odds = inside / outside
        return {
            "one step multiplies the cluster's odds by exp((2P-1)/beta)": (
                odds - p / (1 - p) * sp.exp((2 * p - 1) / beta)
            ),
            "above 1/2 the odds only grow, faster each step: the increment's slope in P is 2/beta": (
                sp.diff((2 * p - 1) / beta, p) - 2 / beta
            ),
            "the only rest point between 0 and 1 is P = 1/2": sp.solve(2 * p - 1, p)[0] - sp.Rational(1, 2),
        }

    def constructed(self, rng):
        return weak_modes(rng)

    def claims(self, case: Case):
        population, beta = case.population, 1 / case.step_size
        now, rest = population.log_probs, ~population.leaders
        reward = ClusterReward(members=rest)
        odds = log_odds(now, rest)
        floor = odds.copy()
        rise = np.tanh(odds / 2) / beta  # (2P - 1)/beta, without cancellation
        for k in range(1, STEPS + 1):
            expected = odds + np.tanh(odds / 2) / beta
            now = take_step(KLProx(beta), reward, now)
            odds, floor = log_odds(now, rest), floor + rise
            yield Claim.equal(f"log-odds of the cluster grow by (2P-1)/beta at step {k}", odds, expected)
            yield Claim.at_most(
                f"and by step {k} by at least {k} times the first growth, so without end",
                floor,
                odds,
                absolute=1e-9,
            )
