"""Several updates on one batch of rollouts, with importance ratios and TRL's clipping.

Departure from TRL: an answer is one token here, so token and sequence ratios are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Shaped

from sharpening.arrays import array_module
from sharpening.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ReusedBatch:
    """Settings of an update that sees each batch of rollouts `num_iterations` times, under TRL's names.

    Rollouts are drawn, and rewards and advantages A computed, by the policy pi_old at the first update on a batch;
    every later one follows the gradient of min(rho A, clip(rho, 1 - epsilon, 1 + epsilon_high) A), rho =
    pi/pi_old: rho A grad log pi, and nothing where A > 0 and rho > 1 + epsilon_high, or A < 0 and rho < 1 - epsilon.
    `epsilon_high` None: the same as `epsilon`. With num_iterations = 1, the default, rho is 1 and nothing is ever
    clipped. Raises: InputError for a number of updates below 1, or a clip that is no number >= 0 (epsilon at most 1).
    """

    num_iterations: int = 1
    epsilon: float = 0.2
    epsilon_high: float | None = None

    def _check_reuse(self) -> None:
        count = self.num_iterations
        if not isinstance(count, (int, np.integer)) or isinstance(count, bool) or count < 1:
            rule = "a batch serves a whole number of updates >= 1"
            raise InputError("num_iterations", count, rule, "Use 1 for fresh rollouts in every update")
        for name, most in (("epsilon", 1.0), ("epsilon_high", np.inf)):
            value = getattr(self, name)
            if isinstance(value, str) or (isinstance(value, (int, float)) and not 0 <= value <= most):
                raise InputError(name, value, f"a ratio is clipped {_SIDES[name]}, a number >= 0")

    def reused_weights(
        self, ratios: Shaped[Any, "*batch terms"], advantages: Shaped[Any, "*batch terms"]
    ) -> Shaped[Any, "*batch terms"]:
        """What multiplies grad log pi of each term, rho A or 0 where it is clipped: the shape of both."""
        xp = array_module(ratios, advantages)
        high = self.epsilon if self.epsilon_high is None else self.epsilon_high
        kept = xp.where(advantages > 0, ratios <= 1 + high, ratios >= 1 - self.epsilon)
        return xp.where(kept, ratios * advantages, 0.0)


_SIDES = {"epsilon": "at 1 - epsilon, epsilon at most 1", "epsilon_high": "at 1 + epsilon_high"}


def check_fresh_rollouts(update: object, where: str) -> None:
    """InputError if the update uses a batch more than once, which `where` has no place for."""
    count = getattr(update, "num_iterations", 1)
    if count != 1:
        rule = f"{where} sees fresh rollouts in every update"
        raise InputError(
            "num_iterations", count, rule, "Leave num_iterations out, or use sharpening.simulate"
        )
