r"""One spelling for characters and spaces that only look different: full-width digits, Unicode minus signs and
spaces, 10⁵, ½, \,.
"""

import re

_SPACES = (*range(0x2000, 0x200B), 0xA0, 0x202F, 0x205F, 0x3000)
_UNSEEN = (
    0xAD,
    0x200B,
    0x200C,
    0x200D,
    0x200E,
    0x200F,
    *range(0x202A, 0x202F),
    *range(0x2060, 0x2065),
    0xFEFF,
)
_MINUS = (0x2010, 0x2011, 0x2012, 0x2013, 0x2212, 0xFE63, 0xFF0D)
_FRACTIONS = {
    "½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5", "⅗": "3/5", "⅘": "4/5", "⅙": "1/6", "⅚": "5/6",
    "⅐": "1/7", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8", "⅑": "1/9", "⅒": "1/10",
}  # fmt: skip
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_TABLE: dict[int, str] = (
    {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
    | {0x1D7CE + place: str(place % 10) for place in range(50)}
    | dict.fromkeys(_SPACES, " ")
    | dict.fromkeys(_UNSEEN, "")
    | dict.fromkeys(_MINUS, "-")
    | {0x2044: "/", 0x2215: "/", 0x3002: ".", 0xFF61: ".", 0x3001: ", ", 0x2019: "'"}
    | {ord(one): f" {part}" for one, part in _FRACTIONS.items()}
    | {ord("∅"): r"\emptyset ", 0xB0: r"^\circ ", 0x2103: r"^\circ C", 0x2109: r"^\circ F"}
)
_RANGE = re.compile(r"(?<=[0-9)\]}%$])(\s?)[\u2012\u2013](?=\s?[$0-9\\])")
_SUPERSCRIPT = re.compile("[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_TIGHT_COMMA = re.compile(r"(?<=[0-9]),\s?\\!\s*(?=[0-9])")
_COMMA = r"(?:\\(?:text|mbox|mathrm|mathord|mathpunct))?\{,\}"
_BRACED_GROUPS = re.compile(rf"(?<![0-9])[1-9][0-9]{{0,2}}(?:{_COMMA}[0-9]{{3}})+(?![0-9])")
_BRACED = re.compile(_COMMA)
_BRACED_DECIMAL = re.compile(rf"(?<=[0-9]){_COMMA}(?=[0-9])")
_LATEX_SPACE = re.compile(
    r"(?<!\\)\\(?:[!,;:> ]|(?:quad|qquad|thinspace|medspace|thickspace|enspace)(?![A-Za-z]))|~"
)
_RUN = re.compile(r"[ \t]{2,}")


def plain_characters(text: str) -> str:
    r"""The text with one character for each meaning: ASCII for full-width forms, "-" for every minus sign and
    hyphen, a blank for every Unicode space, nothing for what is not seen, ^{5} for ⁵, 1/2 for ½.

    An en dash between two numbers stays: 3–5 is a range, no difference. An em dash is no minus. Digits of
    other scripts stay what they are.
    """
    if text.isascii():
        return text
    text = _RANGE.sub("\\1\ue000", text)
    text = _SUPERSCRIPT.sub(lambda found: f"^{{{found.group().translate(_RAISED)}}}", text)
    return text.translate(_TABLE).replace("\ue000", "\u2013")


def plain_spaces(text: str) -> str:
    r"""The text without LaTeX's spaces and with one comma: 9{,}500 and 9,\!500 are 9,500, 10\,080 is 10 080,
    and 1{,}5 is 1.5, since braces say that the comma is part of the number.
    """
    if "\\" in text or "{" in text or "~" in text:
        if "{,}" in text:
            text = _BRACED_GROUPS.sub(lambda found: _BRACED.sub(",", found.group()), text)
            text = _BRACED_DECIMAL.sub(".", text)
        text = _LATEX_SPACE.sub(" ", _TIGHT_COMMA.sub(",", text)).replace("{-}", "-")
    return _RUN.sub(" ", text) if "  " in text or "\t" in text else text
