"""GRPO: softmax policy gradient with advantages divided by the group's standard deviation.

Departures from TRL: no clipping (each group is used once, on policy), one advantage and one KL term per answer instead
of per token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jaxtyping import Shaped

from sharpening.updates.advantages import (
    divide_by_std,
    group_advantages,
    policy_advantages,
    policy_std,
    score_direction,
)
from sharpening.updates.base import check_positive, check_scale
from sharpening.updates.kl_term import ScoreKLTerm
from sharpening.updates.policy import Policy
from sharpening.updates.pytree import register_update


@register_update("learning_rate", "beta", "ref_model_mixup_alpha", "ref_model_sync_steps")
@dataclass(frozen=True)
class GRPO(ScoreKLTerm):
    """Delta z = learning_rate * (mean_i A_i (onehot(a_i) - pi) - beta grad KL(pi || pi_ref)), A_i = (r_i - mean r) /
    (std r + eps).

    Groups use the sample standard deviation (ddof = 1), as TRL does; the exact form uses the policy's own.
    scale = "none" leaves the advantage unscaled ("Dr. GRPO") and is SoftmaxGradient. A lone dissenter among G
    rollouts gets A = -(G-1)/sqrt(G) however rare it is (theorem F3). Two answers, majority reward, eps = 0,
    continuous time: p' = 2 (p(1-p))^{3/2}, so 1 - p ~ 1/t^2 (theorem S6).

    `beta` > 0 pulls towards a reference, the initial policy unless `sync_ref_model`: see `KLTerm` and `ScoreKLTerm`.
    With scale = "group" the pull is beta (std + eps) per unit of reward, so rest is at the policy that solves
    pi = pi_ref e^(r / (beta (std_pi r + eps))), normalised.
    """

    learning_rate: float = 1.0
    scale: str = "group"
    eps: float = 1e-4
    name = "grpo"

    def __post_init__(self):
        check_positive("learning_rate", self.learning_rate)
        check_scale(self.scale)
        self._check_kl()

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
        """pi_a A_a with the population standard deviation, less beta grad KL: the limit of `group_direction` for
        infinitely many rollouts.
        """
        advantages = policy_advantages(policy, rewards)
        if self.scale == "group":
            advantages = divide_by_std(advantages, policy_std(policy, advantages), self.eps)
        return self._minus_kl(policy.probs * advantages, policy, reference)

    def policy_group_direction(
        self,
        policy: Policy,
        answers: Shaped[Any, "prompts rollouts"],
        rewards: Shaped[Any, "prompts rollouts"],
        reference: Shaped[Any, "prompts answers"] | None = None,
    ) -> Shaped[Any, "prompts answers"]:
        """mean_i (A_i - beta k_i) (onehot(a_i) - pi), k_i the estimator of the KL term; (prompts, rollouts) ->
        (prompts, answers).
        """
        advantages = group_advantages(rewards, self.scale, self.eps)
        return score_direction(
            policy.probs, answers, self._minus_sampled_kl(advantages, policy, answers, reference)
        )
