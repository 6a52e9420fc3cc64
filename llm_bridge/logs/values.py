"""What a cell of a log says: a number, nothing, or something else."""

import math

_NOTHING = frozenset(("", "nan", "none", "null", "na"))
_LARGEST_STEP = 2**53
"""Whole numbers beyond are not told apart by every writer of JSON."""


def number(value) -> float | None:
    """The value as a float, which may be infinite; NaN where there is none; None where it is something
    else.
    """
    if type(value) is float:
        return value
    if value is None or isinstance(value, str) and value.strip().lower() in _NOTHING:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf
    except ValueError:
        return None


def whole(value) -> int | None:
    """The value as a step, a whole number from 0 on; None where it is none."""
    if type(value) is int and 0 <= value < _LARGEST_STEP:
        return value
    found = number(value)
    if found is None or not math.isfinite(found) or found != int(found) or not 0 <= found < _LARGEST_STEP:
        return None
    return int(found)
