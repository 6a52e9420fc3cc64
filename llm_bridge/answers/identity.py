r"""Whether two formulas are identical, from their values modulo a secret prime at a secret point: (x+1)^2 and
x^2+2x+1 are.
"""

import secrets
from functools import lru_cache
from hashlib import blake2b

from llm_bridge.answers.formulas import parse_formula

MAX_EXPONENT = 10_000
_SECRET = secrets.token_bytes(16)


def surely_identical(first: str, second: str) -> bool:
    """True only if both texts are formulas that agree as rational functions of their letters, pi, roots and
    functions.

    Formulas are read strictly. Each letter, and each root, function or power that is no whole one, stands for
    itself. The values are compared modulo a prime of 61 bits at a point, both drawn at random when the
    program starts, so two different formulas of degree d agree with probability about d/10^18, and none can
    be written to agree. False says nothing.
    """
    value = _fingerprint(first)
    return value is not None and value == _fingerprint(second)


@lru_cache(maxsize=20_000)
def _fingerprint(text: str) -> int | None:
    tree = parse_formula(text, strict=True)
    try:
        return None if tree is None else _value(tree)
    except ValueError:
        return None


def _is_prime(number: int) -> bool:
    """Miller-Rabin with the bases that decide every number below 3.3e24."""
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41):
        power = pow(base, odd, number)
        if power not in (1, number - 1) and all(
            pow(base, odd << shift, number) != number - 1 for shift in range(1, twos)
        ):
            return False
    return True


def _random_prime() -> int:
    while True:
        candidate = 2**60 + secrets.randbelow(2**60) | 1
        if _is_prime(candidate):
            return candidate


_PRIME = _random_prime()


def _symbol(*name) -> int:
    digest = blake2b(repr(name).encode("utf-8", "surrogatepass"), key=_SECRET).digest()
    return int.from_bytes(digest, "big") % _PRIME


def _value(tree: tuple) -> int:
    """The residue of a formula. Raises ValueError where it has none: division by zero, an exponent beyond
    10,000.
    """
    kind = tree[0]
    if kind == "number":
        return tree[1].numerator * pow(tree[1].denominator, -1, _PRIME) % _PRIME
    if kind == "sum":
        return sum(_value(part) for part in tree[1]) % _PRIME
    if kind == "negative":
        return -_value(tree[1]) % _PRIME
    if kind == "inverse":
        return pow(_value(tree[1]), -1, _PRIME)
    if kind == "product":
        total = 1
        for part in tree[1]:
            total = total * _value(part) % _PRIME
        return total
    if kind == "power":
        return _power(tree[1], tree[2])
    if kind == "name":
        return _symbol(kind, tree[1])
    return _symbol(kind, *(_value(part) if isinstance(part, tuple) else part for part in tree[1:]))


def _power(base: tuple, exponent: tuple) -> int:
    sign, size = (-1, exponent[1]) if exponent[0] == "negative" else (1, exponent)
    if size[0] != "number" or size[1].denominator != 1:
        return _symbol("power", _value(base), _value(exponent))
    if size[1] > MAX_EXPONENT:
        raise ValueError("the exponent is too large")
    return pow(_value(base), sign * int(size[1]), _PRIME)
