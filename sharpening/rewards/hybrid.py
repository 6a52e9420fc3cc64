"""A noisy verifier on some rollouts, the majority vote on the others: the reward whose threshold is theory's X2."""

from __future__ import annotations

from dataclasses import dataclass

from sharpening.errors import InputError
from sharpening.metrics import NO_ANSWER, as_arrays
from sharpening.rewards.base import Reward, RewardCard
from sharpening.rewards.majority import MajorityReward

_MAJORITY = MajorityReward()


@dataclass(frozen=True)
class HybridReward(Reward):
    """r = (1 - intrinsic_weight) * (fpr + (tpr - fpr) * 1[correct]) + intrinsic_weight * majority, the mean over the verifier's noise.

    `tpr`, `fpr`: how often the verifier accepts a right and a wrong answer; `intrinsic_weight`: lambda, in 0..1, or one minus
    the share of rollouts that are verified, drawn at random. "No answer" earns nothing and needs no verifier. Not in the registry,
    since it has settings. Raises: InputError for a number outside 0..1. Source: theory X1, X2; RLVεR.
    """

    tpr: float = 1.0
    fpr: float = 0.0
    intrinsic_weight: float = 0.5
    card = RewardCard(
        name="hybrid",
        branch="hybrid",
        known_as=("partial verification",),
        unified=None,
        limit="a correct answer where intrinsic_weight < J/(1+J), J = tpr - fpr > 0, else the initial majority answer",
        failure_mode="that of the majority vote where too few rollouts are verified or the verifier is too noisy",
        needs=("answers", "labels"),
        source="theory X2; RLVεR for the noisy verifier",
    )

    def __post_init__(self):
        for name in ("tpr", "fpr", "intrinsic_weight"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(name, getattr(self, name), "it is a share in 0..1")

    def _mix(self, verified, vote):
        return (1 - self.intrinsic_weight) * verified + self.intrinsic_weight * vote

    def exact(self, log_probs, correct=None, *, no_answer: int | None = None):
        """r (prompts, answers) under infinitely many rollouts. Raises: InputError without `correct`."""
        self._need("correct", correct)
        xp, log_probs, correct = as_arrays(log_probs, correct)
        accepted = self.fpr + (self.tpr - self.fpr) * xp.astype(correct, log_probs.dtype)
        if no_answer is not None:
            silent = xp.arange(log_probs.shape[1])[None, :] == no_answer % log_probs.shape[1]
            accepted = xp.where(silent, xp.zeros_like(accepted), accepted)
        return self._mix(accepted, _MAJORITY.exact(log_probs, no_answer=no_answer))

    def group(self, answers, is_correct=None, *, log_probs=None):
        """r (prompts, rollouts), the mean over the verifier's noise. Raises: InputError without `is_correct`."""
        self._need("is_correct", is_correct)
        xp, answers, is_correct = as_arrays(answers, is_correct)
        vote = _MAJORITY.group(answers)
        accepted = self.fpr + (self.tpr - self.fpr) * xp.astype(is_correct, vote.dtype)
        return self._mix(xp.where(answers != NO_ANSWER, accepted, xp.zeros_like(accepted)), vote)
