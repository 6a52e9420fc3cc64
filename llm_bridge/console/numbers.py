"""Numbers from outside: whole or real, finite and within stated limits, or refused before any work."""

import numbers

from sharpening.errors import InputError

MOST = 10**6
"""The most of anything that is counted: larger numbers are slips of the pen, and would fill the memory."""
SEEDS = 2**31
"""Seeds lie between 0 and SEEDS - 1: every generator that a run feeds takes those."""


def whole(argument: str, value, low: int, high: int = MOST, fix: str = "") -> int:
    """`value` as an int. Raises InputError unless it is a whole number, and no bool, from `low` to `high`."""
    if not is_number(value, numbers.Integral):
        raise InputError(argument, value, "it must be a whole number", fix or _within(argument, low, high))
    if not low <= value <= high:
        rule = f"it must be at least {low}" if value < low else f"it must be at most {high}"
        raise InputError(argument, value, rule, fix or _within(argument, low, high))
    return int(value)


def real(argument: str, value, low: float, high: float, fix: str = ""):
    """`value` as a plain number. Raises InputError unless it is a finite number, and no bool, from `low` to
    `high`.
    """
    if not is_number(value, numbers.Real):
        raise InputError(argument, value, "it must be a number", fix or _within(argument, low, high))
    if not low <= value <= high:  # false for nan too
        rule = f"it must be a finite number from {low:g} to {high:g}"
        raise InputError(argument, value, rule, fix or _within(argument, low, high))
    return value if type(value) in (int, float) else float(value)


def below(value, bound: float) -> bool:
    """Whether `value` is a number, and less than `bound`; what is no number is for `whole` and `real` to refuse."""
    return isinstance(value, numbers.Real) and value < bound


def is_number(value, kind: type) -> bool:
    """Whether `value` is of that kind of numbers (`numbers.Integral`, `numbers.Real`), and no bool."""
    return isinstance(value, kind) and not isinstance(value, bool)


def truth(argument: str, value) -> bool:
    """`value` if it is True or False. Raises InputError otherwise."""
    if not isinstance(value, bool):
        raise InputError(argument, value, "it must be True or False", "Give one of the two")
    return value


def _within(argument: str, low, high) -> str:
    low, high = (f"{bound}" if isinstance(bound, int) else f"{bound:g}" for bound in (low, high))
    return f"Give {option(argument)} a value from {low} to {high}"


def option(argument: str) -> str:
    """The command line's spelling of a setting."""
    return f"--{argument.replace('_', '-')}"
