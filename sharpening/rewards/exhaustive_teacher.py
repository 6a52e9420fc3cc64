"""Exhaustive teacher: a slow program that searches all candidates grades the answer."""

from dataclasses import dataclass

from sharpening.rewards.base import RewardCard
from sharpening.rewards.registry import register_reward
from sharpening.rewards.verdicts import VerdictReward


@register_reward
@dataclass(frozen=True)
class ExhaustiveTeacherReward(VerdictReward):
    """1 for an answer that a complete search confirms (for Countdown: it reaches the target, or the target cannot be reached), else 0.

    Settings as in `VerdictReward`; a search cut short has tpr < 1. Source: a slower teacher that searches, in He et al. 2026's
    generation-verification asymmetry; Countdown.
    """

    card = RewardCard(
        name="exhaustive-teacher",
        title="exhaustive teacher",
        branch="external: asymmetry",
        known_as=("search teacher",),
        unified=None,
        formula="1[confirmed by search]",
        unit="reward",
        sign="0..1; higher is better verified",
        limit="the correct answers that the initial policy can reach, in their initial proportions (KL-prox)",
        failure_mode="cost grows exponentially with the question; a search cut short refuses right answers",
        needs=("answers", "verdicts"),
        source="He et al. 2026, generation-verification asymmetry; theory X1 with J = 1",
        verifier="teacher",
    )
