"""GRPO: softmax policy gradient with advantages divided by the group's standard deviation.

Departures from TRL: no clipping (each group is used once, on policy), no KL term, one advantage per answer
instead of per token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
from jaxtyping import Shaped

from sharpening.updates.advantages import (
    divide_by_std,
    group_advantages,
    policy_advantages,
    policy_std,
    score_direction,
)
from sharpening.updates.base import ExactStep, check_positive, check_scale
from sharpening.updates.policy import Policy


@dataclass(frozen=True)
class GRPO(ExactStep):
    """Delta z = learning_rate * mean_i A_i (onehot(a_i) - pi), A_i = (r_i - mean r) / (std r + eps).

    Groups use the sample standard deviation (ddof = 1), as TRL does; the exact form uses the policy's own.
    scale = "none" leaves the advantage unscaled ("Dr. GRPO") and is SoftmaxGradient. A lone dissenter among G
    rollouts gets A = -(G-1)/sqrt(G) however rare it is (theory: F3). Two answers, majority reward, eps = 0,
    continuous time: p' = 2 (p(1-p))^{3/2}, so 1 - p ~ 1/t^2 (theory: S6).
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

    def policy_direction(
        self,
        policy: Policy,
        rewards: Shaped[Any, "*batch answers"],
        reference: Shaped[Any, "*batch answers"] | None = None,
    ) -> Shaped[Any, "*batch answers"]:
        """pi_a A_a with the population standard deviation: the limit of `group_direction` for infinitely many
        rollouts.
        """
        advantages = policy_advantages(policy, rewards)
        if self.scale == "group":
            advantages = divide_by_std(advantages, policy_std(policy, advantages), self.eps)
        return policy.probs * advantages

    def policy_group_direction(
        self,
        policy: Policy,
        answers: Shaped[Any, "prompts rollouts"],
        rewards: Shaped[Any, "prompts rollouts"],
        reference: Shaped[Any, "prompts answers"] | None = None,
    ) -> Shaped[Any, "prompts answers"]:
        """mean_i A_i (onehot(a_i) - pi); (prompts, rollouts) -> (prompts, answers)."""
        return score_direction(policy.probs, answers, group_advantages(rewards, self.scale, self.eps))


jax.tree_util.register_dataclass(GRPO, data_fields=["learning_rate"], meta_fields=["scale", "eps"])
