"""Noisy verifier: any verifier, seen through false acceptances and false rejections."""

from __future__ import annotations

from dataclasses import dataclass

from sharpening.metrics import NO_ANSWER, as_arrays
from sharpening.rewards.asking import exact_rewards, group_rewards
from sharpening.rewards.base import Reward, RewardCard
from sharpening.rewards.nested import needs_of
from sharpening.rewards.registry import register_reward
from sharpening.rewards.true_answers import TrueReward
from sharpening.rewards.verdicts import check_rates, silence


@register_reward
@dataclass(frozen=True)
class NoisyVerifierReward(Reward):
    """r = fpr + (tpr - fpr) v, v the reward of `verifier` in 0..1: the mean over the noise; "no answer" earns
    0.

    `tpr`, `fpr`: how often a right and a wrong answer is accepted. J = tpr - fpr, Youden's index: J > 0
    learns, J = 0 drifts, J < 0 anti-learns. Under KL-prox and policy gradient the mean is what moves the
    policy; with few rollouts the noise adds variance that this leaves out. Raises: InputError for a rate
    outside 0..1. Source: RLVeR (Rad et al. 2026); theorem X1.
    """

    tpr: float = 0.9
    fpr: float = 0.1
    verifier: Reward = TrueReward()
    card = RewardCard(
        name="noisy-verifier",
        title="noisy verifier",
        branch="external: asymmetry",
        known_as=("RLVeR", "RLVεR"),
        unified=None,
        formula="fpr + (tpr - fpr) * verifier",
        unit="reward",
        sign="0..1; higher is better verified",
        limit=(
            "the correct answers, in their initial proportions (KL-prox), where tpr > fpr; the wrong ones"
            " where tpr < fpr; else stays put"
        ),
        failure_mode="anti-learning where false positives outnumber true ones (J < 0)",
        needs=("answers", "labels"),
        source="RLVeR (Rad et al. 2026); theorem X1",
    )

    def __post_init__(self):
        check_rates(self, "tpr", "fpr")
        needs_of(self, self.verifier)

    def exact(self, log_probs, correct=None, *, no_answer: int | None = None, **signals):
        """r (prompts, answers). Raises: InputError as the verifier's."""
        verdict = exact_rewards(
            self.verifier, log_probs, correct, no_answer=no_answer, **signals, finite=False
        )
        xp, verdict = as_arrays(verdict)
        return silence(xp, self.fpr + (self.tpr - self.fpr) * verdict, no_answer)

    def group(self, answers, is_correct=None, **signals):
        """r (prompts, rollouts). Raises: InputError as the verifier's."""
        verdict = group_rewards(self.verifier, answers, is_correct, **signals, finite=False)
        xp, verdict, answers = as_arrays(verdict, answers)
        noisy = self.fpr + (self.tpr - self.fpr) * verdict
        return xp.where(answers != NO_ANSWER, noisy, xp.zeros_like(noisy))
