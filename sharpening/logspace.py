"""Masses as their logarithms, in NumPy and float64: sums, shares, odds.

The compiled code uses jax.nn (`logsumexp`, `log_softmax`, `log_sigmoid`) instead: those need a compilation for
every shape and say float32 where JAX does, and a table of a few answers is checked in microseconds here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def log_sum(log_values: np.ndarray) -> np.ndarray:
    """log sum exp over the last axis, nats; -infinity for an empty or impossible sum; (..., n) -> (...)."""
    if log_values.shape[-1] == 0:
        return np.full(log_values.shape[:-1], -np.inf)
    top = log_values.max(axis=-1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return top[..., 0] + np.log(np.exp(log_values - top).sum(axis=-1))


def normalised(log_values: np.ndarray) -> np.ndarray:
    """log_softmax over the last axis, nats; the same shape. Equal entries stay exactly equal."""
    shifted = log_values - log_values.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def log_mass(log_probs: np.ndarray, members: np.ndarray) -> np.ndarray:
    """log of the mass on `members` (prompts, answers) bool, (prompts,), nats."""
    return log_sum(np.where(members, log_probs, -np.inf))


def log_odds(log_probs: np.ndarray, members: np.ndarray) -> np.ndarray:
    """log pi(members) - log pi(others), (prompts,), nats: the others are summed, so that 1 - 1e-300 keeps its
    digits.
    """
    with np.errstate(invalid="ignore"):
        return log_mass(log_probs, members) - log_mass(log_probs, ~members)


def logistic(odds: ArrayLike) -> np.ndarray:
    """The mass p = 1/(1 + e^-odds) whose log-odds are `odds`, nats; the same shape."""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-np.asarray(odds, np.float64)))


def log_logistic(odds: ArrayLike) -> np.ndarray:
    """log p = -log(1 + e^-odds), nats, which keeps its digits at p = 1e-300; log(1 - p) is that of -odds."""
    return -np.logaddexp(0.0, -np.asarray(odds, np.float64))
