"""What one simulation of a tree is made of: what is fixed at compile time, the arrays, and the state that
moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax

from sharpening.trees.shape import TreeShape


@dataclass(frozen=True)
class TreePlan:
    """Settings that shape the compiled loop. `trained`: prompts whose private part is kept (0: every visited
    prompt is fresh);
    `num_columns`: answer columns, the `no_answer` one included; `keeps_previous`: the reward reads the policy
    before the last update.

    `update`: an update rule that is no JAX pytree, compiled in; None where it is passed as an argument. `watch`: report rewards
    that are not finite.
    """

    shape: TreeShape
    reward: Any
    method: str
    trained: int
    prompts_per_step: int
    rollouts: int
    num_columns: int
    no_answer: int | None
    keeps_previous: bool
    update: Any = None
    rephrasings: int = 1
    watch: bool = False


class TreeArrays(NamedTuple):
    """log_probs (prompts, nodes, vocab), correct (prompts, columns) bool or None, weights (prompts,), answer
    columns (leaves,) int, ties (nodes, vocab) int or None: the whole population, trained prompts first.
    """

    log_probs: jax.Array
    correct: jax.Array | None
    weights: jax.Array
    columns: jax.Array
    ties: jax.Array | None


class TreeState(NamedTuple):
    """private v (trained, parameters) and shared u (parameters,), nats, and the same before the last update
    (or None).
    """

    private: jax.Array
    shared: jax.Array
    previous: tuple[jax.Array, jax.Array] | None


class Policies(NamedTuple):
    """Node policies of some prompts, now, at first, and one update ago (or None), (prompts, nodes, vocab),
    nats; `correct` (prompts, columns) bool or None; `weights` (prompts,), their shares in the step.
    """

    log_probs: jax.Array
    initial: jax.Array
    previous: jax.Array | None
    correct: jax.Array | None
    weights: jax.Array
