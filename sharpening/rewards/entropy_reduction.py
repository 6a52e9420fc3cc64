"""Entropy reduction: reward an answer by how fast the answer entropy falls as the answer gains mass."""

from sharpening.metrics import NO_ANSWER, as_arrays, vote
from sharpening.rewards.base import Reward, RewardCard, UnifiedForm
from sharpening.rewards.registry import register_reward


@register_reward
class EntropyReductionReward(Reward):
    """r_i = H(p) + log p(a_i), p the group's answer frequencies, "no answer" being an outcome; nats, mean 0
    if everybody answered.

    It is minus the derivative of the entropy when mass moves from p towards a_i, so policy gradient on it
    descends the answer entropy itself (theorems S7a to S7c, z_a' = pi_a (log pi_a + H)). Token-level entropy as a
    reward cannot do that on one token. "No answer" gets the least reward of its group's answers, and 0 where
    nobody answered. The name comes from a summary of the field without a formula; this is our definition.
    Source: EMPO's objective (Zhang et al. 2025), with the entropy's own gradient instead of the cluster
    share; theorems S7a to S7c.
    """

    card = RewardCard(
        name="entropy-reduction",
        title="entropy reduction",
        branch="intrinsic: ensemble",
        known_as=("answer entropy minimisation",),
        unified=UnifiedForm(
            "answer, one-hot", "answer frequencies of the group", "answer", -1, "plus H(group)"
        ),
        formula="H(p) + log p(a), p the group's answer frequencies",
        unit="nats",
        sign="mean 0; positive lowers the entropy",
        limit="the mode, doubly exponentially under KL-prox; exact ties stay ties",
        failure_mode="gradual degradation: rare right answers are punished harder than by a vote",
        needs=("answers",),
        source="our definition, after EMPO (Zhang et al. 2025); theorems S3 and S7",
    )

    def exact(self, log_probs, correct=None, *, no_answer: int | None = None, **_):
        """r (prompts, answers) = H(pi) + log pi(a); impossible and "no answer" get the least reward of a
        possible answer.
        """
        xp, log_probs = as_arrays(log_probs)
        possible = log_probs > -float("inf")
        zeros = xp.zeros_like(log_probs)
        finite = xp.where(possible, log_probs, zeros)
        entropy = -xp.sum(xp.exp(log_probs) * finite, axis=1)
        counted = possible
        if no_answer is not None:
            counted = possible & (xp.arange(log_probs.shape[1])[None, :] != no_answer % log_probs.shape[1])
        least = xp.min(xp.where(counted, finite, zeros), axis=1)[:, None]
        return entropy[:, None] + xp.where(counted, finite, least)

    def group(self, answers, is_correct=None, **_):
        """r (prompts, rollouts). Raises: InputError below 2 rollouts."""
        xp, answers = as_arrays(answers)
        counts = vote(answers).counts
        answered = answers != NO_ANSWER
        everyone = xp.ones_like(counts)
        silent = xp.sum(xp.where(answered, xp.zeros_like(counts), everyone), axis=1)[:, None]
        same = xp.where(answered, counts, silent * everyone)
        log_share = xp.log(xp.astype(same, xp.asarray(0.0).dtype) / answers.shape[1])
        least = xp.min(xp.where(answered, log_share, xp.zeros_like(log_share)), axis=1)[:, None]
        return xp.where(answered, log_share, least) - xp.mean(log_share, axis=1)[:, None]
