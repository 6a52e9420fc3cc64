"""Gated hybrid: verify only the prompts that the vote leaves uncertain."""

from __future__ import annotations

from dataclasses import dataclass

from sharpening.metrics import as_arrays, exact_vote, vote
from sharpening.rewards.asking import exact_rewards, group_rewards
from sharpening.rewards.base import Reward, RewardCard
from sharpening.rewards.majority import MajorityReward
from sharpening.rewards.nested import needs_of
from sharpening.rewards.registry import register_reward
from sharpening.rewards.true_answers import TrueReward
from sharpening.rewards.verdicts import check_rates


@register_reward
@dataclass(frozen=True)
class HybridGatedReward(Reward):
    """r = intrinsic where the prompt's majority ratio is at least `threshold`, else external, for all
    rollouts of the prompt.

    Saves verification where the vote is sure, and trusts it there, right or wrong. Raises: InputError for a
    threshold outside 0..1.
    Source: the gate of theorem X3 (verify where the margin is small).
    """

    intrinsic: Reward = MajorityReward()
    external: Reward = TrueReward()
    threshold: float = 0.7
    card = RewardCard(
        name="hybrid-gated",
        title="gated hybrid",
        branch="hybrid",
        known_as=("verify when uncertain",),
        unified=None,
        formula="intrinsic if majority ratio >= threshold else external",
        unit="reward",
        sign="0..1 for parts in 0..1; higher is better",
        limit=(
            "the initial majority answer where its share starts at the threshold or above; else the correct"
            " answer (exact verifier)"
        ),
        failure_mode="confident mistakes are never verified",
        needs=("answers", "labels"),
        source="theorem X3; our definition",
    )

    def __post_init__(self):
        check_rates(self, "threshold")
        needs_of(self, self.intrinsic, self.external)

    def exact(self, log_probs, correct=None, *, no_answer: int | None = None, **signals):
        """r (prompts, answers) under infinitely many rollouts. Raises: InputError as its parts'."""
        known = dict(no_answer=no_answer, **signals)
        inside, outside = (
            exact_rewards(self.intrinsic, log_probs, correct, **known, finite=False),
            exact_rewards(self.external, log_probs, correct, **known, finite=False),
        )
        xp, log_probs, inside, outside = as_arrays(log_probs, inside, outside)
        leads = exact_vote(log_probs, no_answer)[0]
        ratio = xp.max(xp.where(leads, xp.exp(log_probs), xp.zeros_like(log_probs)), axis=1)
        return xp.where((ratio >= self.threshold)[:, None], inside, outside)

    def group(self, answers, is_correct=None, **signals):
        """r (prompts, rollouts). Raises: InputError as its parts', and below 2 rollouts."""
        inside, outside = (
            group_rewards(self.intrinsic, answers, is_correct, **signals, finite=False),
            group_rewards(self.external, answers, is_correct, **signals, finite=False),
        )
        xp, inside, outside, answers = as_arrays(inside, outside, answers)
        ratio = xp.astype(xp.max(vote(answers).counts, axis=1), inside.dtype) / answers.shape[1]
        return xp.where((ratio >= self.threshold)[:, None], inside, outside)
