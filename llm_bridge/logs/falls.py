"""A test for falling accuracy that may be asked after every evaluation: is it lower than it was before?

Null: at no evaluation is the true accuracy more than `margin` below that of an earlier one. At evaluation t
every earlier block of 1, 2, 4, ... values is compared with the last 1, 2, 4 and 8. The error of a comparison is
error / (t (t + 1)), divided by how many there are at t; these sum to less than `error` over a run of any
length, so the test may be stopped at any evaluation (a union bound: nothing is assumed of when or how fast
accuracy falls). Noise is independent and of mean zero. Two bounds share the error:

- Hoeffding's, 1 / (2 sqrt(answers)) for one value, which holds for any number of values;
- from six values on, the noise estimated from second differences, in which a steady trend cancels. An estimate
  is no variance, so its bound is wider by 1 + 5 / (t - 2), which holds the error over whole runs of normal noise
  by simulation (tests/bridge/test_falls.py).
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

MARGIN = 0.02
"""Change of accuracy that counts as a rise or a fall."""
ERROR = 0.05
"""Chance of a false alarm over a whole run."""
FEWEST_ANSWERS = 100
"""Answers taken to be behind an accuracy whose log does not say, and whose values show no smaller number."""
LEAST_NOISE = 0.005
"""Standard error of an accuracy of .5 on 10,000 answers; no estimate is taken to be below."""
_LATER = (1, 2, 4, 8)
_FIRST_ESTIMATE = 6
_MAD = 0.6745 * np.sqrt(6.0)
"""Median of |y[i-1] - 2 y[i] + y[i+1]| for independent normal values of unit variance."""


@dataclass(frozen=True)
class Fall:
    """A fall that the test believes: `index` of the evaluation that showed it, `held` evaluations in the
    later block, mean accuracy `before` and `after`.
    """

    index: int
    held: int
    before: float
    after: float


def noise_of(values: np.ndarray) -> float:
    """Standard deviation of one value around its trend: median of absolute second differences; infinite for
    fewer than six values.
    """
    if len(values) < _FIRST_ESTIMATE:
        return float("inf")
    return max(LEAST_NOISE, float(np.median(np.abs(np.diff(values, 2)))) / _MAD)


def answers_of(values: np.ndarray) -> int:
    """The smallest number of answers below FEWEST_ANSWERS of which every value is a whole share, within the
    digits of a log; FEWEST_ANSWERS where there is none.
    """
    counts = np.arange(1, FEWEST_ANSWERS)
    shares = np.multiply.outer(np.asarray(values, dtype=float), counts)
    fits = (np.abs(shares - np.round(shares)) <= 5.1e-5 * counts + 1e-9).all(axis=0)
    fits &= counts * 1.02e-4 < 0.5
    several = len(set(np.round(values, 6))) > 2
    return int(counts[fits.argmax()]) if several and fits.any() else FEWEST_ANSWERS


def falls(
    values: np.ndarray, *, margin: float = MARGIN, error: float = ERROR, answers: int | None = None
) -> list[Fall | None]:
    """For each evaluation the fall that the test believes there, of the longest later block; None where it
    believes none.

    `values`: accuracies in [0, 1] in the order of steps. `answers`: how many answers each is the mean of.
    """
    values = np.asarray(values, dtype=float)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    limits = _limits(values, error, answers)
    found: list[Fall | None] = [None] * len(values)
    for held in _LATER:
        for width in _widths(len(values) - held):
            earlier = (sums[width:] - sums[:-width]) / width
            best = np.maximum.accumulate(earlier)[: len(values) - width - held + 1]
            after = ((sums[held:] - sums[:-held]) / held)[width:]
            at = np.arange(width + held - 1, len(values))
            sure = best - margin - after > limits[at] * np.sqrt(1 / width + 1 / held)
            for place in np.flatnonzero(sure):
                index = int(at[place])
                now = found[index]
                if now is None or (held, best[place]) > (now.held, now.before):
                    found[index] = Fall(index, held, float(best[place]), float(after[place]))
    return found


def falls_of_known(
    values: np.ndarray, errors: np.ndarray, *, margin: float = MARGIN, error: float = ERROR
) -> list[Fall | None]:
    """The same test of values whose standard errors are known, each its own: means of draws on prompts that stay the
    same, compared as normal numbers. A bound for one value is then no longer that of a share of ½.
    """
    values, variances = np.asarray(values, dtype=float), np.asarray(errors, dtype=float) ** 2
    sums, spent = (np.concatenate([[0.0], np.cumsum(each)]) for each in (values, variances))
    found: list[Fall | None] = [None] * len(values)
    multiples = -ndtri([_error_of_each(seen, error) for seen in range(1, len(values) + 1)])
    for held in _LATER:
        for width in _widths(len(values) - held):
            earlier, noise = (
                (sums[width:] - sums[:-width]) / width,
                (spent[width:] - spent[:-width]) / width**2,
            )
            for index in range(width + held - 1, len(values)):
                after = (sums[index + 1] - sums[index + 1 - held]) / held
                own = (spent[index + 1] - spent[index + 1 - held]) / held**2
                before, of = earlier[: index + 2 - held - width], noise[: index + 2 - held - width]
                sure = before - margin - after > multiples[index] * np.sqrt(of + own)
                if sure.any():
                    best, now = float(before[sure].max()), found[index]
                    if now is None or (held, best) > (now.held, now.before):
                        found[index] = Fall(index, held, best, float(after))
    return found


def _widths(longest: int) -> list[int]:
    return [2**power for power in range(max(0, longest).bit_length()) if 2**power <= longest]


def _limits(values: np.ndarray, error: float, answers: int | None) -> np.ndarray:
    """What a difference of two single values must exceed at each evaluation, over sqrt(2)."""
    limits = np.full(len(values), np.inf)
    least = 0.5 / np.sqrt(answers or answers_of(values))
    for index in range(1, len(values)):
        seen = index + 1
        estimated = (1 + 5 / max(1, seen - 2)) * noise_of(values[:seen])
        # Hoeffding's bound, which holds for estimated noise by simulation.
        limits[index] = np.sqrt(2 * np.log(2 / _error_of_each(seen, error))) * min(least, estimated)
    return limits


def _error_of_each(seen: int, error: float) -> float:
    """The share of the error that each comparison at the evaluation number `seen` may spend."""
    comparisons = sum(seen - held - width + 1 for held in _LATER for width in _widths(seen - held))
    return error / (max(1, comparisons) * seen * (seen + 1))
