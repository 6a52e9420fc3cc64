"""Expressions of whole numbers with +, -, * and brackets: a bounded recursive parser, nothing is ever
evaluated as code.
"""

import re
from dataclasses import dataclass

MAX_LENGTH = 64
MAX_DIGITS = 4
_TOKEN = re.compile(r"[0-9]+|[-+*()]")
_PRECEDENCE = {"+": 1, "-": 1, "*": 2}


@dataclass(frozen=True)
class Expression:
    """A parsed expression: its canonical `text`, its exact `value`, and the `numbers` it uses, sorted.

    Canonical: no spaces, no leading zeros, no bracket that could be left out without changing a value
    ("3+(5+7)" and "(3+5)+7" both read "3+5+7"). The order of the numbers is kept: "3+5" and "5+3" are two
    expressions.
    """

    text: str
    value: int
    numbers: tuple[int, ...]


def parse_expression(text: str) -> Expression | None:
    """The expression that the whole text is, outer and inner spaces ignored; None if it is not one.

    Allowed: ASCII digits (at most 4 to a number), + - * with two sides, round brackets; at most 64
    characters. No sign, power, division or implied product.
    """
    if len(text) > MAX_LENGTH:
        return None
    tokens = _TOKEN.findall(text)
    if "".join(tokens) != re.sub(r"[ \t\r\n]", "", text) or re.search(r"[0-9][ \t\r\n]+[0-9]", text):
        return None
    try:
        node, rest = _sum(tokens, 0)
    except _NotAnExpressionError:
        return None
    return _finish(node) if rest == len(tokens) else None


class _NotAnExpressionError(Exception):
    pass


def _sum(tokens, at):
    return _chain(tokens, at, "+-", _product)


def _product(tokens, at):
    return _chain(tokens, at, "*", _atom)


def _chain(tokens, at, operators, operand):
    left, at = operand(tokens, at)
    while at < len(tokens) and tokens[at] in operators:
        right, after = operand(tokens, at + 1)
        left, at = (tokens[at], left, right), after
    return left, at


def _atom(tokens, at):
    if at == len(tokens):
        raise _NotAnExpressionError
    token = tokens[at]
    if token == "(":
        node, at = _sum(tokens, at + 1)
        if at == len(tokens) or tokens[at] != ")":
            raise _NotAnExpressionError
        return node, at + 1
    if not token.isdigit() or len(token) > MAX_DIGITS:
        raise _NotAnExpressionError
    return int(token), at + 1


def _finish(node) -> Expression:
    return Expression(_write(node), _value(node), tuple(sorted(_numbers(node))))


def _value(node) -> int:
    if isinstance(node, int):
        return node
    operator, left, right = node[0], _value(node[1]), _value(node[2])
    return left + right if operator == "+" else left - right if operator == "-" else left * right


def _numbers(node) -> list[int]:
    return [node] if isinstance(node, int) else _numbers(node[1]) + _numbers(node[2])


def _write(node) -> str:
    if isinstance(node, int):
        return str(node)
    operator, left, right = node
    inside_right = _PRECEDENCE[operator] + (operator == "-")
    return _bracketed(left, _PRECEDENCE[operator]) + operator + _bracketed(right, inside_right)


def _bracketed(node, at_least: int) -> str:
    text = _write(node)
    return text if isinstance(node, int) or _PRECEDENCE[node[0]] >= at_least else f"({text})"
