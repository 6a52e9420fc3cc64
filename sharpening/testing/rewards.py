"""Strategies for the rewards of given policies: comonotone, mode-monotone, or any at all."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st


@st.composite
def comonotone_rewards(draw, log_probs: np.ndarray) -> np.ndarray:
    """Rewards (prompts, answers) that are a nondecreasing function of each row of `log_probs`: equal masses
    get equal rewards (theorem S4).
    """
    rewards = np.zeros(log_probs.shape)
    for row, out in zip(log_probs, rewards, strict=True):
        levels, index = np.unique(row, return_inverse=True)
        rises = st.one_of(st.just(0.0), st.floats(1e-9, 3.0))
        first = draw(st.floats(-3.0, 3.0))
        steps = [draw(rises) for _ in levels[1:]]
        out[:] = (first + np.concatenate([[0.0], np.cumsum(steps)]))[index]
    return rewards


@st.composite
def mode_monotone_rewards(draw, log_probs: np.ndarray) -> np.ndarray:
    """Rewards (prompts, answers) that are largest on the leading answers of each row, and anything up to that
    on the others.

    The leaders' mass never falls under a KL-prox step of any size, yet the rewards need not be comonotone.
    """
    rewards = np.zeros(log_probs.shape)
    for row, out in zip(log_probs, rewards, strict=True):
        top = draw(st.floats(-3.0, 3.0))
        below = st.one_of(st.just(0.0), st.floats(1e-9, 6.0))
        out[:] = [top if value == row.max() else top - draw(below) for value in row]
    return rewards


@st.composite
def arbitrary_rewards(draw, log_probs: np.ndarray, *, bound: float = 3.0) -> np.ndarray:
    """Any rewards (prompts, answers) in [-bound, bound], ties among them frequent."""
    values = st.one_of(
        st.sampled_from([0.0, 1.0, -1.0]).filter(lambda value: abs(value) <= bound), st.floats(-bound, bound)
    )
    flat = draw(st.lists(values, min_size=log_probs.size, max_size=log_probs.size))
    return np.array(flat).reshape(log_probs.shape)
