r"""Numbers as people write them, read exactly: "1,000" is 1000, "0.250" is 1/4, "1.2 \times 10^5" is 120000.

One reader serves labels and answers: `number` for a text that is a number, `last_number` for one that holds
some. What is ambiguous is decided here, once:

- A comma before groups of three digits divides thousands (1,234,567; Indian 12,34,567); any other comma
  divides a list, so "1,5" is 1 and 5, never 1.5, and 0,500 is no thousand.
- One space (of any width) or apostrophe before groups of three divides thousands, unless more digits stand
  beside it: "1 250 000" is a number, "100 200 30" three.
- Points before groups of three divide thousands only where a decimal comma or a second group follows:
  1.234,56 and 1.234.567, but 1.234 is a decimal.
- A whole number and a proper fraction after one space are a mixed number: "12 and 3 1/2" ends in 3.5.
- A minus is a sign if it touches its number (or the currency before it) and touches no digit, letter or
  closing bracket: "-3", "5 -3". A minus with a space after it is a sign only if nothing, punctuation or a
  word such as "is" stands before it: "= - 3", but "2 - 3" is a difference and ends in 3, and so does a line
  of a list, "- 3", below another line. An en dash between numbers is a range: 3–5 ends in 5.
- Whole powers and powers of ten are computed (10^{6}, 2^10, 1.2e5, 1.2·10⁵). "50%" is 50 in a text. Words
  such as million are not read.
"""

import re
from collections import deque
from fractions import Fraction

from llm_bridge.answers.typography import plain_characters, plain_spaces

MAX_NUMBER = 400
"""Longest number in characters; longer texts are not read as numbers."""
_LARGEST = 10**190
"""Largest numerator and denominator of a power, so that a written one is no longer than MAX_NUMBER."""
_ALONE = r"(?<![0-9][ .,'])"
_GROUPED = (
    rf"(?:{_ALONE}(?:[1-9][0-9]{{0,2}}(?:,[0-9]{{3}})+(?![0-9])(?:\.[0-9]*)?"
    r"|[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}(?![0-9])(?:\.[0-9]*)?"
    r"|[1-9][0-9]{0,2}(?: [0-9]{3})+(?![0-9]| [0-9]| ?/)(?:\.[0-9]*|,[0-9]{1,2}(?![0-9,]))?"
    r"|[1-9][0-9]{0,2}(?:'[0-9]{3})+(?![0-9])(?:\.[0-9]*)?"
    r"|[1-9][0-9]{0,2}(?:(?:\.[0-9]{3})+,[0-9]+|(?:\.[0-9]{3}){2,})(?![0-9]|[.,][0-9])))"
)
_SIMPLE = rf"(?:{_GROUPED}|[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_EXPONENT = r"(?:\{ ?([+-]?[0-9]{1,4}) ?\}|\( ?([+-]?[0-9]{1,4}) ?\)|([+-]?[0-9]{1,4})(?![0-9]))"
_RAISED = rf" ?(?:\^|\*\*) ?{_EXPONENT}"
_SCIENTIFIC = (
    r"(?:[eE]([+-]?[0-9]{1,4})(?![0-9A-Za-z])"
    rf"| ?(?:\\times|\\cdot|[xX\u00d7\u00b7\u22c5\u2715]|\*(?!\*)) ?\{{?10\}}?{_RAISED})"
)
_FRAC = rf"\\[dtc]?frac ?(?:\{{ ?([+-]?{_SIMPLE}) ?\}}|([0-9])) ?(?:\{{ ?([+-]?{_SIMPLE}) ?\}}|([0-9]))"
_WHOLE = r"(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+|[0-9]+)"
_MIXED = rf"(?<![0-9.,'])(?<![0-9] ){_WHOLE}(?: ?{_FRAC}| [0-9]+ ?/ ?[0-9]+(?![0-9]))"


def _without_groups(pattern: str) -> str:
    return re.sub(r"(?<!\\)\((?!\?)", "(?:", pattern)


_LAST = re.compile(
    _without_groups(rf"{_MIXED}|{_FRAC}|(?<![0-9]){_SIMPLE}(?: ?/ ?{_SIMPLE}|{_SCIENTIFIC}|{_RAISED})?")
)
_SIMPLE_ONLY = re.compile(_SIMPLE)
_PLAIN_ONLY = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+")
_SLASH_ONLY = re.compile(rf"([+-]?{_SIMPLE}) ?/ ?([+-]?{_SIMPLE})")
_FRAC_ONLY = re.compile(_FRAC)
_MIXED_ONLY = re.compile(rf"({_WHOLE})(?: ?({_without_groups(_FRAC)})| ([0-9]+ ?/ ?[0-9]+))")
_POWER_ONLY = re.compile(rf"({_SIMPLE}){_RAISED}")
_SCIENTIFIC_ONLY = re.compile(rf"({_SIMPLE}){_SCIENTIFIC}")
_SHORT_FRAC = re.compile(r"\\[dt]?frac\s*(?:\{([^{}]*)\}|([0-9A-Za-z]))\s*(?:\{([^{}]*)\}|([0-9A-Za-z]))")
_SIGN = re.compile(r"(-|\b[Mm]inus |\b[Nn]egative )( ?)(?:(?:US)?[$\u20ac\u00a3\u00a5\u20b9] ?)?$")
_SAYS = re.compile(
    r"\b(?:is|are|be|was|equals?|to|gives?|get|gets|answer|result|value|by|of|than|and|or|so|thus|hence|therefore)$",
    re.IGNORECASE,
)
_WINDOW = 40


def number(text: str) -> Fraction | None:
    r"""The exact value of a text that is one number, else None; the rules are those of this module.

    Understood: signs, digits in groups, decimals (".5", "3."), leading zeros (they mean nothing), a/b,
    \frac{a}{b}, mixed numbers such as 1\frac{4}{5} (= 9/5) and "3 1/2", powers and scientific notation. Not
    numbers: "1,2", "50%", x/0, anything over 400 characters.
    """
    if len(text) > MAX_NUMBER:
        return None
    text = plain_spaces(plain_characters(text)).strip()
    sign = text[:1] if text[:1] in ("-", "+") else ""
    rest = text[len(sign) :].lstrip()
    if rest.startswith("(") and rest.endswith(")"):
        rest = rest[1:-1] if _SLASH_ONLY.fullmatch(rest[1:-1]) else rest
    value = None if rest[:1] in ("-", "+") and sign else _unsigned(rest)
    return -value if value is not None and sign == "-" else value


def last_number(text: str) -> str | None:
    r"""The last number in a text, in the spelling of `write_number`; None if there is none.

    Which sign and which digits belong to it: see the rules of this module.
    """
    text = plain_spaces(plain_characters(text)).replace(r"\$", "$")
    found = deque(_LAST.finditer(text), maxlen=1)
    if not found:
        return None
    token, start = found[0].group(), found[0].start()
    if len(token) > MAX_NUMBER:
        return None
    value, sign = _unsigned(token), -1 if _negative(text[max(0, start - _WINDOW) : start]) else 1
    if value is None and (mixed := _MIXED_ONLY.fullmatch(token)):
        value, sign = _unsigned(mixed[2] or mixed[3]), 1
    return None if value is None else write_number(sign * value)


def _unsigned(text: str) -> Fraction | None:
    """The value of one number without a sign of its own."""
    if _PLAIN_ONLY.fullmatch(text) or _SIMPLE_ONLY.fullmatch(text):
        return _exact(text)
    if found := _SLASH_ONLY.fullmatch(text):
        return _ratio(found[1], found[2])
    if found := _FRAC_ONLY.fullmatch(text):
        return _ratio(found[1] or found[2], found[3] or found[4])
    if found := _MIXED_ONLY.fullmatch(text):
        part = _unsigned(found[2] or found[3])
        return None if part is None or not 0 <= part < 1 else _exact(found[1]) + part
    if found := _SCIENTIFIC_ONLY.fullmatch(text):
        return _scaled(_exact(found[1]), Fraction(10), next(filter(None, found.groups()[1:])))
    if found := _POWER_ONLY.fullmatch(text):
        return _scaled(Fraction(1), _exact(found[1]), next(filter(None, found.groups()[1:])))
    return None


def _scaled(factor: Fraction, base: Fraction, exponent: str) -> Fraction | None:
    """factor · base^exponent; None where it does not exist or has more than 190 digits."""
    power = int(exponent)
    digits = len(str(max(base.numerator, base.denominator))) - 1
    if base == 0 and power <= 0 or abs(power) * digits > 190 or abs(power) > 1_000:
        return None
    value = factor * base**power
    return value if max(value.numerator, value.denominator) < _LARGEST else None


def braced_fractions(text: str) -> str:
    r"""Every \frac, \dfrac and \tfrac of two simple parts written as \frac{..}{..}: \frac12 is
    \frac{1}{2}.
    """
    return _SHORT_FRAC.sub(
        lambda m: rf"\frac{{{(m[1] or m[2] or '').strip()}}}{{{(m[3] or m[4] or '').strip()}}}", text
    )


def _exact(text: str) -> Fraction:
    sign = -1 if text.startswith("-") else 1
    text = text.lstrip("+-")
    if re.fullmatch(r"[0-9 .]+,[0-9]+|[0-9]+(?:\.[0-9]{3}){2,}", text) and ("." in text or " " in text):
        text = text.replace(".", "").replace(",", ".")
    text = text.replace(",", "").replace(" ", "").replace("'", "")
    return sign * Fraction(text + "0" if text.endswith(".") else text)


def _ratio(above: str, below: str) -> Fraction | None:
    return None if _exact(below) == 0 else _exact(above) / _exact(below)


def _negative(before: str) -> bool:
    """Whether the text before a number ends in its minus sign."""
    found = _SIGN.search(before)
    if not found:
        return False
    if found[1].lower() == "negative ":
        return True
    head, spaced = before[: found.start()], bool(found[2]) or found[1] != "-"
    if spaced and "\n" in head[len(head.rstrip()) :] and head.strip():
        return False
    head = head.rstrip(" $") if spaced else head.rstrip("$")
    last = head[-1:]
    if spaced and last.isalpha():
        return bool(_SAYS.search(head))
    return not (last.isalnum() or last and last in ")]}%!-")


def write_number(value: Fraction) -> str:
    """One spelling for each value: whole, else a decimal if it ends within 12 places, else a/b in lowest
    terms.
    """
    if value.denominator == 1:
        return str(value.numerator)
    scaled = abs(value) * 10**12
    if scaled.denominator != 1:
        return f"{value.numerator}/{value.denominator}"
    whole, part = divmod(int(scaled), 10**12)
    return ("-" if value < 0 else "") + f"{whole}.{part:012d}".rstrip("0")
