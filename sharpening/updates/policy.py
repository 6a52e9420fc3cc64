"""A policy as an exact step reads it: log-probabilities and probabilities from one exponential."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sharpening.arrays import array_module


class Policy(NamedTuple):
    """log_probs and probs (..., answers), nats; `full` says that every answer is known to be possible, so
    that none is masked.
    """

    log_probs: jax.Array
    probs: jax.Array
    full: bool = False

    @classmethod
    def of(cls, log_probs: jax.Array) -> Policy:
        """The policy of normalised log-probabilities."""
        xp = array_module(log_probs)
        log_probs = xp.asarray(log_probs)
        return cls(log_probs, xp.exp(log_probs))

    @classmethod
    def from_logits(cls, logits: jax.Array, full: bool = False) -> Policy:
        """softmax(logits), with one exponential an answer."""
        xp = array_module(logits)
        top = xp.max(logits, axis=-1, keepdims=True)
        masses = xp.exp(logits - top)
        total = row_sum(masses)
        return cls(logits - (top + xp.log(total)), masses * (1.0 / total), full)


def row_sum(values: jax.Array) -> jax.Array:
    """Sum over the last axis, which stays with length 1. A product with ones: XLA does not fuse it with what
    makes `values`, and so both that loop and the sum run on vectors; a fused sum adds its terms one after the
    other.
    """
    if array_module(values) is np:
        return values.sum(axis=-1, keepdims=True)
    return jnp.matmul(
        values, jnp.ones((values.shape[-1], 1), values.dtype), precision=jax.lax.Precision.HIGHEST
    )


def row_max(values: jax.Array) -> jax.Array:
    """Largest entry of the last axis, which stays with length 1; 0 where all are -infinity."""
    xp = array_module(values)
    top = xp.max(values, axis=-1, keepdims=True)
    return xp.where(top > -xp.inf, top, 0.0)
