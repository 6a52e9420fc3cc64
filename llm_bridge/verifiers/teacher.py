"""Exhaustive teacher: it solves Countdown by complete search, so it knows whether an answer is right, and
whether any is.
"""

import re
from functools import lru_cache

from llm_bridge.tasks.base import Problem
from llm_bridge.verifiers.base import Verifier, register_verifier
from llm_bridge.verifiers.search import OPERATORS, solve
from llm_bridge.verifiers.symbolic import read_expression
from sharpening.errors import InputError

_PROMPT = re.compile(r"\s*([0-9]{1,4}(?:,[0-9]{1,4})*)>(-?[0-9]{1,9}):\s*", re.ASCII)
_UNSOLVABLE = frozenset({"unsolvable", "impossible", "no solution"})


@register_verifier
class ExhaustiveTeacher(Verifier):
    """1 for an answer that the teacher's own search confirms, else 0.

    The question is in the problem's data (`numbers`, `target`) or its prompt, "3,5,7>22:". Where it can be
    solved, an answer is right if it uses each number exactly once, with the operators given and brackets, and
    equals the target; where the search finds that it cannot, the answer "unsolvable" ("impossible", "no
    solution") is right, and nothing else. `operators`: "+-*" as in the task `countdown`, or "+-*/" with exact
    fractions.

    Raises InputError for unknown operators and, in `judge`, for a question that is none of Countdown or too
    large to search.
    """

    name = "teacher"
    description = "a complete search solves the Countdown question and judges the answer"

    def __init__(self, operators: str = "+-*"):
        if not operators or set(operators) - set(OPERATORS):
            raise InputError(
                "operators", operators, f"operators are some of {OPERATORS}", 'Give "+-*" or "+-*/"'
            )
        self.operators = "".join(sorted(set(operators), key=OPERATORS.index))

    def solution(self, problem: Problem) -> str | None:
        """An expression that solves the problem; None: the search is complete, and there is none."""
        numbers, target = question(problem)
        return solve(numbers, target, self.operators)

    def verdict(self, problem: Problem, answer: str) -> float:
        numbers, target = question(problem)
        if solve(numbers, target, self.operators) is None:
            return float(
                len(answer) <= 30 and " ".join(answer.casefold().rstrip(" .").split()) in _UNSOLVABLE
            )
        found = read_expression(answer)
        return float(
            found is not None
            and found.value == target
            and found.numbers == numbers
            and found.operators <= set(self.operators)
        )


def question(problem: Problem) -> tuple[tuple[int, ...], int]:
    """(sorted numbers, target) of a Countdown problem, from its data or else its prompt.

    Raises InputError if neither states them.
    """
    numbers, target = problem.data.get("numbers"), problem.data.get("target")
    if numbers is None or target is None:
        stated = _stated(problem.question)
        if stated is None:
            raise InputError(
                "problem",
                problem.question,
                "it is no Countdown question",
                'Write prompts such as "3,5,7>22:"',
            )
        return stated
    return tuple(sorted(numbers)), target


@lru_cache(maxsize=4_096)
def _stated(prompt: str) -> tuple[tuple[int, ...], int] | None:
    found = _PROMPT.fullmatch(prompt)
    return None if found is None else (tuple(sorted(map(int, found[1].split(",")))), int(found[2]))
