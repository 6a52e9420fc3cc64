"""Next-token prediction: raw text is its own verifier."""

from dataclasses import dataclass

from sharpening.rewards.base import RewardCard
from sharpening.rewards.registry import register_reward
from sharpening.rewards.verdicts import VerdictReward


@register_reward
@dataclass(frozen=True)
class NextTokenReward(VerdictReward):
    """1 where the predicted continuation is how the text goes on, else 0; the text supplies the labels,
    nobody writes any.

    Settings as in `VerdictReward`. "Correct" means equal to the text, which is one of many good
    continuations. How we depart from RPT: the whole answer is compared, not every prefix of its bytes.
    Source: RPT (Dong et al. 2025); He et al. 2026, unlabeled data.
    """

    card = RewardCard(
        name="next-token",
        title="next-token prediction",
        branch="external: unlabeled",
        known_as=("RPT", "reinforcement pre-training"),
        unified=None,
        formula="1[prediction = next tokens of the text]",
        unit="reward",
        sign="0..1; higher is better predicted",
        limit=(
            "the text's own continuations that the initial policy can reach, in their initial proportions"
            " (KL-prox)"
        ),
        failure_mode="learns the text, mistakes included; little signal where many continuations are good",
        needs=("answers", "labels"),
        source="RPT (Dong et al. 2025); theorem X1 with J = 1",
    )
