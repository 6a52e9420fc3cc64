"""Countdown: "3,5,7>22:" is to be continued with an expression such as "3*5+7"."""

from collections.abc import Iterator
from itertools import combinations_with_replacement, permutations, product

from llm_bridge.answers.arithmetic import MAX_LENGTH, parse_expression
from llm_bridge.tasks.base import Problem, Task, register_task

LARGEST_NUMBER = 14
LARGEST_TARGET = 99


@register_task
class Countdown(Task):
    """Three numbers in 1..14, ascending, and every target in 1..99 that +, - and * reach from them.

    An answer is an expression that uses **each number exactly once** (a number given twice is used twice)
    with +, -, * and brackets, and evaluates to the target; usually several are right. Whatever parses is an
    answer, right or wrong, and votes; a text that is not one whole expression is no answer.

    The label is the canonical expression: no spaces, no idle brackets, order kept, so "3*5+7" and "7+3*5" are
    two answers, both correct. Two labels are the same answer only if they are the same string.
    `Problem.answer` is the target.
    """

    name = "countdown"
    description = "reach a target from three numbers with + - *, '3,5,7>22:'"
    max_new_tokens = 12

    def _build(self) -> tuple[Problem, ...]:
        return tuple(
            Problem(
                f"{a},{b},{c}>{target}:",
                str(target),
                {"numbers": (a, b, c), "target": target, "solution": text},
            )
            for a, b, c in combinations_with_replacement(range(1, LARGEST_NUMBER + 1), 3)
            for target, text in sorted(_shortest((a, b, c)).items())
        )

    def extract(self, completion: str) -> str | None:
        expression = parse_expression(completion)
        return None if expression is None else expression.text

    def is_correct(self, problem: Problem, label: str | None) -> bool:
        expression = None if label is None else parse_expression(label)
        return (
            expression is not None
            and expression.value == problem.data["target"]
            and expression.numbers == tuple(sorted(problem.data["numbers"]))
        )

    def settled(self, completion: str) -> bool:
        return len(completion) > MAX_LENGTH or any(
            character not in "0123456789+-*() \t\r\n" for character in completion
        )

    def rephrase(self, problem: Problem) -> tuple[str, ...]:
        """The numbers in every other order."""
        orders = sorted(set(permutations(problem.data["numbers"])) - {tuple(problem.data["numbers"])})
        return tuple(f"{a},{b},{c}>{problem.data['target']}:" for a, b, c in orders)

    def meaning(self, label: str) -> str:
        """The value that an expression has: "3*5+7" and "7+3*5" mean the same."""
        expression = parse_expression(label)
        return label if expression is None else str(expression.value)

    def solution(self, problem: Problem) -> str:
        """The shortest correct expression, the first in alphabetical order among those."""
        return problem.data["solution"]

    def solutions(self, problem: Problem) -> tuple[str, ...]:
        """Every correct canonical label, sorted: the correct set of the problem."""
        texts = _expressions(problem.data["numbers"])
        return tuple(sorted({text for text, value in texts if value == problem.data["target"]}))


def _expressions(numbers: tuple[int, ...]) -> Iterator[tuple[str, int]]:
    """Canonical text and value of every expression of the three numbers."""
    for (a, b, c), first, second in product(sorted(set(permutations(numbers))), "+-*", "+-*"):
        for text in (f"({a}{first}{b}){second}{c}", f"{a}{first}({b}{second}{c})"):
            expression = parse_expression(text)
            if expression is not None:
                yield expression.text, expression.value


def _shortest(numbers: tuple[int, ...]) -> dict[int, str]:
    best: dict[int, str] = {}
    for text, value in _expressions(numbers):
        if 1 <= value <= LARGEST_TARGET:
            best[value] = min(best.get(value, text), text, key=lambda candidate: (len(candidate), candidate))
    return best
