"""Progress on standard error: a bar with time left on a terminal, a plain line every ten seconds elsewhere. Work
that takes long between two advances is heard of by its heartbeats (`llm_bridge.console.heartbeat`).

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

from llm_bridge.console.heartbeat import listening


class Handle(Protocol):
    """A piece of work that is shown as it goes on."""

    def advance(self, n: int = 1) -> None: ...

    def close(self) -> None: ...


class Progress(Protocol):
    """Shows pieces of work."""

    def start(self, description: str, total: int | None = None) -> Handle: ...

    def say(self, sentence: str) -> None: ...


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

    def say(self, sentence: str) -> None:
        pass


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
        self.handle: PlainHandle | None = None
        self.beaten = clock()

    def start(self, description: str, total: int | None = None) -> PlainHandle:
        self.beaten = self.clock()
        handle = self.handle = PlainHandle(description, total, self.stream, self.interval, self.clock)
        return handle

    def say(self, sentence: str) -> None:
        """One line, at once."""
        print(sentence, file=self.stream, flush=True)

    def beat(self, what: str, done: int, total: int) -> None:
        """A line where none was written for the interval."""
        now = self.clock()
        if self.handle is None or now - max(self.beaten, self.handle.last) < self.interval:
            return
        self.beaten, handle = now, self.handle
        place = f" {handle.done + 1} of {handle.total}" if handle.total and handle.total > 1 else ""
        spent = format_seconds(now - handle.started)
        print(
            f"{handle.description}{place}: {what} {done} of {total}, {spent} so far",
            file=self.stream,
            flush=True,
        )


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
        self.bars, self.handle, self.description = bars, None, ""

    def start(self, description: str, total: int | None = None) -> _RichHandle:
        self.handle, self.description = (
            _RichHandle(self.bars, self.bars.add_task(description, total=total)),
            description,
        )
        return self.handle

    def say(self, sentence: str) -> None:
        """One line above the bars."""
        self.bars.console.print(sentence, markup=False, highlight=False)

    def beat(self, what: str, done: int, total: int) -> None:
        """Beside the newest bar."""
        if self.handle is not None and self.handle.task in self.bars.task_ids:
            self.bars.update(self.handle.task, description=f"{self.description}, {what} {done} of {total}")


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
        plain = PlainProgress(stream)
        with listening(plain.beat):
            yield plain
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
        rich = RichProgress(bars)
        with listening(rich.beat):
            yield rich
