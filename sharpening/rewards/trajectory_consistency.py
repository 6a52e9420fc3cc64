"""Trajectory consistency and volatility: reward reasoning that heads for its own answer early and does not
stray.
"""

from __future__ import annotations

from dataclasses import dataclass

from sharpening.errors import InputError
from sharpening.metrics import NO_ANSWER, as_arrays
from sharpening.rewards.base import Reward, RewardCard
from sharpening.rewards.registry import register_reward

FORMS = ("vector", "linear")


@register_reward
@dataclass(frozen=True)
class TrajectoryConsistencyReward(Reward):
    """Con_i = share of the S intermediate states that already give the final answer; Vol_i = (last state that
    gives another)/S, 0 if none.

    Rollouts i of the group that share an answer share a reward, from their means: "vector": |mean_i Con_i
    e^{j Vol_i}|, in 0..1 (j the imaginary unit, Vol in radians); "linear": mean Con - mean Vol, in -1..1. "No
    answer" gets the least possible value. `states` (prompts, rollouts, S): the answer that the model would
    give after each part of its reasoning. One-token answers have no states: S = 0, Con = 1, Vol = 0.
    How we depart from CoVo: states are the likeliest answers, not distances to every candidate; no curiosity
    bonus; the released program's threshold (0.5, 0.05) that makes the reward 0 or 1 is left out; a unanimous
    group is scored like any other.
    Outside the unified form: indicators of positions, not a cross-entropy. Source: CoVo (Zhang et al. 2025).
    """

    form: str = "vector"
    card = RewardCard(
        name="trajectory-consistency",
        title="trajectory consistency and volatility",
        branch="intrinsic: ensemble",
        known_as=("CoVo",),
        unified=None,
        formula="|mean over rollouts with the same answer of Con e^(j Vol)|",
        unit="dimensionless",
        sign="0..1; higher is steadier",
        limit="stays put: one-token answers have no intermediate states, every answer gets the same",
        failure_mode=(
            "premature commitment: the answer is fixed in the first step and the reasoning decorates it"
        ),
        needs=("answers", "states"),
        source="CoVo (Zhang et al. 2025); He et al. 2026",
    )

    def __post_init__(self):
        if self.form not in FORMS:
            raise InputError("form", self.form, f"it is one of {', '.join(FORMS)}")

    @property
    def _least(self) -> float:
        return 0.0 if self.form == "vector" else -1.0

    def exact(self, log_probs, correct=None, *, no_answer: int | None = None, **_):
        """r (prompts, answers): 1 for every answer, the least value for "no answer"."""
        xp, log_probs = as_arrays(log_probs)
        ones = xp.ones_like(log_probs)
        if no_answer is None:
            return ones
        return xp.where(
            xp.arange(log_probs.shape[1])[None, :] == no_answer % log_probs.shape[1], self._least * ones, ones
        )

    def group(self, answers, is_correct=None, *, states=None, **_):
        """r (prompts, rollouts). Raises: InputError without `states`."""
        self._need("states", states)
        xp, answers, states = as_arrays(answers, states)
        if states.ndim != 3 or tuple(states.shape[:2]) != tuple(answers.shape):
            raise InputError(
                "states",
                tuple(states.shape),
                f"its shape is {(*answers.shape, 'states')}",
                "Give one row of states a rollout",
            )
        dtype, parts = xp.asarray(0.0).dtype, states.shape[2]
        agrees = xp.astype(states == answers[:, :, None], dtype)
        consistency, volatility = xp.ones(answers.shape, dtype=dtype), xp.zeros(answers.shape, dtype=dtype)
        if parts:
            places = xp.astype(xp.arange(1, parts + 1), dtype)[None, None, :]
            consistency, volatility = xp.mean(agrees, axis=2), xp.max((1 - agrees) * places, axis=2) / parts
        same = xp.astype(answers[:, :, None] == answers[:, None, :], dtype)
        shared = lambda values: xp.sum(same * values[:, None, :], axis=2) / xp.sum(same, axis=2)  # noqa: E731
        if self.form == "linear":
            rewards = shared(consistency) - shared(volatility)
        else:
            x, y = shared(consistency * xp.cos(volatility)), shared(consistency * xp.sin(volatility))
            rewards = xp.sqrt(x * x + y * y)
        return xp.where(answers != NO_ANSWER, rewards, self._least * xp.ones_like(rewards))
