r"""One spelling for answers that differ only in how they are typeset: \dfrac12, \frac{1}{2} and \left... ."""

import re
from functools import lru_cache

from llm_bridge.answers.numbers import braced_fractions, number, write_number
from llm_bridge.answers.typography import plain_characters, plain_spaces

_TEXT = re.compile(r"\\(?:text|mbox|textbf|textit|textrm|mathrm|mathbf|operatorname)\s*\{([^{}]*)\}")
_IDLE_COMMAND = re.compile(r"\\(?:displaystyle|left|right|limits)(?![A-Za-z])")
_SQRT_SHORT = re.compile(r"\\sqrt\s*([0-9A-Za-z])")
_LETTER_CHOICE = re.compile(r"\(?([A-Za-z])\)")
_CHOSEN = re.compile(
    r"\\(?:text|mbox|textbf|textit|textrm|mathrm|mathbf)\s*\{\s*(?:\([A-Z]\)|[A-Z][.)])\s*\}\s*(\S.*)"
)
_CHOSEN_NUMBER = re.compile(r"(?:\([A-Z]\)|[A-Z]\)) ?(\S.*)")
_EMPTY = re.compile(r"\\(?:varnothing|emptyset)(?![A-Za-z])|(?<![\w}])\\?\{\s*\\?\}(?!\S)")
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
_SHORT_WORDS = frozenset(
    "yes no odd all any one two six ten red sun mon tue wed thu fri sat jan feb mar apr jun jul aug sep oct nov dec"
    " tom bob ann amy sam joe jim tim dan ben".split()
)


def normal_form(text: str) -> str:
    r"""A spelling of an answer without typesetting; equal normal forms are the same answer.

    Numbers go to one spelling for each value (see `numbers`); otherwise spaces, math delimiters, \left,
    \right, a full stop at the end and dollar signs go, "50%" is 50, an answer that is one \text{...} is its
    content, \dfrac and \tfrac are \frac, \frac12 is \frac{1}{2}, \varnothing and \{\} are \emptyset, (B), B)
    and B. are B, and \textbf{(C)}\ 12 is 12. Applying it twice changes nothing.
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
    text = " ".join(plain_characters(text).split())
    for left, right in _WRAPPERS:
        if len(text) > len(left) + len(right) and text.startswith(left) and text.endswith(right):
            text = text[len(left) : -len(right)].strip()
    text = plain_spaces(text.replace(r"\$", "").replace("$", ""))
    text = _SIZED_FRAC.sub(r"\\frac", _IDLE_COMMAND.sub(" ", text))
    text = _without_choice(text.strip())
    whole = _TEXT.fullmatch(text)
    text = whole[1] if whole else text
    text = braced_fractions(text)
    text = _SQRT_SHORT.sub(r"\\sqrt{\1}", text)
    text = _DEGREES.sub(r"^\\circ", text)
    text = _IDLE_SPACE.sub("", " ".join(text.split()))
    text = text.rstrip(". ") if not _ORDINAL.fullmatch(text) else text
    text = _LETTER_CHOICE.sub(r"\1", text) if _LETTER_CHOICE.fullmatch(text) else text
    text = _EMPTY.sub(r"\\emptyset", text)
    value = number(_PERCENT.sub("", text))
    if value is not None:
        return write_number(value)
    closed = text.replace(", ", ",")
    return closed if number(closed) is None else text


def _without_choice(text: str) -> str:
    r"""The answer behind the letter of a choice, \textbf{(C)} 12 or (C) 12: what is said is 12."""
    if found := _CHOSEN.fullmatch(text):
        return found[1]
    found = _CHOSEN_NUMBER.fullmatch(text)
    return found[1] if found and number(_PERCENT.sub("", found[1])) is not None else text


def plain_words(text: str) -> str:
    """Words in lower case and without a full stop at the end; any other text as it is."""
    if len(text) > _REMEMBERED:
        return text
    form = normal_form(text)
    return form.casefold() if is_words(form) and " ".join(text.split()).startswith(form) else text


def is_words(text: str) -> bool:
    """Whether a normal form is plain words, which are compared as words and never as mathematics: letters with
    a word of four or more, or one short word that no product of letters is, such as yes.
    """
    if text.casefold() in _SHORT_WORDS:
        return True
    if not re.fullmatch(r"[^\W\d_](?:[^\W\d_]|[ .'-])*", text) or re.search(r"--| -|- |\.\.", text):
        return False
    words = re.findall(r"[^\W\d_]+", text)
    return any(len(word) >= 4 for word in words) and not _FUNCTIONS.intersection(words)
