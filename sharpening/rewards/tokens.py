"""What a reward needs to know of the tokens of every completion: a few numbers per token, whatever the size
of the vocabulary.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields, replace
from typing import Any

from sharpening.errors import InputError
from sharpening.metrics import as_arrays

# nats: just below the least positive number of float64; what -infinity counts as where a finite number is
# needed
IMPOSSIBLE = -745.0


@dataclass(frozen=True, eq=False)
class TokenStatistics:
    """Cross-entropies of the next-token policies pi_t of every completion to the anchors of the unified form.

    All arrays are (prompts, rollouts, tokens), in nats (gap: probability), of one library (NumPy, JAX or
    torch), with the sampling temperature already applied to the logits. Position t tells of token y_t and of
    the policy that y_t was drawn from (one position before the token in a transformer's output). Values where
    `mask` is false are never read. A JAX pytree.

    mask: bool, the token exists; log_prob = log pi_t(y_t) = -H(one-hot y_t, pi_t) <= 0; entropy = H(pi_t,
    pi_t) >= 0; uniform_cross_entropy = H(uniform, pi_t) = -(1/V) sum_v log pi_t(v) >= log V; gap = largest
    minus second largest probability, in 0..1; vocab_size = V; answer_mask: bool, the tokens that spell the
    answer, or None for all.
    Raises: InputError if shapes differ or are not three-dimensional. Source: He et al. 2026, unified reward.
    """

    mask: Any
    log_prob: Any
    entropy: Any
    uniform_cross_entropy: Any
    gap: Any
    vocab_size: int
    answer_mask: Any = None

    def __post_init__(self):
        _register_pytree()
        shape = tuple(self.mask.shape)
        if len(shape) != 3:
            raise InputError("mask", shape, "its shape is (prompts, rollouts, tokens)", "Reshape it")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name not in ("mask", "vocab_size") and value is not None and tuple(value.shape) != shape:
                raise InputError(field.name, tuple(value.shape), f"its shape must be that of mask, {shape}")

    @property
    def lengths(self):
        """Number of tokens of every completion, (prompts, rollouts), in the dtype of log_prob."""
        return self.total(self.log_prob * 0 + 1)

    def total(self, values, mask=None):
        """Sum of `values` over the tokens that exist (and lie in `mask`), (prompts, rollouts); 0 where there
        are none.
        """
        xp, values = as_arrays(values)
        keep = self.mask if mask is None else self.mask & mask
        return xp.sum(xp.where(keep, values, xp.zeros_like(values)), axis=2)

    def mean(self, values, mask=None):
        """Mean of `values` over the tokens that exist (and lie in `mask`), (prompts, rollouts); 0 where there
        are none.
        """
        xp, values = as_arrays(values)
        count = self.total(xp.ones_like(values), mask)
        return self.total(values, mask) / xp.where(count > 0, count, xp.ones_like(count))

    @classmethod
    def of_categorical(cls, log_probs, columns) -> TokenStatistics:
        """One-token answers: statistics of answers `columns` (prompts, rollouts) drawn from log_probs
        (prompts, answers), nats.

        tokens = 1 and V = the number of answers. An answer of probability 0 cannot be drawn; if asked for,
        its log_prob is the least finite one of its row, and in H(uniform, pi) it counts as IMPOSSIBLE nats,
        so that every number is finite.
        """
        xp, log_probs, columns = as_arrays(log_probs, columns)
        probs, possible = xp.exp(log_probs), log_probs > -float("inf")
        finite = xp.where(possible, log_probs, xp.zeros_like(log_probs))
        drawable = xp.where(possible, log_probs, xp.min(finite, axis=1)[:, None])
        floored = xp.where(possible, log_probs, xp.full_like(log_probs, IMPOSSIBLE))
        log_prob = xp.take_along_axis(drawable, columns, axis=1)
        spread = lambda row: xp.broadcast_to(row[:, None], log_prob.shape)[:, :, None]  # noqa: E731
        return cls(
            mask=xp.ones(log_prob.shape, dtype=xp.bool)[:, :, None],
            log_prob=log_prob[:, :, None],
            entropy=spread(xp.abs(xp.sum(probs * finite, axis=1))),
            uniform_cross_entropy=spread(-xp.mean(floored, axis=1)),
            gap=spread(_top_two_gap(xp, probs)),
            vocab_size=log_probs.shape[1],
        )

    def select(self, rows) -> TokenStatistics:
        """The statistics of these prompts only: `rows` indexes the first axis."""
        cut = {
            f.name: getattr(self, f.name)[rows]
            for f in fields(self)
            if f.name != "vocab_size" and getattr(self, f.name) is not None
        }
        return replace(self, **cut)


def _top_two_gap(xp, probs):
    """Largest minus second largest of each row, (prompts,); the second of a single answer is 0."""
    first = xp.argmax(probs, axis=1)
    others = xp.where(first[:, None] == xp.arange(probs.shape[1])[None, :], xp.zeros_like(probs), probs)
    return xp.max(probs, axis=1) - xp.max(others, axis=1)


_ARRAYS = tuple(field.name for field in fields(TokenStatistics) if field.name != "vocab_size")
_registered = False


def _flatten(tokens: TokenStatistics):
    return tuple(getattr(tokens, name) for name in _ARRAYS), tokens.vocab_size


def _unflatten(vocab_size: int, children) -> TokenStatistics:
    tokens = object.__new__(TokenStatistics)  # while JAX transforms, leaves may be anything: nothing to check
    for name, value in zip(_ARRAYS, children, strict=True):
        object.__setattr__(tokens, name, value)
    object.__setattr__(tokens, "vocab_size", vocab_size)
    return tokens


def _register_pytree() -> None:
    """Tell JAX once how to take statistics apart, if JAX is in use; torch users never load it."""
    global _registered
    if not _registered and "jax" in sys.modules:
        sys.modules["jax"].tree_util.register_pytree_node(TokenStatistics, _flatten, _unflatten)
        _registered = True
