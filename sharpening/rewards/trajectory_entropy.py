"""Trajectory-level entropy: reward a completion for being likely under the model that wrote it."""

from sharpening.rewards.base import RewardCard, UnifiedForm
from sharpening.rewards.certainty import TokenReward
from sharpening.rewards.registry import register_reward


@register_reward
class TrajectoryEntropyReward(TokenReward):
    """Mean log-probability per token of the sampled completion: r = (1/T) sum_t log pi(y_t | y_<t), in nats;
    never positive.

    On one-token answers it is log pi(a). It sees tokens, not answers: a completion without an answer is
    scored like any other.
    Source: EM-RL (Agarwal et al. 2025), sequence level; He et al. 2026; theorem S3.
    """

    card = RewardCard(
        name="trajectory-entropy",
        title="trajectory-level entropy",
        branch="intrinsic: certainty",
        known_as=("EM-RL", "EM-RL-sequence"),
        unified=UnifiedForm("sampled token, one-hot", "next-token policy", "tokens", -1, "identity"),
        formula="(1/T) sum_t log pi(y_t)",
        unit="nats per token",
        sign="<= 0; higher is more certain",
        limit="the mode, doubly exponentially under KL-prox; exact ties stay ties",
        failure_mode="repetition collapse: completions of easily predicted tokens",
        needs=("tokens",),
        source="EM-RL (Agarwal et al. 2025); He et al. 2026; theorem S3",
    )

    def of_tokens(self, tokens):
        """r (prompts, rollouts): the mean log-probability per token."""
        return tokens.mean(tokens.log_prob)
