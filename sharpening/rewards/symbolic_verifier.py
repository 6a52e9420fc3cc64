"""Symbolic verifier: a program checks the answer against the logical or arithmetic constraints of its question."""

from dataclasses import dataclass

from sharpening.rewards.base import RewardCard
from sharpening.rewards.registry import register_reward
from sharpening.rewards.verdicts import VerdictReward


@register_reward
@dataclass(frozen=True)
class SymbolicVerifierReward(VerdictReward):
    """1 for an answer that meets every constraint of the question, 0 for one that does not and for "no answer".

    Settings as in `VerdictReward`; a complete set of constraints makes no error (tpr = 1, fpr = 0), an incomplete one has fpr > 0.
    Source: RLSR's arithmetic Countdown check (Simonds et al. 2025); He et al. 2026, generation-verification asymmetry.
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
        source="Simonds et al. 2025 (RLSR); He et al. 2026; theory X1 with J = 1",
        verifier="symbolic",
    )
