"""Text from elsewhere made safe to print: no character of it moves the cursor, colours a line or cannot be
encoded.
"""

import re

# Control characters (C0, DEL, C1), lone surrogates, and the marks that turn the direction of writing.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def printable(text: str, longest: int | None = None) -> str:
    r"""The text with every control character, lone surrogate and direction mark written as an escape
    (`\x1b`), cut to `longest` characters where that is given.
    """
    if longest is not None and len(text) > longest:
        text = text[: longest - 3] + "..."
    return _UNSAFE.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), text)
