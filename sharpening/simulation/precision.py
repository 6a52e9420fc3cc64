"""Float64 for a block of code, whatever the caller's JAX configuration, which stays as it was."""

from __future__ import annotations

from contextlib import AbstractContextManager

import jax

from sharpening.errors import InputError


def precision_context(precision: str) -> AbstractContextManager:
    """A context in which JAX computes in "float64" or "float32"; arrays must be made and used inside it."""
    if precision not in ("float64", "float32"):
        raise InputError("precision", precision, 'it is "float64" or "float32"')
    if not hasattr(jax, "enable_x64"):
        from jax.experimental import enable_x64  # type: ignore[attr-defined]  # where JAX had it before 0.8

        return enable_x64(precision == "float64")
    return jax.enable_x64(precision == "float64")
