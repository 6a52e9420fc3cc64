"""Whether one formula is an antiderivative of another: derivatives at points, and integrals between them.
Numeric, bounded, no symbolic work.
"""

import hashlib
import random
from itertools import pairwise

from llm_bridge.answers.calculus import derivative, integral, value
from llm_bridge.answers.formulas import names, parse_formula

POINTS = 12
FEWEST = 6
"""Fewest points at which the integrand must be real for anything to be said."""
TOLERANCE = 1e-6
DOMAIN = (-3.0, 3.0)
CONSTANTS = frozenset("CcKk")
"""Letters that may stand for a constant of integration."""
_TRIES = 120
_MISSING = 2


def usable(integrand: str, domain: tuple[float, float] = DOMAIN) -> bool:
    """Whether the integrand is a formula of x (and e, pi) that is real at enough points of the domain."""
    tree = parse_formula(integrand)
    if tree is None or names(tree) - {"x", "e"}:
        return False
    return len(_points(tree, domain, random.Random(0))) >= FEWEST


def is_antiderivative(answer: str, integrand: str, domain: tuple[float, float] = DOMAIN) -> bool:
    """Whether the formula `answer` has the formula `integrand` as its derivative on the domain, as far as
    numbers can tell.

    1. At 12 points where the integrand is real, the derivative (complex step, else central differences)
    equals it to 1e-6 relative; at most 2 of them may be points where the answer has no derivative. 2. Between
    neighbouring points, where the integral of the integrand converges, the real part of the answer grows by
    just that integral, so a jump between them is found. ln(x) serves as well as ln|x|. Letters C, c, K, k are
    constants, whatever their value.

    The points depend on both texts, so the outcome is always the same, and no answer can be fitted to its
    points. An answer that differs from a right one by less than 1e-6, relatively, or whose derivative does by
    1e-12 of its largest value, passes.

    False for anything that `parse_formula` does not read, and for other letters than x, e, pi and constants.
    """
    asked, given = parse_formula(integrand), parse_formula(answer)
    if asked is None or given is None or names(asked) - {"x", "e"} or names(given) - {"x", "e"} - CONSTANTS:
        return False
    chance = random.Random(hashlib.sha256(f"{integrand}\n{answer}".encode("utf-8", "surrogatepass")).digest())
    constants = {letter: chance.uniform(0.5, 2.0) for letter in sorted(CONSTANTS)}
    points = _points(asked, domain, chance)
    if len(points) < FEWEST:
        return False
    scale = max(abs(slope) for _, slope in points)
    missing = 0
    for x, slope in points:
        found = derivative(given, x, constants)
        if found is None:
            missing += 1
        elif abs(found - slope) > TOLERANCE * max(abs(slope), 1e-6 * scale):
            return False
    return missing <= _MISSING and all(
        _grows_rightly(given, asked, *pair, constants, scale) for pair in pairwise(x for x, _ in points)
    )


def same_derivative(first: str, second: str, domain: tuple[float, float] = DOMAIN) -> bool:
    """Whether two formulas differ by a constant on the domain, as far as numbers can tell: equal derivatives
    to 1e-6 relative at 12 points, and a difference whose real part is the same at all of them. Symmetric; the
    same letters are constants.

    False where either is no formula, or where fewer than 6 of the points tried give both a derivative.
    """
    one, other = (parse_formula(text) for text in sorted((first, second)))
    if one is None or other is None or (names(one) | names(other)) - {"x", "e"} - CONSTANTS:
        return False
    chance = random.Random(
        hashlib.sha256("\n".join(sorted((first, second))).encode("utf-8", "surrogatepass")).digest()
    )
    constants = {letter: chance.uniform(0.5, 2.0) for letter in sorted(CONSTANTS)}
    slopes, gaps, sizes = [], [], []
    for x in [chance.uniform(*domain) for _ in range(_TRIES)]:
        here, there = value(one, x, constants), value(other, x, constants)
        slope, rival = derivative(one, x, constants), derivative(other, x, constants)
        if here is not None and there is not None and slope is not None and rival is not None:
            slopes.append((slope, rival))
            gaps.append((here - there).real)
            sizes.append(abs(here) + abs(there))
        if len(slopes) == POINTS:
            break
    if len(slopes) < FEWEST:
        return False
    scale = max(abs(slope) for pair in slopes for slope in pair)
    alike = all(
        abs(slope - rival) <= TOLERANCE * max(abs(slope), abs(rival), 1e-6 * scale) for slope, rival in slopes
    )
    return alike and max(gaps) - min(gaps) <= TOLERANCE * (1 + max(sizes))


def _points(tree: tuple, domain: tuple[float, float], chance: random.Random) -> list[tuple[float, float]]:
    """Up to 12 (x, value) where the formula is real, in order."""
    found = []
    for _ in range(_TRIES):
        x = chance.uniform(*domain)
        there = value(tree, x)
        if there is not None and abs(there.imag) <= 1e-12 * abs(there) and abs(there) < 1e12:
            found.append((x, there.real))
            if len(found) == POINTS:
                break
    return sorted(found)


def _grows_rightly(
    given: tuple, asked: tuple, start: float, end: float, constants: dict[str, float], scale: float
) -> bool:
    found = integral(asked, start, end)
    if found is None or found[1] > TOLERANCE * (abs(found[0]) + 1e-3 * scale * (end - start)):
        return True
    before, after = value(given, start, constants), value(given, end, constants)
    if before is None or after is None:
        return True
    rounding = 1e-9 * (abs(before) + abs(after))
    return (
        abs((after - before - found[0]).real)
        <= 10 * TOLERANCE * (abs(found[0]) + scale * (end - start)) + rounding
    )
