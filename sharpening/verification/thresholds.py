"""Economics of external and hybrid rewards: how much verification keeps a wrong majority from winning, and
what it costs.

Uniform plans verify the same share of every prompt's rollouts at every step; the adaptive ones (theorem X3,
X6) are in `sharpening.verification.closed_form`.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from sharpening.errors import InputError

if TYPE_CHECKING:
    from sharpening.population import Population

_ROUNDING = 1e-9


def youden(tpr: float, fpr: float) -> float:
    """J = tpr - fpr, in -1..1: the drift of the correct answer's log-odds under the verifier has its sign
    (theorem X1).

    `tpr`, `fpr`: how often the verifier accepts a right and a wrong answer. Raises: InputError outside 0..1.
    """
    for name, value in (("tpr", tpr), ("fpr", fpr)):
        if not (isinstance(value, int | float) and 0 <= value <= 1):
            raise InputError(name, value, "a rate lies between 0 and 1")
    return float(tpr) - float(fpr)


def _useful(tpr: float, fpr: float) -> float:
    j = youden(tpr, fpr)
    if not j > 0:
        told = (
            f"the verifier's J = tpr - fpr is {j:.6g}, and no share of verified rollouts rescues a prompt"
            " unless J > 0"
        )
        raise InputError(
            "tpr, fpr",
            (tpr, fpr),
            told,
            "Use a verifier that accepts right answers more often than wrong ones",
        )
    return j


def hybrid_threshold(tpr: float, fpr: float) -> float:
    """lambda* = J/(1+J), in 0..1/2: (1-lambda) verifier + lambda majority rescues a misaligned prompt iff
    lambda < lambda*.

    Raises: InputError for rates outside 0..1, or J <= 0 (then no lambda rescues). Source: theorem X2.
    """
    j = _useful(tpr, fpr)
    return j / (1 + j)


def uniform_share(tpr: float, fpr: float) -> float:
    """q* = 1/(1+J), in 1/2..1: verifying a uniform share q of the rollouts rescues a misaligned prompt iff q
    > q*.

    The other rollouts are rewarded by the majority vote. Raises: as `hybrid_threshold`. Source: theorem X2.
    """
    return 1 / (1 + _useful(tpr, fpr))


def verification_cost(
    share: float, cost: float, *, prompts_per_step: int = 32, rollouts: int = 8, num_steps: int = 300
) -> float:
    """Expected cost of a run that verifies a share of all its rollouts: share * prompts_per_step * rollouts *
    num_steps * cost.

    `cost`: of one call, in any unit. Raises: InputError for a share outside 0..1, a negative cost, or empty
    sizes.
    """
    if not 0 <= share <= 1:
        raise InputError("share", share, "a share lies between 0 and 1")
    if not (math.isfinite(cost) and cost >= 0):
        raise InputError("cost", cost, "the cost of one verifier call is a finite number >= 0")
    for name, value, least in (
        ("prompts_per_step", prompts_per_step, 1),
        ("rollouts", rollouts, 2),
        ("num_steps", num_steps, 1),
    ):
        if value < least:
            raise InputError(name, value, f"it is an integer >= {least}")
    return share * prompts_per_step * rollouts * num_steps * cost


@dataclass(frozen=True)
class VerificationPlan:
    """A uniform plan: verify `verified_rollouts` of the `rollouts` of every prompt, chosen at random, at
    every step.

    `threshold_share`: q*, which `share` must exceed; `intrinsic_threshold`: lambda* = 1 - q*; `calls` over
    the whole run; `cost` and `cost_of_all` (every rollout verified) in the unit of one call's cost.
    """

    tpr: float
    fpr: float
    youden: float
    threshold_share: float
    intrinsic_threshold: float
    rollouts: int
    verified_rollouts: int
    share: float
    calls: int
    cost: float
    cost_of_all: float

    @property
    def saving(self) -> float:
        """Cost saved against verifying every rollout."""
        return self.cost_of_all - self.cost

    def as_dict(self) -> dict:
        """Plain data for JSON."""
        return asdict(self) | {"saving": self.saving}


def uniform_plan(
    tpr: float,
    fpr: float,
    cost: float,
    *,
    prompts_per_step: int = 32,
    rollouts: int = 8,
    num_steps: int = 300,
) -> VerificationPlan:
    """The cheapest uniform plan in whole rollouts: the fewest n of G with n/G > 1/(1+J); at equality nothing
    is decided.

    It never needs more than all of them. Raises: as `hybrid_threshold` and `verification_cost`. Source:
    theorem X2.

    >>> plan = uniform_plan(0.9, 0.1, 0.01)
    >>> plan.verified_rollouts, plan.calls, plan.cost
    (5, 48000, 480.0)
    """
    threshold = uniform_share(tpr, fpr)
    sizes = dict(prompts_per_step=prompts_per_step, rollouts=rollouts, num_steps=num_steps)
    everything = verification_cost(1.0, cost, **sizes)
    verified = min(rollouts, math.floor(rollouts * threshold + _ROUNDING) + 1)
    calls = verified * prompts_per_step * num_steps
    return VerificationPlan(
        tpr,
        fpr,
        youden(tpr, fpr),
        threshold,
        hybrid_threshold(tpr, fpr),
        rollouts,
        verified,
        verified / rollouts,
        calls,
        calls * cost,
        everything,
    )


def gated_steps(log_odds, gate: float, tpr: float, fpr: float, *, beta: float = 1.0) -> np.ndarray:
    """Steps for which a gate verifies a prompt: ceil(beta (logit gate - log_odds)/J), 0 or more; the shape of
    `log_odds`.

    `log_odds`: logit of the correct answer's mass, nats; the prompt is rewarded by the verifier until that
    mass reaches `gate`, in [1/2, 1), then by the vote; KL-prox with `beta`. Wrong modes that start above the
    gate are never verified (theorem X6). Raises: InputError for J <= 0, a gate outside [1/2, 1) or beta <= 0.
    """
    j = _useful(tpr, fpr)
    if not 0.5 <= gate < 1:
        raise InputError("gate", gate, "it is the mass above which the vote is trusted, in [1/2, 1)")
    if not beta > 0:
        raise InputError("beta", beta, "it is a number > 0")
    needed = beta * (math.log(gate / (1 - gate)) - np.asarray(log_odds, np.float64)) / j
    return np.maximum(np.ceil(needed), 0.0)


@dataclass(frozen=True)
class ThresholdCheck:
    """What a simulation of misaligned prompts ended at, slightly above and slightly below the threshold share
    q*.
    """

    threshold_share: float
    share_above: float
    accuracy_above: float
    share_below: float
    accuracy_below: float

    @property
    def confirmed(self) -> bool:
        """Above q* every prompt ends right, below it every prompt ends wrong."""
        return self.accuracy_above > 1 - 1e-6 and self.accuracy_below < 1e-6

    def as_dict(self) -> dict:
        """Plain data for JSON."""
        return asdict(self) | {"confirmed": self.confirmed}


def check_threshold(
    tpr: float, fpr: float, population: Population | None = None, *, offset: float = 0.02, num_steps: int = 64
) -> ThresholdCheck:
    """Simulate exact KL-prox steps on misaligned prompts with a share of verified rollouts just above and
    just below q*.

    Shares: q* + offset (1 - q*) and q* (1 - offset). `population`: every prompt misaligned, its truth
    possible, uncoupled;
    default: the misaligned prompts of a synthetic one. The total step is large enough for the slower of the
    two to end: the log-ratio of truth and majority drifts by q (1 + J) - 1 per unit step. Raises: InputError
    for rates as in `hybrid_threshold`, an offset outside 0..1 (exclusive), or a population whose prompts do
    not fit. Source: theorem X2.
    """

    from sharpening.population import Population
    from sharpening.rewards.hybrid import HybridReward
    from sharpening.simulation.run import simulate
    from sharpening.updates import KLProx

    j = _useful(tpr, fpr)
    threshold = uniform_share(tpr, fpr)
    if not 0 < offset < 1:
        raise InputError("offset", offset, "it lies strictly between 0 and 1")
    if population is None:
        everyone = Population.synthetic(0, 256, 8)
        population = everyone.select(np.flatnonzero(everyone.margin < 0)[:64])
    if population.correct is None or not (np.isfinite(population.margin) & (population.margin < 0)).all():
        raise InputError(
            "population",
            "one with prompts that do not fit",
            "every prompt is misaligned and its truth is possible",
        )
    if population.coupling.shared != 0 or not population.coupling.private > 0:
        raise InputError(
            "population", population.coupling, "X2 is about uncoupled prompts", "Give coupling=NoCoupling()"
        )
    shares = {"above": threshold + offset * (1 - threshold), "below": threshold * (1 - offset)}
    slowest = min(abs(share * (1 + j) - 1) for share in shares.values())
    total = (
        (40 - 2 * float(population.log_probs[population.log_probs > -np.inf].min()))
        / slowest
        / population.coupling.private
    )
    ends = {}
    for name, share in shares.items():
        reward = HybridReward(tpr, fpr, 1 - share)
        run = simulate(
            population, reward, KLProx(num_steps / total), num_steps=num_steps, eval_every=num_steps
        )
        ends[name] = float(run["accuracy"][-1])
    return ThresholdCheck(threshold, shares["above"], ends["above"], shares["below"], ends["below"])
