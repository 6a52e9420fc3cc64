"""What the rewards that read nothing but token statistics have in common."""

from __future__ import annotations

from sharpening.metrics import as_arrays
from sharpening.rewards.base import Reward
from sharpening.rewards.tokens import TokenStatistics


class TokenReward(Reward):
    """A reward that sees tokens, not answers: a completion without an answer is scored like any other.

    A subclass gives `of_tokens`; on a flat categorical policy every answer is a completion of one token.
    """

    def of_tokens(self, tokens: TokenStatistics):
        """Rewards (prompts, rollouts) from the statistics of every completion."""
        raise NotImplementedError

    def exact(self, log_probs, correct=None, *, no_answer: int | None = None, **_):
        """r (prompts, answers): every answer as a completion of one token."""
        xp, log_probs = as_arrays(log_probs)
        columns = xp.broadcast_to(xp.arange(log_probs.shape[1])[None, :], log_probs.shape)
        return self.of_tokens(TokenStatistics.of_categorical(log_probs, columns))

    def group(self, answers=None, is_correct=None, *, tokens=None, **_):
        """r (prompts, rollouts) from the token statistics. Raises: InputError without `tokens`."""
        self._need("tokens", tokens)
        return self.of_tokens(tokens)
