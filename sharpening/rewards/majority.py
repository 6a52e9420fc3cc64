"""Majority voting: reward an answer for being the group's most frequent one."""

from sharpening.metrics import as_arrays, exact_vote, majority_share, vote
from sharpening.rewards.base import Reward, RewardCard, UnifiedForm
from sharpening.rewards.registry import register_reward


@register_reward
class MajorityReward(Reward):
    """1/m for each of the m leading answers of the vote, 0 for the others and for "no answer".

    The unified form gives exp(-H(one-hot answer, uniform over leaders)): exp(-log m) = 1/m for a leader,
    exp(-inf) = 0 otherwise.
    How we depart from TTRL: ties are shared instead of going to the rollout that came first.
    Source: TTRL; He et al. 2026, Theorem 1; theorem S1.
    """

    card = RewardCard(
        name="majority",
        title="majority voting",
        branch="intrinsic: ensemble",
        known_as=("TTRL", "SRT", "ETTRL", "SeRL", "SQLM", "R-Zero"),
        unified=UnifiedForm(
            "answer, one-hot", "uniform over the leading answers of the vote", "answer", -1, "exp"
        ),
        formula="1[a leads the vote] / leaders",
        unit="probability",
        sign="0..1; higher agrees with the vote",
        limit="the initial majority answer of each prompt, right or wrong; exact ties stay ties",
        failure_mode="gradual degradation: reward rises while reward accuracy and accuracy fall",
        needs=("answers",),
        source="TTRL (Zuo et al. 2025); He et al. 2026, Theorem 1; theorem S1",
    )

    def exact(self, log_probs, correct=None, *, no_answer: int | None = None, **_):
        """r (prompts, answers) under infinitely many rollouts: 1/m at the m modes of each policy, else 0."""
        xp, log_probs = as_arrays(log_probs)
        return xp.astype(majority_share(*exact_vote(log_probs, no_answer)), log_probs.dtype)

    def group(self, answers, is_correct=None, **_):
        """r (prompts, rollouts): 1/m for one of the m leading answers, else 0. Raises: InputError below 2
        rollouts.
        """
        votes = vote(answers)
        return majority_share(votes.is_leader, votes.num_leaders)
