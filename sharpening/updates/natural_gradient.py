"""Natural gradient: the replicator flow, each answer's logit grows by its advantage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jaxtyping import Shaped

from sharpening.updates.advantages import (
    divide_by_std,
    group_advantages,
    policy_advantages,
    policy_std,
    tabular_direction,
)
from sharpening.updates.base import check_positive, check_scale
from sharpening.updates.kl_term import KLTerm, log_ratio
from sharpening.updates.policy import Policy, row_sum
from sharpening.updates.pytree import register_update


@register_update("learning_rate", "beta", "ref_model_mixup_alpha", "ref_model_sync_steps")
@dataclass(frozen=True)
class NaturalGradient(KLTerm):
    """Delta z_a = learning_rate * (r_a - mean r), divided by (std r + eps) if scale = "group".

    As a policy it equals KLProx with beta = 1/learning_rate when scale = "none". Two answers, majority
    reward, continuous time (theorem S6): logit p_t = logit p_0 + t; with scale = "group" and eps = 0, p_t =
    sin^2(t/2 + arcsin sqrt(p_0)), consensus in finite time.

    `beta` > 0 adds - beta (log pi_a/pi_ref_a - KL), the natural gradient of - beta KL(pi || pi_ref), known exactly also
    where rewards are sampled; pi_ref is the initial policy unless `sync_ref_model` (`KLTerm`). At fixed
    rewards a step leaves 1 - learning_rate beta of the way to pi_ref e^(r/beta): 1/beta is one `KLProx` step to the
    initial reference, and above 2/beta it diverges.
    """

    learning_rate: float = 1.0
    scale: str = "none"
    eps: float = 1e-4
    name = "natural_gradient"

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
        """A_a, or A_a / (std + eps) with the policy's own (population) standard deviation, less the pull."""
        advantages = policy_advantages(policy, rewards)
        if self.scale == "group":
            advantages = divide_by_std(advantages, policy_std(policy, advantages), self.eps)
        return self._pulled(advantages, policy, reference)

    def _pulled(self, direction, policy: Policy, reference):
        if not self.has_kl:
            return direction
        gap = log_ratio(policy.log_probs, reference)
        return direction - self.beta * (gap - row_sum(policy.probs * gap))

    def policy_group_direction(
        self,
        policy: Policy,
        answers: Shaped[Any, "prompts rollouts"],
        rewards: Shaped[Any, "prompts rollouts"],
        reference: Shaped[Any, "prompts answers"] | None = None,
    ) -> Shaped[Any, "prompts answers"]:
        """Mean advantage of the rollouts that gave each answer; one that nobody gave keeps its logit (sample
        std, as TRL).
        """
        moved = tabular_direction(
            policy.log_probs.shape[-1], answers, group_advantages(rewards, self.scale, self.eps)
        )
        return self._pulled(moved, policy, reference)
