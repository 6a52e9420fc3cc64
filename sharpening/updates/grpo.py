"""GRPO: softmax policy gradient with advantages divided by the group's standard deviation.

Departure from TRL: one advantage, one ratio and one KL term per answer instead of per token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jaxtyping import Shaped

from sharpening.arrays import array_module
from sharpening.updates.advantages import (
    divide_by_std,
    group_advantages,
    policy_advantages,
    policy_std,
    score_direction,
)
from sharpening.updates.base import check_positive, check_scale
from sharpening.updates.kl_term import ScoreKLTerm
from sharpening.updates.policy import Policy, row_sum
from sharpening.updates.pytree import register_update
from sharpening.updates.reuse import ReusedBatch


@register_update(
    "learning_rate", "beta", "ref_model_mixup_alpha", "ref_model_sync_steps", "epsilon", "epsilon_high"
)
@dataclass(frozen=True)
class GRPO(ReusedBatch, ScoreKLTerm):
    """Delta z = learning_rate * (mean_i A_i (onehot(a_i) - pi) - beta grad KL(pi || pi_ref)), A_i = (r_i - mean r) /
    (std r + eps).

    Groups use the sample standard deviation (ddof = 1), as TRL does; the exact form uses the policy's own.
    scale = "none" leaves the advantage unscaled ("Dr. GRPO") and is SoftmaxGradient. A lone dissenter among G
    rollouts gets A = -(G-1)/sqrt(G) however rare it is (theorem F3). Two answers, majority reward, eps = 0,
    continuous time: p' = 2 (p(1-p))^{3/2}, so 1 - p ~ 1/t^2 (theorem S6).

    `beta` > 0 pulls towards a reference, the initial policy unless `sync_ref_model`: see `KLTerm` and `ScoreKLTerm`.
    With scale = "group" the pull is beta (std + eps) per unit of reward, so rest is at the policy that solves
    pi = pi_ref e^(r / (beta (std_pi r + eps))), normalised. Where the vote is already sure enough there is none, and KL only
    delays (theorem S19).

    `num_iterations` > 1 takes several updates on one batch, clipped by `epsilon` and `epsilon_high`: see `ReusedBatch`.
    """

    learning_rate: float = 1.0
    scale: str = "group"
    eps: float = 1e-4
    name = "grpo"

    def __post_init__(self):
        check_positive("learning_rate", self.learning_rate)
        check_scale(self.scale)
        self._check_kl()
        self._check_reuse()

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
        return self._minus_kl(policy.probs * self._exact_advantages(policy, rewards), policy, reference)

    def _exact_advantages(self, policy: Policy, rewards):
        advantages = policy_advantages(policy, rewards)
        if self.scale == "group":
            advantages = divide_by_std(advantages, policy_std(policy, advantages), self.eps)
        return advantages

    def reused_direction(
        self,
        policy: Policy,
        old: Policy,
        rewards: Shaped[Any, "*batch answers"],
        reference: Shaped[Any, "*batch answers"] | None = None,
    ) -> Shaped[Any, "*batch answers"]:
        """As `policy_direction`, `old` being the policy that the rewards and advantages are of: the expectation over
        its rollouts, sum_b pi_old_b w_b (onehot(b) - pi), w of `reused_weights`.
        """
        xp = array_module(policy.log_probs, old.log_probs)
        ratios = xp.exp(xp.where(old.log_probs > -xp.inf, policy.log_probs - old.log_probs, 0.0))
        pulls = old.probs * self.reused_weights(ratios, self._exact_advantages(old, rewards))
        pulls = pulls - policy.probs * row_sum(pulls)
        return self._minus_kl(pulls, policy, reference, old)

    def reused_group_direction(
        self,
        policy: Policy,
        old: Policy,
        answers: Shaped[Any, "prompts rollouts"],
        rewards: Shaped[Any, "prompts rollouts"],
        reference: Shaped[Any, "prompts answers"] | None = None,
    ) -> Shaped[Any, "prompts answers"]:
        """As `policy_group_direction`, for rollouts that `old` gave."""
        xp = array_module(policy.log_probs, old.log_probs)
        gap = xp.take_along_axis(policy.log_probs, answers, axis=-1)
        ratios = xp.exp(gap - xp.take_along_axis(old.log_probs, answers, axis=-1))
        weights = self.reused_weights(ratios, group_advantages(rewards, self.scale, self.eps))
        return score_direction(
            policy.probs, answers, self._minus_sampled_kl(weights, policy, answers, reference, ratios)
        )

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
