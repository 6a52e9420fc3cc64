"""Self-contrastive: reward a completion for standing out, in likelihood, among the model's own other
completions.
"""

from dataclasses import dataclass

from sharpening.errors import InputError
from sharpening.metrics import as_arrays
from sharpening.rewards.base import Reward, RewardCard, UnifiedForm
from sharpening.rewards.registry import register_reward


@register_reward
@dataclass(frozen=True)
class SelfContrastiveReward(Reward):
    """r_i = exp(s_i/tau) / mean_j exp(s_j/tau), s = mean log-probability per token; > 0, mean 1 over a group
    of N, at most N.

    It is N times the softmax score of InfoNCE in which a completion is the positive and the rest of its group
    the negatives. The name comes from a summary of the field without a formula; this is our definition. The
    loss itself, r = log of the above, differs from trajectory-level entropy by a constant per group, so under
    any baseline it *is* trajectory-level entropy: therefore the score. `temperature` is tau > 0, in nats per
    token. On one-token answers, tau = 1: r(a) = pi(a) / sum_b pi(b)^2.
    Raises: InputError for a temperature that is not positive. Source: van den Oord et al. 2018 (InfoNCE); own
    samples as negatives as in Self-Contrast (Liu et al. 2024).
    """

    temperature: float = 1.0
    card = RewardCard(
        name="self-contrastive",
        title="self-contrastive",
        branch="intrinsic: certainty",
        known_as=("self-contrastive loss",),
        unified=UnifiedForm(
            "completion, one-hot",
            "softmax over the group of the mean log-probability",
            "completion",
            -1,
            "N exp",
        ),
        formula="exp(s_i) / mean_j exp(s_j), s the mean log-probability per token",
        unit="ratio",
        sign="> 0; higher is more certain",
        limit="the mode; exact ties stay ties",
        failure_mode="repetition collapse, as trajectory-level entropy",
        needs=("tokens",),
        source="our definition, after InfoNCE (van den Oord et al. 2018) and Self-Contrast (Liu et al. 2024)",
    )

    def __post_init__(self):
        if not 0 < self.temperature < float("inf"):
            raise InputError("temperature", self.temperature, "it is a finite number > 0")

    def exact(self, log_probs, correct=None, *, no_answer: int | None = None, **_):
        """r (prompts, answers) = pi(a)^(1/tau) / sum_b pi(b)^(1 + 1/tau)."""
        xp, log_probs = as_arrays(log_probs)
        top = xp.max(log_probs, axis=1)[:, None]
        scores = xp.exp((log_probs - top) / self.temperature)
        return scores / xp.sum(xp.exp(log_probs) * scores, axis=1)[:, None]

    def group(self, answers=None, is_correct=None, *, tokens=None, **_):
        """r (prompts, rollouts). Raises: InputError without `tokens`."""
        self._need("tokens", tokens)
        xp, mean = as_arrays(tokens.mean(tokens.log_prob))
        scores = xp.exp((mean - xp.max(mean, axis=1)[:, None]) / self.temperature)
        return scores / xp.mean(scores, axis=1)[:, None]
