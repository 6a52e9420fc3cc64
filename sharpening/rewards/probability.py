"""Probability: reward a completion by its own probability."""

from sharpening.metrics import as_arrays
from sharpening.rewards.base import RewardCard, UnifiedForm
from sharpening.rewards.certainty import TokenReward
from sharpening.rewards.registry import register_reward


@register_reward
class ProbabilityReward(TokenReward):
    """r = prod_t pi(y_t | y_<t) = exp(sum_t log pi(y_t)), in 0..1.

    The sum runs over the completion, not the mean: every further token costs. Long completions underflow to 0
    (from about 700 nats in float64, 90 in float32), and then a group gives no signal. Source: RLSC (Li et al.
    2025); He et al. 2026.
    """

    card = RewardCard(
        name="probability",
        title="probability",
        branch="intrinsic: certainty",
        known_as=("RLSC",),
        unified=UnifiedForm("completion, one-hot", "policy over completions", "completion", -1, "exp"),
        formula="prod_t pi(y_t)",
        unit="probability",
        sign="0..1; higher is more certain",
        limit="the mode; exact ties stay ties",
        failure_mode="length collapse: short completions are likelier",
        needs=("tokens",),
        source="RLSC (Li et al. 2025); He et al. 2026; theorem S4",
    )

    def of_tokens(self, tokens):
        """r (prompts, rollouts): exp of the total log-probability."""
        xp, total = as_arrays(tokens.total(tokens.log_prob))
        return xp.exp(total)
