"""Weighted hybrid: a verifier and an intrinsic reward in fixed proportion; the reward whose threshold is
theorem X2.
"""

from __future__ import annotations

from dataclasses import dataclass

from sharpening.metrics import NO_ANSWER, as_arrays
from sharpening.rewards.asking import exact_rewards, group_rewards
from sharpening.rewards.base import Reward, RewardCard
from sharpening.rewards.majority import MajorityReward
from sharpening.rewards.nested import needs_of
from sharpening.rewards.registry import register_reward
from sharpening.rewards.true_answers import TrueReward
from sharpening.rewards.verdicts import check_rates, silence


@register_reward
@dataclass(frozen=True)
class HybridReward(Reward):
    """r = (1 - intrinsic_weight) * (fpr + (tpr - fpr) * external) + intrinsic_weight * intrinsic, the mean
    over the verifier's noise.

    `tpr`, `fpr`: how often the verifier accepts a right and a wrong answer; `intrinsic_weight`: lambda, in
    0..1, or one minus the share of rollouts that are verified, drawn at random. The verifier gives "no
    answer" nothing. `intrinsic`, `external`: any two rewards (default: majority vote and true answers).
    Raises: InputError for a number outside 0..1. Source: theorems X1, X2; RLVeR.
    """

    tpr: float = 1.0
    fpr: float = 0.0
    intrinsic_weight: float = 0.25
    intrinsic: Reward = MajorityReward()
    external: Reward = TrueReward()
    card = RewardCard(
        name="hybrid-weighted",
        title="weighted hybrid",
        branch="hybrid",
        known_as=("hybrid", "partial verification"),
        unified=None,
        formula="(1 - w) (fpr + (tpr - fpr) external) + w intrinsic",
        unit="reward",
        sign="0..1 for parts in 0..1; higher is better",
        limit=(
            "a correct answer where w < J/(1+J), J = tpr - fpr > 0, else the initial majority answer"
            " (majority as the intrinsic part)"
        ),
        failure_mode="that of the vote where too few rollouts are verified or the verifier is too noisy",
        needs=("answers", "labels"),
        source="theorem X2; RLVeR (Rad et al. 2026) for the noisy verifier",
    )

    def __post_init__(self):
        check_rates(self, "tpr", "fpr", "intrinsic_weight")
        needs_of(self, self.intrinsic, self.external)

    def _mix(self, verdict, vote):
        return (1 - self.intrinsic_weight) * verdict + self.intrinsic_weight * vote

    def exact(self, log_probs, correct=None, *, no_answer: int | None = None, **signals):
        """r (prompts, answers) under infinitely many rollouts. Raises: InputError as its parts'."""
        known = dict(no_answer=no_answer, **signals)
        xp, verdict, vote = as_arrays(
            exact_rewards(self.external, log_probs, correct, **known, finite=False),
            exact_rewards(self.intrinsic, log_probs, correct, **known, finite=False),
        )
        return self._mix(silence(xp, self.fpr + (self.tpr - self.fpr) * verdict, no_answer), vote)

    def group(self, answers, is_correct=None, **signals):
        """r (prompts, rollouts), the mean over the verifier's noise. Raises: InputError as its parts'."""
        verdict, vote = (
            group_rewards(self.external, answers, is_correct, **signals, finite=False),
            group_rewards(self.intrinsic, answers, is_correct, **signals, finite=False),
        )
        xp, verdict, vote, answers = as_arrays(verdict, vote, answers)
        accepted = self.fpr + (self.tpr - self.fpr) * verdict
        return self._mix(xp.where(answers != NO_ANSWER, accepted, xp.zeros_like(accepted)), vote)
