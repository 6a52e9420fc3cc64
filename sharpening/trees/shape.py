"""The shape of a token tree: its nodes (unfinished prefixes), its leaves (finished sequences), and the path
to every leaf.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sharpening.errors import InputError

MAX_LEAVES = 2**20


@dataclass(frozen=True)
class TreeShape:
    """All sequences over `num_content` content tokens and `num_ends` end tokens, of at most `max_length`
    tokens.

    Token ids 0..num_content-1 are content, the last `num_ends` ids are end tokens: a sequence is finished by
    any of them, which counts as one of its tokens, or by reaching `max_length` (cut off, without an end
    token). Several end tokens stand for answers that are given last, after some thinking; with none every
    sequence has `max_length` tokens.

    Nodes are the unfinished prefixes of 0..max_length-1 content tokens, by length, then in the order of their
    ids: node 0 is the empty prefix. Leaves are ordered by the node they end at, then by token: with
    max_length = 1 leaf v is token v, so a tree of one level is a flat policy.

    Sizes: 1 + n + ... + n^(L-1) nodes for n content tokens and max_length L; n^L + num_ends * nodes leaves.
    Raises: InputError for sizes that are no counts, or more than 2^20 leaves.
    """

    num_content: int
    max_length: int
    num_ends: int = 1

    def __post_init__(self):
        for name, least in (("num_content", 1), ("max_length", 1), ("num_ends", 0)):
            value = getattr(self, name)
            if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
                raise InputError(name, value, f"it is an integer >= {least}")
            object.__setattr__(self, name, int(value))
        if self.num_leaves > MAX_LEAVES:
            rule = (
                f"{self.num_content}^{self.max_length} sequences are too many to list (at most {MAX_LEAVES}"
                " leaves)"
            )
            raise InputError(
                "num_content, max_length",
                (self.num_content, self.max_length),
                rule,
                "Use fewer tokens or shorter sequences",
            )

    @property
    def vocab_size(self) -> int:
        """V, the end tokens included."""
        return self.num_content + self.num_ends

    @property
    def widths(self) -> tuple[int, ...]:
        """Number of nodes of each depth 0..max_length-1."""
        return tuple(self.num_content**depth for depth in range(self.max_length))

    @property
    def num_nodes(self) -> int:
        """Number of unfinished prefixes."""
        return sum(self.widths)

    @property
    def num_leaves(self) -> int:
        """Number of finished sequences."""
        return self.num_content**self.max_length + self.num_ends * self.num_nodes

    def level(self, depth: int) -> slice:
        """The nodes of this depth."""
        start = sum(self.widths[:depth])
        return slice(start, start + self.widths[depth])

    @cached_property
    def node_prefixes(self) -> np.ndarray:
        """Content tokens of every node's prefix, (nodes, max_length) int, -1 beyond its end."""
        return _frozen(
            np.concatenate(
                [_words(self.num_content, depth, self.max_length) for depth in range(self.max_length)]
            )
        )

    @cached_property
    def node_depths(self) -> np.ndarray:
        """Number of tokens before each node, (nodes,) int."""
        return _frozen(np.repeat(np.arange(self.max_length), self.widths))

    @cached_property
    def tokens(self) -> np.ndarray:
        """Tokens of every leaf, (leaves, max_length) int, the end token included, -1 beyond."""
        early = np.repeat(self.node_prefixes[: self.num_nodes - self.widths[-1]], self.num_ends, axis=0)
        ends = np.tile(np.arange(self.num_content, self.vocab_size), self.num_nodes - self.widths[-1])
        early[np.arange(len(early)), (early >= 0).sum(axis=1)] = ends
        late = np.repeat(self.node_prefixes[self.level(self.max_length - 1)], self.vocab_size, axis=0)
        late[:, -1] = np.tile(np.arange(self.vocab_size), self.widths[-1])
        return _frozen(np.concatenate([early, late]))

    @cached_property
    def mask(self) -> np.ndarray:
        """Which positions of `tokens` hold a token, (leaves, max_length) bool."""
        return _frozen(self.tokens >= 0)

    @cached_property
    def path(self) -> np.ndarray:
        """Node at which each token of each leaf was drawn, (leaves, max_length) int, 0 beyond the end (see
        `mask`).
        """
        nodes = np.zeros(self.tokens.shape, dtype=np.int64)
        within = np.zeros(self.num_leaves, dtype=np.int64)
        for depth in range(1, self.max_length):
            token = self.tokens[:, depth - 1]
            within = within * self.num_content + np.clip(token, 0, self.num_content - 1)
            nodes[:, depth] = np.where(self.mask[:, depth], self.level(depth).start + within, 0)
        return _frozen(nodes)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Number of tokens of every leaf, the end token included, (leaves,) int."""
        return _frozen(self.mask.sum(axis=1))

    @cached_property
    def content_lengths(self) -> np.ndarray:
        """Number of content tokens of every leaf, (leaves,) int."""
        return _frozen(((self.tokens >= 0) & (self.tokens < self.num_content)).sum(axis=1))

    @cached_property
    def repetition(self) -> np.ndarray:
        """Share of the content tokens after the first that equal their predecessor, (leaves,), in 0..1; 0
        where there are none.
        """
        content = (self.tokens >= 0) & (self.tokens < self.num_content)
        pairs = content[:, 1:] & content[:, :-1]
        same = pairs & (self.tokens[:, 1:] == self.tokens[:, :-1])
        return _frozen(same.sum(axis=1) / np.maximum(pairs.sum(axis=1), 1))

    @cached_property
    def which_end(self) -> np.ndarray:
        """Which end token finished each leaf, (leaves,) int from 0, -1 where it was cut off."""
        last = self.tokens[np.arange(self.num_leaves), self.lengths - 1]
        return _frozen(np.where(last >= self.num_content, last - self.num_content, -1))

    @cached_property
    def last_content(self) -> np.ndarray:
        """Last content token of every leaf, (leaves,) int, -1 where there is none."""
        place = np.maximum(self.content_lengths - 1, 0)
        last = self.tokens[np.arange(self.num_leaves), place]
        return _frozen(np.where(self.content_lengths > 0, last, -1))

    @cached_property
    def first_content(self) -> np.ndarray:
        """First content token of every leaf, (leaves,) int, -1 where there is none."""
        return _frozen(np.where(self.content_lengths > 0, self.tokens[:, 0], -1))

    def leaf(self, tokens) -> int:
        """Index of the leaf with these tokens, the end token included. Raises: InputError if they are no
        finished sequence.
        """
        row = np.full(self.max_length, -1)
        if 0 < len(tokens) <= self.max_length:
            row[: len(tokens)] = tokens
        found = np.flatnonzero((self.tokens == row).all(axis=1))
        if len(found) != 1:
            raise InputError(
                "tokens",
                list(tokens),
                "it is a finished sequence: ended by an end token, or of full length without one",
            )
        return int(found[0])


def _words(letters: int, length: int, width: int) -> np.ndarray:
    """All words of this length in lexicographic order, padded with -1 to `width`: (letters^length, width)."""
    digits = (
        np.arange(letters**length)[:, None] // letters ** np.arange(length - 1, -1, -1)[None, :] % letters
    )
    return np.concatenate([digits, np.full((len(digits), width - length), -1)], axis=1).astype(np.int64)


def _frozen(array: np.ndarray) -> np.ndarray:
    array = np.array(array)
    array.setflags(write=False)
    return array
