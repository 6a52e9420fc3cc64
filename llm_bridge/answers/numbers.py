"""Numbers as people write them, read exactly: "1,000" is 1000, "0.250" is 1/4, "042" is 42."""

import re
from collections import deque
from fractions import Fraction

MAX_NUMBER = 400
"""Longest number in characters; longer texts are not read as numbers."""
_UNSIGNED = r"(?:(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]*)?|\.[0-9]+)"
_DECIMAL = re.compile(rf"[+-]?{_UNSIGNED}")
_RATIO = re.compile(rf"([+-]?)\(?({'[+-]?' + _UNSIGNED})/({'[+-]?' + _UNSIGNED})\)?")
_FRAC = re.compile(rf"([+-]?)([0-9]*)\\frac\{{([+-]?{_UNSIGNED})\}}\{{([+-]?{_UNSIGNED})\}}")
_SHORT_FRAC = re.compile(r"\\[dt]?frac\s*(?:\{([^{}]*)\}|([0-9A-Za-z]))\s*(?:\{([^{}]*)\}|([0-9A-Za-z]))")
_ANY_FRAC = rf"\\[dt]?frac\s?(?:\{{-?{_UNSIGNED}\}}|[0-9])\s?(?:\{{{_UNSIGNED}\}}|[0-9])"
_LAST = re.compile(
    rf"(?:(?<![0-9A-Za-z)\]}}])-)?(?:(?:(?<![0-9.,])[0-9]+\s?)?{_ANY_FRAC}|(?<![0-9]){_UNSIGNED}(?:/[0-9]+)?)"
)


def number(text: str) -> Fraction | None:
    r"""The exact value of a text that is one number, else None.

    Understood: signs, thousands commas in groups of three, decimals (".5", "3."), leading zeros (they mean
    nothing), a/b, \frac{a}{b} and mixed numbers such as 1\frac{4}{5} (= 9/5). Not numbers: "1,2", "50%",
    "1e5", x/0, anything over 400 characters.
    """
    if len(text) > MAX_NUMBER:
        return None
    text = text.strip().replace("\u2212", "-")
    if _DECIMAL.fullmatch(text):
        return _exact(text)
    match = _RATIO.fullmatch(text)
    if match:
        return _ratio(match[1], "", match[2], match[3])
    match = _FRAC.fullmatch(braced_fractions(text).replace(" ", ""))
    return _ratio(*match.groups()) if match else None


def braced_fractions(text: str) -> str:
    r"""Every \frac, \dfrac and \tfrac of two simple parts written as \frac{..}{..}: \frac12 is
    \frac{1}{2}.
    """
    return _SHORT_FRAC.sub(
        lambda m: rf"\frac{{{(m[1] or m[2] or '').strip()}}}{{{(m[3] or m[4] or '').strip()}}}", text
    )


def _exact(text: str) -> Fraction:
    text = text.replace(",", "").removeprefix("+")
    return Fraction(text + "0" if text.endswith(".") else text)


def _ratio(sign: str, whole: str, above: str, below: str) -> Fraction | None:
    if _exact(below) == 0:
        return None
    part = _exact(above) / _exact(below)
    if whole and not 0 <= part < 1:
        return None
    return (int(whole or 0) + part) * (-1 if sign == "-" else 1)


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


def last_number(text: str) -> str | None:
    r"""The last number in a text, in the spelling of `write_number`; None if there is none.

    A minus belongs to the number unless a letter, digit or closing bracket stands before it; a/b and
    \frac{a}{b} are one number.
    """
    found = deque(_LAST.finditer(text.replace("\u2212", "-")), maxlen=1)
    value = number(found[0].group()) if found else None
    return None if value is None else write_number(value)
