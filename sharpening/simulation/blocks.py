"""Exact steps of a large population on a CPU: blocks of prompts that stay in a core's cache, and a share of
the blocks for each core.

XLA runs one loop over a whole array after another, so that what one writes has left the cache when the next
reads it. A block of prompts goes through all loops of a step before the next one comes, and through all steps
up to the next evaluation where nothing couples the prompts. XLA runs the blocks of one program one by one; so
each core has a program of its own, called from a thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sharpening.coupling import CompoundSymmetric, NoCoupling
from sharpening.simulation.direction import Seen, exact_direction
from sharpening.simulation.loop import evaluate
from sharpening.simulation.plan import Arrays, Plan
from sharpening.simulation.precision import precision_context
from sharpening.updates.policy import Policy

LARGE = 2**18  # prompts * answers from which on the threads and blocks pay
# prompts * answers of a block; arrays whose size is a power of two would compete for the same places of a
# cache
BLOCK = 12_288
_OPTIONS = {"xla_cpu_multi_thread_eigen": False, "xla_cpu_prefer_vector_width": 512}


class Lane(NamedTuple):
    """The prompts of one core, (rows, answers) and weights (rows,); weight 0 where a row only fills the last
    block.
    """

    initial: jax.Array
    correct: jax.Array | None
    weights: jax.Array


def apply(plan: Plan, arrays: Arrays, coupling) -> bool:
    """True where `run_blocks` can do it, and better than `run_loop`."""
    return (
        plan.method != "sampled"
        and plan.trained * arrays.log_probs.shape[1] >= LARGE
        and not plan.adam
        and not plan.anchored
        and plan.iterations == 1
        and isinstance(coupling, (NoCoupling, CompoundSymmetric))
        and not {"previous_log_probs", "questions"} & set(plan.reward.card.needs)
        and [device.platform for device in arrays.log_probs.devices()] == ["cpu"]
    )


def _step(plan: Plan, update, coupling, lane: Lane, shared, total, step, logits, du):
    """logits = z0 + v of a block after one step, and `du` with the block's share of what moves the shared
    part added.
    """
    alone = isinstance(coupling, NoCoupling)
    policy = Policy.from_logits(logits if alone else logits + coupling.reach(shared), plan.full)
    seen = Seen(lane.correct, lane.initial, lane.initial, None, step)
    directions = exact_direction(plan, update, policy, seen)
    dv, change = coupling.mix(directions, lane.weights)
    if plan.method == "mean_field":
        dv = dv * (plan.prompts_per_step * lane.weights / total)[:, None]
    scale = jnp.asarray(update.step_size, logits.dtype)
    return logits + scale * dv, du if alone else du + scale * change * (jnp.sum(lane.weights) / total)


@partial(jax.jit, static_argnames=("plan", "blocks"), donate_argnames="logits", compiler_options=_OPTIONS)
def _advance(plan: Plan, blocks: int, logits, lane: Lane, update, coupling, shared, total, start, stop):
    """The logits of a lane after steps start..stop-1, and what these steps add to the shared part, from its
    value at `start`.
    """
    rows = logits.shape[0] // blocks
    update = update if plan.update is None else plan.update

    def through(i, moved):
        mine, part = jax.tree.map(
            lambda array: jax.lax.dynamic_slice_in_dim(array, i * rows, rows), (moved[0], lane)
        )
        one = lambda step, now: _step(plan, update, coupling, part, shared, total, step, *now)  # noqa: E731
        mine, du = jax.lax.fori_loop(start, stop, one, (mine, moved[1]))
        return jax.lax.dynamic_update_slice_in_dim(moved[0], mine, i * rows, 0), du

    return jax.lax.fori_loop(0, blocks, through, (logits, jnp.zeros_like(shared)))


@partial(jax.jit, static_argnames="plan")
def _evaluate(plan: Plan, arrays: Arrays, coupling, shared, logits):
    return evaluate(plan, arrays, coupling, shared, jnp.concatenate(logits)[: plan.trained])


def _lanes(plan: Plan, arrays: Arrays, cores: int) -> tuple[int, list[Lane]]:
    """How many blocks a lane has, and the lanes, of equal size."""
    n, num_answers = plan.trained, arrays.log_probs.shape[1]
    share = -(-n // cores)
    blocks = -(-share // max(1, BLOCK // num_answers))
    size = blocks * -(-share // blocks)
    lanes = []
    for start in range(0, size * cores, size):
        part = slice(min(start, n), min(start + size, n))
        missing = size - (part.stop - part.start)

        def fill(array, value):
            return (
                None
                if array is None
                else jnp.concatenate(  # noqa: E731
                    [array[part], jnp.full((missing, *array.shape[1:]), value, array.dtype)]  # noqa: B023
                )
            )

        lanes.append(
            Lane(
                fill(arrays.log_probs, -np.log(num_answers)),
                fill(arrays.correct, False),
                fill(arrays.weights, 0),
            )
        )
    return blocks, lanes


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_blocks(
    plan: Plan, arrays: Arrays, update, coupling, evaluation_steps: np.ndarray, precision: str
) -> dict[str, np.ndarray]:
    """As `run_loop` for one run without random numbers: (1, evaluations) of each metric."""
    cores = _cores()
    blocks, lanes = _lanes(plan, arrays, cores)
    logits = [jnp.copy(lane.initial) for lane in lanes]
    shared, total = (
        coupling.rest(arrays.log_probs.shape[1], arrays.log_probs.dtype),
        jnp.sum(arrays.weights[: plan.trained]),
    )

    def work(i: int, start: int, stop: int):
        with precision_context(precision):
            return jax.block_until_ready(
                _advance(
                    plan,
                    blocks,
                    logits[i],
                    lanes[i],
                    update,
                    coupling,
                    shared,
                    total,
                    np.int32(start),
                    np.int32(stop),
                )
            )

    coupled, now, history = not isinstance(coupling, NoCoupling), 0, []
    with ThreadPoolExecutor(cores) as pool:
        # the first time one after the other, so that one compiles for all
        each: Callable[..., Iterable] = map
        for step in evaluation_steps.tolist():
            for start, stop in (
                zip(range(now, step), range(now + 1, step + 1), strict=True) if coupled else [(now, step)]
            ):
                done = list(each(lambda i: work(i, start, stop), range(cores)))  # noqa: B023
                logits, shared, each = [z for z, _ in done], shared + sum(du for _, du in done), pool.map
            now = step
            history.append(_evaluate(plan, arrays, coupling, shared, tuple(logits)))
    return {name: np.array([[float(metrics[name]) for metrics in history]]) for name in history[0]}
