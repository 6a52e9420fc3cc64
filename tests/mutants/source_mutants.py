"""Run the errors of `operators.py` against the tests of `targets.py`, in one process: a pytest plugin around
`pytest.main`.

The chosen tests run once unharmed; which of them enter which function is noted, and how long they take. Then,
for every error, the tests that enter its function run, quickest and most successful first, until one fails.
At the end all tests run unharmed again, so that nothing that an error left behind can pass for a find.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import jax
import pytest
from hypothesis import Phase, settings

from mutants.live import applied
from mutants.operators import Mutant, mutants
from mutants.targets import COMPILED

PATIENCE = 30  # seconds for one test under one error


class Overtime(Exception):
    """An error made a test run without end."""


@dataclass
class Outcome:
    """What became of one error: the test that failed, or None if it survived."""

    module: str
    key: str
    line: int
    killer: str | None
    tried: int


@dataclass
class Hunt:
    """A pytest plugin that replaces the run loop. `known`: outcomes of an earlier run, by module and key,
    that are not repeated; `every`: try one error of so many, always the same ones.
    """

    modules: list[str]
    known: dict[tuple[str, str], Outcome] = field(default_factory=dict)
    every: int = 1
    on_outcome: Callable[[Outcome], None] = lambda outcome: None
    outcomes: list[Outcome] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    _finds: dict[tuple[str, str], int] = field(default_factory=dict)

    def pytest_sessionstart(self):
        """A test that fails need not be made small."""
        phases = (Phase.explicit, Phase.generate)
        quick = {
            "max_examples": 20,
            "phases": phases,
            "report_multiple_bugs": False,
            "database": None,
            "print_blob": False,
        }
        settings.register_profile("mutants", settings.default, **quick)
        settings.load_profile("mutants")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session):
        entered, seconds = self._unharmed(session.items)
        for name in self.modules:
            module = importlib.import_module(name)
            for mutant in mutants(Path(module.__file__).read_text()):
                if not chosen(name, mutant, self.every):
                    continue
                known = self.known.get((name, mutant.key))
                outcome = known or self._try(
                    module, mutant, self._choice(session.items, entered, seconds, name, mutant)
                )
                self.outcomes.append(outcome)
                self.on_outcome(outcome)
        jax.clear_caches()
        self.troubles += [
            f"{item.nodeid} fails after the last error was taken out"
            for item in session.items
            if self._fails(item)
        ]
        return True

    def _unharmed(self, items):
        entered, seconds, files = (
            {},
            {},
            {importlib.import_module(name).__file__: name for name in self.modules},
        )
        for item in items:
            calls: set[tuple[str, str]] = set()

            def note(frame, event, _, calls=calls):
                if event == "call" and frame.f_code.co_filename in files:
                    calls.add(
                        (files[frame.f_code.co_filename], frame.f_code.co_qualname.split(".<locals>")[0])
                    )

            started = time.perf_counter()
            sys.setprofile(note)
            try:
                failed = self._fails(item)
            finally:
                sys.setprofile(None)
            if failed:
                self.troubles.append(f"{item.nodeid} fails unharmed")
            else:
                entered[item.nodeid], seconds[item.nodeid] = calls, time.perf_counter() - started
        return entered, seconds

    def _choice(self, items, entered, seconds, module, mutant):
        chosen = [item for item in items if (module, mutant.function) in entered.get(item.nodeid, ())]
        return sorted(
            chosen,
            key=lambda item: seconds[item.nodeid] / (1 + self._finds.get((mutant.function, item.nodeid), 0)),
        )

    def _try(self, module, mutant: Mutant, items) -> Outcome:
        compiled = any(module.__name__.startswith(name) for name in COMPILED)
        with applied(module, mutant):
            if compiled:
                jax.clear_caches()
            for tried, item in enumerate(items, start=1):
                if self._fails(item):
                    finds = (mutant.function, item.nodeid)
                    self._finds[finds] = self._finds.get(finds, 0) + 1
                    return Outcome(module.__name__, mutant.key, mutant.line, item.nodeid, tried)
        return Outcome(module.__name__, mutant.key, mutant.line, None, len(items))

    def _fails(self, item) -> bool:
        from _pytest.runner import runtestprotocol

        signal.signal(signal.SIGALRM, _too_long)
        signal.alarm(PATIENCE)
        try:
            reports = runtestprotocol(item, nextitem=None, log=False)
        except Overtime:
            return True
        finally:
            signal.alarm(0)
        return any(report.failed for report in reports)


def _too_long(*_):
    raise Overtime


def chosen(module: str, mutant: Mutant, every: int) -> bool:
    """Whether this error is one of the share that is tried: by a fingerprint of its name, so that lines may move."""
    return int(digest([module, mutant.key]), 16) % every == 0


def hunt(
    modules: list[str],
    tests: tuple[str, ...],
    record: Path | None = None,
    on_outcome=lambda outcome: None,
    every: int = 1,
    again: bool = False,
) -> Hunt:
    """Outcomes of every error in `modules` under the test files `tests`; `record`: a file of outcomes to go
    on from and to write to; `again`: what was caught in the same source stays so, though tests were added since.
    """
    known = {}
    texts = {name: Path(importlib.import_module(name).__file__).read_text() for name in modules}
    stamp = digest([*texts.values(), *(Path(test).read_text() for test in tests)])
    if record is not None and record.is_file():
        for line in map(json.loads, record.read_text().splitlines()):
            outcome = Outcome(**line["outcome"])
            caught = (
                again and outcome.killer and line.get("source") == digest([texts.get(outcome.module, "")])
            )
            if line["stamp"] == stamp or caught:
                known[outcome.module, outcome.key] = outcome

    def keep(outcome: Outcome):
        if record is not None and (outcome.module, outcome.key) not in known:
            line = {
                "module": outcome.module,
                "key": outcome.key,
                "stamp": stamp,
                "source": digest([texts[outcome.module]]),
                "outcome": vars(outcome),
            }
            with record.open("a") as file:
                file.write(json.dumps(line) + "\n")
        on_outcome(outcome)

    plugin = Hunt(modules, known, every, keep)
    options = ["-p", "no:cacheprovider", "-p", "no:terminal"]
    pytest.main([*options, *tests], plugins=[plugin])
    return plugin


def digest(texts: list[str]) -> str:
    """A fingerprint of these texts: outcomes are worth as long as source and tests are the same."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
