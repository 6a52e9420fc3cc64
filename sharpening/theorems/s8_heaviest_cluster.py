"""S8: a cluster reward ends in the heaviest cluster, so it dethrones any mode below one half: not all intrinsic
rewards keep the initial mode.
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
from sharpening.theorems.numerics import path, take_step
from sharpening.theorems.registry import register_theorem
from sharpening.updates import GRPO, KLProx, NaturalGradient, SoftmaxGradient

STEPS = 4
EXAMPLE = np.log([[0.4, 0.3, 0.3]])
RESOLUTION = 1e-6


@dataclass(frozen=True, eq=False)
class ClusterReward(SemanticClustersReward):
    """The shipped reward "semantic-clusters" with two clusters a prompt: `members` (prompts, answers) bool,
    and the rest.
    """

    members: np.ndarray = field(kw_only=True)

    def exact(self, log_probs, correct=None, *, no_answer: int | None = None, **_):
        """r(a) = pi(cluster of a), (prompts, answers), in 0..1."""
        return super().exact(log_probs, clusters=self.members.astype(int))


def _off_the_edge(case: Case) -> np.ndarray:
    odds = log_odds(case.population.log_probs, case.population.leaders)
    return np.isfinite(odds) & (np.abs(odds) > RESOLUTION)


NOT_HALF = Assumption(
    "mode away from one half",
    "the mode's mass is neither 1/2 (within 1e-6 nats of log-odds) nor 1",
    _off_the_edge,
)


@register_theorem
class HeaviestCluster(Theorem):
    """Put the mode in a cluster of its own and everything else in another: the mode dies whenever its mass is
    below 1/2, as in (.4, .3, .3) with the last two answers in one cluster.
    """

    name = "S8"
    aliases = ("N1",)
    title = "Counterexample: the heaviest cluster need not hold the mode"
    statement = (
        "'All intrinsic rewards converge to the initial mode' is false. Under the cluster reward r(a) ="
        " pi(cluster of a), a KL-prox step adds (2P - 1)/beta to the log-odds of a cluster of mass P among"
        " two; ratios inside a cluster stay. So with the mode, of mass p, alone in its cluster, KL-prox, natural gradient, softmax"
        " gradient and GRPO all lower it if p < 1/2 and raise it if p > 1/2, and below 1/2 KL-prox takes all of its mass: from (.4,"
        " .3, .3) the limit is (0, .5, .5). No clustering can dethrone a mode above 1/2. On token trees"
        " certainty rewards do the same (S7c)."
    )
    source = "proved here; against He et al. 2026, unified analysis; EMPO for the reward"
    assumptions = (UNIQUE_MODE, NOT_HALF)

    def formula(self):
        import sympy as sp

        now, beta = sp.symbols("P_k beta", positive=True)
        logit = lambda x: sp.log(x / (1 - x))  # noqa: E731
        return sp.Eq(logit(sp.Symbol("P_{k+1}", positive=True)), logit(now) + (2 * now - 1) / beta)

    def derivation(self):
        import sympy as sp

        p, beta = sp.symbols("P beta", positive=True)
        inside, outside = p * sp.exp(p / beta), (1 - p) * sp.exp((1 - p) / beta)
        mean = p**2 + (1 - p) ** 2
        return {
            "one step multiplies the cluster's odds by exp((2P-1)/beta)": (
                inside / outside - p / (1 - p) * sp.exp((2 * p - 1) / beta)
            ),
            "above 1/2 the odds only grow, faster each step: the increment's slope in P is 2/beta": (
                sp.diff((2 * p - 1) / beta, p) - 2 / beta
            ),
            "the only rest point between 0 and 1 is P = 1/2": sp.solve(2 * p - 1, p)[0] - sp.Rational(1, 2),
            "any gradient: a cluster of mass P has the advantage P - (P² + (1-P)²) = (1-P)(2P-1)": sp.expand(
                p - mean - (1 - p) * (2 * p - 1)
            ),
            "and all else -P(2P-1)": sp.expand((1 - p) - mean + p * (2 * p - 1)),
        }

    def constructed(self, rng):
        return weak_modes(rng)

    def claims(self, case: Case):
        population, beta = case.population, 1 / case.step_size
        start, mode = population.log_probs, population.leaders
        lead = np.where(case.applies, log_odds(start, mode), 1.0)
        yield from self._steps(beta, start, ~mode, lead)
        rewards = np.asarray(ClusterReward(members=~mode).exact(start))
        for update in (KLProx(), NaturalGradient(), SoftmaxGradient(), GRPO()):
            direction = np.asarray(update.direction(start, rewards))
            with np.errstate(invalid="ignore"):
                drift = np.where(mode, direction, 0.0).sum(axis=1) - np.where(
                    ~mode & (start > -np.inf), direction, -np.inf
                ).max(axis=1)
            yield Claim.at_most(
                f"the mode's logit moves with the sign of 2p - 1 under {update.name}",
                -np.sign(lead) * drift,
                0.0,
                absolute=0.0,
            ).iff(lead > 0)
        yield from self._other_clusters(case, start, mode, lead)
        *_, end = path(KLProx(0.005), ClusterReward(members=np.array([[False, True, True]])), EXAMPLE, 3)
        off = np.abs(np.exp(end[0]) - [0.0, 0.5, 0.5]).max()
        yield Claim.equal("(.4, .3, .3) ends at (0, .5, .5)", np.float64(off), 0.0).about_constants()

    def _steps(self, beta, start, rest, lead):
        """KL-prox step by step, with the mode in a cluster of its own."""
        reward, now, odds, floor = ClusterReward(members=rest), start, -lead, -lead
        rise = np.tanh(odds / 2) / beta  # (2P - 1)/beta, without cancellation
        for k in range(1, STEPS + 1):
            expected = odds + np.tanh(odds / 2) / beta
            now = take_step(KLProx(beta), reward, now)
            odds, floor = log_odds(now, rest), floor + rise
            yield Claim.equal(f"log-odds of the cluster grow by (2P-1)/beta at step {k}", odds, expected)
            yield Claim.at_most(
                f"mode below 1/2: by step {k} by at least {k} times the first growth, so without end",
                floor,
                odds,
                absolute=1e-9,
            ).where(lead < 0)

    def _other_clusters(self, case, start, mode, lead):
        """The mode and any others in one cluster."""
        with_mode = mode | (case.rng().random(start.shape) < 0.5)
        share = log_odds(start, with_mode)
        after = take_step(KLProx(1 / case.step_size), ClusterReward(members=with_mode), start)
        asked = np.isfinite(share) & (lead > 0)
        with np.errstate(invalid="ignore"):
            gain = np.where(asked, log_mass(after, mode) - log_mass(start, mode), 0.0)
        yield Claim.at_most("a mode above 1/2 gains in any clustering", -gain, 0.0, absolute=1e-12).where(
            asked
        )
