r"""Answer patterns: how the answer is read from the text of a completion: last-number, boxed, text,
regex:PATTERN.
"""

import re
from collections.abc import Callable

from llm_bridge.answers.guard import search
from llm_bridge.answers.limits import MAX_LABEL
from llm_bridge.answers.normal_form import normal_form
from llm_bridge.answers.numbers import last_number
from sharpening.errors import InputError

PATTERNS = ("last-number", "boxed", "text", "regex:PATTERN")
MAX_TEXT = 20_000
"""Only the last so many characters of a completion are read (the first, for `regex:`, which takes the first
match).
"""
_BRACES = re.compile(r"\\(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)


def extractor(pattern: str) -> Callable[[str], str | None]:
    """The function that reads a label from a completion by an answer pattern.

    `last-number`: the last number in the text. `boxed`: the content of the last closed \\boxed{...}, in
    normal form.
    `text`: the whole text, white space folded. `regex:PATTERN`: the first group of the first match, white
    space folded. Every one gives None where there is nothing to read, or more than 1,000 characters.

    Raises InputError for an unknown pattern and for a regular expression that does not compile or has no
    group.
    """
    if pattern.startswith("regex:"):
        expression = pattern.removeprefix("regex:")
        _check_regex(pattern, expression)
        return lambda text: _limited(fold(search(expression, text[:MAX_TEXT]) or ""))
    readers = {
        "last-number": lambda text: _limited(last_number(text[-MAX_TEXT:]) or ""),
        "boxed": lambda text: _limited(normal_form(last_box(text[-MAX_TEXT:]) or "")),
        "text": lambda text: _limited(fold(text) if len(text) <= MAX_TEXT else ""),
    }
    if pattern not in readers:
        raise InputError(
            "answer_pattern",
            pattern,
            f"known patterns are {', '.join(PATTERNS)}",
            "Use --answer-pattern last-number",
        )
    return readers[pattern]


def fold(text: str) -> str:
    """The text without outer white space, and every inner run of it one space."""
    return " ".join(text.split())


def last_box(text: str) -> str | None:
    r"""The content of the \boxed{...} that begins last among those whose braces close; None if there is none.
    Linear time.
    """
    open_braces: list[tuple[bool, int]] = []
    best_start, best = -1, None
    for token in _BRACES.finditer(text):
        if token.group() == "}":
            if open_braces:
                is_box, start = open_braces.pop()
                if is_box and start > best_start:
                    best_start, best = start, text[start : token.start()]
        elif token.group().endswith("{") and token.group() != r"\{":
            open_braces.append((len(token.group()) > 1, token.end()))
    return best


def _limited(label: str) -> str | None:
    return label if 0 < len(label) <= MAX_LABEL else None


def _check_regex(pattern: str, expression: str) -> None:
    try:
        groups = re.compile(expression).groups
    except (re.error, RecursionError, OverflowError) as error:
        raise InputError(
            "answer_pattern",
            pattern,
            f"the regular expression does not compile: {error}",
            r"Try it in Python's re module first, for example regex:Answer: (\S+)",
        ) from error
    if groups == 0:
        raise InputError(
            "answer_pattern",
            pattern,
            "the regular expression has no group, so it says nothing about where the answer is",
            r"Put round brackets around the answer, for example regex:Answer: (\S+)",
        )
