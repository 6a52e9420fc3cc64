"""Pseudo-label confidence: a majority vote that counts as much as the group agrees."""

from __future__ import annotations

from dataclasses import dataclass

from sharpening.errors import InputError
from sharpening.metrics import as_arrays, exact_vote, majority_share, vote
from sharpening.rewards.base import Reward, RewardCard, UnifiedForm
from sharpening.rewards.registry import register_reward


@register_reward
@dataclass(frozen=True)
class PseudoLabelConfidenceReward(Reward):
    """c/m for each of the m leading answers of the vote, c = majority ratio in 0..1, where c >= threshold;
    else 0.

    The majority answer is a pseudo-label and c its confidence. Dividing by the group's standard deviation
    (GRPO) cancels c; without that, doubtful prompts take smaller steps, and below `threshold` (default 0: no
    prompt is refused) none. The name comes from a summary of the field without a formula; this is our
    definition. Raises: InputError for a threshold outside 0..1.
    Source: pseudo-labels (Lee 2013) with the confidence threshold of FixMatch (Sohn et al. 2020), on the vote
    of TTRL.
    """

    threshold: float = 0.0
    card = RewardCard(
        name="pseudo-label-confidence",
        title="pseudo-label confidence",
        branch="intrinsic: ensemble",
        known_as=("confidence-weighted pseudo-labels",),
        unified=UnifiedForm(
            "answer, one-hot",
            "the leaders' common frequency, shared among them, else abstain",
            "answer",
            -1,
            "exp",
        ),
        formula="1[a leads the vote] * majority ratio / leaders",
        unit="probability",
        sign="0..1; higher agrees with a surer vote",
        limit="the mode; prompts below the threshold stay put",
        failure_mode="gradual degradation: confident wrong majorities learn fastest",
        needs=("answers",),
        source="our definition, after Lee 2013, FixMatch (Sohn et al. 2020) and TTRL",
    )

    def __post_init__(self):
        if not 0 <= self.threshold <= 1:
            raise InputError("threshold", self.threshold, "it is a share in 0..1")

    def _weighted(self, xp, share, confidence):
        kept = xp.where(confidence >= self.threshold, confidence, xp.zeros_like(confidence))
        return xp.astype(share, confidence.dtype) * kept[:, None]

    def exact(self, log_probs, correct=None, *, no_answer: int | None = None, **_):
        """r (prompts, answers): pi(mode)/m at the m modes."""
        xp, log_probs = as_arrays(log_probs)
        is_leader, num_leaders = exact_vote(log_probs, no_answer)
        confidence = xp.max(xp.where(is_leader, xp.exp(log_probs), xp.zeros_like(log_probs)), axis=1)
        return self._weighted(xp, majority_share(is_leader, num_leaders), confidence)

    def group(self, answers, is_correct=None, **_):
        """r (prompts, rollouts). Raises: InputError below 2 rollouts."""
        xp, answers = as_arrays(answers)
        votes = vote(answers)
        confidence = xp.astype(xp.max(votes.counts, axis=1), xp.asarray(0.0).dtype) / answers.shape[1]
        return self._weighted(xp, majority_share(votes.is_leader, votes.num_leaders), confidence)
