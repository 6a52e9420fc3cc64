"""KL-prox (mirror ascent): the policy that maximises E[r] - beta KL(pi || reference)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Shaped

from sharpening.arrays import array_module
from sharpening.errors import InputError
from sharpening.updates.advantages import group_advantages, relative_rewards, tabular_direction
from sharpening.updates.base import ExactStep, check_positive
from sharpening.updates.policy import Policy


@dataclass(frozen=True)
class KLProx(ExactStep):
    """pi_{k+1}(a) proportional to pi_ref(a) exp(r(a) / beta).

    `reference` = "previous" takes pi_ref = pi_k (theorem S1; He et al. 2026, Theorem 1: the logit of the
    majority answer grows by 1/beta a step, without end). `reference` = "initial" keeps pi_ref = pi_0 for ever
    (theorem S2: it stops 1/beta above the prior). `beta`: reward per nat, > 0; large beta = small steps.
    Raises: InputError for a bad beta or reference.
    """

    beta: float = 1.0
    reference: str = "previous"
    name = "kl_prox"

    def __post_init__(self):
        check_positive("beta", self.beta)
        if self.reference not in ("previous", "initial"):
            raise InputError(
                "reference", self.reference, 'the KL term is towards the "previous" or the "initial" policy'
            )

    @property
    def step_size(self) -> float:
        """1 / beta, nats per reward."""
        return 1.0 / self.beta

    def _pull(self, log_probs: jax.Array, reference: jax.Array | None) -> jax.Array | float:
        if self.reference == "previous":
            return 0.0
        if reference is None:
            raise InputError(
                "reference", None, "KLProx towards the initial policy needs its log-probabilities"
            )
        xp = array_module(log_probs, reference)
        return self.beta * xp.where(log_probs > -np.inf, reference - log_probs, 0.0)

    def policy_direction(
        self,
        policy: Policy,
        rewards: Shaped[Any, "*batch answers"],
        reference: Shaped[Any, "*batch answers"] | None = None,
    ) -> Shaped[Any, "*batch answers"]:
        """r - max r (a constant per prompt does not move a policy); with an initial reference also beta (log
        pi_0 - log pi).
        """
        return relative_rewards(policy.log_probs, rewards, policy.full) + self._pull(
            policy.log_probs, reference
        )

    def policy_group_direction(
        self,
        policy: Policy,
        answers: Shaped[Any, "prompts rollouts"],
        rewards: Shaped[Any, "prompts rollouts"],
        reference: Shaped[Any, "prompts answers"] | None = None,
    ) -> Shaped[Any, "prompts answers"]:
        """Mean advantage of the rollouts that gave each answer; an answer that nobody gave keeps its
        logit.
        """
        moved = tabular_direction(policy.log_probs.shape[-1], answers, group_advantages(rewards))
        return moved + self._pull(policy.log_probs, reference)


jax.tree_util.register_dataclass(KLProx, data_fields=["beta"], meta_fields=["reference"])
