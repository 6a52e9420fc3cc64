"""What one simulation is made of: the sizes fixed at compile time, the arrays, and the state that moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax

ADAM_BETA2 = 0.999


@dataclass(frozen=True)
class Plan:
    """Settings that shape the compiled loop. `trained`: prompts whose private part is kept (0: every visited
    prompt is fresh).

    `update`: an update rule that is no JAX pytree, compiled in; None where it is passed as an argument.
    `full`: every answer is possible for every prompt, so that none is masked. `rephrasings`: prompts that are
    drawn together, as wordings of one question. `watch`: report rewards that are not finite (`blame`).
    `filled`: evaluations repeat the last one where the run ends early (`sweep`).
    `iterations`: how many updates a batch serves (`ReusedBatch.num_iterations`).
    `anchored`: the policy that the update's KL term pulls towards follows the policy (`KLTerm.sync_ref_model`).
    """

    method: str
    trained: int
    prompts_per_step: int
    rollouts: int
    adam: bool
    no_answer: int | None
    reward: Any
    update: Any = None
    full: bool = False
    rephrasings: int = 1
    watch: bool = False
    anchored: bool = False
    filled: bool = False
    iterations: int = 1


class Sizes(NamedTuple):
    """Sizes that one compiled loop takes as arguments, scalars: how many of the `plan.trained` prompts are trained,
    how many of the `plan.prompts_per_step` are asked in a step. None: all of them.
    """

    trained: jax.Array | None = None
    asked: jax.Array | None = None


class Arrays(NamedTuple):
    """log_probs (prompts, answers), correct the same or None, weights (prompts,): the whole population,
    trained prompts first.

    questions (prompts,) int, or None: prompts with equal ids are rephrasings of one question. `sizes`: how many of
    them, where that is not known at compile time.
    """

    log_probs: jax.Array
    correct: jax.Array | None
    weights: jax.Array
    questions: jax.Array | None = None
    sizes: Sizes = Sizes()


class State(NamedTuple):
    """private v (trained, answers) and shared u (answers,), nats; Adam's running mean square and its first
    value, scalars.

    `before`: (v, u) one update earlier, for rewards that compare with the previous policy; None for the
    others. `anchor`: (v, u) of the reference of the update's KL term, where that moves; None where it is the initial
    policy. `old`: (v, u) of the policy that gave the present batch; None where every update has a fresh one.
    """

    private: jax.Array
    shared: jax.Array
    mean_square: jax.Array
    first_square: jax.Array
    before: tuple[jax.Array, jax.Array] | None = None
    anchor: tuple[jax.Array, jax.Array] | None = None
    old: tuple[jax.Array, jax.Array] | None = None
