"""The type checker that jaxtyping's import hook uses in the tests: shapes and kinds of arrays, and nothing else.

beartype alone would also refuse an integer where a float is written, a traced number in a dataclass that is a
pytree, and every wrong argument whose own InputError a test is about.
"""

import re

from beartype import beartype

SHAPED_MODULES = [
    "sharpening.metrics",
    "sharpening.updates",
    "sharpening.coupling",
    "sharpening.simulation.sampling",
    "sharpening.simulation.direction",
    "sharpening.simulation.step",
]
_SHAPE = re.compile(r"\b(Shaped|Float|Integer|Real|Bool)\[")


def shapes_only(function):
    """The function with its shape annotations checked at every call; the others are not looked at."""
    told = getattr(function, "__annotations__", {})
    shaped = {name: told_as for name, told_as in told.items() if _SHAPE.search(str(told_as))}
    if not shaped:
        return function
    function.__annotations__ = shaped
    return beartype(function)
