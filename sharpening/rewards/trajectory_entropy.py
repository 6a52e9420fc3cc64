"""Trajectory-level entropy: reward a completion for being likely under the model that wrote it."""

from sharpening.metrics import as_arrays
from sharpening.rewards.base import Reward, RewardCard, UnifiedForm, register_reward


@register_reward
class TrajectoryEntropyReward(Reward):
    """Mean log-probability per token of the sampled completion, in nats, temperature 1; never positive.

    On one-token answers it is log pi(a). It sees tokens, not answers: a completion without an answer is scored like any other.
    Source: EM-RL; He et al. 2026; theory: S3.
    """

    card = RewardCard(
        name="trajectory-entropy",
        branch="intrinsic: certainty",
        known_as=("EM-RL",),
        unified=UnifiedForm(
            anchor="the sampled token, one-hot", target="next-token policy", granularity="tokens", sign=-1, psi="identity"
        ),
        limit="all mass on the mode, doubly exponentially under KL-prox; exact ties stay ties (one-token answers)",
        failure_mode="repetition collapse: completions of easily predicted tokens",
        needs=("log_probs",),
        source="EM-RL; He et al. 2026; theory S3",
    )

    def exact(self, log_probs, correct=None, *, no_answer: int | None = None):
        """r (prompts, answers) = log pi(a); an answer of probability 0 gets the least finite reward of its row."""
        xp, log_probs = as_arrays(log_probs)
        possible = log_probs > -float("inf")
        least = xp.min(xp.where(possible, log_probs, xp.zeros_like(log_probs)), axis=1)[:, None]
        return xp.where(possible, log_probs, least)

    def group(self, answers, is_correct=None, *, log_probs=None):
        """r (prompts, rollouts) = log_probs, the mean log-probability per token. Raises: InputError without `log_probs`."""
        self._need("log_probs", log_probs)
        return as_arrays(log_probs)[1]
