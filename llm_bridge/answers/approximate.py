r"""Whether two formulas surely differ, from their values at a point, with a bound on the rounding error of
every step.
"""

import math
import re
from functools import lru_cache

from llm_bridge.answers.formulas import names, parse_formula

MARGIN = 2e-6
"""Values closer than this are not told apart: math-verify rounds numeric values to 6 decimals."""
MAX_EXPONENT = 64
_EPSILON = 4 * 2.0**-53
_LARGEST = 1e12
_OTHER_MEANINGS = frozenset("EIdD")
_CONSTANTS = {"e": math.e, "i": 1j}
_UNIT = re.compile(r"[0-9}\s]\s*(?:[A-Za-z]{2,}|[cdghlmost])$")
_POINTS = (0.6180339887, 0.2718281828)


def surely_differ(first: str, second: str) -> bool:
    """True only if both texts are formulas whose values differ at some point by more than rounding can
    explain.

    Formulas here are what `parse_formula` reads strictly, made of numbers, pi, letters, + - * /, roots and
    whole exponents up to 64 in absolute value; i is the imaginary unit, e Euler's number, the other letters
    are given values; d, D, E and I say nothing, since readers differ. Where the letters are not the same and
    one text ends in letters, they may be a unit: nothing is said. False says nothing.
    """
    left, right = _values(first), _values(second)
    if left is None or right is None or left[0] != right[0] and (_UNIT.search(first) or _UNIT.search(second)):
        return False
    for one, other in zip(left[1], right[1], strict=True):
        if (
            one
            and other
            and abs(one[0] - other[0]) > MARGIN * (1 + max(abs(one[0]), abs(other[0]))) + one[1] + other[1]
        ):
            return True
    return False


@lru_cache(maxsize=20_000)
def _values(text: str) -> tuple[frozenset[str], tuple] | None:
    """The letters of a formula and its (value, error bound) at each point."""
    tree = parse_formula(text, strict=True)
    if tree is None:
        return None
    letters = names(tree)
    if letters & _OTHER_MEANINGS:
        return None
    return letters, tuple(
        value_at(tree, {letter: 1 + (ord(letter) * point) % 1 for letter in letters} | _CONSTANTS)
        for point in _POINTS
    )


def value_at(tree: tuple, values: dict[str, complex]) -> tuple[complex, float] | None:
    """(value, error bound) of a formula in floating point; None where it has no value, takes a root of
    anything but a positive number, or the bound is useless.
    """
    try:
        value, error = _value(tree, values)
    except (_UndefinedError, OverflowError, ZeroDivisionError):
        return None
    return (value, error) if error <= MARGIN * (1 + abs(value)) else None


class _UndefinedError(Exception):
    pass


def _rounded(value: complex, error: float) -> tuple[complex, float]:
    if not abs(value) < _LARGEST:
        raise _UndefinedError
    return value, error + abs(value) * _EPSILON


def _value(tree: tuple, values: dict[str, complex]) -> tuple[complex, float]:
    kind = tree[0]
    if kind == "number":
        return _rounded(float(tree[1]), 0.0)
    if kind == "name":
        return _rounded(math.pi if tree[1] == "pi" else values[tree[1]], 0.0)
    if kind == "negative":
        value, error = _value(tree[1], values)
        return -value, error
    if kind == "sum":
        total: complex = 0.0
        bound = 0.0
        for part in tree[1]:
            value, error = _value(part, values)
            total, bound = _rounded(total + value, bound + error)
        return total, bound
    if kind == "product":
        return _product([_value(part, values) for part in tree[1]])
    if kind == "inverse":
        return _inverse(*_value(tree[1], values))
    if kind == "power" and tree[2][0] in ("number", "negative"):
        return _power(tree, values)
    if kind in ("sqrt", "root"):
        return _root(2 if kind == "sqrt" else tree[1], *_value(tree[-1], values))
    raise _UndefinedError


def _product(factors: list[tuple[complex, float]]) -> tuple[complex, float]:
    total: complex = 1.0
    bound = 0.0
    for value, error in factors:
        total, bound = _rounded(total * value, abs(total) * error + abs(value) * bound + error * bound)
    return total, bound


def _inverse(value: complex, error: float) -> tuple[complex, float]:
    if abs(value) <= 2 * error or abs(value) < 1e-9:
        raise _UndefinedError
    return _rounded(1 / value, 2 * error / abs(value) ** 2)


def _power(tree: tuple, values: dict[str, complex]) -> tuple[complex, float]:
    sign, exponent = (-1, tree[2][1]) if tree[2][0] == "negative" else (1, tree[2])
    if exponent[0] != "number" or exponent[1].denominator != 1 or exponent[1] > MAX_EXPONENT:
        raise _UndefinedError
    result = _product([_value(tree[1], values)] * int(exponent[1]))
    return result if sign > 0 else _inverse(*result)


def _root(degree: int, value: float | complex, error: float) -> tuple[complex, float]:
    if isinstance(value, complex):
        raise _UndefinedError
    low = value - error
    if low <= 1e-9:
        raise _UndefinedError
    return _rounded(value ** (1 / degree), error * low ** (1 / degree - 1) / degree)
