"""Make a case that breaks a property as small and readable as it gets, and still breaking.

Our own shrinker, not Hypothesis': it knows what a reader finds small (few answers, integer weights, a
fraction instead of a float with sixteen digits), it needs no package beside NumPy, and its result does not
change with another package's version. It is greedy and deterministic: no single change of the kinds below
leaves a smaller case that breaks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

from sharpening.audit.cases import Case, numbered

INTEGERS = tuple(map(float, range(10)))


def shrink(case: Case, breaks: Callable[[Case], bool]) -> Case:
    """The first smaller case that still breaks, again and again, until none does."""
    while True:
        smaller = next((other for other in _smaller(case) if other.size < case.size and breaks(other)), None)
        if smaller is None:
            return case
        case = smaller


def _smaller(case: Case) -> Iterator[Case]:
    size = len(case.weights)
    if size > 1:
        yield from (case.without(answer) for answer in range(size) if sum(case.without(answer).weights) > 0)
    levels = sorted({weight for weight in case.weights if weight > 0})
    ranks = {weight: float(rank) for rank, weight in enumerate(levels, start=1)} | {0.0: 0.0}
    yield dataclasses.replace(case, weights=(1.0,) * size)
    yield dataclasses.replace(case, weights=tuple(ranks[weight] for weight in case.weights))
    yield dataclasses.replace(case, reference=(1.0,) * size)
    for level in (*levels, 0.0):
        for value in _simpler(level):
            moved = tuple(value if weight == level else weight for weight in case.weights)
            if sum(moved) > 0:
                yield dataclasses.replace(case, weights=moved)
    for answer in range(size):
        for value in _simpler(case.weights[answer]):
            moved = _put(case.weights, answer, value)
            if sum(moved) > 0:
                yield dataclasses.replace(case, weights=moved)
        yield from (
            dataclasses.replace(case, reference=_put(case.reference, answer, value))
            for value in _simpler(case.reference[answer])
            if value
        )
        if case.correct[answer]:
            yield dataclasses.replace(case, correct=_put(case.correct, answer, False))
        for cluster in range(case.clusters[answer]):
            yield dataclasses.replace(case, clusters=numbered(_put(case.clusters, answer, cluster)))


def _simpler(weight: float) -> list[float]:
    rounded = float(f"{weight:.0e}")
    return [value for value in (*INTEGERS, rounded) if value != weight]


def _put(values: tuple, place: int, value) -> tuple:
    return (*values[:place], value, *values[place + 1 :])
