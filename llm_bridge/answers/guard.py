"""A worker process for work that may never end: a hostile text costs a bounded time and memory, and a defined
outcome.

The worker (guard_worker.py) starts at first use and is reused. A request has limits of work, of processor time
and of 256 MB beyond the worker's size at start; when it oversteps one, or crashes, the request has no result
and the next one finds a fresh process, forked in milliseconds. A process that dies for no reason of its own is
replaced and the request asked once more. It inherits no environment variable
but those that Python needs to start, and can do nothing but compute (see guard_worker.py).
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, NamedTuple

from sharpening.errors import InputError

GONE_SECONDS = 1.0
"""What a request counts in processor time where the worker itself was ended and can say nothing."""
WALL_SECONDS = 10.0
"""Wall-clock limit for a request, a backstop to the limit of processor time: a busy machine must not change
an answer.
"""
START_SECONDS = 120.0
_ENVIRONMENT = (
    "PATH HOME LANG LC_ALL LC_CTYPE TMPDIR PYTHONPATH PYTHONHOME VIRTUAL_ENV LD_LIBRARY_PATH"
    " DYLD_LIBRARY_PATH SYSTEMROOT".split()
)
_SAME_HASHES = {"PYTHONHASHSEED": "0"}
"""The order in sets, and with it the work of a comparison, must be the same in every run."""
_MOST_DENIED = 1_000


class Outcome(NamedTuple):
    """What became of a request: its result, the stages it passed, and `ended`: None where it was answered, "limit"
    where it overstepped a limit of its own, "lost" where the process died twice for another reason.
    """

    result: object
    stages: list[str]
    ended: str | None


class Guard:
    """One worker process of a kind ("math" or "regex"); thread-safe; a forked child starts its own.

    `starts` counts the processes started, `seconds` their processor time spent on requests; `denied` holds
    what the worker refused to do (names of Python's audit events): empty unless a text found a way to make a
    library evaluate code or reach outside.
    """

    def __init__(self, kind: str, wall_seconds: float = WALL_SECONDS):
        self.kind, self.wall_seconds = kind, wall_seconds
        self.starts = 0
        self.seconds = 0.0
        self.denied: list[str] = []
        self._process: subprocess.Popen | None = None
        self._owner = 0
        self._number = 0
        self._lock = threading.Lock()

    def ask(self, *request: str) -> tuple[object, list[str]]:
        """(result, stages passed): the worker's answer to a request, None where it had to be ended.

        Raises InputError if the worker cannot start, for example because math-verify is not installed.
        """
        return self.outcome(*request)[:2]

    def outcome(self, *request: str) -> Outcome:
        """What became of a request. First asked without counting its work, which most requests answer within
        FAST_SECONDS; one that needs longer is asked again with its work counted, so that what it is allowed does
        not depend on the machine. A request whose process is ended from outside is asked once more. The work of a
        regular expression cannot be counted: it has a processor time alone.

        Raises InputError as `ask` does.
        """
        with self._lock:
            found = self._twice(self.kind == "regex", request)
            return self._twice(True, request) if found.ended == "slow" else found

    def _twice(self, counted: bool, request: tuple[str, ...]) -> Outcome:
        found = self._once(counted, request)
        return self._once(counted, request) if found.ended == "lost" else found

    def _once(self, counted: bool, request: tuple[str, ...]) -> Outcome:
        process = self._running()
        late = threading.Event()

        def overdue():
            late.set()
            _kill(process)

        timer = threading.Timer(self.wall_seconds, overdue)
        timer.start()
        stages: list[str] = []
        try:
            result, ended = self._answer(process, counted, request, stages)
        except BaseException:
            self._end()
            raise
        finally:
            timer.cancel()
        if ended == "gone":
            self._end()
            ended = "limit" if late.is_set() else "lost"
        return Outcome(result, stages, ended)

    def _answer(
        self, process: subprocess.Popen, counted: bool, request: tuple[str, ...], stages: list[str]
    ) -> tuple[object, str | None]:
        """(result, how it ended): as in Outcome, or "slow" and "gone" (the worker itself)."""
        self._number += 1
        taken = False
        requests, replies = _pipes(process)
        try:
            requests.write(json.dumps([self._number, counted, *request]).encode() + b"\n")
            requests.flush()
            for line in iter(replies.readline, b""):
                message = json.loads(line)
                if "denied" in message:
                    self.denied = (self.denied + [message["denied"]])[-_MOST_DENIED:]
                elif "died" in message and not taken:
                    # A child that was ended while it waited; the next one takes the request.
                    continue
                elif "died" in message:
                    self.seconds += message["seconds"]
                    return None, _ENDS.get((message["died"], counted), message["died"])
                elif message["id"] == self._number:
                    taken = True
                    if "result" in message:
                        self.seconds += message["seconds"]
                        return message["result"], None
                    if "stage" in message:
                        stages.append(message["stage"])
        except (OSError, ValueError):
            pass
        self.seconds += GONE_SECONDS
        return None, "gone"

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
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ} | _SAME_HASHES,
        )
        self._owner = os.getpid()
        self.starts += 1
        timer = threading.Timer(START_SECONDS, _kill, [self._process])
        timer.start()
        _, replies = _pipes(self._process)
        hello = replies.readline()
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
            _kill(process)
            process.wait()
        for pipe in _pipes(process):
            try:
                pipe.close()
            except OSError:
                pass


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    """Where the worker reads requests and where it writes replies."""
    assert process.stdin is not None and process.stdout is not None
    return process.stdin, process.stdout


def _kill(process: subprocess.Popen) -> None:
    """End the worker and the child that serves for it: they are one process group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (AttributeError, OSError):
        process.kill()


_ENDS = {("time", True): "limit", ("time", False): "slow", ("limit", False): "slow"}
"""How a request ended, by what the worker says of its child and whether work was counted."""
_GUARDS: dict[str, Guard] = {}


def guard(kind: str) -> Guard:
    """The shared worker of that kind; started at its first request, ended with the program."""
    if kind not in _GUARDS:
        _GUARDS[kind] = Guard(kind)
        atexit.register(_GUARDS[kind].close)
    return _GUARDS[kind]


def search(pattern: str, text: str) -> str | None:
    """The first group of the first match of a regular expression, found in the worker; None without a match
    or within the limits.
    """
    found, _ = guard("regex").ask(pattern, text)
    return found if isinstance(found, str) else None
