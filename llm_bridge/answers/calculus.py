"""Formulas of x in floating point: values, derivatives and integrals, each None where there is none. Bounded,
nothing is evaluated as code.
"""

import cmath
import math

MAX_ABS = 1e100
STEP = 1e-20
"""Imaginary step of the complex-step derivative: no subtraction, so no rounding grows however small it is."""
_CONSTANTS = {"pi": math.pi, "e": math.e}
_CUBE = 1e-3


class _UndefinedError(Exception):
    pass


def value(tree: tuple, x: complex, constants: dict[str, float] | None = None) -> complex | None:
    """The value of a formula (`llm_bridge.answers.formulas`) at x, real or complex; None where it has none or
    is beyond 1e100.

    |z| means z where its real part is positive, else -z, which continues it off the real line; odd roots of negative numbers are
    real. Other letters than x, e and pi need a value in `constants`.
    """
    try:
        found = _value(tree, complex(x), _CONSTANTS | (constants or {}))
    except (_UndefinedError, OverflowError, ZeroDivisionError, ValueError):
        return None
    return found if cmath.isfinite(found) and abs(found) < MAX_ABS else None


def derivative(tree: tuple, x: float, constants: dict[str, float] | None = None) -> complex | None:
    """F'(x): Im F(x + ih) / h at h = 1e-20 where F(x) is real, else a central difference of sixth order along
    the real line.

    None where F has no value, or where the difference formula at two steps does not agree with itself.
    """
    here = value(tree, x, constants)
    if here is None:
        return None
    if here.imag == 0:
        stepped = value(tree, complex(x, STEP), constants)
        return None if stepped is None else complex(stepped.imag / STEP)
    coarse, fine = (_difference(tree, x, size * max(1.0, abs(x)), constants) for size in (2 * _CUBE, _CUBE))
    if coarse is None or fine is None or abs(coarse - fine) > 1e-6 * (1 + abs(fine)):
        return None
    return fine


def _difference(tree: tuple, x: float, h: float, constants) -> complex | None:
    total = 0j
    for offset, weight in ((1, 45.0), (2, -9.0), (3, 1.0)):
        after, before = value(tree, x + offset * h, constants), value(tree, x - offset * h, constants)
        if after is None or before is None:
            return None
        total += weight * (after - before)
    return total / (60 * h)


def integral(
    tree: tuple, start: float, end: float, constants: dict[str, float] | None = None
) -> tuple[complex, float] | None:
    """(integral from start to end, error estimate): Gauss-Legendre with 10 and 20 points; None if the formula
    is undefined at one.
    """
    rough, fine = (_gauss(tree, start, end, nodes, constants) for nodes in (_GAUSS_10, _GAUSS_20))
    return None if rough is None or fine is None else (fine, abs(fine - rough))


def _gauss(tree, start, end, nodes, constants):
    middle, half, total = (start + end) / 2, (end - start) / 2, 0j
    for place, weight in nodes:
        found = value(tree, middle + half * place, constants)
        if found is None:
            return None
        total += weight * found
    return total * half


def _legendre(degree: int) -> list[tuple[float, float]]:
    """Places and weights on [-1, 1], by Newton's method on the Legendre polynomial."""
    found = []
    for index in range(degree):
        place = math.cos(math.pi * (index + 0.75) / (degree + 0.5))
        for _ in range(100):
            before, now = 1.0, place
            for order in range(2, degree + 1):
                before, now = now, ((2 * order - 1) * place * now - (order - 1) * before) / order
            slope = degree * (place * now - before) / (place**2 - 1)
            place -= now / slope
            if abs(now / slope) < 1e-15:
                break
        found.append((place, 2 / ((1 - place**2) * slope**2)))
    return found


_GAUSS_10, _GAUSS_20 = _legendre(10), _legendre(20)


def _value(tree: tuple, x: complex, constants: dict[str, float]) -> complex:
    kind = tree[0]
    if kind == "number":
        return complex(float(tree[1]))
    if kind == "name":
        if tree[1] == "x":
            return x
        if tree[1] not in constants:
            raise _UndefinedError
        return complex(constants[tree[1]])
    if kind == "sum":
        return sum((_value(part, x, constants) for part in tree[1]), 0j)
    if kind == "product":
        total = 1 + 0j
        for part in tree[1]:
            total *= _value(part, x, constants)
        return total
    if kind == "power":
        return _power(_value(tree[1], x, constants), tree[2], x, constants)
    inside = _value(tree[-1], x, constants)
    if kind == "root":
        return _root(inside, tree[1])
    return _FUNCTIONS[kind](inside)


def _power(base: complex, exponent: tuple, x: complex, constants: dict[str, float]) -> complex:
    """Whole exponents exactly; others by exp and log, so 0 to a power is 0 or undefined."""
    power = _value(exponent, x, constants)
    if power.imag == 0 and power.real == int(power.real) and abs(power.real) <= 1_000:
        return base ** int(power.real)
    if base == 0:
        if power.real <= 0:
            raise _UndefinedError
        return 0j
    return cmath.exp(power * cmath.log(base))


def _root(inside: complex, degree: int) -> complex:
    if inside == 0:
        return 0j
    if degree % 2 and inside.real < 0:
        return -_root(-inside, degree)
    return cmath.exp(cmath.log(inside) / degree)


def _absolute(inside: complex) -> complex:
    if inside.real == 0:
        raise _UndefinedError
    return inside if inside.real > 0 else -inside


_FUNCTIONS = {
    "negative": lambda z: -z, "inverse": lambda z: 1 / z, "exp": cmath.exp, "ln": cmath.log, "sqrt": cmath.sqrt, "abs": _absolute,
    "sin": cmath.sin, "cos": cmath.cos, "tan": cmath.tan, "cot": lambda z: 1 / cmath.tan(z), "sec": lambda z: 1 / cmath.cos(z),
    "csc": lambda z: 1 / cmath.sin(z), "sinh": cmath.sinh, "cosh": cmath.cosh, "tanh": cmath.tanh, "arcsin": cmath.asin,
    "arccos": cmath.acos, "arctan": cmath.atan, "arcsinh": cmath.asinh, "arccosh": cmath.acosh, "arctanh": cmath.atanh,
}  # fmt: skip
