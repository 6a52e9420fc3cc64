"""Watch a log that grows: read it again whenever it has changed, and say what is new."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from llm_bridge.logs.finding import Finding
from sharpening.errors import InputError

SHARE_OF_TIME = 0.1
"""Share of the time that reading may take: a log that takes 3 seconds to read is read every 30 at most."""
_SKIPPED = ("checkpoint-", "global_step_")


@dataclass(frozen=True)
class Look:
    """One reading: every finding, the `new` ones (by name and level), or why the log cannot be read yet."""

    findings: list[Finding]
    new: list[Finding]
    waiting: str | None = None


def follow(
    path: Path,
    read: Callable[[], list[Finding]],
    *,
    interval: float = 5.0,
    idle: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Look]:
    """A Look at each change of the log (a file or a folder, which need not exist yet), the first at once.

    `interval`: seconds between looks for a change. `idle`: ends once nothing has changed for so many seconds;
    None goes on until the caller stops. What cannot be read yet (no row, a line half written) is waited for.
    """
    known: dict[str, str] = {}
    signature, changed, first = None, clock(), True
    while True:
        now = _signature(path)
        begun = clock()
        if first or now != signature:
            if not first:
                changed = begun
            signature, first = now, False
            look = _look(read, known)
            known.update({finding.name: finding.level for finding in look.new})
            yield look
        elif idle is not None and begun - changed >= idle:
            return
        sleep(max(interval, (clock() - begun) / SHARE_OF_TIME))


def _look(read: Callable[[], list[Finding]], known: dict[str, str]) -> Look:
    try:
        findings = read()
    except InputError as error:
        return Look([], [], str(error))
    new = [finding for finding in findings if known.get(finding.name) != finding.level]
    return Look(findings, new)


def _signature(path: Path) -> tuple:
    """What changes when the log does: sizes and times of its files; checkpoints are not looked into."""
    try:
        if not path.is_dir():
            found = path.stat()
            return (found.st_size, found.st_mtime_ns)
        entries: list[tuple] = []
        for folder, below, files in os.walk(path):
            below[:] = sorted(name for name in below if not name.startswith(_SKIPPED))
            for name in files:
                try:
                    found = os.stat(os.path.join(folder, name))
                except OSError:
                    continue
                entries.append((folder, name, found.st_size, found.st_mtime_ns))
            entries += [(folder, name) for name in os.listdir(folder) if name.startswith(_SKIPPED)]
        return tuple(sorted(entries))
    except OSError:
        return ()
