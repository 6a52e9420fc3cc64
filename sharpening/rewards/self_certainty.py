"""Self-certainty: reward a completion for how far its next-token policies are from uniform."""

import math

from sharpening.rewards.base import RewardCard, UnifiedForm
from sharpening.rewards.certainty import TokenReward
from sharpening.rewards.registry import register_reward


@register_reward
class SelfCertaintyReward(TokenReward):
    """r = (1/T) sum_t KL(uniform || pi_t) = (1/T) sum_t [H(uniform, pi_t) - log V], in nats per token; >= 0,
    and 0 for uniform policies.

    The direction is uniform to policy: it punishes tokens that are ruled out, not only doubt. How we depart
    from published code: Intuitor's text defines the KL, several programs leave out the constant -log V (about
    12 nats for 150,000 tokens) or the sampling temperature; here both are in. A token of probability 0 counts
    as e^-745. On one-token answers it is the same for every answer of a prompt, so any baseline removes it
    (theorems S7a to S7c).
    Source: Zhao et al. 2025, Learning to Reason without External Rewards (Intuitor); He et al. 2026.
    """

    card = RewardCard(
        name="self-certainty",
        title="self-certainty",
        branch="intrinsic: certainty",
        known_as=("Intuitor", "RLIF"),
        unified=UnifiedForm("uniform over the vocabulary", "next-token policy", "tokens", 1, "minus log V"),
        formula="(1/T) sum_t KL(uniform || pi_t)",
        unit="nats per token",
        sign=">= 0; higher is more certain",
        limit=(
            "stays put: on one-token answers every answer gets the same; it acts only through sequences of"
            " tokens"
        ),
        failure_mode="gradual degradation: certainty rises on wrong answers as on right ones",
        needs=("tokens",),
        source="Zhao et al. 2025 (Intuitor); He et al. 2026; theorems S7a to S7c",
    )

    def of_tokens(self, tokens):
        """r (prompts, rollouts): the mean of H(uniform, pi_t) over tokens, minus log V."""
        return tokens.mean(tokens.uniform_cross_entropy - math.log(tokens.vocab_size))
