"""The two-level inverse CDF against a walk up the cumulative distribution, at its edges, and on sizes that no
square divides.
"""

import numpy as np
import pytest

from sharpening.simulation.sampling import sample_columns


def walk(masses, uniform):
    """The first column whose cumulative mass exceeds uniform * total."""
    threshold, total = uniform * masses.sum(), 0.0
    for column, mass in enumerate(masses):
        total += mass
        if total > threshold:
            return column
    return int(np.flatnonzero(masses)[-1])


@pytest.mark.parametrize("num_answers", [1, 2, 7, 50, 256])
def test_columns_are_those_of_the_walk(num_answers):
    rng = np.random.default_rng(num_answers)
    masses = rng.integers(0, 4, (20, num_answers)).astype(float)
    masses[:, rng.integers(num_answers)] += 1
    uniform = (rng.integers(0, 2**20, (20, 9)) + 0.5) / 2**20
    want = [[walk(row, u) for u in draws] for row, draws in zip(masses, uniform, strict=True)]
    assert np.array_equal(np.asarray(sample_columns(uniform, masses)), want)


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("num_answers", [5, 23])
def test_a_column_of_mass_0_is_never_found_not_even_at_the_edges(num_answers, precision):
    rng = np.random.default_rng(0)
    masses = (
        rng.random((200, num_answers))
        * (rng.random((200, num_answers)) < 0.3)
        * 10.0 ** rng.integers(-30, 1, (200, num_answers))
    )
    masses[:, num_answers // 2] += 1e-3
    masses[:, 0] = masses[:, -1] = 0
    edges = np.array([0.0, np.finfo(precision).tiny, 0.5, 1 - np.finfo(precision).epsneg])
    found = np.asarray(sample_columns(np.tile(edges, (200, 1)).astype(precision), masses.astype(precision)))
    assert np.all(np.take_along_axis(masses.astype(precision), found, axis=1) > 0)
