"""GRPO: softmax policy gradient with advantages divided by the group's standard deviation.

Departures from TRL: no clipping (each group is used once, on policy), no KL term, one advantage per answer instead of per token.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from sharpening.updates.advantages import divide_by_std, exact_advantages, exact_std, group_advantages, score_direction
from sharpening.updates.base import ExactStep, check_positive, check_scale


@dataclass(frozen=True)
class GRPO(ExactStep):
    """Delta z = learning_rate * mean_i A_i (onehot(a_i) - pi), A_i = (r_i - mean r) / (std r + eps).

    Groups use the sample standard deviation (ddof = 1), as TRL does; the exact form uses the policy's own. scale = "none" leaves
    the advantage unscaled ("Dr. GRPO") and is SoftmaxGradient. A lone dissenter among G rollouts gets A = -(G-1)/sqrt(G) however
    rare it is (theory: F3). Two answers, majority reward, eps = 0, continuous time: p' = 2 (p(1-p))^{3/2}, so 1 - p ~ 1/t^2
    (theory: S6).
    """

    learning_rate: float = 1.0
    scale: str = "group"
    eps: float = 1e-4
    name = "grpo"

    def __post_init__(self):
        check_positive("learning_rate", self.learning_rate)
        check_scale(self.scale)

    @property
    def step_size(self) -> float:
        """learning_rate."""
        return self.learning_rate

    def direction(self, log_probs: jax.Array, rewards: jax.Array, reference: jax.Array | None = None) -> jax.Array:
        """pi_a A_a with the population standard deviation: the limit of `group_direction` for infinitely many rollouts."""
        advantages = exact_advantages(log_probs, rewards)
        if self.scale == "group":
            advantages = divide_by_std(advantages, exact_std(log_probs, advantages), self.eps)
        return jnp.exp(log_probs) * advantages

    def group_direction(
        self, log_probs: jax.Array, answers: jax.Array, rewards: jax.Array, reference: jax.Array | None = None
    ) -> jax.Array:
        """mean_i A_i (onehot(a_i) - pi); (prompts, rollouts) -> (prompts, answers)."""
        return score_direction(log_probs, answers, group_advantages(rewards, self.scale, self.eps))


jax.tree_util.register_dataclass(GRPO, data_fields=["learning_rate"], meta_fields=["scale", "eps"])
