"""What rewards and metrics read of a tree: token statistics of every leaf, answer masses, answers that a
prefix points to.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sharpening.arrays import array_module, quiet
from sharpening.metrics import NO_ANSWER
from sharpening.rewards.tokens import TokenStatistics
from sharpening.trees.passes import up
from sharpening.trees.shape import TreeShape

ROUNDING = 512  # units in the last place: answers whose summed masses agree to this are equal


def leaf_statistics(shape: TreeShape, log_probs: jax.Array) -> TokenStatistics:
    """Statistics of every finished sequence, (prompts, leaves, max_length), from node policies (prompts,
    nodes, vocab), nats.

    The end token is a token like any other. Impossible tokens as in `TokenStatistics.of_categorical`: every
    number is finite.
    """
    prompts, nodes, vocab = log_probs.shape
    every = jnp.broadcast_to(jnp.arange(vocab)[None, :], (prompts * nodes, vocab))
    at_nodes = TokenStatistics.of_categorical(log_probs.reshape(-1, vocab), every)
    path, tokens = jnp.asarray(shape.path), jnp.asarray(shape.tokens.clip(0))
    of_node = lambda field: field[:, 0, 0].reshape(prompts, nodes)[:, path]  # noqa: E731
    return TokenStatistics(
        mask=jnp.broadcast_to(jnp.asarray(shape.mask)[None], (prompts, *shape.mask.shape)),
        log_prob=at_nodes.log_prob[:, :, 0].reshape(prompts, nodes, vocab)[:, path, tokens],
        entropy=of_node(at_nodes.entropy),
        uniform_cross_entropy=of_node(at_nodes.uniform_cross_entropy),
        gap=of_node(at_nodes.gap),
        vocab_size=vocab,
    )


def answer_log_masses(leaf_log_probs: Any, columns: Any, num_columns: int) -> Any:
    """log of the summed probability of the leaves of each answer column, (prompts, num_columns), nats;
    -infinity for none.

    `columns` (leaves,) int. If every column has one leaf the numbers are kept to the last bit. If leaves are
    summed, masses that agree with the largest to within 512 units in the last place are set equal to it, so
    that exact ties of the vote stay ties.
    """
    xp, shape = array_module(leaf_log_probs, columns), (leaf_log_probs.shape[0], num_columns)
    top = _scattered("maximum", xp.full(shape, -xp.inf, leaf_log_probs.dtype), columns, leaf_log_probs)
    safe = xp.where(top > -xp.inf, top, 0.0)
    shares = xp.exp(leaf_log_probs - safe[:, columns])
    with quiet():
        masses = xp.log(_scattered("add", xp.zeros_like(top), columns, shares)) + safe
    summed = xp.max(xp.bincount(columns, length=num_columns) if xp is jnp else np.bincount(columns)) > 1
    largest = xp.max(masses, axis=1, keepdims=True)
    with quiet():
        near = largest - masses <= ROUNDING * xp.finfo(masses.dtype).eps * xp.maximum(1.0, xp.abs(largest))
    return xp.where(near & summed, largest, masses)


def _scattered(how: str, into, columns, values):
    """`into` (prompts, num_columns) with the values (prompts, leaves) of each column added, or their maximum."""
    if array_module(into, columns, values) is np:
        getattr(np, how).at(into, (slice(None), columns), values)
        return into
    at = into.at[:, columns]
    return at.add(values) if how == "add" else at.max(values)


def answers_after_prefixes(
    shape: TreeShape, leaf_log_probs: jax.Array, columns: jax.Array, num_columns: int, no_answer: int | None
) -> jax.Array:
    """The answer that the model would most likely give after each proper prefix of each leaf, (prompts,
    leaves, max_length - 1) int.

    State t is the mode of the answer given the first t + 1 tokens, NO_ANSWER where that mode is no answer,
    and the leaf's own answer once the sequence has ended. A node that no sequence reaches says the first
    answer.
    """
    prompts = leaf_log_probs.shape[0]
    own = jnp.where(columns == (num_columns if no_answer is None else no_answer), NO_ANSWER, columns)
    if shape.max_length == 1:
        return jnp.zeros((prompts, shape.num_leaves, 0), columns.dtype)

    def mass_after_nodes(column: int) -> jax.Array:
        masked = jnp.where(columns[None, :] == column, leaf_log_probs, -jnp.inf)
        return jax.nn.logsumexp(
            up(shape, masked, lambda depth, rows: jax.nn.logsumexp(rows, axis=-1)), axis=-1
        )

    best = mass_after_nodes(0)
    said = jnp.full(best.shape, NO_ANSWER if no_answer == 0 else 0, columns.dtype)
    for column in range(1, num_columns):
        mass = mass_after_nodes(column)
        said = jnp.where(mass > best, NO_ANSWER if column == no_answer else column, said)
        best = jnp.maximum(best, mass)
    states = said[:, jnp.asarray(shape.path[:, 1:])]
    return jnp.where(jnp.asarray(shape.mask[:, 1:])[None], states, own[None, :, None])
