r"""One spelling for answers that differ only in how they are typeset: \dfrac12, \frac{1}{2} and \left... ."""

import re
from functools import lru_cache

from llm_bridge.answers.numbers import braced_fractions, number, write_number

_TEXT = re.compile(r"\\(?:text|mbox|textbf|textit|textrm|mathrm|mathbf|operatorname)\s*\{([^{}]*)\}")
_SPACES = re.compile(r"(?<!\\)\\[!,;:> ]|\\(?:quad|qquad|displaystyle|left|right|limits)(?![A-Za-z])|~")
_GROUPED = re.compile(r"(?<=[0-9]),\\!\s*(?=[0-9])")
_SQRT_SHORT = re.compile(r"\\sqrt\s*([0-9A-Za-z])")
_LETTER_CHOICE = re.compile(r"\(([A-Za-z])\)")
_WHOLE_NUMBER = re.compile(r"-?[1-9][0-9]{0,15}|0")
_SIZED_FRAC = re.compile(r"\\[dt]frac(?![A-Za-z])")
_DEGREES = re.compile(r"\^\s*\{?\s*\\circ\s*\}?")
_IDLE_SPACE = re.compile(r"(?<=[^A-Za-z0-9,]) | (?=[^A-Za-z0-9])")
_ORDINAL = re.compile(r"[0-9]+\.")
_PERCENT = re.compile(r"\\?%$")
_REMEMBERED = 300
_WRAPPERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"))
_FUNCTIONS = frozenset(
    "sin cos tan cot sec csc log ln exp sqrt pi max min gcd lcm mod arcsin arccos arctan infty".split()
)


def normal_form(text: str) -> str:
    r"""A spelling of an answer without typesetting; equal normal forms are the same answer.

    Numbers go to one spelling for each value (see `numbers`); otherwise spaces, math delimiters, \left,
    \right, a full stop at the end and dollar signs go, "50%" is 50, an answer that is one \text{...} is its
    content, \dfrac and \tfrac are \frac, \frac12 is \frac{1}{2}. Applying it twice changes nothing.
    """
    if _WHOLE_NUMBER.fullmatch(text):
        return text
    return _short(text) if len(text) <= _REMEMBERED else _repeated(text)


def _repeated(text: str) -> str:
    text = _once(text)
    for _ in range(3):
        again = _once(text)
        if again == text:
            break
        text = again
    return text


_short = lru_cache(maxsize=50_000)(_repeated)


def forget() -> None:
    """Empty the memory of forms made so far; it changes no outcome, only its cost."""
    _short.cache_clear()


def _once(text: str) -> str:
    text = " ".join(text.split())
    for left, right in _WRAPPERS:
        if len(text) > len(left) + len(right) and text.startswith(left) and text.endswith(right):
            text = text[len(left) : -len(right)].strip()
    text = _GROUPED.sub(",", text.replace("\u2212", "-").replace(r"\$", "").replace("$", ""))
    text = _SIZED_FRAC.sub(r"\\frac", _SPACES.sub(" ", text))
    whole = _TEXT.fullmatch(text.strip())
    text = whole[1] if whole else text
    text = braced_fractions(text)
    text = _SQRT_SHORT.sub(r"\\sqrt{\1}", text)
    text = _DEGREES.sub(r"^\\circ", text)
    text = _IDLE_SPACE.sub("", " ".join(text.split()))
    text = text.rstrip(". ") if not _ORDINAL.fullmatch(text) else text
    text = _LETTER_CHOICE.sub(r"\1", text) if _LETTER_CHOICE.fullmatch(text) else text
    value = number(_PERCENT.sub("", text))
    if value is not None:
        return write_number(value)
    closed = text.replace(", ", ",")
    return closed if number(closed) is None else text


def is_words(text: str) -> bool:
    """Whether a normal form is plain words, which are compared as words and never as mathematics."""
    if not re.fullmatch(r"[^\W\d_](?:[^\W\d_]|[ .'-])*", text) or re.search(r"--| -|- |\.\.", text):
        return False
    words = re.findall(r"[^\W\d_]+", text)
    return any(len(word) >= 4 for word in words) and not _FUNCTIONS.intersection(words)
