"""Numeric check of an antiderivative: differentiate the answer at points and compare with the integrand."""

from dataclasses import dataclass

from sharpening.rewards.base import RewardCard
from sharpening.rewards.registry import register_reward
from sharpening.rewards.verdicts import VerdictReward


@register_reward
@dataclass(frozen=True)
class AntiderivativeReward(VerdictReward):
    """1 for an expression whose numeric derivative equals the integrand at every point tried, 0 otherwise and for "no answer".

    Settings as in `VerdictReward`; fpr is the chance that a wrong expression agrees at all points within the tolerance.
    Source: LADDER (Simonds & Yoshiyama 2025), which compares definite integrals numerically.
    """

    card = RewardCard(
        name="antiderivative",
        title="numeric check of an antiderivative",
        branch="external: asymmetry",
        known_as=("LADDER",),
        unified=None,
        formula="1[F'(x_i) = f(x_i) at all points x_i]",
        unit="reward",
        sign="0..1; higher is better verified",
        limit="the correct answers that the initial policy can reach, in their initial proportions (KL-prox)",
        failure_mode="expressions that agree at the points tried, or have no value at any of them",
        needs=("answers", "verdicts"),
        source="LADDER (Simonds & Yoshiyama 2025); theory X1 with J = 1",
        verifier="antiderivative",
    )
