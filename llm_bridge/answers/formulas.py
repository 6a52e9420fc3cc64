r"""Formulas as people and LaTeX write them, read by a bounded parser of our own: 3x^2/2, \frac{1}{2}\sin(2x),
x ln|x|. Nothing is evaluated.
"""

import re
from fractions import Fraction

from llm_bridge.answers.numbers import braced_fractions

MAX_LENGTH = 400
MAX_DEPTH = 30
MAX_DIGITS = 30
_ARCS = ("arcsin", "arccos", "arctan", "arcsinh", "arccosh", "arctanh")
_INVERSE = {name.removeprefix("arc"): name for name in _ARCS}
FUNCTIONS = frozenset((*_ARCS, *_INVERSE, "cot", "sec", "csc", "exp", "log", "ln", "sqrt", "abs"))
"""Functions of one argument. `log` without a base is the natural logarithm and is read as `ln`."""
_OTHER_NAMES = {f"a{name}": arc for name, arc in _INVERSE.items()} | {
    f"ar{name}": arc for name, arc in _INVERSE.items() if name[-1] == "h"
}
_WORDS = re.compile("|".join(sorted({*FUNCTIONS, *_OTHER_NAMES, "pi"}, key=len, reverse=True)))
_COMMAND_WORDS = (FUNCTIONS | _OTHER_NAMES.keys() | {"pi"}) - {"sqrt"}
_TOKEN = re.compile(r"[0-9]+(?:\.[0-9]+)?|\.[0-9]+|\\[A-Za-z]+|\\[{}|]|[A-Za-z]+|\*\*|[-+*/^()\[\]{}|]")
_BLANK = re.compile(
    r"\\[,;:!"
    r" ]|\\(?:left|right|displaystyle|quad|qquad|limits|mathrm|text)(?![A-Za-z])|[\s~$]|(?<=[|\])}])\.$"
)
_SAME = {
    "\u2212": "-",
    "\u00b7": "*",
    "\u22c5": "*",
    "\u00d7": "*",
    "\u00f7": "/",
    "\u03c0": r"\pi ",
    "\u221a": r"\sqrt ",
}
_COMMANDS = {
    r"\cdot": "*", r"\times": "*", r"\div": "/", r"\lvert": "|", r"\rvert": "|", r"\vert": "|", r"\|": "|", "**": "^",
    r"\dfrac": r"\frac", r"\tfrac": r"\frac", r"\{": "(", r"\}": ")",
}  # fmt: skip
_CLOSING = {"(": ")", "[": "]", "{": "}"}


def parse_formula(text: str, *, strict: bool = False) -> tuple | None:
    r"""The tree of the formula that the whole text is; None if it is none, is longer than 400 characters or
    nested deeper than 30.

    Trees: ("number", Fraction), ("name", letter or "pi"), ("sum", parts), ("product", parts), ("inverse", a),
    ("negative", a), ("power", base, exponent), ("root", n, a) and (function, a) with a function of FUNCTIONS.
    Sums and products are flat, so a tree is never deeper than its brackets and exponents.

    Understood: implied products (2x, x sin x), \frac, \sqrt[n]{}, |x|, sin^2 x, sin^{-1} x for arcsin,
    functions with or without brackets (sin 2x is sin(2x)), * and \cdot, ^ and **. A product by `/` goes from
    left to right: 1/2x is x/2.
    `strict` gives None wherever readers differ: 1/2x, x^12 without braces, 1\frac{1}{2}, functions without
    brackets.
    """
    if len(text) > MAX_LENGTH:
        return None
    for one, other in _SAME.items():
        text = text.replace(one, other)
    text = braced_fractions(text)
    tokens = []
    for piece in _split(text):
        if piece is None:
            return None
        tokens.append(_COMMANDS.get(piece, piece))
    try:
        tree, at = _Reader(tokens, strict).sum(0, 0)
    except _NotAFormulaError:
        return None
    return tree if at == len(tokens) else None


def names(tree: tuple) -> frozenset[str]:
    """The letters that occur in a formula; pi is none."""
    if tree[0] == "name":
        return frozenset() if tree[1] == "pi" else frozenset((tree[1],))
    parts = (
        tree[1] if tree[0] in ("sum", "product") else [part for part in tree[1:] if isinstance(part, tuple)]
    )
    return frozenset().union(*(names(part) for part in parts))


class _NotAFormulaError(Exception):
    pass


def _split(text: str):
    """The tokens of a text, None for what is no token; a run of letters becomes functions, pi and single
    letters.
    """
    at = 0
    while at < len(text):
        blank = _BLANK.match(text, at)
        if blank:
            at = blank.end()
            continue
        found = _TOKEN.match(text, at)
        if not found:
            yield None
            return
        at = found.end()
        if found.group()[0].isalpha():
            yield from _letters(found.group())
        elif found.group()[0] == "\\" and found.group()[1:] in _COMMAND_WORDS:
            yield _OTHER_NAMES.get(found.group()[1:], found.group()[1:])
        else:
            yield found.group()


def _letters(run: str):
    at = 0
    while at < len(run):
        word = _WORDS.match(run, at)
        yield _OTHER_NAMES.get(word.group(), word.group()) if word else run[at]
        at = word.end() if word else at + 1


class _Reader:
    """Recursive descent; every method takes (position, depth) and gives (tree, position after it)."""

    def __init__(self, tokens: list[str], strict: bool):
        self.tokens, self.strict = tokens, strict

    def _at(self, position: int) -> str:
        return self.tokens[position] if position < len(self.tokens) else ""

    def sum(self, at: int, depth: int, bars: bool = False):
        if depth > MAX_DEPTH:
            raise _NotAFormulaError
        parts, sign = [], "+"
        if self._at(at) in ("+", "-"):
            sign, at = self._at(at), at + 1
        while True:
            part, at = self.product(at, depth, bars)
            parts.append(("negative", part) if sign == "-" else part)
            if self._at(at) not in ("+", "-"):
                return (parts[0] if len(parts) == 1 else ("sum", tuple(parts))), at
            sign, at = self._at(at), at + 1

    def product(self, at: int, depth: int, bars: bool):
        part, at = self.signed(at, depth, bars)
        parts, divided = [part], False
        while True:
            operator = self._at(at)
            if operator in ("*", "/"):
                part, at = self.signed(at + 1, depth, bars)
                divided = operator == "/"
                parts.append(("inverse", part) if divided else part)
            elif self._starts(at, bars):
                if self.strict and (divided or operator == r"\frac" and parts[-1][0] == "number"):
                    raise _NotAFormulaError
                part, at = self.power(at, depth, bars)
                parts.append(part)
            else:
                return (parts[0] if len(parts) == 1 else ("product", tuple(parts))), at

    def _starts(self, at: int, bars: bool) -> bool:
        """Whether an implied factor stands here: anything that begins one but a number; a bar only where none
        is open.
        """
        token = self._at(at)
        if token in FUNCTIONS or token in ("(", "[", "{", r"\frac", r"\sqrt", "pi"):
            return True
        return len(token) == 1 and (token.isalpha() or token == "|" and not bars)

    def signed(self, at: int, depth: int, bars: bool):
        if depth > MAX_DEPTH:
            raise _NotAFormulaError
        if self._at(at) in ("+", "-"):
            part, after = self.signed(at + 1, depth + 1, bars)
            return (("negative", part) if self._at(at) == "-" else part), after
        return self.power(at, depth, bars)

    def power(self, at: int, depth: int, bars: bool):
        if self._at(at) in FUNCTIONS:
            return self.function(at, depth, bars)
        base, at = self.atom(at, depth, bars)
        if self._at(at) != "^":
            return base, at
        exponent, at = self.exponent(at + 1, depth + 1, bars)
        return ("power", base, exponent), at

    def exponent(self, at: int, depth: int, bars: bool):
        if depth > MAX_DEPTH:
            raise _NotAFormulaError
        token = self._at(at)
        if (
            self.strict
            and token != "{"
            and not (len(token) == 1 and token.isalnum() and self._at(at + 1) != "^")
        ):
            raise _NotAFormulaError
        if token in ("+", "-"):
            part, after = self.exponent(at + 1, depth + 1, bars)
            return (("negative", part) if token == "-" else part), after
        return self.power(at, depth, bars)

    def function(self, at: int, depth: int, bars: bool):
        name, at = self._at(at), at + 1
        exponent = None
        if self._at(at) == "^":
            exponent, at = self.exponent(at + 1, depth + 1, bars)
            if self._at(at) == "^":
                raise _NotAFormulaError
        if exponent in (("negative", ("number", Fraction(1))), ("number", Fraction(-1))):
            if name not in _INVERSE:
                raise _NotAFormulaError
            name, exponent = _INVERSE[name], None
        opening = self._at(at)
        if opening in _CLOSING or opening == "|" and not bars:
            argument, at = self.atom(at, depth, bars)
            if self._at(at) == "^" and not self.strict:
                exponent, at = self.exponent(at + 1, depth + 1, bars) if exponent is None else (None, -1)
            if at < 0 or self._at(at) == "^":
                raise _NotAFormulaError
        else:
            argument, at = self.bare(at, depth + 1, bars)
        tree = ("ln" if name == "log" else name, argument)
        return (tree if exponent is None else ("power", tree, exponent)), at

    def bare(self, at: int, depth: int, bars: bool):
        """The argument of a function without brackets: the factors up to the next function, sign or
        operator.
        """
        if self.strict or depth > MAX_DEPTH:
            raise _NotAFormulaError
        part, at = self.power(at, depth, bars)
        parts = [part]
        while (
            self._starts(at, bars)
            and self._at(at) not in FUNCTIONS
            and self._at(at) not in _CLOSING
            and self._at(at) != "|"
        ):
            part, at = self.power(at, depth, bars)
            parts.append(part)
        return (parts[0] if len(parts) == 1 else ("product", tuple(parts))), at

    def atom(self, at: int, depth: int, bars: bool):
        token = self._at(at)
        if token and (token[0].isdigit() or token[0] == "."):
            if len(token) > MAX_DIGITS:
                raise _NotAFormulaError
            return ("number", Fraction(token)), at + 1
        if token == "pi" or len(token) == 1 and token.isalpha():
            return ("name", token), at + 1
        if token in _CLOSING or token == "|":
            inside, after = self.sum(at + 1, depth + 1, token == "|")
            if self._at(after) != _CLOSING.get(token, "|"):
                raise _NotAFormulaError
            return (("abs", inside) if token == "|" else inside), after + 1
        if token == r"\frac":
            above, after = self.group(at + 1, depth)
            below, after = self.group(after, depth)
            return ("product", (above, ("inverse", below))), after
        if token == r"\sqrt":
            return self.root(at + 1, depth)
        raise _NotAFormulaError

    def group(self, at: int, depth: int):
        """A braced part, or the single digit or letter that LaTeX takes where there is no brace."""
        token = self._at(at)
        if token == "{" or len(token) == 1 and token.isalnum() or token == "pi":
            return self.atom(at, depth + 1, False)
        raise _NotAFormulaError

    def root(self, at: int, depth: int):
        if self._at(at) != "[":
            if self._at(at) == "(" and not self.strict:
                inside, at = self.atom(at, depth + 1, False)
            else:
                inside, at = self.group(at, depth)
            return ("sqrt", inside), at
        if (
            not self._at(at + 1).isdigit()
            or self._at(at + 2) != "]"
            or len(self._at(at + 1)) > 2
            or int(self._at(at + 1)) < 2
        ):
            raise _NotAFormulaError
        inside, after = self.group(at + 3, depth)
        return ("root", int(self._at(at + 1)), inside), after
