"""What every update is: a direction in logit space, and a step size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Shaped

from sharpening.arrays import array_module, quiet
from sharpening.errors import InputError
from sharpening.logspace import normalised
from sharpening.updates.policy import Policy


@runtime_checkable
class Update(Protocol):
    """An update rule; registered as a JAX pytree it can change its step size without compiling again. Shapes:
    log_probs, rewards (prompts, answers); answers, group rewards (prompts, rollouts).
    """

    name: str

    @property
    def step_size(self) -> float:
        """What multiplies the direction in one step: learning_rate, or 1/beta."""

    def direction(
        self,
        log_probs: Shaped[Any, "*batch answers"],
        rewards: Shaped[Any, "*batch answers"],
        reference: Shaped[Any, "*batch answers"] | None = None,
    ) -> Shaped[Any, "*batch answers"]:
        """dz/dt of the exact flow, (prompts, answers); `reference`: log-probabilities of the initial policy,
        for updates that need it.
        """

    def group_direction(
        self,
        log_probs: Shaped[Any, "prompts answers"],
        answers: Shaped[Any, "prompts rollouts"],
        rewards: Shaped[Any, "prompts rollouts"],
        reference: Shaped[Any, "prompts answers"] | None = None,
    ) -> Shaped[Any, "prompts answers"]:
        """The same from sampled answers and their rewards."""


class ExactStep:
    """Mixin: one exact step, and the directions at log-probabilities from those at a `Policy`."""

    if TYPE_CHECKING:  # what the class that mixes this in brings along
        name: str

        @property
        def step_size(self) -> float: ...

    def policy_direction(
        self,
        policy: Policy,
        rewards: Shaped[Any, "*batch answers"],
        reference: Shaped[Any, "*batch answers"] | None = None,
    ) -> Shaped[Any, "*batch answers"]:
        """dz/dt of the exact flow, (..., answers), from a policy with its probabilities."""
        raise NotImplementedError

    def direction(
        self,
        log_probs: Shaped[Any, "*batch answers"],
        rewards: Shaped[Any, "*batch answers"],
        reference: Shaped[Any, "*batch answers"] | None = None,
    ) -> Shaped[Any, "*batch answers"]:
        """dz/dt of the exact flow, (..., answers), nats per unit of step size; log_probs, rewards, reference
        the same shape.
        """
        with quiet():
            return self.policy_direction(Policy.of(log_probs), rewards, reference)

    def policy_group_direction(
        self,
        policy: Policy,
        answers: Shaped[Any, "prompts rollouts"],
        rewards: Shaped[Any, "prompts rollouts"],
        reference: Shaped[Any, "prompts answers"] | None = None,
    ) -> Shaped[Any, "prompts answers"]:
        """The same from sampled answers and their rewards, (prompts, rollouts) -> (prompts, answers)."""
        raise NotImplementedError

    def group_direction(
        self,
        log_probs: Shaped[Any, "prompts answers"],
        answers: Shaped[Any, "prompts rollouts"],
        rewards: Shaped[Any, "prompts rollouts"],
        reference: Shaped[Any, "prompts answers"] | None = None,
    ) -> Shaped[Any, "prompts answers"]:
        """The direction from sampled answers (prompts, rollouts) int and their rewards, (prompts,
        answers).
        """
        with quiet():
            return self.policy_group_direction(Policy.of(log_probs), answers, rewards, reference)

    def step(
        self,
        log_probs: Shaped[Any, "*batch answers"],
        rewards: Shaped[Any, "*batch answers"],
        reference: Shaped[Any, "*batch answers"] | None = None,
    ) -> Shaped[Any, "*batch answers"]:
        """Policy after one step: log_softmax(log_probs + step_size * direction), (prompts, answers), nats."""
        xp = array_module(log_probs, rewards)
        log_probs = xp.asarray(log_probs)
        logits = log_probs + self.step_size * self.direction(log_probs, xp.asarray(rewards), reference)
        if array_module(logits) is np:
            with quiet():
                return normalised(logits)
        return jax.nn.log_softmax(logits, axis=-1)


def check_positive(name: str, value: object) -> None:
    """InputError unless `value` is a positive finite number; traced values pass."""
    if isinstance(value, str) or value is None:
        raise InputError(name, value, "it must be a finite number > 0")
    if isinstance(value, (int, float)) and not (math.isfinite(value) and value > 0):
        raise InputError(name, value, "it must be a finite number > 0")


def check_scale(scale: str) -> None:
    """InputError unless `scale` is known."""
    if scale not in ("group", "none"):
        raise InputError(
            "scale", scale, 'advantages are divided by the standard deviation of the "group" or by "none"'
        )
