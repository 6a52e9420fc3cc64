"""NumPy where all is NumPy's, JAX elsewhere: one formula for a table checked in microseconds and for compiled code."""

from __future__ import annotations

from types import ModuleType

import jax.numpy as jnp
import numpy as np


def array_module(*arrays: object) -> ModuleType:
    """numpy if every one of `arrays` is NumPy's or a plain number, else jax.numpy, traced values included.

    JAX compiles each operation anew for every shape, some 20 ms each, before it computes at all: a theorem on a
    population of a new size took seconds so.
    """
    plain = all(isinstance(one, (np.ndarray, np.generic, float, int)) for one in arrays)
    return np if plain else jnp


def quiet():
    """Infinite log-probabilities are meant: NumPy's warnings about them, off; JAX has none. A context, or a
    decorator.
    """
    return np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore")
