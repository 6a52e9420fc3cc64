r"""Which answers are the same: exact for numbers, by spelling for words, else by math-verify in a guarded process."""

from functools import lru_cache

from llm_bridge.tasks.guard import guard
from llm_bridge.tasks.normal_form import is_words, normal_form
from llm_bridge.tasks.numbers import number

MAX_MATHEMATICS = 300
"""Longest answer in characters that is compared as mathematics; longer ones are the same only if their normal forms are."""
_not_mathematics: set[str] = set()


def equivalent(first: str, second: str) -> bool:
    r"""Whether two answers say the same.

    Symmetric, reflexive, not transitive (see `votes` for the closure); never raises, whatever the text.

    1. Equal normal forms are the same. 2. Two numbers are the same if their exact values are ("1,000" and "1000", "0.250" and
    "1/4"; "0.333333" and "1/3" are not). 3. Words are compared without case. 4. Tuples and intervals need the same brackets and
    length, and the same parts in order; none is a number. 5. Anything else goes to math-verify (either direction), in a process
    limited to 2 s of processor time and 256 MB beyond its start; whatever oversteps is "not the same". math-verify rounds
    numeric values to 6 decimals.

    Text is never executed: math-verify's LaTeX parser builds the expression, no Python parser is used.
    """
    if first == second:
        return True
    return _normal_equivalent(*sorted((normal_form(first), normal_form(second))))


@lru_cache(maxsize=100_000)
def _normal_equivalent(first: str, second: str) -> bool:
    if first == second:
        return True
    if not first or not second:
        return False
    if is_words(first) or is_words(second):
        return first.casefold() == second.casefold()
    left, right = _parts(first), _parts(second)
    if (left or _is_atom(first)) and (right or _is_atom(second)) and not (left and right):
        return False
    if left and right:
        return (
            left[0] == right[0]
            and len(left) == len(right)
            and all(
                _normal_equivalent(*sorted((normal_form(a), normal_form(b)))) for a, b in zip(left[1:], right[1:], strict=True)
            )
        )
    return _by_mathematics(first, second)


def _is_atom(text: str) -> bool:
    return number(text) is not None or (len(text) == 1 and text.isalpha())


def _parts(text: str) -> list[str] | None:
    """["(" + ")", part, part, ...] of a bracketed list such as (1,\\frac{1}{2}]; None if the text is not one."""
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


def _by_mathematics(first: str, second: str) -> bool:
    if any(len(text) > MAX_MATHEMATICS or "\0" in text or text in _not_mathematics for text in (first, second)):
        return False
    result, stages = guard("math").ask(first, second)
    if result is None and len(stages) < 2:
        _not_mathematics.add(second if stages else first)
    return result is True
