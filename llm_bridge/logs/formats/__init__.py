"""Log formats of one file each: a new one is one new file here with one decorated function.

Shapes that several tools share (JSONL, CSV, parquet, trainer states) are read by `llm_bridge.logs.read`; a format
here is asked first.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from llm_bridge.logs.run_log import RunLog


@dataclass(frozen=True)
class Format:
    """A format by name: whether a file has it, and how it becomes a RunLog (path, answer pattern or None)."""

    name: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path, str | None], RunLog]


_FORMATS: dict[str, Format] = {}


def register_format(name: str, recognises: Callable[[Path], bool]) -> Callable:
    """Decorator of a function (path, answer_pattern) -> RunLog: files that `recognises` are read by it."""

    def register(read: Callable[[Path, str | None], RunLog]) -> Callable:
        _FORMATS[name] = Format(name, recognises, read)
        return read

    return register


def format_of(path: Path) -> Format | None:
    """The format that recognises a file, by name where several do; None where none does."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return next((_FORMATS[name] for name in sorted(_FORMATS) if _FORMATS[name].recognises(path)), None)
