"""KL-regularisation to the previous policy: a brake on every step that holds nothing back in the end."""

from sharpening.rewards.base import RewardCard
from sharpening.rewards.divergence import DivergenceReward
from sharpening.rewards.registry import register_reward


@register_reward
class KLPreviousReward(DivergenceReward):
    """r = log pi_{k-1}(y) - log pi_k(y), nats, pi_{k-1} the policy before the last update; mean <= 0, and 0
    where nothing moved.

    It opposes the last step and knows no place to return to: alone the policy stops where it is, beside
    another reward it only slows training, which ends where it would have (theorems S1 against S2). Outside the
    unified form, as the KL to a fixed reference.
    Source: mirror ascent's proximal term (He et al. 2026, Theorem 1, reference reset at every step); theorem
    S1.
    """

    exact_signal, group_signal = "previous", "previous_log_probs"
    card = RewardCard(
        name="kl-previous",
        title="KL-regularisation to the previous policy",
        branch="intrinsic: certainty",
        known_as=("proximal term",),
        unified=None,
        formula="log pi_{k-1}(y) - log pi_k(y)",
        unit="nats",
        sign="mean <= 0; 0 where nothing moved",
        limit="stays put: a policy at rest stays, one in motion is braked",
        failure_mode="delays collapse and prevents none",
        needs=("tokens", "previous_log_probs"),
        source="He et al. 2026, Theorem 1; theorem S1",
    )
