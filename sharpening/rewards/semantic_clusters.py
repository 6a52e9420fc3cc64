"""Semantic-cluster voting: reward an answer by the share of the group that means the same."""

from __future__ import annotations

from dataclasses import dataclass

from sharpening.metrics import NO_ANSWER, as_arrays, vote
from sharpening.rewards.base import Reward, RewardCard, UnifiedForm
from sharpening.rewards.registry import register_reward


@register_reward
@dataclass(frozen=True)
class SemanticClustersReward(Reward):
    """r = share of the group's rollouts whose answer lies in the same meaning-cluster, in 0..1; "no answer"
    earns 0 and supports none.

    A soft vote: second clusters earn too. Clusters come as ids, from any equivalence or similarity function;
    without `clusters` every answer is its own. `of_answer`: the cluster of answer 0, 1, ..., for policies
    over known answers, used where no `clusters` signal is given. How we depart from EMPO: no filter on the
    group's entropy. Source: EMPO (Zhang et al. 2025); theorem S8.
    """

    of_answer: tuple[int, ...] = ()
    card = RewardCard(
        name="semantic-clusters",
        title="semantic-cluster voting",
        branch="intrinsic: ensemble",
        known_as=("EMPO",),
        unified=UnifiedForm("cluster, one-hot", "cluster frequencies of the group", "cluster", -1, "exp"),
        formula="share of rollouts in the cluster of a",
        unit="probability",
        sign="0..1; higher agrees with the group",
        limit=(
            "the heaviest cluster, its answers in their initial proportions (KL-prox); it need not hold the"
            " mode"
        ),
        failure_mode="gradual degradation; many weak paraphrases of one mistake outweigh the mode",
        needs=("answers", "clusters"),
        source="EMPO (Zhang et al. 2025); theorem S8",
    )

    def exact(self, log_probs, correct=None, *, no_answer: int | None = None, clusters=None, **_):
        """r (prompts, answers) = pi(cluster of a); clusters (answers,) or (prompts, answers)."""
        xp, log_probs, clusters = as_arrays(
            log_probs, clusters if clusters is not None else self.of_answer or None
        )
        probs = xp.exp(log_probs)
        if no_answer is not None:
            silent = xp.arange(probs.shape[1])[None, :] == no_answer % probs.shape[1]
            probs = xp.where(silent, xp.zeros_like(probs), probs)
        if clusters is None:
            return probs
        clusters = clusters[None, :] if clusters.ndim == 1 else clusters
        same = xp.astype(clusters[:, :, None] == clusters[:, None, :], probs.dtype)
        mass = xp.sum(probs[:, None, :] * same, axis=2)
        return mass if no_answer is None else xp.where(silent, xp.zeros_like(mass), mass)

    def group(self, answers, is_correct=None, *, clusters=None, **_):
        """r (prompts, rollouts). Raises: InputError below 2 rollouts."""
        xp, answers, clusters = as_arrays(answers, clusters)
        answered = answers != NO_ANSWER
        if clusters is None and self.of_answer:
            _, _, known = as_arrays(answers, self.of_answer)
            clusters = xp.where(answered, known[xp.where(answered, answers, xp.zeros_like(answers))], answers)
        meanings = (
            answers if clusters is None else xp.where(answered, clusters, xp.full_like(clusters, NO_ANSWER))
        )
        counts = vote(meanings).counts
        return xp.astype(counts, xp.asarray(0.0).dtype) / answers.shape[1]
