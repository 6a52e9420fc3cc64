"""The exact verifier: the reward that true labels, or a perfect checker, would give."""

from sharpening.metrics import NO_ANSWER, as_arrays
from sharpening.rewards.base import Reward, RewardCard
from sharpening.rewards.registry import register_reward
from sharpening.rewards.verdicts import silence


@register_reward
class TrueReward(Reward):
    """1 for a correct answer, 0 for a wrong or missing one.

    Source: ground-truth RLVR, the oracle of He et al. 2026; a perfect verifier, J = 1, in theorem X1.
    """

    card = RewardCard(
        name="true",
        title="exact verifier",
        branch="external: asymmetry",
        known_as=("ground truth", "RLVR", "oracle verifier"),
        unified=None,
        formula="1[correct]",
        unit="reward",
        sign="0..1; higher is correct",
        limit="the correct answers that the initial policy can reach, in their initial proportions (KL-prox)",
        failure_mode="none of the intrinsic kind; learns nothing on prompts whose rollouts are all wrong",
        needs=("answers", "labels"),
        source="He et al. 2026, ground-truth baseline; theorem X1 with J = 1",
    )

    def exact(self, log_probs, correct=None, *, no_answer: int | None = None, **_):
        """r (prompts, answers) = 1[correct], in the dtype of log_probs. Raises: InputError without
        `correct`.
        """
        self._need("correct", correct)
        xp, log_probs, correct = as_arrays(log_probs, correct)
        return silence(xp, xp.astype(xp.astype(correct, xp.bool), log_probs.dtype), no_answer)

    def group(self, answers, is_correct=None, **_):
        """r (prompts, rollouts) = 1[correct and answered]. Raises: InputError without `is_correct`."""
        self._need("is_correct", is_correct)
        xp, answers, is_correct = as_arrays(answers, is_correct)
        right = xp.astype(is_correct, xp.bool) & (answers != NO_ANSWER)
        return xp.astype(right, xp.asarray(0.0).dtype)
