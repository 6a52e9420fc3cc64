"""Updates as JAX pytrees: which settings can change without compiling again."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

import jax

Cls = TypeVar("Cls", bound=type)


def register_update(*moving: str):
    """Class decorator for a frozen dataclass: the settings named are leaves, the others are compiled in.

    A leaf that is a plain 0 is compiled in as well, so that a term that is switched off costs nothing.
    """

    def register(cls: Cls) -> Cls:
        names = tuple(field.name for field in fields(cls))

        def flatten(update: Any):
            values = {name: getattr(update, name) for name in names}
            leaves = tuple(name for name in moving if not _is_zero(values[name]))
            fixed = tuple((name, values[name]) for name in names if name not in leaves)
            return tuple(values[name] for name in leaves), (leaves, fixed)

        def unflatten(static, children):
            update: Any = object.__new__(cls)
            for name, value in (*zip(static[0], children, strict=True), *static[1]):
                object.__setattr__(update, name, value)
            return update

        jax.tree_util.register_pytree_node(cls, flatten, unflatten)
        return cls

    return register


def _is_zero(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == 0
