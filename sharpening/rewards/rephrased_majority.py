"""Majority across rephrasings: one vote for all ways to ask a question."""

from __future__ import annotations

from dataclasses import dataclass

from sharpening.metrics import NO_ANSWER, as_arrays, majority_share
from sharpening.rewards.base import Reward, RewardCard, UnifiedForm
from sharpening.rewards.majority import MajorityReward
from sharpening.rewards.registry import register_reward

_ALONE = MajorityReward()


@register_reward
@dataclass(frozen=True)
class RephrasedMajorityReward(Reward):
    """1/m for each of the m leading answers of the vote over all rows with the same question id, 0 for the
    others and no answer.

    `cross`: only the *other* rephrasings vote, as in Co-Reward, where each question is graded by its
    paraphrase; a row without rephrasings then earns nothing. Default: all of them vote, the row itself
    included. Rephrasings have equal weight and equal numbers of rollouts. Without `questions` every row is a
    question of its own, and (unless cross) this is the majority vote. How we depart from Co-Reward: ties
    shared; any number of rephrasings. Source: Co-Reward (Zhang et al. 2025); He et al. 2026.
    """

    cross: bool = False
    card = RewardCard(
        name="rephrased-majority",
        title="majority across rephrasings",
        branch="intrinsic: ensemble",
        known_as=("Co-Reward", "Co-rewarding"),
        unified=UnifiedForm(
            "answer, one-hot", "uniform over the leading answers of all rephrasings", "answer", -1, "exp"
        ),
        formula="1[a leads the vote over rephrasings] / leaders",
        unit="probability",
        sign="0..1; higher agrees with the vote",
        limit="the heaviest answer of the rephrasings' mean policy, which need not be the mode of each",
        failure_mode="gradual degradation, later: rephrasings must agree on a wrong answer first",
        needs=("answers", "questions"),
        source="Co-Reward (Zhang et al. 2025); He et al. 2026",
    )

    def exact(self, log_probs, correct=None, *, no_answer: int | None = None, questions=None, **_):
        """r (prompts, answers) under infinitely many rollouts of every rephrasing."""
        if questions is None and not self.cross:
            return _ALONE.exact(log_probs, no_answer=no_answer)
        xp, log_probs, questions = as_arrays(log_probs, questions)
        mass = xp.matmul(
            xp.astype(self._voters(xp, questions, log_probs), log_probs.dtype), xp.exp(log_probs)
        )
        if no_answer is not None:
            mass = xp.where(
                xp.arange(mass.shape[1])[None, :] == no_answer % mass.shape[1], xp.zeros_like(mass), mass
            )
        # masses are sums, rounded in some order: what differs by less is tied
        slack = 64 * xp.finfo(mass.dtype).eps
        leads = (mass >= xp.max(mass, axis=1)[:, None] * (1 - slack)) & (mass > 0)
        return xp.astype(majority_share(leads, xp.sum(xp.astype(leads, xp.int32), axis=1)), log_probs.dtype)

    def group(self, answers, is_correct=None, *, questions=None, **_):
        """r (prompts, rollouts). Raises: InputError below 2 rollouts."""
        alone = _ALONE.group(answers)
        if questions is None and not self.cross:
            return alone
        xp, answers, questions = as_arrays(answers, questions)
        answered = answers != NO_ANSWER
        voters = self._voters(xp, questions, answers)
        same = (answers[:, :, None, None] == answers[None, None, :, :]) & answered[:, :, None, None]
        support = xp.sum(xp.astype(same, alone.dtype), axis=3)  # (row, rollout, voting row)
        flat = xp.permute_dims(xp.reshape(support, (-1, answers.shape[0])), (1, 0))
        votes = xp.matmul(xp.astype(voters, alone.dtype), flat)  # (electorate of a row, row and rollout)
        votes = xp.reshape(votes, (-1, *answers.shape)) * xp.astype(voters, alone.dtype)[:, :, None]
        top = xp.max(xp.reshape(votes, (answers.shape[0], -1)), axis=1)
        at_top = xp.astype((votes == top[:, None, None]) & (votes > 0), alone.dtype)
        leaders = xp.sum(xp.reshape(at_top, (answers.shape[0], -1)), axis=1) / xp.where(
            top > 0, top, xp.ones_like(top)
        )
        own = xp.sum(xp.where(voters[:, None, :], support, xp.zeros_like(support)), axis=2)
        wins = (own == top[:, None]) & (own > 0)
        return xp.where(
            wins, 1 / xp.where(leaders > 0, leaders, xp.ones_like(leaders))[:, None], xp.zeros_like(own)
        )

    def _voters(self, xp, questions, like):
        """(prompts, prompts) bool: whose rollouts vote on each row."""
        rows = xp.arange(like.shape[0])
        questions = rows if questions is None else questions
        voters = questions[:, None] == questions[None, :]
        return voters & (rows[:, None] != rows[None, :]) if self.cross else voters
