"""The compiled loop of a tree simulation: one training step, and metrics at the evaluations."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from sharpening.metrics import summarize
from sharpening.simulation.evaluated_scan import evaluated_scan
from sharpening.simulation.sampling import draw_prompts, sample_answers
from sharpening.trees.leaf_rewards import exact_rewards, group_rewards, loud
from sharpening.trees.metrics import tree_metrics, with_perplexity
from sharpening.trees.passes import leaf_log_probs
from sharpening.trees.plan import Policies, TreeArrays, TreePlan, TreeState


def _spread(arrays: TreeArrays, parameters: jax.Array) -> jax.Array:
    """Parameters (..., parameters) as node logits (..., nodes, vocab)."""
    if arrays.ties is None:
        return parameters.reshape(*parameters.shape[:-1], *arrays.log_probs.shape[1:])
    return parameters[..., arrays.ties]


def _gathered(arrays: TreeArrays, moves: jax.Array, parameters: int) -> jax.Array:
    """Changes of node logits (prompts, nodes, vocab) as changes of parameters (prompts, parameters), summed
    where they are shared.
    """
    if arrays.ties is None:
        return moves.reshape(len(moves), -1)
    return jnp.zeros((len(moves), parameters), moves.dtype).at[:, arrays.ties].add(moves)


def _policies(arrays: TreeArrays, coupling, index, private: jax.Array | None, shared: jax.Array) -> jax.Array:
    """log softmax(z0 + v + what `coupling` lets these prompts see of the shared part), (prompts, nodes,
    vocab).
    """
    logits = arrays.log_probs[index] + _spread(arrays, coupling.reach(shared, index))
    return jax.nn.log_softmax(logits if private is None else logits + _spread(arrays, private), axis=-1)


def training_step(
    plan: TreePlan,
    arrays: TreeArrays,
    update,
    coupling,
    schedule,
    state: TreeState,
    step: jax.Array,
    key: jax.Array,
) -> TreeState:
    """The state after step `step`, counted from 0: as in the flat simulation, whose random numbers it uses in
    the same order.
    """
    n, update = plan.trained, update if plan.update is None else plan.update
    index, share, uniform = draw_prompts(plan, arrays.weights, schedule, step, key)
    here = lambda state: _policies(arrays, coupling, index, state[0][index] if n else None, state[1])  # noqa: E731
    now = Policies(
        here((state.private, state.shared)),
        arrays.log_probs[index],
        here(state.previous) if plan.keeps_previous else None,
        None if arrays.correct is None else arrays.correct[index],
        arrays.weights[index] if share is None else share,
    )
    if plan.method == "sampled":
        drawn = sample_answers(uniform, leaf_log_probs(plan.shape, now.log_probs))
        rewards = group_rewards(plan, arrays.columns, now, step, drawn)
        moves = update.group_move(plan, now, drawn, rewards)
    else:
        rewards = exact_rewards(plan, arrays.columns, now, step)
        moves = update.move(plan, now, rewards)
    moves = loud(plan, now, step, rewards, moves)
    dv, du = coupling.mix(_gathered(arrays, moves, state.private.shape[1]), share, index)
    if plan.method == "mean_field" and n:
        dv = dv * (plan.prompts_per_step * share / jnp.sum(share))[:, None]
    before = (state.private, state.shared) if plan.keeps_previous else None
    private = state.private.at[index].add(dv) if n else state.private
    return TreeState(private, state.shared + du, before)


def _evaluate_on(
    plan: TreePlan, arrays: TreeArrays, log_probs: jax.Array, part: slice
) -> dict[str, jax.Array]:
    correct = None if arrays.correct is None else arrays.correct[part]
    metrics = tree_metrics(plan, arrays.columns, log_probs, arrays.log_probs[part], correct)
    return with_perplexity(summarize(metrics, arrays.weights[part]))


def evaluate(plan: TreePlan, arrays: TreeArrays, coupling, state: TreeState) -> dict[str, jax.Array]:
    """Metrics averaged over prompts: fresh prompts under their plain names, trained ones as train_* (plain if
    all are trained).
    """
    n, total = plan.trained, len(arrays.log_probs)
    found: dict[str, jax.Array] = {}
    for name, private, part in (("train_", state.private, slice(0, n)), ("", None, slice(n, total))):
        if part.start < part.stop:
            log_probs = _policies(arrays, coupling, part, private, state.shared)
            metrics = _evaluate_on(plan, arrays, log_probs, part)
            found |= {(name if n < total else "") + metric: value for metric, value in metrics.items()}
    return found


@partial(jax.jit, static_argnames=("plan", "parameters"))
def run_tree_loop(
    plan: TreePlan,
    arrays: TreeArrays,
    update,
    coupling,
    evaluation_steps: jax.Array,
    key: jax.Array,
    schedule,
    *,
    parameters: int,
) -> tuple[dict[str, jax.Array], jax.Array]:
    """Metrics at the evaluations, (evaluations,) each, and the final node policies (prompts, nodes, vocab),
    nats.

    `evaluation_steps` (evaluations,) increasing from 0; `schedule` (steps, prompts) or None: prompts drawn by
    weight, or all used.
    `parameters`: how many logits can move by themselves.
    """
    dtype = arrays.log_probs.dtype
    still = jnp.zeros((plan.trained, parameters), dtype), coupling.rest(parameters, dtype)
    state = TreeState(*still, still if plan.keeps_previous else None)

    def train(step, state):
        return training_step(plan, arrays, update, coupling, schedule, state, step, key)

    measure = lambda state: evaluate(plan, arrays, coupling, state)  # noqa: E731
    state, metrics = evaluated_scan(train, measure, state, evaluation_steps)
    private = jnp.zeros((len(arrays.log_probs), parameters), dtype).at[: plan.trained].set(state.private)
    return metrics, _policies(arrays, coupling, slice(None), private, state.shared)
