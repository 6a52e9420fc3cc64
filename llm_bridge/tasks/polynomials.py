"""Antiderivatives of quadratics: "27*x^2+18*x+9>" is to be continued with "9*x^3+9*x^2+9*x"."""

import re
from collections import Counter

from llm_bridge.tasks.base import Problem, Task, register_task

_LONGEST = 64
_TERM = re.compile(r"([+-]?)(?:([0-9]{1,4})(?:\*x(?:\^([0-9]))?)?|x(?:\^([0-9]))?)", re.ASCII)
_ALLOWED = frozenset("0123456789+-*^x \t\r\n")


@register_task
class Polynomials(Task):
    """The 729 integrands 3a*x^2+2b*x+c with a, b, c in 1..9, for tiny models that know no words.

    The whole completion must be a polynomial with whole coefficients, at most 64 characters and powers up to
    9. The label is that polynomial, powers falling, like terms collected and the constant left out:
    "9*x+x^3+4" and "x^3+9*x" are one answer. A completion whose polynomial is a constant is the answer "0".
    The largest base rate of one answer is 1 in 729.
    """

    name = "polynomials"
    description = "antiderivatives of quadratics, '27*x^2+18*x+9>'"
    max_new_tokens = 20

    def _build(self) -> tuple[Problem, ...]:
        digits = range(1, 10)
        return tuple(self._problem(a, b, c) for a in digits for b in digits for c in digits)

    def _problem(self, a: int, b: int, c: int) -> Problem:
        integrand = _written({2: 3 * a, 1: 2 * b, 0: c})
        return Problem(f"{integrand}>", _written({3: a, 2: b, 1: c}), {"integrand": integrand})

    def extract(self, completion: str) -> str | None:
        polynomial = read_polynomial(completion)
        return (
            None
            if polynomial is None
            else _written({power: value for power, value in polynomial.items() if power}) or "0"
        )

    def settled(self, completion: str) -> bool:
        return len(completion) > _LONGEST or not _ALLOWED.issuperset(completion)


def read_polynomial(text: str) -> Counter[int] | None:
    """{power: coefficient} of the polynomial that the whole text is, spaces ignored outside; None if it is
    none.
    """
    text, at = text.strip() if len(text) <= _LONGEST else "", 0
    found: Counter[int] = Counter()
    while at < len(text):
        term = _TERM.match(text, at)
        if term is None or at > 0 and not term[1]:
            return None
        power = int(term[3] or term[4] or 1) if "x" in term[0] else 0
        found[power] += int(term[2] or 1) * (-1 if term[1] == "-" else 1)
        at = term.end()
    return found if text else None


def _written(polynomial) -> str:
    """Powers falling, without terms of coefficient 0."""
    terms = []
    for power in sorted(polynomial, reverse=True):
        value = polynomial[power]
        letter = "" if power == 0 else "x" if power == 1 else f"x^{power}"
        size = "" if abs(value) == 1 and letter else f"{abs(value)}{'*' if letter else ''}"
        if value:
            terms.append(("-" if value < 0 else "+") + size + letter)
    return "".join(terms).removeprefix("+")
