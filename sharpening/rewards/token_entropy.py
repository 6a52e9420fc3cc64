"""Token-level entropy: reward a completion for low entropy of its next-token policies."""

from sharpening.rewards.base import RewardCard, UnifiedForm
from sharpening.rewards.certainty import TokenReward
from sharpening.rewards.registry import register_reward


@register_reward
class TokenEntropyReward(TokenReward):
    """r = -(1/T) sum_t H(pi_t), H the entropy of the whole next-token policy, in nats per token; never
    positive.

    Unlike trajectory-level entropy it does not ask how likely the sampled token was. On one-token answers it
    is the same for every answer of a prompt, so any baseline removes it (theorems S7a to S7c).
    Source: EM-RL (Agarwal et al. 2025), token level; RENT (Prabhudesai et al. 2025); He et al. 2026.
    """

    card = RewardCard(
        name="token-entropy",
        title="token-level entropy",
        branch="intrinsic: certainty",
        known_as=("EM-RL", "EM-RL-token", "RENT"),
        unified=UnifiedForm("next-token policy", "next-token policy", "tokens", -1, "identity"),
        formula="-(1/T) sum_t H(pi_t)",
        unit="nats per token",
        sign="<= 0; higher is more certain",
        limit=(
            "stays put: on one-token answers every answer gets the same; it acts only through sequences of"
            " tokens"
        ),
        failure_mode="repetition collapse: long runs of easily predicted tokens dilute the entropy",
        needs=("tokens",),
        source="EM-RL (Agarwal et al. 2025); RENT (Prabhudesai et al. 2025); theorems S7a to S7c",
    )

    def of_tokens(self, tokens):
        """r (prompts, rollouts): minus the mean entropy per token."""
        return -tokens.mean(tokens.entropy)
