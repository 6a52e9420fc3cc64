"""Self-verification: the model judges its own answer with a verification prompt."""

from dataclasses import dataclass

from sharpening.rewards.base import RewardCard
from sharpening.rewards.registry import register_reward
from sharpening.rewards.verdicts import VerdictReward


@register_reward
@dataclass(frozen=True)
class SelfVerificationReward(VerdictReward):
    """The model's own yes (1) or no (0) to "is this answer right?"; "no answer" earns 0.

    Settings as in `VerdictReward`. The rates tpr = 0.8 and fpr = 0.3 are placeholders, to be measured; they move while the model trains,
    which this model of it leaves out. Source: He et al. 2026 (Countdown): reward accuracy dips where the policy exploits the verifier,
    then recovers; base models are not robust to the verification prompt.
    """

    tpr: float = 0.8
    fpr: float = 0.3
    card = RewardCard(
        name="self-verification",
        title="self-verification",
        branch="external: self-verification",
        known_as=("self-verify", "RLSR self-judging"),
        unified=None,
        formula="1[the model accepts its answer]; modelled as fpr + (tpr - fpr) 1[correct]",
        unit="reward",
        sign="0..1; higher is better judged",
        limit="the correct answers, in their initial proportions (KL-prox), where tpr > fpr; the wrong ones where tpr < fpr",
        failure_mode="the policy exploits its verifier: reward accuracy dips; base models misread the prompt",
        needs=("answers", "verdicts"),
        source="He et al. 2026, self-verification on Countdown; theory X1",
        verifier="self-verification",
    )
