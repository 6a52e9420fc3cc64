"""A little language for constraints on answers: "x + y = 10 and x > y", "A iff not B". Exact, bounded, with a
parser of its own.

    or, and, not, implies (->), iff (<->), = (==), !=, <, <=, >, >=, chains such as 0 < x < 5, x in {1, 2, 3},
    + - * / %, ^ (**) with whole exponents up to 64, brackets, true, false, decimals, names, and
    abs min max gcd lcm floor ceil whole(x) prime(n) divides(d, n) distinct(x, y, ...) uses(3, 5, 7)

`uses` holds if the numbers written in the answer are exactly these, each as often as it is given.
"""

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction

from llm_bridge.verifiers.functions import FUNCTIONS

MAX_LENGTH = 1_000
MAX_DEPTH = 30
MAX_DIGITS = 30
MAX_BITS = 512
MAX_EXPONENT = 64
_TOKEN = re.compile(
    r"\s*([0-9]+(?:\.[0-9]+)?|[A-Za-z_][A-Za-z_0-9]*|<->|->|\*\*|[<>!=]=|[-+*/%^()<>={},])", re.ASCII
)
_SAME = {"**": "^", "==": "=", "->": "implies", "<->": "iff"}
_RESERVED = frozenset("or and not implies iff in true false".split())
_COMPARISONS = {
    "=": lambda a, b: a == b, "!=": lambda a, b: a != b, "<": lambda a, b: a < b, "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
}  # fmt: skip


class UndefinedError(Exception):
    """A constraint has no value: a name without one, a division by zero, true where a number must be, a
    number beyond the bounds.
    """


def parse_constraint(text: str) -> tuple | None:
    """The tree of the constraint, or of the arithmetic expression, that the whole text is; None if it is
    none.

    At most 1,000 characters, 30 digits to a number, brackets and signs nested at most 30 deep.
    """
    tokens, at = [], 0
    text = text.rstrip() if len(text) <= MAX_LENGTH else "?"
    while at < len(text):
        found = _TOKEN.match(text, at)
        if not found or len(found[1]) > MAX_DIGITS:
            return None
        tokens.append(_SAME.get(found[1], found[1]))
        at = found.end()
    try:
        tree, end = _iff(tokens, 0, 0)
    except UndefinedError:
        return None
    return tree if end == len(tokens) else None


def names(tree: tuple) -> frozenset[str]:
    """The names that a constraint asks for."""
    if tree[0] == "name":
        return frozenset((tree[1],))
    return frozenset().union(*(names(part) for part in _parts(tree)))


def calls(tree: tuple) -> frozenset[str]:
    """The functions that a constraint calls."""
    own = frozenset((tree[1],)) if tree[0] == "call" else frozenset()
    return own.union(*(calls(part) for part in _parts(tree)))


def literals(tree: tuple) -> list[Fraction]:
    """The numbers written in an expression, in order."""
    return [tree[1]] if tree[0] == "number" else [value for part in _parts(tree) for value in literals(part)]


def _parts(tree: tuple) -> list[tuple]:
    if tree[0] == "fold":
        return [tree[1], *(part for _, part in tree[2])]
    return (
        list(tree[-1])
        if tree[0] in ("and", "or", "iff", "call", "set")
        else [part for part in tree[1:] if isinstance(part, tuple)]
    )


def _peek(tokens: list[str], at: int) -> str:
    return tokens[at] if at < len(tokens) else ""


def _take(tokens: list[str], at: int, token: str) -> int:
    if _peek(tokens, at) != token:
        raise UndefinedError(f"{token} is missing")
    return at + 1


def _joined(word: str, operand):
    def read(tokens, at, depth):
        part, at = operand(tokens, at, depth)
        parts = [part]
        while _peek(tokens, at) == word:
            part, at = operand(tokens, at + 1, depth)
            parts.append(part)
        return (parts[0] if len(parts) == 1 else (word, tuple(parts))), at

    return read


def _folded(operators: frozenset[str], operand):
    def read(tokens, at, depth):
        first, at = operand(tokens, at, depth)
        rest = []
        while _peek(tokens, at) in operators:
            part, after = operand(tokens, at + 1, depth)
            rest.append((tokens[at], part))
            at = after
        return (("fold", first, tuple(rest)) if rest else first), at

    return read


def _implies(tokens, at, depth):
    left, at = _or(tokens, at, depth)
    if _peek(tokens, at) != "implies":
        return left, at
    right, at = _implies(tokens, at + 1, _deeper(depth))
    return ("implies", left, right), at


def _not(tokens, at, depth):
    if _peek(tokens, at) == "not":
        inside, at = _not(tokens, at + 1, _deeper(depth))
        return ("not", inside), at
    return _comparison(tokens, at, depth)


def _comparison(tokens, at, depth):
    tree, at = _compared(tokens, at, depth)
    if _peek(tokens, at) != "in":
        return tree, at
    members, at = _list(tokens, _take(tokens, at + 1, "{"), depth, "}")
    return ("in", tree, ("set", members)), at


def _list(tokens, at, depth, closing):
    part, at = _iff(tokens, at, _deeper(depth))
    parts = [part]
    while _peek(tokens, at) == ",":
        part, at = _iff(tokens, at + 1, _deeper(depth))
        parts.append(part)
    return tuple(parts), _take(tokens, at, closing)


def _signed(tokens, at, depth):
    if _peek(tokens, at) == "-":
        inside, at = _signed(tokens, at + 1, _deeper(depth))
        return ("negative", inside), at
    base, at = _atom(tokens, at, depth)
    if _peek(tokens, at) != "^":
        return base, at
    exponent, at = _signed(tokens, at + 1, _deeper(depth))
    return ("power", base, exponent), at


def _atom(tokens, at, depth):
    token = _peek(tokens, at)
    if token[:1].isdigit():
        return ("number", Fraction(token)), at + 1
    if token == "(":
        inside, at = _iff(tokens, at + 1, _deeper(depth))
        return inside, _take(tokens, at, ")")
    if token in ("true", "false"):
        return ("truth", token == "true"), at + 1
    if not token.isidentifier() or token in _RESERVED:
        raise UndefinedError("a value is missing")
    if _peek(tokens, at + 1) != "(":
        return ("name", token), at + 1
    if token not in FUNCTIONS and token != "uses":
        raise UndefinedError("no such function")
    arguments, at = _list(tokens, at + 2, depth, ")")
    return ("call", token, arguments), at


def _deeper(depth: int) -> int:
    if depth >= MAX_DEPTH:
        raise UndefinedError("nested too deep")
    return depth + 1


_product = _folded(frozenset("*/%"), _signed)
_sum = _folded(frozenset("+-"), _product)
_compared = _folded(frozenset(_COMPARISONS), _sum)
_and = _joined("and", _not)
_or = _joined("or", _and)
_iff = _joined("iff", _implies)


def evaluate(
    tree: tuple, values: Mapping[str, Fraction | bool], written: Sequence[Fraction] | None = None
) -> Fraction | bool:
    """The exact value of a constraint or expression, with `values` of its names and the numbers `written` in
    the answer, for `uses`.

    `and`, `or` and `implies` stop at the first part that decides.

    Raises UndefinedError where it has no value.
    """
    kind = tree[0]
    if kind in ("number", "truth"):
        return tree[1]
    if kind == "name":
        if tree[1] not in values:
            raise UndefinedError(tree[1])
        return values[tree[1]]
    if kind == "call" and tree[1] == "uses":
        if written is None:
            raise UndefinedError("uses")
        return sorted(written) == sorted(_number(evaluate(part, values, written)) for part in tree[2])
    if kind == "fold":
        return _fold(tree, values, written)
    if kind in ("and", "or"):
        decides = kind == "or"
        return (
            decides
            if any(_truth(evaluate(part, values, written)) is decides for part in tree[1])
            else not decides
        )
    if kind == "implies":
        return not _truth(evaluate(tree[1], values, written)) or _truth(evaluate(tree[2], values, written))
    parts = [evaluate(part, values, written) for part in _parts(tree)] if kind != "in" else []
    if kind == "not":
        return not _truth(parts[0])
    if kind == "iff":
        return all(_truth(part) is parts[0] for part in parts)
    if kind == "in":
        value = evaluate(tree[1], values, written)
        members = [evaluate(part, values, written) for part in tree[2][1]]
        return any(_alike(value, member) and value == member for member in members)
    if kind == "negative":
        return -_number(parts[0])
    if kind == "power":
        return _power(_number(parts[0]), _number(parts[1]))
    try:
        result = FUNCTIONS[tree[1]](*(_number(part) for part in parts))
    except (TypeError, ValueError) as error:
        raise UndefinedError(tree[1]) from error
    return result if isinstance(result, bool) else _bounded(Fraction(result))


def _fold(tree, values, written):
    left = evaluate(tree[1], values, written)
    if tree[2][0][0] in _COMPARISONS:
        for operator, part in tree[2]:
            right = evaluate(part, values, written)
            if not _alike(left, right) or isinstance(left, bool) and operator not in ("=", "!="):
                raise UndefinedError(operator)
            if not _COMPARISONS[operator](left, right):
                return False
            left = right
        return True
    for operator, part in tree[2]:
        left, right = _number(left), _number(evaluate(part, values, written))
        if operator in "/%" and right == 0:
            raise UndefinedError("division by zero")
        left = _bounded(
            left + right if operator == "+" else left - right if operator == "-" else left * right if operator == "*"
            else left / right if operator == "/" else left % right
        )  # fmt: skip
    return left


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if (
        exponent.denominator != 1
        or abs(exponent) > MAX_EXPONENT
        or bits * abs(exponent) > 2 * MAX_BITS
        or base == 0
        and exponent < 0
    ):
        raise UndefinedError("power")
    return _bounded(base ** int(exponent))


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise UndefinedError("too large")
    return value


def _alike(left, right) -> bool:
    return isinstance(left, bool) == isinstance(right, bool)


def _number(value) -> Fraction:
    if isinstance(value, bool):
        raise UndefinedError("a number is needed")
    return value


def _truth(value) -> bool:
    if not isinstance(value, bool):
        raise UndefinedError("true or false is needed")
    return value
