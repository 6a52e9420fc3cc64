"""Train between evaluations, keep the evaluations only: the loop of every compiled simulation.

`blocks.py` walks the same steps in Python: there each core has a program of its own, which XLA cannot scan over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def evaluated_scan(
    train: Callable[[jax.Array, Any], Any],
    evaluate: Callable[[Any], dict[str, jax.Array]],
    state: Any,
    evaluation_steps: jax.Array,
    *,
    filled: bool = False,
) -> tuple[Any, dict[str, jax.Array]]:
    """The last state, and what `evaluate(state)` gives at the evaluations, (evaluations,) each.

    `train(step, state)`: the state after step `step`, counted from 0; `evaluation_steps` (evaluations,) int:
    how many steps lie before each evaluation, increasing from 0. `filled`: the last of them is repeated to fill the
    array; what is not evaluated again is 0 there.
    """

    def advance(state, bounds):
        state = jax.lax.fori_loop(bounds[0], bounds[1], train, state)
        if not filled:
            return state, evaluate(state)
        nothing = lambda of: jax.tree.map(  # noqa: E731
            lambda value: jnp.zeros(value.shape, value.dtype), jax.eval_shape(evaluate, of)
        )
        return state, jax.lax.cond((bounds[0] < bounds[1]) | (bounds[1] == 0), evaluate, nothing, state)

    previous = jnp.concatenate([jnp.zeros(1, evaluation_steps.dtype), evaluation_steps[:-1]])
    return jax.lax.scan(advance, state, jnp.stack([previous, evaluation_steps], axis=1))
