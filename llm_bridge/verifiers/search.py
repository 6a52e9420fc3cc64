"""Complete search for Countdown: can these numbers, each used exactly once, reach the target, and how?"""

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from itertools import product

from llm_bridge.answers.arithmetic import parse_expression
from sharpening.errors import InputError

OPERATORS = "+-*/"
MAX_NUMBERS = {False: 7, True: 6}
"""Most numbers that are searched, without and with division."""
LARGEST = 1_000

Numbers = tuple[int, ...]


@lru_cache(maxsize=4_096)
def solve(numbers: Numbers, target: int, operators: str = "+-*") -> str | None:
    """An expression of the numbers, each used exactly once, that equals the target; None if there is none:
    the search is complete.

    Steps are exact, fractions and negative numbers between them allowed. The expression need not be the
    shortest; the same question always gets the same one.

    Raises InputError for an unknown operator, no or too many numbers (7 without division, 6 with it) and a
    number outside 0..1000.
    """
    if not operators or set(operators) - set(OPERATORS):
        raise InputError("operators", operators, f"operators are some of {OPERATORS}", 'Give "+-*" or "+-*/"')
    most = MAX_NUMBERS["/" in operators]
    if not 1 <= len(numbers) <= most:
        raise InputError(
            "numbers",
            numbers,
            f"with {operators} from 1 to {most} numbers are searched",
            "Give fewer numbers",
        )
    if any(not 0 <= value <= LARGEST for value in numbers):
        raise InputError("numbers", numbers, f"each must be in 0..{LARGEST}", "Give smaller numbers")
    text = _Search(operators).write(tuple(sorted(numbers)), target)
    short = parse_expression(text) if text is not None else None
    return text if short is None else short.text


class _Search:
    """`reached` remembers the values of every set of numbers that it is asked for; the whole set is never
    listed.
    """

    def __init__(self, operators: str):
        self.operators = operators
        self.known: dict[Numbers, frozenset] = {}

    def write(self, numbers: Numbers, target) -> str | None:
        """Top down: a last step whose sides both exist; each side is then written in the same way."""
        if len(numbers) == 1:
            return str(numbers[0]) if numbers[0] == target else None
        for small, large in _splits(numbers):
            others = self.reached(large)
            for value in self.reached(small):
                for operator, other, small_first in self._partners(value, target, others):
                    if other in others:
                        sides = [self._side(small, value), self._side(large, other)]
                        return operator.join(sides if small_first else sides[::-1])
        return None

    def _side(self, numbers: Numbers, value) -> str:
        return str(numbers[0]) if len(numbers) == 1 else f"({self.write(numbers, value)})"

    def reached(self, numbers: Numbers) -> frozenset:
        """Every value that expressions of these sorted numbers have; whole ones as int."""
        if numbers not in self.known:
            values = set(numbers) if len(numbers) == 1 else set()
            for small, large in _splits(numbers):
                for left, right in product(self.reached(small), self.reached(large)):
                    values.update(self._steps(left, right))
            self.known[numbers] = frozenset(values)
        return self.known[numbers]

    def _steps(self, left, right) -> Iterator:
        """The values of one step between two values, in either order."""
        for operator in self.operators:
            if operator == "+":
                yield left + right
            elif operator == "*":
                yield left * right
            elif operator == "-":
                yield left - right
                yield right - left
            else:
                if right:
                    yield _ratio(left, right)
                if left:
                    yield _ratio(right, left)

    def _partners(self, value, target, others: frozenset) -> Iterator[tuple[str, object, bool]]:
        """(operator, other value, whether `value` stands first) of every step that gives the target."""
        for operator in self.operators:
            if operator == "+":
                yield operator, target - value, True
            elif operator == "-":
                yield operator, value - target, True
                yield operator, target + value, False
            elif operator == "*":
                if value:
                    yield operator, _ratio(target, value), True
                elif target == 0:
                    yield operator, next(iter(others)), True
            elif target:
                if value:
                    yield operator, _ratio(value, target), True
                    yield operator, target * value, False
            elif value:
                yield operator, 0, False
            else:
                yield from ((operator, other, True) for other in others if other)


def _ratio(above, below):
    value = Fraction(above) / below
    return value.numerator if value.denominator == 1 else value


def _splits(numbers: Numbers) -> list[tuple[Numbers, Numbers]]:
    """The ways to part sorted numbers in two, equal ones not told apart, each unordered pair once, the
    smaller part first.
    """
    counts = sorted(Counter(numbers).items())
    found = []
    for taken in product(*(range(count + 1) for _, count in counts)):
        small = tuple(value for (value, _), share in zip(counts, taken, strict=True) for _ in range(share))
        large = tuple(
            value for (value, count), share in zip(counts, taken, strict=True) for _ in range(count - share)
        )
        if small and (len(small), small) <= (len(large), large):
            found.append((small, large))
    return found
