"""N1: 'all intrinsic rewards converge to the initial mode' is false: agreement of meaning dethrones any mode
below one half.
"""

from __future__ import annotations

import numpy as np

from sharpening.logspace import log_mass, log_odds
from sharpening.theorems.assumptions import UNIQUE_MODE
from sharpening.theorems.base import Assumption, Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.numerics import path
from sharpening.theorems.registry import register_theorem
from sharpening.theorems.s8_heaviest_cluster import ClusterReward
from sharpening.updates import GRPO, KLProx, NaturalGradient, SoftmaxGradient

EXAMPLE = np.log([[0.4, 0.3, 0.3]])
RESOLUTION = 1e-6


def _off_the_edge(case: Case) -> np.ndarray:
    odds = log_odds(case.population.log_probs, case.population.leaders)
    return np.isfinite(odds) & (np.abs(odds) > RESOLUTION)


NOT_HALF = Assumption(
    "mode away from one half",
    "the mode's mass is neither 1/2 (within 1e-6 nats of log-odds) nor 1",
    _off_the_edge,
)


@register_theorem
class Dethroned(Theorem):
    """(.4, .3, .3) with the last two answers in one cluster: every update moves mass off the mode, and
    KL-prox takes all of it.
    """

    name = "N1"
    title = "Counterexample: intrinsic rewards that dethrone the mode"
    statement = (
        "'All intrinsic rewards converge to the initial mode' is false. Put the mode, of mass p, in one"
        " cluster and all else in another, and reward the cluster's mass: KL-prox, natural gradient, softmax"
        " gradient and GRPO all lower the mode's mass if p < 1/2 and raise it if p > 1/2. From (.4, .3, .3)"
        " the mode's mass tends to 0 and the limit is (0, .5, .5). No clustering can dethrone a mode above"
        " 1/2. On token trees certainty rewards do the same (S7c)."
    )
    source = "against He et al. 2026, unified analysis; EMPO for the reward; proved here"
    assumptions = (UNIQUE_MODE, NOT_HALF)

    def formula(self):
        import sympy as sp

        p = sp.Symbol("p", positive=True)
        return sp.Eq(sp.Symbol("A_m"), (1 - p) * (2 * p - 1))

    def derivation(self):
        import sympy as sp

        p, heavy = sp.symbols("p P", positive=True)
        mean = p**2 + (1 - p) ** 2
        return {
            "the mode's advantage p - (p² + (1-p)²) is (1-p)(2p-1)": sp.expand(
                p - mean - (1 - p) * (2 * p - 1)
            ),
            "that of everything else is -p(2p-1)": sp.expand((1 - p) - mean + p * (2 * p - 1)),
            "with the mode in a cluster of mass P its advantage is (1-P)(2P-1) against one other cluster": (
                sp.expand(heavy - heavy**2 - (1 - heavy) ** 2 - (1 - heavy) * (2 * heavy - 1))
            ),
            "(.3, .3) of .6 is (.5, .5)": sp.Rational(3, 10) / sp.Rational(6, 10) - sp.Rational(1, 2),
        }

    def claims(self, case: Case):
        population, h = case.population, case.step_size
        start, mode = population.log_probs, population.leaders
        alone = ClusterReward(members=~mode)
        odds = np.where(case.applies, log_odds(start, mode), 1.0)
        rewards = np.asarray(alone.exact(start))
        for update in (KLProx(), NaturalGradient(), SoftmaxGradient(), GRPO()):
            direction = np.asarray(update.direction(start, rewards))
            with np.errstate(invalid="ignore"):
                drift = np.where(mode, direction, 0.0).sum(axis=1) - np.where(
                    ~mode & (start > -np.inf), direction, -np.inf
                ).max(axis=1)
            yield Claim.at_most(
                f"the mode's logit moves with the sign of 2p - 1 under {update.name}",
                -np.sign(odds) * drift,
                0.0,
                absolute=0.0,
            )
        generator = np.random.default_rng(start.shape)
        with_mode = mode | (generator.random(start.shape) < 0.5)
        share = log_odds(start, with_mode)
        after = np.asarray(
            KLProx(1 / h).step(start, np.asarray(ClusterReward(members=with_mode).exact(start)))
        )
        with np.errstate(invalid="ignore"):
            gain = np.where(
                np.isfinite(share) & (odds > 0), log_mass(after, mode) - log_mass(start, mode), 0.0
            )
        yield Claim.at_most("a mode above 1/2 gains in any clustering", -gain, 0.0, absolute=1e-12).where(
            np.isfinite(share) & (odds > 0)
        )
        *_, end = path(KLProx(0.005), ClusterReward(members=np.array([[False, True, True]])), EXAMPLE, 3)
        yield Claim.equal(
            "(.4, .3, .3) ends at (0, .5, .5)",
            np.float64(np.abs(np.exp(end[0]) - [0.0, 0.5, 0.5]).max()),
            0.0,
        ).about_constants()
