"""Random draws from uniform numbers: answers and prompts by inverse CDF; and shuffled epochs."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Integer

from sharpening.arrays import array_module


def _prefix_sums(masses: jax.Array) -> jax.Array:
    """Cumulative sums over the last axis; two neighbours are equal where the later mass is 0."""
    width, xp = masses.shape[-1], array_module(masses)
    if width > 64 or xp is np:
        return xp.cumsum(masses, axis=-1)
    return jnp.matmul(
        masses, jnp.triu(jnp.ones((width, width), masses.dtype)), precision=jax.lax.Precision.HIGHEST
    )


def _below(threshold: jax.Array, total: jax.Array) -> jax.Array:
    """threshold, or the number next below `total` if it is not smaller than that: so some cumulative mass
    always exceeds it.
    """
    return array_module(threshold, total).minimum(threshold, total * (1 - jnp.finfo(total.dtype).eps))


def _first_above(cumulative: jax.Array, threshold: jax.Array) -> jax.Array:
    """First index of cumulative (..., n) above each threshold (..., draws), int32: one of mass 0 is never
    found.
    """
    xp = array_module(cumulative, threshold)
    columns = xp.arange(cumulative.shape[-1], dtype=xp.int32)
    above = cumulative[..., None, :] > threshold[..., :, None]
    return xp.min(xp.where(above, columns, columns[-1]), axis=-1)


def sample_columns(
    uniform: Float[Any, "prompts draws"], masses: Float[Any, "prompts answers"]
) -> Integer[Any, "prompts draws"]:
    """Inverse CDF in two levels: columns whose slice of the masses (prompts, answers) >= 0 holds uniform *
    total, for uniform (prompts, draws) in [0, 1): (prompts, draws) int32.

    The blocks of about sqrt(answers) columns are searched first, then the columns of one block: sqrt(answers)
    comparisons a draw instead of answers. A column of mass 0 is never found.
    """
    (prompts, answers), xp = masses.shape, array_module(uniform, masses)
    width = max(1, math.isqrt(answers))
    blocks = xp.pad(masses, ((0, 0), (0, -answers % width))).reshape(prompts, -1, width)
    cumulative = _prefix_sums(xp.sum(blocks, axis=-1))
    threshold = _below(uniform * cumulative[:, -1:], cumulative[:, -1:])
    block = _first_above(cumulative, threshold)
    before = xp.where(block > 0, xp.take_along_axis(cumulative, xp.maximum(block - 1, 0), axis=1), 0)
    inner = _prefix_sums(xp.take_along_axis(blocks, block[:, :, None], axis=1))
    rest = _below(threshold - before, inner[..., -1])
    return block * width + _first_above(inner, rest[..., None])[..., 0]


def sample_answers(
    uniform: Float[Any, "prompts rollouts"], log_probs: Float[Any, "prompts answers"]
) -> Integer[Any, "prompts rollouts"]:
    """Independent answers of each prompt, (prompts, rollouts) int32, one for each uniform number (prompts,
    rollouts).

    Much faster than Gumbel draws (`jax.random.categorical`), which need a random number an answer. Masses
    below the spacing of the uniform numbers (2^-23 in float32, 2^-52 in float64) are drawn with an error of
    that order.
    """
    return sample_columns(uniform, array_module(log_probs).exp(log_probs))


def sample_prompts(uniform: Float[Any, " draws"], weights: Float[Any, " prompts"]) -> Integer[Any, " draws"]:
    """Prompt indices drawn with probability proportional to `weights` (prompts,), one for each uniform number
    (draws,), int32.
    """
    cumulative = jnp.cumsum(weights)
    found = jnp.searchsorted(cumulative, uniform * cumulative[-1], side="right")
    return jnp.minimum(found, len(weights) - 1).astype(jnp.int32)


def epoch_schedule(
    words: np.ndarray, num_prompts: int, num_steps: int, prompts_per_step: int
) -> Integer[np.ndarray, "{num_steps} {prompts_per_step}"]:
    """Prompt indices of every step, (num_steps, prompts_per_step): shuffled epochs laid end to end, each
    prompt once an epoch.

    `words`: the integers of a JAX key, which seed NumPy's generator: the shuffles are made before anything is
    compiled.
    """
    rng = np.random.default_rng(words)
    epochs = [rng.permutation(num_prompts) for _ in range(-(-num_steps * prompts_per_step // num_prompts))]
    return (
        np.concatenate(epochs)[: num_steps * prompts_per_step]
        .reshape(num_steps, prompts_per_step)
        .astype(np.int32)
    )


def draw_prompts(
    plan, weights: jax.Array, schedule: jax.Array | None, step: jax.Array, key: jax.Array, sizes=None
):
    """The prompts of one step, flat or tree: (index, their weights, uniform numbers for their rollouts).

    "sampled": one array of uniform numbers from fold_in(key, step + 1), a row a prompt: the first column
    draws the prompt (unless `schedule` holds it), the others are left for its rollouts; no weights. Where
    prompts are rephrasings (`plan.rephrasings` of each question), questions are drawn and each comes with all
    its wordings. Otherwise every trained prompt with its weight, no numbers. `sizes` (`simulation.plan.Sizes`):
    prompts beyond them weigh 0, in the population and in the step.
    """
    n = plan.trained
    if sizes is not None and sizes.trained is not None:
        weights = jnp.where(jnp.arange(len(weights)) < sizes.trained, weights, 0)
    if plan.method != "sampled":
        everyone = slice(0, n or None)
        return everyone, weights[everyone], None
    shape, wordings = (plan.prompts_per_step, 1 + plan.rollouts), plan.rephrasings
    uniform = jax.random.uniform(jax.random.fold_in(key, step + 1), shape, dtype=weights.dtype)
    asked = weights[: n or None].reshape(-1, wordings).sum(axis=1)
    index = sample_prompts(uniform[: shape[0] // wordings, 0], asked) if schedule is None else schedule[step]
    index = (index[:, None] * wordings + jnp.arange(wordings, dtype=index.dtype)[None, :]).reshape(-1)
    if sizes is None or sizes.asked is None:
        return index, None, uniform[:, 1:]
    return index, jnp.asarray(jnp.arange(len(index)) < sizes.asked, weights.dtype), uniform[:, 1:]
