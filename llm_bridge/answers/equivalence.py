r"""Which answers are the same: exact for numbers, by spelling for words, else by math-verify in a guarded
process.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache

from llm_bridge.answers.approximate import surely_differ
from llm_bridge.answers.guard import guard
from llm_bridge.answers.identity import surely_identical
from llm_bridge.answers.limits import MAX_LABEL
from llm_bridge.answers.normal_form import is_words, normal_form
from llm_bridge.answers.numbers import number
from llm_bridge.answers.units import split_unit

MAX_MATHEMATICS = 300
"""Longest answer in characters that is compared as mathematics; longer ones are the same only if their normal
forms are.
"""
_MOST_REMEMBERED = 5_000
_BASED = re.compile(r"([0-9A-Za-z]+)_\{?([0-9]+)\}?")
_not_mathematics: dict[str, None] = {}
_last: ContextVar[float] = ContextVar(
    "processor time of the worker at which comparing ends", default=float("inf")
)


def equivalent(first: str, second: str) -> bool | None:
    r"""Whether two answers say the same; None where that is undecided: neither the same nor different.

    Symmetric, reflexive, not transitive (see `votes` for the closure); never raises, whatever the text. Texts
    longer than a label can be (1,000 characters) are the same only if they are identical.

    1. Equal normal forms are the same. 2. Two numbers are the same if their exact values are ("1,000" and
    "1000", "0.250" and "1/4"; "0.333333" and "1/3" are not). 3. Words are compared without case. 4. Units (see
    `units`): a bare answer is the same as one with a unit, two different units are never the same, whatever
    their size (5 m is neither 5 km nor 500 cm). 5. Tuples
    and intervals need the same brackets and length, and the same parts in order; none is a number, a set or a
    list without brackets. 6. Degrees and percentages are compared as the numbers before them ("50%" is 50,
    never 0.5); numerals of two stated bases are different. 7. Two formulas that agree as rational functions
    of their letters and roots are the same; two whose values surely differ at a point are different. 8.
    Anything else goes to math-verify (either direction), in a process with limits of work and 256 MB beyond
    its start; whatever oversteps is undecided. Work is counted in calls of Python functions and each question
    starts from the same state, so the outcome depends neither on the machine's load nor on what was asked
    before. It rounds numeric values to 6 decimals. "x = 5", "f(x) = 5" and "2+3 = 5" are 5, but "x+1 = 5" is
    not; equations without a solution are the same only by rule 1.

    Text is never executed: math-verify's LaTeX parser builds the expression, no Python parser is used.
    """
    if first == second:
        return True
    if max(len(first), len(second)) > MAX_LABEL:
        return False
    try:
        return _compared(*sorted((normal_form(first), normal_form(second))))
    except _UndecidedError:
        return None


def unit_of(label: str) -> str | None:
    """The unit of a label (see `units`), None for a bare one."""
    return split_unit(normal_form(label))[1]


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Comparisons inside may use about so much processor time of the worker in all; when it is spent, the
    rest are by rules 1 to 7, and undecided where these say nothing.
    """
    outer = _last.set(min(_last.get(), guard("math").seconds + seconds))
    try:
        yield
    finally:
        _last.reset(outer)


def forget() -> None:
    """Empty the memory of comparisons made so far; they change no outcome, only its cost."""
    _by_rules.cache_clear()
    _not_mathematics.clear()


class _UndecidedError(Exception):
    """Undecided for a reason that lies not in the texts: the time of `at_most` is spent, or the process was ended
    from outside. An exception, so that no cache keeps the outcome.
    """


def _compared(first: str, second: str) -> bool | None:
    if first == second:
        return True
    if not first or not second or max(len(first), len(second)) > MAX_MATHEMATICS:
        return False
    return _by_rules(first, second)


def _forms(first: str, second: str) -> bool | None:
    return _compared(*sorted((normal_form(first), normal_form(second))))


@lru_cache(maxsize=50_000)
def _by_rules(first: str, second: str) -> bool | None:
    if is_words(first) or is_words(second):
        return first.casefold() == second.casefold()
    units = _without_units(first, second)
    if units is not None:
        return (
            units[0] == units[2] and _forms(*units[1::2]) if None not in units[::2] else _forms(*units[1::2])
        )
    left, right = _parts(first), _parts(second)
    if (left or _is_atom(first)) and (right or _is_atom(second)) and not (left and right):
        return False
    if left and right:
        return _tuples(left, right)
    if (left and _is_set(second)) or (right and _is_set(first)):
        return False
    if "%" in first + second:
        return _forms(*(text.replace(r"\%", "").replace("%", "") for text in (first, second)))
    based, other = _BASED.fullmatch(first), _BASED.fullmatch(second)
    if based and other and based[2] != other[2]:
        return False
    if surely_identical(first, second):
        return True
    return False if surely_differ(first, second) else _by_mathematics(first, second)


def _without_units(first: str, second: str) -> tuple[str | None, str, str | None, str] | None:
    """(unit, rest, unit, rest) of two answers of which one has a unit; None where neither has."""
    (one, unit), (other, second_unit) = split_unit(first), split_unit(second)
    if unit is None and second_unit is None:
        return None
    if unit is None:
        one, unit = split_unit(first, close=True)
    if second_unit is None:
        other, second_unit = split_unit(second, close=True)
    return unit, one, second_unit, other


def _tuples(left: list[str], right: list[str]) -> bool | None:
    if left[0] != right[0] or len(left) != len(right):
        return False
    said = [_forms(a, b) for a, b in zip(left[1:], right[1:], strict=True)]
    return False if False in said else None if None in said else True


def _is_atom(text: str) -> bool:
    return number(text) is not None or (len(text) == 1 and text.isalpha())


def _is_set(text: str) -> bool:
    r"""Whether a text is a list without brackets, such as 1,-2, or a set \{1,-2\}: neither has an order."""
    if text.startswith(r"\{") and text.endswith(r"\}"):
        return True
    depth = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            return True
    return False


def _parts(text: str) -> list[str] | None:
    """["(" + ")", part, part, ...] of a bracketed list such as (1,\\frac{1}{2}]; None if the text is not
    one.
    """
    if len(text) < 4 or text[0] not in "([" or text[-1] not in ")]":
        return None
    depth, start, parts = 0, 1, []
    for position in range(1, len(text) - 1):
        character = text[position]
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
            if depth < 0:
                return None
        elif character == "," and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    return [text[0] + text[-1], *parts, text[start:-1]] if parts and depth == 0 else None


def _by_mathematics(first: str, second: str) -> bool | None:
    if any("\0" in text for text in (first, second)):
        return False
    if any(text in _not_mathematics for text in (first, second)):
        return None
    worker = guard("math")
    if worker.seconds >= _last.get():
        raise _UndecidedError
    found = worker.outcome(first, second)
    if found.ended == "lost":
        raise _UndecidedError
    if found.ended is None:
        return found.result is True
    if len(found.stages) < 2:
        while len(_not_mathematics) >= _MOST_REMEMBERED:
            _not_mathematics.pop(next(iter(_not_mathematics)))
        _not_mathematics[second if found.stages else first] = None
    return None
