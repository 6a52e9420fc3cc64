"""Which logits move together: one integer for each (node, token); equal integers share one parameter.

Tabular logits (`None`) move alone. Shared ones are what makes a habit spread: pushing "repeat the last token"
up after one prefix pushes it up after all. Gradients of a shared parameter are the sums over its (node,
token) pairs.
"""

from __future__ import annotations

import numpy as np

from sharpening.errors import InputError
from sharpening.trees.shape import TreeShape


def by_last_tokens(shape: TreeShape, memory: int) -> np.ndarray:
    """Nodes with the same last `memory` content tokens share their logits, (nodes, vocab) int: a Markov
    policy of that order.

    A prefix shorter than `memory` is a context of its own, so with memory >= max_length - 1 nothing is
    shared. memory = 0: one policy for every node. Raises: InputError for a negative memory.
    """
    if memory < 0:
        raise InputError("memory", memory, "it is a number of tokens >= 0")
    prefixes, depths = shape.node_prefixes, shape.node_depths
    place = depths[:, None] - memory + np.arange(memory)[None, :]
    known = np.take_along_axis(prefixes, np.clip(place, 0, None), axis=1) if memory else prefixes[:, :0]
    contexts = _numbered(np.where(place >= 0, known, -1))
    return contexts[:, None] * shape.vocab_size + np.arange(shape.vocab_size)[None, :]


def by_run_length(shape: TreeShape, cap: int) -> np.ndarray:
    """Logits shared by the length of the current run of equal tokens, (nodes, vocab) int: "repeat the last
    token" is one parameter.

    The context is how often the last content token has been repeated, 0 (empty prefix), 1, ..., `cap` or
    more. In each context the parameters are: repeat the last token, whichever it is; one for each other
    content token; end. A rule that many prompts can share although it gives each another sequence (theorem
    C6). Raises: InputError for cap < 1.
    """
    if cap < 1:
        raise InputError("cap", cap, "it is a run length >= 1")
    prefixes, last = shape.node_prefixes, last_tokens(shape)
    slots = np.tile(np.arange(shape.vocab_size), (len(prefixes), 1))
    slots = np.where(slots == last[:, None], shape.vocab_size, slots)
    return np.minimum(run_lengths(shape), cap)[:, None] * (shape.vocab_size + 1) + slots


def last_tokens(shape: TreeShape) -> np.ndarray:
    """Last content token of every node's prefix, (nodes,) int, -1 for the empty prefix."""
    depths = shape.node_depths
    return np.where(
        depths > 0, shape.node_prefixes[np.arange(shape.num_nodes), np.maximum(depths - 1, 0)], -1
    )


def run_lengths(shape: TreeShape) -> np.ndarray:
    """How many of the last content tokens of every node's prefix are equal, (nodes,) int; 0 for the empty
    prefix.
    """
    prefixes, depths, last = shape.node_prefixes, shape.node_depths, last_tokens(shape)
    run, alive = np.zeros(shape.num_nodes, dtype=np.int64), depths > 0
    for back in range(1, shape.max_length):
        place = np.maximum(depths - back, 0)
        alive = alive & (depths >= back) & (prefixes[np.arange(shape.num_nodes), place] == last)
        run += alive
    return run


def dense(ties: np.ndarray) -> np.ndarray:
    """The same sharing with parameters numbered 0, 1, ... in order of first use, (nodes, vocab) int."""
    found, first, index = np.unique(ties, return_index=True, return_inverse=True)
    rank = np.empty(len(found), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(found))
    return rank[index].reshape(np.shape(ties))


def _numbered(rows: np.ndarray) -> np.ndarray:
    if rows.shape[1] == 0:
        return np.zeros(len(rows), dtype=np.int64)
    return np.unique(rows, axis=0, return_inverse=True)[1].reshape(len(rows))
