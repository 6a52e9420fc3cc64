"""Where a curve crosses a level."""

import math

import numpy as np


def crossing(at: np.ndarray, values: np.ndarray, level: float) -> float:
    """Where `values`, at increasing places `at` that begin with 0, first fall to `level`: log-interpolated,
    inf if they never do.

    Between 0 and the next place nothing can be interpolated: the next place then.
    """
    below = np.flatnonzero(values <= level)
    if not below.size:
        return math.inf
    j = int(below[0])
    if j == 0 or at[j - 1] == 0:
        return float(at[j])
    low, high = np.log(at[j - 1 : j + 1])
    share = (values[j - 1] - level) / max(values[j - 1] - values[j], 1e-12)
    return float(np.exp(low + share * (high - low)))
