"""What the rewards that ask a verifier have in common."""

from __future__ import annotations

from dataclasses import dataclass

from sharpening.errors import InputError
from sharpening.metrics import NO_ANSWER, as_arrays
from sharpening.rewards.base import Reward


def check_rates(reward, *names: str) -> None:
    """InputError unless these settings of the reward lie in 0..1."""
    for name in names:
        if not 0 <= getattr(reward, name) <= 1:
            raise InputError(name, getattr(reward, name), "it is a share in 0..1")


def silence(xp, rewards, no_answer: int | None):
    """The rewards (prompts, answers) with 0 in the column of "no answer"."""
    if no_answer is None:
        return rewards
    return xp.where(
        xp.arange(rewards.shape[1])[None, :] == no_answer % rewards.shape[1], xp.zeros_like(rewards), rewards
    )


@dataclass(frozen=True)
class VerdictReward(Reward):
    """r = what the verifier says, in 0..1; "no answer" earns 0.

    `group` uses `verdicts` where they are given. Without them, and in `exact`, the verifier is modelled by
    its two rates: r = fpr + (tpr - fpr) 1[correct], the mean over its noise; `tpr`, `fpr`: how often it
    accepts a right and a wrong answer.
    Raises: InputError for a rate outside 0..1, or without verdicts and correctness. Source: theorem X1; RLVeR
    (Rad et al. 2026).
    """

    tpr: float = 1.0
    fpr: float = 0.0

    def __post_init__(self):
        check_rates(self, "tpr", "fpr")

    def exact(self, log_probs, correct=None, *, no_answer: int | None = None, **_):
        """r (prompts, answers). Raises: InputError without `correct`."""
        self._need("correct", correct)
        xp, log_probs, correct = as_arrays(log_probs, correct)
        return silence(xp, self.fpr + (self.tpr - self.fpr) * xp.astype(correct, log_probs.dtype), no_answer)

    def group(self, answers, is_correct=None, *, verdicts=None, **_):
        """r (prompts, rollouts). Raises: InputError without `verdicts` and `is_correct`."""
        if verdicts is None and is_correct is None:
            raise InputError(
                "verdicts",
                None,
                f"the reward {self.name!r} reads them",
                "Give verdicts, or is_correct to model the verifier",
            )
        xp, answers, verdicts, is_correct = as_arrays(answers, verdicts, is_correct)
        dtype = xp.asarray(0.0).dtype
        said = (
            self.fpr + (self.tpr - self.fpr) * xp.astype(is_correct, dtype)
            if verdicts is None
            else xp.astype(verdicts, dtype)
        )
        return xp.where(answers != NO_ANSWER, said, xp.zeros_like(said))
