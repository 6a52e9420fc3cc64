"""Judge: a larger or slower model grades the answer."""

from dataclasses import dataclass

from sharpening.rewards.base import RewardCard
from sharpening.rewards.registry import register_reward
from sharpening.rewards.verdicts import VerdictReward


@register_reward
@dataclass(frozen=True)
class JudgeReward(VerdictReward):
    """The verdict of another, larger or slower model, 0..1; "no answer" earns 0.

    `model`: the judge, a folder or the name of a built-in model; training needs it, theory does not. The other settings as in
    `VerdictReward`; the rates tpr = 0.9 and fpr = 0.1 are placeholders, to be measured for the judge at hand.
    Source: LLM-as-a-judge (Zheng et al. 2023); RLAIF (Bai et al. 2022).
    """

    tpr: float = 0.9
    fpr: float = 0.1
    model: str = ""
    card = RewardCard(
        name="judge",
        title="larger model as judge",
        branch="external: asymmetry",
        known_as=("LLM-as-a-judge", "RLAIF"),
        unified=None,
        formula="verdict of the judge; modelled as fpr + (tpr - fpr) 1[correct]",
        unit="reward",
        sign="0..1; higher is better judged",
        limit="the correct answers, in their initial proportions (KL-prox), where tpr > fpr; the wrong ones where tpr < fpr",
        failure_mode="answers written for the judge: its false positives are found and repeated",
        needs=("answers", "verdicts"),
        source="Zheng et al. 2023; theory X1",
        verifier="judge",
    )
