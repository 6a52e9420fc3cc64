"""The deliberate errors of theorems: each file tests/core/test_theorem_mutations*.py has a list MUTATIONS of
(theorem, what, patch).
"""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from pathlib import Path

import pytest

CORE = Path(__file__).parents[1] / "core"


def files() -> list[Path]:
    """The test files that hold them."""
    return sorted(CORE.glob("test_theorem_mutations*.py"))


def declared() -> Counter:
    """How many errors each theorem has, by name."""
    counts: Counter = Counter()
    sys.path.insert(0, str(CORE))
    try:
        for file in files():
            counts.update(name for name, *_ in importlib.import_module(file.stem).MUTATIONS)
    finally:
        sys.path.remove(str(CORE))
    return counts


class Ledger:
    """A pytest plugin: which tests of one error each passed, by theorem (the parameter `name`)."""

    def __init__(self):
        self.errors: Counter = Counter()
        self.caught: Counter = Counter()
        self._named: dict[str, str] = {}

    def pytest_collection_modifyitems(self, items):
        for item in items:
            parameters = getattr(item, "callspec", None)
            if parameters is not None and "name" in parameters.params:
                self._named[item.nodeid] = parameters.params["name"]

    def pytest_runtest_logreport(self, report):
        if report.when == "call" and report.nodeid in self._named:
            self.errors[self._named[report.nodeid]] += 1
            self.caught[self._named[report.nodeid]] += report.passed


def theorem_table() -> dict[str, tuple[int, int]]:
    """Theorem -> (errors, errors that make its check fail, or some test of it), in the order of the registry;
    all theorems.
    """
    from sharpening import list_theorems

    ledger = Ledger()
    pytest.main(
        ["-q", "-p", "no:cacheprovider", "--no-header", "--durations=0", *map(str, files())], plugins=[ledger]
    )
    return {
        theorem.name: (ledger.errors[theorem.name], ledger.caught[theorem.name])
        for theorem in list_theorems()
    }
