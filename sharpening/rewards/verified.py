"""Rewards that are a verifier's verdict: a program, a search, another model or the model itself judges the
answer.

Each is a card over `VerdictReward`; what really judges is the verifier that the card names
(`llm_bridge.verifiers`).
"""

from dataclasses import dataclass

from sharpening.rewards.base import RewardCard
from sharpening.rewards.registry import register_reward
from sharpening.rewards.verdicts import VerdictReward


@register_reward
@dataclass(frozen=True)
class SymbolicVerifierReward(VerdictReward):
    """1 for an answer that meets every constraint of the question, 0 for one that does not and for "no
    answer".

    Settings as in `VerdictReward`; a complete set of constraints makes no error (tpr = 1, fpr = 0), an
    incomplete one has fpr > 0.
    Source: RLSR's arithmetic Countdown check (Simonds et al. 2025); He et al. 2026, generation-verification
    asymmetry.
    """

    card = RewardCard(
        name="symbolic-verifier",
        title="symbolic verifier",
        branch="external: asymmetry",
        known_as=("constraint checker", "RLSR"),
        unified=None,
        formula="1[every constraint holds]",
        unit="reward",
        sign="0..1; higher is better verified",
        limit="the correct answers that the initial policy can reach, in their initial proportions (KL-prox)",
        failure_mode="answers that meet the constraints as written and miss the question",
        needs=("answers", "verdicts"),
        source="Simonds et al. 2025 (RLSR); He et al. 2026; theorem X1 with J = 1",
        verifier="symbolic",
    )


@register_reward
@dataclass(frozen=True)
class AntiderivativeReward(VerdictReward):
    """1 for an expression whose numeric derivative equals the integrand at every point tried, 0 otherwise and
    for "no answer".

    Settings as in `VerdictReward`; fpr is the chance that a wrong expression agrees at all points within the
    tolerance.
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
        source="LADDER (Simonds & Yoshiyama 2025); theorem X1 with J = 1",
        verifier="antiderivative",
    )


@register_reward
@dataclass(frozen=True)
class ExhaustiveTeacherReward(VerdictReward):
    """1 for an answer that a complete search confirms (for Countdown: it reaches the target, or the target
    cannot be reached), else 0.

    Settings as in `VerdictReward`; a search cut short has tpr < 1. Source: a slower teacher that searches, in
    He et al. 2026's generation-verification asymmetry; Countdown.
    """

    card = RewardCard(
        name="exhaustive-teacher",
        title="exhaustive teacher",
        branch="external: asymmetry",
        known_as=("search teacher",),
        unified=None,
        formula="1[confirmed by search]",
        unit="reward",
        sign="0..1; higher is better verified",
        limit="the correct answers that the initial policy can reach, in their initial proportions (KL-prox)",
        failure_mode="cost grows exponentially with the question; a search cut short refuses right answers",
        needs=("answers", "verdicts"),
        source="He et al. 2026, generation-verification asymmetry; theorem X1 with J = 1",
        verifier="teacher",
    )


@register_reward
@dataclass(frozen=True)
class JudgeReward(VerdictReward):
    """The verdict of another, larger or slower model, 0..1; "no answer" earns 0.

    `model`: the judge, a folder or the name of a built-in model; training needs it, theory does not. The
    other settings as in `VerdictReward`; the rates tpr = 0.9 and fpr = 0.1 are placeholders, to be measured
    for the judge at hand.
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
        limit=(
            "the correct answers, in their initial proportions (KL-prox), where tpr > fpr; the wrong ones"
            " where tpr < fpr"
        ),
        failure_mode="answers written for the judge: its false positives are found and repeated",
        needs=("answers", "verdicts"),
        source="Zheng et al. 2023; theorem X1",
        verifier="judge",
    )


@register_reward
@dataclass(frozen=True)
class SelfVerificationReward(VerdictReward):
    """The model's own yes (1) or no (0) to "is this answer right?"; "no answer" earns 0.

    Settings as in `VerdictReward`. The rates tpr = 0.8 and fpr = 0.3 are placeholders, to be measured; they
    move while the model trains, which this model of it leaves out. Source: He et al. 2026 (Countdown): reward
    accuracy dips where the policy exploits the verifier, then recovers; base models are not robust to the
    verification prompt.
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
        limit=(
            "the correct answers, in their initial proportions (KL-prox), where tpr > fpr; the wrong ones"
            " where tpr < fpr"
        ),
        failure_mode="the policy exploits its verifier: reward accuracy dips; base models misread the prompt",
        needs=("answers", "verdicts"),
        source="He et al. 2026, self-verification on Countdown; theorem X1",
        verifier="self-verification",
    )
