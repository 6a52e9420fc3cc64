"""Scheduled hybrid: verify at every k-th step, and a share of the rollouts there."""

from __future__ import annotations

from dataclasses import dataclass

from sharpening.errors import InputError
from sharpening.metrics import as_arrays
from sharpening.rewards.asking import exact_rewards, group_rewards
from sharpening.rewards.base import Reward, RewardCard
from sharpening.rewards.majority import MajorityReward
from sharpening.rewards.nested import needs_of
from sharpening.rewards.registry import register_reward
from sharpening.rewards.true_answers import TrueReward
from sharpening.rewards.verdicts import check_rates


@register_reward
@dataclass(frozen=True)
class HybridScheduledReward(Reward):
    """r = q external + (1 - q) intrinsic at steps 0, every, 2 every, ... with q = share; r = intrinsic at all
    others.

    `share`: the share of rollouts that are verified, drawn at random: the mean over the draw. Over a cycle of
    k = `every` steps the share is q/k: on a misaligned prompt the correct answer wins iff q/k > 1/(1+J)
    (theorem X2, small KL-prox steps), so a perfect verifier must see more than half of all rollouts. Raises:
    InputError for a share outside 0..1, every < 1, or without `step`.
    Source: theorems X2, X3.
    """

    every: int = 1
    share: float = 0.75
    intrinsic: Reward = MajorityReward()
    external: Reward = TrueReward()
    card = RewardCard(
        name="hybrid-scheduled",
        title="scheduled hybrid",
        branch="hybrid",
        known_as=("verify every k steps",),
        unified=None,
        formula="q external + (1 - q) intrinsic if step is a multiple of k, else intrinsic",
        unit="reward",
        sign="0..1 for parts in 0..1; higher is better",
        limit=(
            "a correct answer where q/k > 1/(1+J), else the initial majority answer (small steps; majority as"
            " the intrinsic part)"
        ),
        failure_mode="between verifications the vote undoes what they taught",
        needs=("answers", "labels", "step"),
        source="theorems X2 and X3; our definition",
    )

    def __post_init__(self):
        check_rates(self, "share")
        if not isinstance(self.every, int) or isinstance(self.every, bool) or self.every < 1:
            raise InputError("every", self.every, "it is a number of steps >= 1")
        needs_of(self, self.intrinsic, self.external, own=("answers", "step"))

    def _mix(self, step, outside, inside):
        self._need("step", step)
        xp, outside, inside = as_arrays(outside, inside)
        weight = self.share * xp.astype(xp.asarray(step % self.every == 0), inside.dtype)
        return weight * outside + (1 - weight) * inside

    def exact(self, log_probs, correct=None, *, no_answer: int | None = None, step=None, **signals):
        """r (prompts, answers) under infinitely many rollouts. Raises: InputError without `step`, and as its
        parts'.
        """
        known = dict(no_answer=no_answer, step=step, **signals)
        return self._mix(
            step,
            exact_rewards(self.external, log_probs, correct, **known, finite=False),
            exact_rewards(self.intrinsic, log_probs, correct, **known, finite=False),
        )

    def group(self, answers, is_correct=None, *, step=None, **signals):
        """r (prompts, rollouts). Raises: InputError without `step`, and as its parts'."""
        known = dict(step=step, **signals)
        return self._mix(
            step,
            group_rewards(self.external, answers, is_correct, **known, finite=False),
            group_rewards(self.intrinsic, answers, is_correct, **known, finite=False),
        )
