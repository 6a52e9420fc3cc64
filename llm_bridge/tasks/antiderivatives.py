"""Antiderivatives: "an antiderivative of 3*x^2 is" is to be continued with " x^3"."""

from fractions import Fraction
from functools import lru_cache
from itertools import combinations

from llm_bridge.answers.formulas import MAX_LENGTH, names, parse_formula
from llm_bridge.answers.limits import MAX_LABEL
from llm_bridge.answers.primitives import CONSTANTS, is_antiderivative, same_derivative
from llm_bridge.tasks.base import Problem, Task, register_task

_HEADS = ("F(x)", "f(x)", "y", "F")
_LONGEST_TEXT = MAX_LABEL


@register_task
class Antiderivatives(Task):
    """Monomials, sums of two, sines, cosines, exponentials and 1/x with small whole numbers: 648 integrands.

    The answer is the first line of the completion up to a full stop that ends a sentence, a "F(x) =" before
    it left out; it must be a formula of x, e, pi and a constant of integration
    (`llm_bridge.answers.formulas`), else it is no answer. Right is what
    `llm_bridge.answers.primitives.is_antiderivative` accepts, so many answers are right, and two answers are
    the same if their derivatives are: "x^3", "x^3 + C" and "x*x^2 - 7". `Problem.answer` is one right answer.
    """

    name = "antiderivatives"
    description = "antiderivatives of elementary functions, 'an antiderivative of 3*x^2 is'"
    max_new_tokens = 24
    exact_labels = False

    def _build(self) -> tuple[Problem, ...]:
        return tuple(
            Problem(f"an antiderivative of {integrand} is", answer, {"integrand": integrand})
            for integrand, answer in _integrands()
        )

    def extract(self, completion: str) -> str | None:
        line = completion[:_LONGEST_TEXT].strip().split("\n", 1)[0].replace(". ", ".\n").split("\n", 1)[0]
        head, equals, rest = line.partition("=")
        if equals and head.strip() in _HEADS:
            line = rest
        label = " ".join(line.strip(" \t\r$.,;").split())
        if not label or len(label) > MAX_LENGTH:
            return None
        tree = parse_formula(label)
        return None if tree is None or names(tree) - {"x", "e"} - CONSTANTS else label

    def equivalent(self, first: str, second: str) -> bool:
        return first == second or _same(*sorted((first, second)))

    def is_correct(self, problem: Problem, label: str | None) -> bool:
        return label is not None and _right(label, problem.data["integrand"])

    def settled(self, completion: str) -> bool:
        return len(completion) >= _LONGEST_TEXT or "\n" in completion.lstrip()

    def solution(self, problem: Problem) -> str | None:
        return None if problem.answer is None else " " + problem.answer


@lru_cache(maxsize=50_000)
def _right(label: str, integrand: str) -> bool:
    return is_antiderivative(label, integrand)


@lru_cache(maxsize=50_000)
def _same(first: str, second: str) -> bool:
    return same_derivative(first, second)


def _integrands() -> list[tuple[str, str]]:
    found = [
        (_monomial(Fraction(a), n), _monomial(Fraction(a, n + 1), n + 1))
        for a in range(1, 13)
        for n in range(9)
    ]
    for (m, n), a, b in (
        (pair, a, b) for pair in combinations(range(4, -1, -1), 2) for a in range(1, 7) for b in range(1, 7)
    ):
        found.append(
            (
                f"{_monomial(Fraction(a), m)} + {_monomial(Fraction(b), n)}",
                f"{_monomial(Fraction(a, m + 1), m + 1)} + {_monomial(Fraction(b, n + 1), n + 1)}",
            )
        )
    for a in range(1, 7):
        for b in range(1, 10):
            inside = "x" if b == 1 else f"{b}*x"
            found.append((_times(a, f"sin({inside})"), "-" + _over(a, b, f"cos({inside})")))
            found.append((_times(a, f"cos({inside})"), _over(a, b, f"sin({inside})")))
            found.append((_times(a, f"exp({inside})"), _over(a, b, f"exp({inside})")))
    return found + [(f"{a}/x", _times(a, "ln(x)")) for a in range(1, 19)]


def _times(a: int, factor: str) -> str:
    return factor if a == 1 else f"{a}*{factor}"


def _over(a: int, b: int, factor: str) -> str:
    ratio = Fraction(a, b)
    return _times(ratio.numerator, factor) + ("" if ratio.denominator == 1 else f"/{ratio.denominator}")


def _monomial(coefficient: Fraction, power: int) -> str:
    if power == 0:
        return str(coefficient)
    return _over(coefficient.numerator, coefficient.denominator, "x" if power == 1 else f"x^{power}")
