"""Symbolic verifier: an answer is checked against the logical or arithmetic constraints of its question,
exactly.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from llm_bridge.answers.numbers import number
from llm_bridge.tasks.base import Problem
from llm_bridge.verifiers.base import Verifier, register_verifier
from llm_bridge.verifiers.constraints import (
    UndefinedError,
    calls,
    evaluate,
    literals,
    names,
    parse_constraint,
)
from sharpening.errors import InputError

MAX_ANSWER = 300
_COUNTDOWN = re.compile(r"([0-9]+(?:,[0-9]+)+)>([0-9]+):", re.ASCII)
_EQUATION = re.compile(r"(?!.*[A-Za-z_])([^=<>!]+)=", re.ASCII)
_GIVEN = re.compile(r"\s*([A-Za-z_][A-Za-z_0-9]*)\s*(?:=|:|\bis\b)\s*(.+?)\s*", re.ASCII)
_BETWEEN = re.compile(r"\s*(?:,|;|\n|\band\b)\s*")
_TRUTHS = {"true": True, "yes": True, "false": False, "no": False}


@register_verifier
class SymbolicVerifier(Verifier):
    """1 for an answer that meets every constraint of its question, else 0.

    The constraint, in the language of `llm_bridge.verifiers.constraints`, is `constraint` if given, else the
    problem's `data["constraint"]`, else what its prompt says: "37+48=" means `answer = 37+48`, "3,5,7>22:"
    means `answer = 22 and uses(3, 5, 7)`. The numbers and truths in the problem's data are known by their
    names.

    An answer is one number (`answer`), or gives each name of the constraint that the data leaves open once:
    "x = 3, y = 7", "A is true; B is false". Where the constraint says `uses`, and only there, it may be an
    expression of numbers with + - * / and brackets; elsewhere "37+48" would be its own proof. What gives a
    name twice, names that are known or are not asked for, is 0;
    so is all that has no value: a division by zero, a number of more than 512 bits.

    Raises InputError for a constraint that cannot be read and, in `judge`, for a problem without one.
    """

    name = "symbolic"
    description = "the answer is checked against the logical or arithmetic constraints of its question"

    def __init__(self, constraint: str | None = None):
        self.constraint = constraint
        if constraint is not None:
            _tree(constraint)

    def verdict(self, problem: Problem, answer: str) -> float:
        text = self.constraint or problem.data.get("constraint") or constraint_of(problem.question)
        if text is None:
            raise InputError(
                "problem",
                problem.question,
                "it states no constraint that a program can check",
                'Give SymbolicVerifier(constraint="..."), or "constraint" in the problem\'s data',
            )
        tree = _tree(text)
        known = {
            name: _exact(value)
            for name, value in problem.data.items()
            if name != "answer" and isinstance(value, bool | int | Fraction)
        }
        open_names = names(tree) - known.keys()
        expression = "uses" in calls(tree)
        if expression and open_names - {"answer"}:
            raise InputError(
                "constraint",
                text,
                "with uses(...) the only open name is `answer`",
                "Check one expression at a time",
            )
        given, written = _read_with_numbers(answer) if expression else (read_answer(answer), None)
        if given is None or given.keys() - open_names:
            return 0.0
        try:
            return float(evaluate(tree, known | given, written) is True)
        except UndefinedError:
            return 0.0


def constraint_of(prompt: str) -> str | None:
    """The constraint that a prompt such as "37+48=" or "3,5,7>22:" states; None for another prompt."""
    prompt = prompt.strip()
    countdown = _COUNTDOWN.fullmatch(prompt)
    if countdown:
        return f"answer = {countdown[2]} and uses({countdown[1]})"
    equation = _EQUATION.fullmatch(prompt)
    return f"answer = {equation[1]}" if equation and parse_constraint(equation[1]) else None


def read_answer(text: str) -> dict[str, Fraction | bool] | None:
    """{name: value} of "7" (the name is `answer`), "x = 3, y = 7" or "A is true; B is false"; None if it is
    none of these.
    """
    if len(text) > MAX_ANSWER:
        return None
    alone = _value(text)
    if alone is not None:
        return {"answer": alone}
    values: dict[str, Fraction | bool] = {}
    for part in _BETWEEN.split(text.strip()):
        found = _GIVEN.fullmatch(part)
        value = _value(found[2]) if found else None
        if found is None or value is None or found[1] in values:
            return None
        values[found[1]] = value
    return values


@dataclass(frozen=True)
class Expression:
    """An answer that is an expression of numbers: its exact `value`, the `numbers` written in it, sorted, and
    its `operators`.
    """

    value: Fraction
    numbers: tuple[Fraction, ...]
    operators: frozenset[str]


def read_expression(text: str) -> Expression | None:
    """The expression of decimals with + - * / and brackets that the whole text is; None if it is none or has
    no value.
    """
    tree = parse_constraint(text) if len(text) <= MAX_ANSWER else None
    operators = None if tree is None else _operators(tree)
    if tree is None or operators is None:
        return None
    try:
        value = evaluate(tree, {})
    except UndefinedError:
        return None
    return None if isinstance(value, bool) else Expression(value, tuple(sorted(literals(tree))), operators)


def _read_with_numbers(text: str) -> tuple[dict[str, Fraction | bool] | None, tuple[Fraction, ...] | None]:
    """({"answer": value}, the numbers written) of an expression; None twice if it is none."""
    found = read_expression(text)
    return (None, None) if found is None else ({"answer": found.value}, found.numbers)


def _operators(tree: tuple) -> frozenset[str] | None:
    """The operators of a tree of nothing but numbers and + - * /; None for another tree."""
    if tree[0] == "number":
        return frozenset()
    if tree[0] != "fold":
        return None
    found = frozenset(operator for operator, _ in tree[2])
    for part in (tree[1], *(part for _, part in tree[2])):
        inside = _operators(part)
        if inside is None:
            return None
        found |= inside
    return None if found - set("+-*/") else found


def _value(text: str) -> Fraction | bool | None:
    text = text.strip()
    return _TRUTHS.get(text.casefold(), number(text))


def _exact(value: bool | int | Fraction) -> Fraction | bool:
    return value if isinstance(value, bool) else Fraction(value)


@lru_cache(maxsize=4_096)
def _tree(text: str) -> tuple:
    tree = parse_constraint(text) if isinstance(text, str) else None
    if tree is None:
        raise InputError(
            "constraint",
            text,
            "it is not a constraint",
            'Write something like "x + y = 10 and x > y"; see llm_bridge.verifiers.constraints',
        )
    return tree
