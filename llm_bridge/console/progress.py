"""Progress on standard error: a bar with time left on a terminal, a plain line every ten seconds elsewhere.

with terminal_progress() as progress:
    bar = progress.start("sampling", total=64)
    for _ in range(64):
        bar.advance()
    bar.close()
"""

import sys
import time
from contextlib import contextmanager
from typing import Protocol


class Handle(Protocol):
    """A piece of work that is shown as it goes on."""

    def advance(self, n: int = 1) -> None: ...

    def close(self) -> None: ...


class Progress(Protocol):
    """Shows pieces of work."""

    def start(self, description: str, total: int | None = None) -> Handle: ...


class NullHandle:
    """A task nobody watches."""

    def advance(self, n: int = 1) -> None:
        pass

    def close(self) -> None:
        pass


class NullProgress:
    """Shows nothing: for tests and for library use."""

    def start(self, description: str, total: int | None = None) -> NullHandle:
        return NullHandle()


class PlainHandle:
    """One task told in lines: "training: 120 of 300 (40 %), 1:20 left", at most one line every `interval`
    seconds.
    """

    def __init__(self, description: str, total: int | None, stream, interval: float, clock):
        self.description, self.total, self.stream, self.interval, self.clock = (
            description,
            total,
            stream,
            interval,
            clock,
        )
        self.done, self.shown = 0, False
        self.started = self.last = clock()

    def advance(self, n: int = 1) -> None:
        self.done += n
        now = self.clock()
        if now - self.last >= self.interval:
            self.last, self.shown = now, True
            self._write(now)

    def _write(self, now: float) -> None:
        line = f"{self.description}: {self.done}"
        if self.total:
            left = (now - self.started) * (self.total - self.done) / max(self.done, 1)
            line += f" of {self.total} ({100 * self.done // self.total} %), {format_seconds(left)} left"
        print(line, file=self.stream, flush=True)

    def close(self) -> None:
        if self.shown:
            print(
                f"{self.description}: done in {format_seconds(self.clock() - self.started)}",
                file=self.stream,
                flush=True,
            )


class PlainProgress:
    """Progress for logs and pipes; silent for anything shorter than `interval` seconds."""

    def __init__(self, stream=None, interval: float = 10.0, clock=time.monotonic):
        self.stream, self.interval, self.clock = stream or sys.stderr, interval, clock

    def start(self, description: str, total: int | None = None) -> PlainHandle:
        return PlainHandle(description, total, self.stream, self.interval, self.clock)


class _RichHandle:
    def __init__(self, bars, task):
        self.bars, self.task = bars, task

    def advance(self, n: int = 1) -> None:
        self.bars.advance(self.task, n)

    def close(self) -> None:
        self.bars.remove_task(self.task)


class RichProgress:
    """Bars with time left, on a terminal; a closed task disappears."""

    def __init__(self, bars):
        self.bars = bars

    def start(self, description: str, total: int | None = None) -> _RichHandle:
        return _RichHandle(self.bars, self.bars.add_task(description, total=total))


def format_seconds(seconds: float) -> str:
    """Seconds as `12 s`, `3:05` (min:s) or `1:02:03` (h:min:s)."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


@contextmanager
def terminal_progress(stream=None):
    """Bars if standard error is a terminal, plain lines if it is not."""
    stream = stream or sys.stderr
    if not stream.isatty():
        yield PlainProgress(stream)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(file=stream), transient=True) as bars:
        yield RichProgress(bars)
