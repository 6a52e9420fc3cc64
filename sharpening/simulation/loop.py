"""The compiled loop: train between evaluations, keep the evaluations only."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from sharpening.metrics import exact_metrics, summarize
from sharpening.simulation.evaluated_scan import evaluated_scan
from sharpening.simulation.plan import Arrays, Plan, State
from sharpening.simulation.step import training_step


def _evaluate_on(
    plan: Plan, arrays: Arrays, logits: jax.Array, part: slice, counted: jax.Array | None = None
) -> dict[str, jax.Array]:
    """Metrics of the prompts in `part`, or of those of them that are `counted` (prompts in part,) bool."""
    correct = None if arrays.correct is None else arrays.correct[part]
    log_probs, weights = jax.nn.log_softmax(logits, axis=-1), arrays.weights[part]
    metrics = exact_metrics(
        log_probs, correct, arrays.log_probs[part], no_answer=plan.no_answer, counted=counted
    )
    if plan.no_answer is not None:
        metrics["no_answer"] = jnp.exp(log_probs[:, plan.no_answer])
    return summarize(metrics, weights if counted is None else jnp.where(counted, weights, 0))


def evaluate(
    plan: Plan, arrays: Arrays, coupling, shared: jax.Array, trained: jax.Array
) -> dict[str, jax.Array]:
    """Metrics under the population vote, averaged over prompts: fresh prompts under their plain names,
    trained ones as train_*.

    `shared`: the moving part that prompts share; `trained` (plan.trained, answers): z0 + v of the trained
    ones. Where every prompt is trained (method "exact" on the whole population) there are no fresh ones and
    the plain names are the trained ones.
    """
    n, total, size = plan.trained, arrays.log_probs.shape[0], arrays.sizes.trained
    found: dict[str, jax.Array] = {}
    if (
        size is not None
    ):  # prompts beyond the data set have v = 0, so that their trained logits are fresh ones
        everyone, first = jnp.concatenate([trained, arrays.log_probs[n:]]), jnp.arange(total) < size
        logits = everyone + coupling.reach(shared, slice(None))
        for name, counted in (("train_", first), ("", ~first)):  # the compiler finds what both have in common
            metrics = _evaluate_on(plan, arrays, logits, slice(None), counted)
            found |= {name + metric: value for metric, value in metrics.items()}
        return found
    for name, start, part in (("train_", trained, slice(0, n)), ("", arrays.log_probs[n:], slice(n, total))):
        if part.start < part.stop:
            metrics = _evaluate_on(plan, arrays, start + coupling.reach(shared, part), part)
            found |= {(name if n < total else "") + metric: value for metric, value in metrics.items()}
    return found


def _run_one(
    plan: Plan, arrays: Arrays, update, coupling, evaluation_steps, key, schedule
) -> dict[str, jax.Array]:
    dtype = arrays.log_probs.dtype
    zero = jnp.zeros((), dtype)
    parts = (
        jnp.zeros((plan.trained, arrays.log_probs.shape[1]), dtype),
        coupling.rest(arrays.log_probs.shape[1], dtype),
    )
    before = parts if "previous_log_probs" in plan.reward.card.needs else None
    state = State(
        *parts, zero, zero, before, parts if plan.anchored else None, parts if plan.iterations > 1 else None
    )

    def train(step, state):
        return training_step(plan, arrays, update, coupling, schedule, state, step, key)

    def measure(state):
        trained = arrays.log_probs[: plan.trained] + state.private
        return evaluate(plan, arrays, coupling, state.shared, trained)

    _, metrics = evaluated_scan(train, measure, state, evaluation_steps, filled=plan.filled)
    return {name: value.astype(dtype) for name, value in metrics.items()}


@partial(jax.jit, static_argnames=("plan", "together"))
def run_loop(
    plan: Plan, arrays: Arrays, update, coupling, evaluation_steps, keys, schedules, *, together: int
) -> dict[str, jax.Array]:
    """Metrics of one run per key, (keys, evaluations) each; at most `together` runs advance at once (vmap),
    the rest after them.

    `evaluation_steps` (evaluations,) increasing from 0; `schedules` (keys, steps, prompts) or None: prompts
    drawn by weight, or all used.
    """
    one = lambda of: _run_one(plan, arrays, update, coupling, evaluation_steps, *of)  # noqa: E731
    count = keys.shape[0]
    if count == 1:
        alone = one(jax.tree.map(lambda array: array[0], (keys, schedules)))
        return {name: value[None] for name, value in alone.items()}
    chunks = -(-count // together)
    width = -(-count // chunks)
    order = jnp.arange(chunks * width) % count
    filled = jax.tree.map(
        lambda array: array[order].reshape(chunks, width, *array.shape[1:]), (keys, schedules)
    )
    metrics = jax.lax.map(jax.vmap(one), filled)
    return {name: value.reshape(chunks * width, -1)[:count] for name, value in metrics.items()}
