"""One training step of a coupled population (theorems C)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float, Integer

from sharpening.simulation.direction import Seen, exact_direction, sampled_direction
from sharpening.simulation.plan import ADAM_BETA2, Arrays, Plan, State
from sharpening.simulation.sampling import draw_prompts
from sharpening.updates.policy import Policy


def _adam_scale(
    state: State,
    directions: Float[Any, "prompts answers"],
    weights: Float[Any, " prompts"] | None,
    step: jax.Array,
) -> tuple[Float[Any, ""], State]:
    """sqrt(first mean square / running mean square) and the state after it; 1 at the first step that has a
    signal.
    """
    squares = jnp.mean(directions**2, axis=1)
    now = jnp.mean(squares) if weights is None else jnp.sum(weights * squares) / jnp.sum(weights)
    running = ADAM_BETA2 * state.mean_square + (1 - ADAM_BETA2) * now
    unbiased = running / (1 - ADAM_BETA2 ** (step + 1).astype(directions.dtype))
    first = jnp.where(state.first_square > 0, state.first_square, unbiased)
    scale = jnp.where(unbiased > 0, jnp.sqrt(first / jnp.where(unbiased > 0, unbiased, 1)), 1.0)
    return scale, state._replace(mean_square=running, first_square=first)


def _take(array: jax.Array | None, index) -> jax.Array | None:
    return None if array is None else array[index]


def training_step(
    plan: Plan,
    arrays: Arrays,
    update,
    coupling,
    schedule: Integer[Any, "steps asked"] | None,
    state: State,
    step: jax.Array,
    key: jax.Array,
) -> State:
    """The state after step `step` (counted from 0): draw prompts (`draw_prompts`), find their directions,
    move v and u. Where a batch serves several updates they draw the same numbers, from the policy at the first.
    """
    n, update = plan.trained, update if plan.update is None else plan.update
    batch = step // plan.iterations
    index, weights, uniform = draw_prompts(plan, arrays.weights, schedule, batch, key, arrays.sizes)
    if state.old is not None:
        first, moved = step % plan.iterations == 0, (state.private, state.shared)
        state = state._replace(
            old=jax.tree.map(lambda new, old: jnp.where(first, new, old), moved, state.old)
        )
    initial, correct, questions = (
        arrays.log_probs[index],
        _take(arrays.correct, index),
        _take(arrays.questions, index),
    )

    def policy(private, shared):
        logits = initial + coupling.reach(shared, index) + (private[index] if n else 0.0)
        return Policy.from_logits(logits, plan.full)

    now = policy(state.private, state.shared)
    old = None if state.old is None else policy(*state.old)
    previous = None if state.before is None else policy(*state.before).log_probs
    seen = Seen(
        correct=correct,
        initial=initial,
        anchor=initial if state.anchor is None else policy(*state.anchor).log_probs,
        previous=previous,
        step=batch * plan.iterations,
        questions=questions,
    )
    if plan.method == "sampled":
        directions = sampled_direction(plan, update, uniform, now, seen, old)
    else:
        directions = exact_direction(plan, update, now, seen, old)
    scale = jnp.asarray(update.step_size, directions.dtype)
    if plan.adam:
        factor, state = _adam_scale(state, directions, weights, step)
        scale = scale * factor
    dv, du = coupling.mix(directions, weights, index)
    if plan.method == "mean_field" and n:
        asked = plan.prompts_per_step if arrays.sizes.asked is None else arrays.sizes.asked
        dv = dv * (asked * weights / jnp.sum(weights))[:, None]
    private = state.private.at[index].add(scale * dv) if n else state.private
    before = None if state.before is None else (state.private, state.shared)
    moved = (private, state.shared + scale * du)
    anchor = None if state.anchor is None else update.synchronised(state.anchor, moved, step)
    return state._replace(private=moved[0], shared=moved[1], before=before, anchor=anchor)
