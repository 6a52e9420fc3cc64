"""A worker process for work that may never end: a hostile text costs a bounded time and memory, and a defined outcome.

The worker (guard_worker.py) starts at first use and is reused. It may use a fixed processor time for each request and 256 MB
beyond its size at start; when it oversteps either, or crashes, it is gone, the request has no result, and the next request
starts a new one.
"""

import atexit
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

from sharpening.errors import InputError

WALL_SECONDS = 10.0
"""Wall-clock limit for a request, a backstop to the processor-time limit (2 s in all): a busy machine must not change an
answer."""
START_SECONDS = 120.0


class Guard:
    """One worker process of a kind ("math" or "regex"); thread-safe; a forked child starts its own."""

    def __init__(self, kind: str, wall_seconds: float = WALL_SECONDS):
        self.kind, self.wall_seconds = kind, wall_seconds
        self.starts = 0
        self._process: subprocess.Popen | None = None
        self._owner = 0
        self._lock = threading.Lock()

    def ask(self, *request: str) -> tuple[object, list[str]]:
        """(result, stages passed): the worker's answer to a request, None where it had to be ended.

        Raises InputError if the worker cannot start, for example because math-verify is not installed.
        """
        with self._lock:
            process = self._running()
            stages: list[str] = []
            timer = threading.Timer(self.wall_seconds, process.kill)
            timer.start()
            try:
                process.stdin.write(json.dumps(request).encode() + b"\n")
                process.stdin.flush()
                for line in iter(process.stdout.readline, b""):
                    message = json.loads(line)
                    if "stage" not in message:
                        return message["result"], stages
                    stages.append(message["stage"])
            except (OSError, ValueError):
                pass
            except BaseException:
                self._end()
                raise
            finally:
                timer.cancel()
            self._end()
            return None, stages

    def close(self) -> None:
        """End the worker process, if one runs; the next request starts another."""
        with self._lock:
            self._end()

    def _running(self) -> subprocess.Popen:
        if self._process is not None and self._owner == os.getpid() and self._process.poll() is None:
            return self._process
        self._end()
        worker = Path(__file__).with_name("guard_worker.py")
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(worker), self.kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._owner = os.getpid()
        self.starts += 1
        timer = threading.Timer(START_SECONDS, self._process.kill)
        timer.start()
        hello = self._process.stdout.readline()
        timer.cancel()
        if hello != b'"ready"\n':
            self._end()
            raise InputError(
                "answer_pattern",
                self.kind,
                "the process that compares answers cannot start",
                "Install math-verify in this environment (pip install 'math-verify[antlr4_13_2]')",
            )
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if self._owner == os.getpid():
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            try:
                pipe.close()
            except OSError:
                pass


_GUARDS: dict[str, Guard] = {}


def guard(kind: str) -> Guard:
    """The shared worker of that kind; started at its first request, ended with the program."""
    if kind not in _GUARDS:
        _GUARDS[kind] = Guard(kind)
        atexit.register(_GUARDS[kind].close)
    return _GUARDS[kind]


def search(pattern: str, text: str) -> str | None:
    """The first group of the first match of a regular expression, found in the worker; None without a match or within the
    limits."""
    return guard("regex").ask(pattern, text)[0]
