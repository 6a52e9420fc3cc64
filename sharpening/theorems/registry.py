"""The registry: every module of this package that decorates a theorem adds it; a new theorem is one new
file.
"""

from __future__ import annotations

import importlib
import pkgutil
import re

from sharpening.errors import InputError
from sharpening.theorems.base import Theorem

# one prompt, finite rollouts, uncoupled prompts, external rewards, coupled prompts, counterexamples
ORDER = "SFUXCN"
_THEOREMS: dict[str, Theorem] = {}


def register_theorem(cls: type[Theorem]) -> type[Theorem]:
    """Class decorator: list one instance under `cls.name`.

    Raises: InputError if a text is missing or the name belongs to another theorem.
    """
    for field in ("name", "title", "statement", "source"):
        if not str(getattr(cls, field, "")).strip():
            raise InputError(field, getattr(cls, field, None), f"the theorem {cls.__name__} needs one")
    known = _THEOREMS.get(cls.name)
    if known is not None and (type(known).__module__, type(known).__qualname__) != (
        cls.__module__,
        cls.__qualname__,
    ):
        raise InputError("name", cls.name, f"{type(known).__name__} already has it", "Choose another name")
    before = [one.name for one in _THEOREMS.values() if {cls.name, *cls.aliases} & set(one.aliases)]
    if any(name != cls.name for name in before):
        rule = f"{before[0]} has it, or had it before"
        raise InputError("name", ", ".join((cls.name, *cls.aliases)), rule, "Choose another name")
    _THEOREMS[cls.name] = cls()
    return cls


def _load() -> None:
    package = importlib.import_module("sharpening.theorems")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")


def list_theorems() -> list[Theorem]:
    """All theorems, in the order of their names: S1, ..., S7a, S7b, S8, ..., F1, ..., U1, ..., X1, ..., C1,
    ..., N2, ...
    """
    _load()
    return [_THEOREMS[name] for name in sorted(_THEOREMS, key=_place)]


def get_theorem(name: str) -> Theorem:
    """The theorem of that name, or that had it before it was merged into another: "N1" is S8. Raises:
    InputError listing the known names.
    """
    _load()
    if name not in _THEOREMS:
        for theorem in _THEOREMS.values():
            if name in theorem.aliases:
                return theorem
        known = ", ".join(theorem.name for theorem in list_theorems())
        raise InputError("theorem", name, f"known theorems are {known}", "See `sharpening theorems`")
    return _THEOREMS[name]


def _place(name: str) -> tuple:
    rank = ORDER.find(name[:1])
    number = re.match(r"\d+", name[1:])
    return (rank if rank >= 0 else len(ORDER), name[:1], int(number.group()) if number else 0, name)
