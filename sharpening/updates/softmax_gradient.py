"""Plain policy gradient on the logits of a softmax policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jaxtyping import Shaped

from sharpening.updates.advantages import group_advantages, policy_advantages, score_direction
from sharpening.updates.base import check_positive
from sharpening.updates.kl_term import ScoreKLTerm
from sharpening.updates.policy import Policy
from sharpening.updates.pytree import register_update


@register_update("learning_rate", "beta", "ref_model_mixup_alpha", "ref_model_sync_steps")
@dataclass(frozen=True)
class SoftmaxGradient(ScoreKLTerm):
    """Delta z_a = learning_rate * pi_a (r_a - mean r), the gradient of E_pi[r] at fixed rewards; with `beta` > 0 of
    E_pi[r] - beta KL(pi || pi_ref), pi_ref the initial policy unless `sync_ref_model` (`ScoreKLTerm`).

    If r is comonotone with pi, one step of any size majorizes pi, so the mode's mass never falls (theorem
    S5). Proof: let S hold the k largest pi, and Delta be the step. If some answer outside S has r >= mean r,
    then r >= mean r on all of S and every Delta on S is at least every Delta outside. Else all Delta outside
    are <= 0, while the pi-mean of Delta over S is >= 0: pi^2 (r - mean r) >= pi* pi (r - mean r) term by
    term, pi* the mass where r crosses its mean, and the sum of pi (r - mean r) over S is >= 0; by Jensen the
    pi-mean of e^Delta over S is >= 1. Either way S gains. The same holds after division by the standard
    deviation (GRPO). Two answers, majority reward, continuous time (theorem S6): p' = 2 p^2 (1-p)^2, so 1 - p
    ~ 1/(2t).
    """

    learning_rate: float = 1.0
    name = "softmax_gradient"

    def __post_init__(self):
        check_positive("learning_rate", self.learning_rate)
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
        """pi_a A_a, less beta grad KL: sums to 0 over answers."""
        return self._minus_kl(policy.probs * policy_advantages(policy, rewards), policy, reference)

    def policy_group_direction(
        self,
        policy: Policy,
        answers: Shaped[Any, "prompts rollouts"],
        rewards: Shaped[Any, "prompts rollouts"],
        reference: Shaped[Any, "prompts answers"] | None = None,
    ) -> Shaped[Any, "prompts answers"]:
        """Mean over rollouts of (r_i - mean r)(onehot(a_i) - pi); its mean is (1 - 1/rollouts) times the
        exact one at fixed rewards.
        """
        advantages = self._minus_sampled_kl(group_advantages(rewards), policy, answers, reference)
        return score_direction(policy.probs, answers, advantages)
