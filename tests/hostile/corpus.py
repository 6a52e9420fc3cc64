r"""Adversarial answers, as data: CORPUS[name] = text. Nothing here is harmful if it runs: it would only
create the file CANARY.

`armed(text, path)` puts the canary's path in. Long texts are generated; the four files of texts are by kind
of attack.
"""

from code_texts import CODE
from found_texts import FOUND
from number_texts import NUMBERS
from shape_texts import SHAPES

MEGABYTE = 1_000_000


def numbered(kind: str, texts) -> dict[str, str]:
    return {f"{kind}-{place}": text for place, text in enumerate(texts)}


BIG = {
    "digits": "9" * MEGABYTE,
    "digits-boxed": r"\boxed{" + "9" * 19_000 + "}",
    "groups": "1,111" + ",111" * (MEGABYTE // 4),
    "commas": "1," * (MEGABYTE // 2),
    "slashes": "1/" * (MEGABYTE // 2),
    "minus": "-" * MEGABYTE,
    "open-boxes": r"\boxed{" * (MEGABYTE // 7),
    "nested-boxes": r"\boxed{" * 2_000 + "7" + "}" * 2_000,
    "open-braces": "{" * MEGABYTE,
    "closed-braces": "}" * MEGABYTE,
    "box-of-braces": r"\boxed{" + "{" * 500_000 + "}" * 500_001,
    "box-of-fracs": r"\boxed{" + r"\frac{" * 3_000 + "1}}",
    "box-of-frac": r"\boxed{" + r"\frac" * 3_000 + "}",
    "box-of-text": r"\boxed{" + r"\text{a" * 2_000 + "}" * 2_001,
    "box-of-spaces": r"\boxed{" + " ," * 9_000 + "}",
    "nul": "\0" * MEGABYTE,
    "spaces": " " * MEGABYTE,
    "newlines": "\n" * MEGABYTE,
    "letters": "a" * MEGABYTE,
    "letters-then-b": "a" * 40_000 + "b",
    "brackets": "(" * MEGABYTE,
    "brackets-pairs": "(" * 5_000 + "1" + ")" * 5_000,
    "dots": "." * MEGABYTE,
    "backslashes": "\\" * MEGABYTE,
    "hashes": "#" * MEGABYTE,
    "dollars": "$" * MEGABYTE,
    "fractions": r"\frac{1}{" * (MEGABYTE // 9),
    "combining": "e" + "\u0301" * MEGABYTE,
    "surrogates": "\ud800" * 100_000,
    "emoji": "\U0001f4a9" * 250_000,
    "zero-width": "\u200b" * MEGABYTE,
    "rtl": "\u202e" * MEGABYTE,
    "full-width": "\uff19" * MEGABYTE,
    "apostrophes": "a'" * (MEGABYTE // 2),
    "joiners": "'-." * (MEGABYTE // 3),
    "sum": "1+" * (MEGABYTE // 2) + "1",
    "power-tower": "9**" * (MEGABYTE // 3) + "9",
    "assignments": "x=1," * (MEGABYTE // 4),
    "constraint": "not " * (MEGABYTE // 4) + "true",
    "formula": "sin " * (MEGABYTE // 4) + "x",
    "implied-product": "x" * 400,
    "implied-brackets": "(x)" * 133,
    "long-sum": "x+" * 199 + "x",
    "long-signs": "-" * 399 + "x",
    "long-exponents": "x^" * 199 + "x",
    "long-bars": "|" * 400,
    "long-tuple": "(" + "1," * 149 + "1)",
    "nested-tuple-long": "(1," * 240 + "1" + ")" * 240,
    "mantissa": "x" + "9" * 9_999 + "/" + "9" * 9_999 + "/",
}

CORPUS: dict[str, str] = {
    **numbered("code", CODE),
    **numbered("number", NUMBERS),
    **numbered("shape", SHAPES),
    **numbered("found", FOUND),
    **{f"big-{name}": text for name, text in BIG.items()},
}


def armed(text: str, path) -> str:
    """The text with the canary's path where it says CANARY."""
    return text.replace("CANARY", str(path))


def small() -> dict[str, str]:
    """The texts of at most 1,000 characters."""
    return {name: text for name, text in CORPUS.items() if len(text) <= 1_000}
