"""Weighted voting: models vote together, each with the weight of its own consistency."""

from sharpening.metrics import NO_ANSWER, as_arrays, majority_share, vote
from sharpening.rewards.base import Reward, RewardCard, UnifiedForm
from sharpening.rewards.majority import MajorityReward
from sharpening.rewards.registry import register_reward

_ALONE = MajorityReward()


@register_reward
class WeightedMajorityReward(Reward):
    """1/m for each of the m answers with the largest weighted vote, 0 for the others and for "no answer".

    vote(a) = sum over models v of w_v n_v(a), n_v(a) the rollouts of v that gave a, and w_v = max_a n_v(a) /
    n_v the model's self-consistency on this prompt (its majority ratio; "no answer" counts in n_v and never
    leads). With one model, or without `voters`, it is the majority vote. Weighted votes that differ by less
    than rounding are tied.
    How we depart from RLCCF: ties shared; models may have different numbers of rollouts. Source: RLCCF (Yuan
    et al. 2025).
    """

    card = RewardCard(
        name="weighted-majority",
        title="weighted voting",
        branch="intrinsic: ensemble",
        known_as=("RLCCF", "self-consistency weighted voting"),
        unified=UnifiedForm(
            "answer, one-hot", "uniform over the leading answers of the weighted vote", "answer", -1, "exp"
        ),
        formula="1[a leads sum_v w_v n_v(a)] / leaders, w_v the majority ratio of model v",
        unit="probability",
        sign="0..1; higher agrees with the vote",
        limit="the mode (one model; of several, the answer that the weighted vote elects)",
        failure_mode="gradual degradation; a confident wrong model outvotes hesitant right ones",
        needs=("answers", "voters"),
        source="RLCCF (Yuan et al. 2025); He et al. 2026",
    )

    def exact(self, log_probs, correct=None, *, no_answer: int | None = None, **_):
        """r (prompts, answers) of one model under infinitely many rollouts: the majority vote."""
        return _ALONE.exact(log_probs, no_answer=no_answer)

    def group(self, answers, is_correct=None, *, voters=None, **_):
        """r (prompts, rollouts). Raises: InputError below 2 rollouts."""
        if voters is None:
            return _ALONE.group(answers)
        xp, answers, voters = as_arrays(answers, voters)
        counts = vote(answers).counts
        dtype = xp.asarray(0.0).dtype
        zero = xp.zeros((), dtype=dtype)
        same_voter = voters[:, :, None] == voters[:, None, :]
        same_answer = (answers[:, :, None] == answers[:, None, :]) & (answers != NO_ANSWER)[:, :, None]
        ballots = xp.sum(xp.astype(same_voter, dtype), axis=2)
        own = xp.sum(xp.astype(same_voter & same_answer, dtype), axis=2)
        weight = xp.max(xp.where(same_voter, own[:, None, :], zero), axis=2) / ballots
        votes = xp.sum(xp.where(same_answer, weight[:, None, :], zero), axis=2)
        slack = 64 * xp.finfo(dtype).eps
        leads = (votes >= xp.max(votes, axis=1)[:, None] * (1 - slack)) & (votes > 0)
        leaders = xp.sum(
            xp.where(leads, 1 / xp.where(leads, xp.astype(counts, dtype), xp.ones_like(votes)), zero), axis=1
        )
        return majority_share(leads, xp.round(leaders))
