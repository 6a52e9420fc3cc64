"""What a constraint can call: exact functions of numbers, each in bounded time."""

import math
from collections.abc import Callable
from fractions import Fraction

LARGEST_PRIME_QUESTION = 10**12


def _whole(value: Fraction) -> int:
    if value.denominator != 1:
        raise ValueError("a whole number is needed")
    return value.numerator


def _prime(value: Fraction) -> bool:
    """Miller-Rabin with bases that decide every number below 3.4e14."""
    number = _whole(value)
    if number > LARGEST_PRIME_QUESTION:
        raise ValueError("too large")
    if number < 2 or any(number % small == 0 for small in (2, 3, 5, 7, 11, 13, 17)):
        return number in (2, 3, 5, 7, 11, 13, 17)
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    return all(
        pow(base, odd, number) == 1
        or any(pow(base, odd << shift, number) == number - 1 for shift in range(twos))
        for base in (2, 3, 5, 7, 11, 13, 17)
    )


def _divides(divisor: Fraction, value: Fraction) -> bool:
    return _whole(value) % _whole(divisor) == 0 if divisor else value == 0


FUNCTIONS: dict[str, Callable] = {
    "abs": lambda value: abs(value),
    "min": lambda first, *rest: min(first, *rest) if rest else first,
    "max": lambda first, *rest: max(first, *rest) if rest else first,
    "gcd": lambda first, *rest: math.gcd(_whole(first), *map(_whole, rest)),
    "lcm": lambda first, *rest: math.lcm(_whole(first), *map(_whole, rest)),
    "floor": lambda value: math.floor(value),
    "ceil": lambda value: math.ceil(value),
    "whole": lambda value: value.denominator == 1,
    "prime": lambda value: _prime(value),
    "divides": lambda divisor, value: _divides(divisor, value),
    "distinct": lambda *values: len(set(values)) == len(values),
}
"""Functions by name, of Fractions; a wrong number of arguments is a TypeError, a wrong kind of number a
ValueError.
"""
