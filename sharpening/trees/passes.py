"""Passes along the levels of a token tree, in log space: down to the leaves, up from them, and the gradient
between (theorems S7a to S7c).

Node policies are (prompts, nodes, vocab) log-probabilities, leaf arrays (prompts, leaves), in the order of
`TreeShape`. Each pass costs one visit of every (node, token).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from sharpening.arrays import array_module
from sharpening.trees.shape import TreeShape
from sharpening.updates.advantages import exact_advantages


def _down(shape: TreeShape, log_probs: Any) -> tuple[Any, Any]:
    prompts, content, xp = log_probs.shape[0], shape.num_content, array_module(log_probs)
    reach = xp.zeros((prompts, 1), log_probs.dtype)
    nodes, leaves = [reach], []
    for depth in range(shape.max_length):
        edges = reach[..., None] + log_probs[:, shape.level(depth)]
        if depth == shape.max_length - 1:
            leaves.append(edges.reshape(prompts, -1))
            break
        leaves.append(edges[..., content:].reshape(prompts, -1))
        reach = edges[..., :content].reshape(prompts, -1)
        nodes.append(reach)
    return xp.concatenate(nodes, axis=1), xp.concatenate(leaves, axis=1)


def leaf_log_probs(shape: TreeShape, log_probs: Any) -> Any:
    """log pi(y) = sum_t log pi(y_t | y_<t) of every finished sequence, (prompts, leaves), nats; the masses
    sum to 1.
    """
    return _down(shape, log_probs)[1]


def node_log_reach(shape: TreeShape, log_probs: jax.Array) -> jax.Array:
    """Log-probability that a sequence passes each node, (prompts, nodes), nats; 0 at node 0."""
    return _down(shape, log_probs)[0]


def up(shape: TreeShape, leaf_values: jax.Array, join) -> jax.Array:
    """Values of (node, token) from leaf values: a leaf's own, or join(depth, the next node's row). (prompts,
    nodes, vocab).
    """
    prompts, content, ends = leaf_values.shape[0], shape.num_content, shape.num_ends
    split = shape.num_leaves - shape.widths[-1] * shape.vocab_size
    rows = leaf_values[:, split:].reshape(prompts, shape.widths[-1], shape.vocab_size)
    levels = [rows]
    for depth in range(shape.max_length - 2, -1, -1):
        nodes = shape.level(depth)
        below = join(depth + 1, rows).reshape(prompts, shape.widths[depth], content)
        ended = leaf_values[:, nodes.start * ends : nodes.stop * ends].reshape(
            prompts, shape.widths[depth], ends
        )
        rows = jnp.concatenate([below, ended], axis=2)
        levels.append(rows)
    return jnp.concatenate(levels[::-1], axis=1)


def factorise(shape: TreeShape, leaf_log_probs: jax.Array, otherwise: jax.Array) -> jax.Array:
    """Node policies whose sequences have these log-probabilities, (prompts, nodes, vocab), nats: the inverse
    of `leaf_log_probs`.

    Formula: pi(v|n) = sum of pi(y) over leaves y through (n, v) / the same over leaves through n. Every
    distribution over leaves is a tree policy, so nothing is lost. Rows need not be normalised. A node that no
    sequence reaches keeps its row of `otherwise`.
    """
    masses = up(shape, leaf_log_probs, lambda depth, rows: jax.nn.logsumexp(rows, axis=-1))
    total = jax.nn.logsumexp(masses, axis=-1, keepdims=True)
    reached = total > -jnp.inf
    return jnp.where(reached, masses - jnp.where(reached, total, 0.0), otherwise)


def edge_sums(shape: TreeShape, leaf_values: jax.Array) -> jax.Array:
    """Sum of leaf values over the leaves through each (node, token), (prompts, nodes, vocab)."""
    return up(shape, leaf_values, lambda depth, rows: jnp.sum(rows, axis=-1))


def edge_values(shape: TreeShape, log_probs: jax.Array, leaf_values: jax.Array) -> jax.Array:
    """Q(n, v) = E[value of the leaf | prefix n, then token v], (prompts, nodes, vocab).

    Means are taken relative to the largest possible value of a node, so equal values below a node give
    exactly that value above. Leaf values must be finite, those of impossible leaves too.
    """

    def mean(depth, rows):
        row_log_probs = log_probs[:, shape.level(depth)]
        top = jnp.max(jnp.where(row_log_probs > -jnp.inf, rows, -jnp.inf), axis=-1, keepdims=True)
        return (top + jnp.sum(jnp.exp(row_log_probs) * (rows - top), axis=-1, keepdims=True))[..., 0]

    return up(shape, leaf_values, mean)


def softmax_gradient(shape: TreeShape, log_probs: jax.Array, leaf_values: jax.Array) -> jax.Array:
    """Gradient of E_pi[value] in the node logits, the values held fixed, (prompts, nodes, vocab).

    Formula: d/dz_{n,v} sum_y pi(y) value(y) = P(n) pi(v|n) (Q(n, v) - V(n)), V(n) = sum_v pi(v|n) Q(n, v),
    P(n) the probability of passing node n. Proof: log pi(y) has derivative 1[y_t = v] - pi(v|n) where y
    passes n at t, and 0 elsewhere; summing pi(y) value(y) over the leaves through (n, v) gives P(n) pi(v|n)
    Q(n, v), and over those through n gives P(n) V(n). With one level it is pi_a (r_a - mean r), the flat
    gradient.
    """
    advantages = exact_advantages(log_probs, edge_values(shape, log_probs, leaf_values))
    return jnp.exp(node_log_reach(shape, log_probs)[..., None] + log_probs) * advantages


def score_gradient(
    shape: TreeShape, log_probs: jax.Array, leaves: jax.Array, advantages: jax.Array
) -> jax.Array:
    """REINFORCE in the node logits: mean over rollouts of A_i sum_t (onehot(y_t) - pi(.|y_<t)) at the nodes
    passed.

    `leaves` (prompts, rollouts) int, `advantages` (prompts, rollouts) -> (prompts, nodes, vocab).
    """
    rows = jnp.arange(leaves.shape[0])[:, None]
    weight = (
        jnp.zeros((leaves.shape[0], shape.num_leaves), log_probs.dtype)
        .at[rows, leaves]
        .add(advantages / leaves.shape[1])
    )
    chosen = edge_sums(shape, weight)
    return chosen - jnp.sum(chosen, axis=-1, keepdims=True) * jnp.exp(log_probs)
