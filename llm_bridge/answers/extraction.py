r"""Answer patterns: how the answer is read from the text of a completion: last-number, boxed, text, choice,
answer-tag, regex:PATTERN.
"""

import re
from collections import deque
from collections.abc import Callable

from llm_bridge.answers.guard import search
from llm_bridge.answers.limits import MAX_LABEL
from llm_bridge.answers.normal_form import normal_form, plain_words
from llm_bridge.answers.numbers import last_number
from llm_bridge.answers.typography import plain_characters
from sharpening.errors import InputError

PATTERNS = ("last-number", "boxed", "text", "choice", "answer-tag", "regex:PATTERN")
MAX_TEXT = 20_000
"""Only the last so many characters of a completion are read (the first, for `regex:`, which takes the first
match).
"""
_BRACES = re.compile(
    r"\\(?:boxed|fbox|framebox)\s*\{"
    r"|\\(?:boxed|fbox)(?![A-Za-z])\s*(-?[0-9]+(?:[.,/][0-9]+)*|[A-Za-z](?![A-Za-z])|\\[A-Za-z]+(?:\s*\{[^{}]*\})*)"
    r"|\\.|[{}]",
    re.DOTALL,
)
_TAG = re.compile(r"<answer>((?:(?!<answer>).)*?)</answer>", re.DOTALL | re.IGNORECASE)
_DRESSED = r"(?:[\s*$(\[{:]|\\(?:text|textbf|textrm|mathrm|mathbf|boxed|fbox|[(\[]))*"
_CUE = re.compile(
    r"\b(?:answer|option|choice)\b(?:\s+(?:is|was|should be|must be|would be|option|choice|letter))*\s*[:=]?"
    rf"{_DRESSED}([A-J])(?![A-Za-z'])",
    re.IGNORECASE,
)
_BRACKETED = re.compile(r"(?<![A-Za-z0-9])[(\[]([A-Ja-j])[)\]]")
_AT_THE_END = re.compile(r"(?<![A-Za-z0-9'])([A-J])[\s.)\]}$*\"\\]*$")
_LISTED = re.compile(r"^[^\w\n]*([A-J])[).:](?=\s|$)", re.MULTILINE)


def extractor(pattern: str) -> Callable[[str], str | None]:
    r"""The function that reads a label from a completion by an answer pattern.

    `last-number`: the last number in the text. `boxed`: the content of the last closed \boxed{...}, in
    normal form.
    `text`: the whole text, white space folded; words in lower case without a full stop at the end. `choice`: the
    letter A to J that the text chooses (see `last_choice`). `answer-tag`: the content of the last closed
    <answer>...</answer>, over lines too, white space folded; of a box in it, the box's. `regex:PATTERN`: the first
    group of the first match, white space folded; the dot matches no line break. For the last match and dots that
    match line breaks write (?s).* in front: regex:(?s).*Answer: (\S+). Every one gives None where there is nothing
    to read, or more than 1,000 characters.

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
        "text": lambda text: _limited(plain_words(fold(text)) if len(text) <= MAX_TEXT else ""),
        "choice": lambda text: last_choice(text[-MAX_TEXT:]),
        "answer-tag": lambda text: _limited(fold(last_tag(text[-MAX_TEXT:]) or "")),
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


def last_choice(text: str) -> str | None:
    r"""The letter A to J that a text chooses, in upper case; None if it chooses none.

    In this order: the letter in the last box; behind the last "answer", "option" or "choice" (the answer is (B),
    Answer: B); a letter that ends the text (so it is B.); the last letter in brackets, (B); the last that begins
    a line, "B. Paris" or "B) 12". A single letter of either case is itself.
    """
    # One blank for many: the search behind a cue must not depend on how many there are.
    text = re.sub(r"\s*\n\s*", "\n", re.sub(r"[^\S\n]+", " ", plain_characters(text))).strip()
    if len(text) == 1 and text.upper() in "ABCDEFGHIJ":
        return text.upper()
    box = last_box(text)
    if box is not None and (boxed := _first_letter(box)):
        return boxed
    cued = deque((one for one in _CUE.finditer(text) if _chosen(one)), maxlen=1)
    if cued:
        return cued[0][1].upper()
    if last := _AT_THE_END.search(text[-40:]):
        return last[1]
    for pattern in (_BRACKETED, _LISTED):
        if found := deque(pattern.finditer(text), maxlen=1):
            return found[0][1].upper()
    return None


def _chosen(found: re.Match) -> bool:
    """Whether the letter behind a cue is a choice: a small one only in brackets or at the end, since a is a word."""
    rest = found.string[found.end() : found.end() + 2]
    return found[1].isupper() or rest[:1] in (")", "]") or not rest.strip(". ")


def _first_letter(text: str) -> str | None:
    bare = re.sub(r"\\[A-Za-z]+|[\s${}]", " ", text).strip()
    found = re.match(r"[(\[]?([A-Ja-j])(?![A-Za-z0-9])", bare)
    return found[1].upper() if found and (found[1].isupper() or len(bare) <= 3) else None


def last_tag(text: str) -> str | None:
    """The content of the last closed <answer>...</answer>, of a box in it the box's; None if there is none."""
    found = deque(_TAG.finditer(text), maxlen=1)
    if not found:
        return None
    return last_box(found[0][1]) or found[0][1]


def last_box(text: str) -> str | None:
    r"""The content of the \boxed{...} that begins last among those whose braces close, or what a \boxed without
    braces stands before (\boxed 5, \boxed\frac{1}{2}); None if there is none. Linear time.
    """
    open_braces: list[tuple[bool, int]] = []
    best_start, best = -1, None
    for token in _BRACES.finditer(text):
        if token[1] is not None:
            if token.start() > best_start:
                best_start, best = token.end(), token[1]
        elif token.group() == "}":
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
