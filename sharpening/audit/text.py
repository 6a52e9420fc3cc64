"""Numbers as an audit prints them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def number(value: float) -> str:
    """Four digits, or as many as it takes to tell a number from its nearest integer."""
    nearest = round(value) if np.isfinite(value) else value
    return (
        repr(float(value))
        if value != nearest and abs(value - nearest) < 1e-4 * max(abs(nearest), 1) and nearest
        else f"{value:.4g}"
    )


def numbers(values: Iterable[float]) -> str:
    """(2, 1, 0.5)"""
    return f"({', '.join(number(float(value)) for value in values)})"


def share(log_masses: np.ndarray) -> str:
    """The summed mass of these log-probabilities."""
    return number(float(np.exp(log_masses).sum()))


def policy(weights: tuple[float, ...]) -> str:
    """(2, 1, 1)/4 for integer weights, else the probabilities."""
    if all(weight == round(weight) and weight < 1000 for weight in weights):
        total = f"/{sum(weights):g}" if sum(weights) != 1 else ""
        return numbers(weights) + total
    return f"weights {numbers(weights)}"
