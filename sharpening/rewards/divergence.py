"""KL-regularisation as a reward: what the rewards that pull a policy towards another one have in common."""

from sharpening.metrics import as_arrays
from sharpening.rewards.base import Reward
from sharpening.rewards.tokens import IMPOSSIBLE, TokenStatistics


class DivergenceReward(Reward):
    """r = log pi_other(y) - log pi(y), the whole completion, in nats: its mean over the policy is -KL(pi ||
    other).

    A subclass names its signals: `exact_signal` of `exact` and `group_signal` of `group`. What is impossible
    under the other policy counts as IMPOSSIBLE nats.
    """

    exact_signal: str
    group_signal: str

    def exact(self, log_probs, correct=None, *, no_answer: int | None = None, **signals):
        """r (prompts, answers) = log pi_other(a) - log pi(a). Raises: InputError without the other policy."""
        other = signals.get(self.exact_signal)
        self._need(self.exact_signal, other)
        xp, log_probs, other = as_arrays(log_probs, other)
        columns = xp.broadcast_to(xp.arange(log_probs.shape[1])[None, :], log_probs.shape)
        return self._gap(other, TokenStatistics.of_categorical(log_probs, columns))

    def group(self, answers=None, is_correct=None, *, tokens=None, **signals):
        """r (prompts, rollouts) from the tokens' log-probabilities and the other policy's total. Raises:
        InputError without them.
        """
        other = signals.get(self.group_signal)
        self._need("tokens", tokens)
        self._need(self.group_signal, other)
        return self._gap(other, tokens)

    def _gap(self, other, tokens: TokenStatistics):
        xp, total, other = as_arrays(tokens.total(tokens.log_prob), other)
        return xp.where(other > -float("inf"), other, xp.full_like(other, IMPOSSIBLE)) - total
