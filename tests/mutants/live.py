"""Put a mutated function body into the running program, and take it out again."""

from __future__ import annotations

import ast
import gc
import types
from collections.abc import Iterator
from contextlib import contextmanager

from mutants.operators import Mutant


def code_of(tree: ast.Module, filename: str, function: str) -> types.CodeType:
    """The code object of an outermost function of a module."""
    waiting = [compile(tree, filename, "exec")]
    while waiting:
        code = waiting.pop()
        if code.co_qualname == function and code.co_name != "<module>":
            return code
        waiting += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    raise LookupError(function)


def live_functions(module: types.ModuleType, function: str) -> list[types.FunctionType]:
    """Every function object of that name whose code stands in the module, wrapped by a decorator or not; the
    wrappers, such as those of the shape gate, take its name but not its code.
    """
    return [
        found
        for found in gc.get_objects()
        if type(found) is types.FunctionType
        and (found.__module__, found.__qualname__) == (module.__name__, function)
        and (found.__code__.co_name, found.__code__.co_filename) == (function.split(".")[-1], module.__file__)
        and not found.__code__.co_freevars
    ]


@contextmanager
def applied(module: types.ModuleType, mutant: Mutant) -> Iterator[None]:
    """While this lasts, the module computes with the error in place: for everybody who holds the function,
    whatever its name there.
    """
    code = code_of(mutant.tree, module.__file__, mutant.function)
    functions = live_functions(module, mutant.function)
    if not functions:
        raise LookupError(f"{module.__name__}.{mutant.function} is not alive")
    before = [function.__code__ for function in functions]
    for function in functions:
        function.__code__ = code
    try:
        yield
    finally:
        for function, was in zip(functions, before, strict=True):
            function.__code__ = was
