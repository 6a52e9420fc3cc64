"""Probability disparity: reward a completion for how clearly its answer's tokens lead over the second
choice.
"""

from sharpening.rewards.base import RewardCard
from sharpening.rewards.certainty import TokenReward
from sharpening.rewards.registry import register_reward


@register_reward
class ProbabilityDisparityReward(TokenReward):
    """r = mean over the answer's tokens of (largest - second largest next-token probability), in 0..1; 0
    without answer tokens.

    Outside the unified form: the gap is exp(-H(one-hot top-1, pi)) - exp(-H(one-hot top-2, pi)), a difference
    of two terms. How we depart from RLSF: the gap is used as a reward, not to rank completions for preference
    training. On one-token answers it is the same for every answer of a prompt. Source: RLSF (van Niekerk et
    al. 2025), after CoT-decoding (Wang & Zhou 2024).
    """

    card = RewardCard(
        name="probability-disparity",
        title="probability disparity",
        branch="intrinsic: certainty",
        known_as=("RLSF",),
        unified=None,
        formula="mean over answer tokens of pi_t(top-1) - pi_t(top-2)",
        unit="probability",
        sign="0..1; higher is more certain",
        limit=(
            "stays put: on one-token answers every answer gets the same; it acts only through sequences of"
            " tokens"
        ),
        failure_mode=(
            "gradual degradation: the answer's tokens become certain whatever the reasoning before them"
        ),
        needs=("tokens",),
        source="RLSF (van Niekerk et al. 2025); He et al. 2026",
    )

    def of_tokens(self, tokens):
        """r (prompts, rollouts): the mean gap over the tokens of the answer."""
        return tokens.mean(tokens.gap, tokens.answer_mask)
