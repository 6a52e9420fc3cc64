"""Every text of the corpus through every reader, in a process of its own that watches itself; the findings go
to standard output as JSON.

    python tests/hostile/runner.py [--thorough] [--plant]

Watched: what is executed (audit hook here; the workers refuse and report it), a canary file, an environment
variable, the modules loaded, the builtins; wall-clock time of each call; resident memory here and in the
workers; that every outcome is allowed. `--plant` adds three bad readers, which every watch must catch: the
checks are code too.
"""

import argparse
import builtins
import gc
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from corpus import CORPUS, armed, small
from readers import Reader, all_readers, pooled, written_tasks

from llm_bridge.answers import equivalence, normal_form
from llm_bridge.answers.guard import guard
from llm_bridge.tasks import votes

SECONDS = 2.0
MEGABYTES = 256.0
TRIES = 3
SUSPECT = (
    "exec", "compile", "import", "os.", "subprocess.", "socket.", "ctypes.", "pickle.", "shutil.", "urllib.", "pty.", "code.", "marshal.",
    "cpython.run",
)  # fmt: skip
HARMLESS = {"os.listdir", "os.scandir", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree"}


class Watch:
    """What this process did since `start`, by the audit events that reading a text has no need of."""

    def __init__(self):
        self.on, self.seen = False, []
        sys.addaudithook(self._hook)

    def _hook(self, event, arguments):
        if not self.on:
            return
        if (
            event == "open"
            and isinstance(arguments[1], str)
            and set(arguments[1]) & set("wax+")
            and "hostile-sets" not in str(arguments[0])
        ):
            self.seen.append(f"open {arguments[0]!r}")
        elif event.startswith(SUSPECT) and event not in HARMLESS:
            self.seen.append(f"{event} {arguments!r}"[:200])


def peaks(pid: int | str = "self") -> dict[str, float]:
    """Peak resident megabytes of every process below this one."""
    found = {}
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            for child in children.read_text().split():
                status = Path(f"/proc/{child}/status").read_text()
                found[child] = int(status.split("VmHWM:")[1].split()[0]) / 1024
                found |= peaks(child)
        except (OSError, IndexError):
            continue
    return found


def warm(readers: list[Reader]) -> None:
    """Load whatever the readers load at first use."""
    for text in (r"so \boxed{\frac{x}{2}+y}", "7", "x = 3, y = 7", "#### 7", "x^3 + C", "3*5+7"):
        for reader in readers:
            reader.read(text)
    guard("regex").ask("(a)", "a")


def forget() -> None:
    equivalence.forget()
    votes.forget()
    normal_form.forget()


def timed(reader: Reader, text: str) -> tuple[float, object]:
    start = time.perf_counter()
    try:
        found = reader.read(text)
    except BaseException as error:  # noqa: BLE001
        found = error
    return time.perf_counter() - start, found


def planted(canary: Path) -> list[Reader]:
    """Readers with the faults that the watches are for."""
    return [
        Reader(
            "planted eval",
            lambda text: eval(text, {}) if "open(" in text and text.startswith("open(") else None,
            lambda found: True,
        ),  # noqa: S307
        Reader("planted sleep", lambda text: time.sleep(2.2) if text == "nan" else None, lambda found: True),
        Reader(
            "planted greed",
            lambda text: len(bytearray(300 * 2**20)) and None if text == "inf" else None,
            lambda found: True,
        ),
        Reader("planted garbage", lambda text: text if text == "zoo" else None, lambda found: found is None),
        Reader("planted crash", lambda text: int(text) if text == "oo" else None, lambda found: True),
    ]


def peak() -> float:
    """Peak resident megabytes of this process; not by getrusage, whose figure begins with that of the process
    that started this one.
    """
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--thorough", action="store_true")
    parser.add_argument("--plant", action="store_true")
    options = parser.parse_args()
    report = dict(
        cases=len(CORPUS),
        readers=0,
        calls=0,
        slow=[],
        greedy=[],
        wrong=[],
        executed=[],
        denied=[],
        left=[],
        changed=[],
        slowest=[],
    )
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), options, report)
    json.dump(report, sys.stdout, indent=1, default=repr)


def run(folder: Path, options, report: dict) -> None:
    place, canary = folder / "cwd", folder / "cwd" / "canary"
    place.mkdir()
    tempfile.tempdir = str(folder / "hostile-sets")
    Path(tempfile.tempdir).mkdir()
    os.chdir(place)
    os.environ["HOSTILE_CANARY"] = "alive"
    readers = planted(canary) if options.plant else all_readers(options.thorough)
    warm(readers if not options.plant else readers[:0])
    watch, boxed = Watch(), written_tasks()["jsonl boxed"]
    before = dict(os.environ), set(sys.modules), dict(vars(builtins)), peak(), peaks()
    texts = {name: armed(text, canary) for name, text in CORPUS.items()}
    gc.collect()
    watch.on = True
    for row, (name, text) in enumerate(texts.items()):
        for column, reader in enumerate(readers):
            # Half of them, like the black squares of a chessboard, meet every text and every reader.
            if options.thorough or options.plant or (row + column) % 2 == 0:
                examine(name, text, reader, report)
    if not options.plant:
        vote_on(texts, boxed, 8 if options.thorough else 32, report)
    watch.on = False
    report["readers"] = len(readers)
    report["executed"] = sorted(set(watch.seen))[:50]
    report["denied"] = guard("math").denied + guard("regex").denied
    report["left"] = sorted(str(path.relative_to(folder)) for path in place.rglob("*"))
    now = dict(os.environ), set(sys.modules), dict(vars(builtins))
    report["changed"] = [
        what
        for what, a, b in zip(("environment", "modules", "builtins"), before, now, strict=False)
        if a != b
    ]
    report["changed_modules"] = sorted(now[1] ^ before[1])
    report["grown_megabytes"] = round(peak() - before[3], 1)
    report["worker_megabytes"] = round(
        max(peaks().values(), default=0) - max(before[4].values(), default=0), 1
    )
    report["worker_starts"] = {kind: guard(kind).starts for kind in ("math", "regex")}
    report["slowest"] = sorted(report["slowest"], reverse=True)[:10]


def examine(name: str, text: str, reader: Reader, report: dict) -> None:
    """One call: its outcome, its time (the best of a few where it is over: the claim is about the program,
    not a busy machine), its memory.
    """
    memory = peak()
    seconds, found = timed(reader, text)
    report["calls"] += 1
    for _ in range(TRIES - 1):
        if seconds <= SECONDS:
            break
        forget()
        again, found = timed(reader, text)
        seconds = min(seconds, again)
    if seconds > 0.2:
        report["slowest"].append((round(seconds, 3), reader.name, name))
    if seconds > SECONDS:
        report["slow"].append((round(seconds, 3), reader.name, name))
    if isinstance(found, BaseException) or not reader.allowed(found):
        report["wrong"].append((reader.name, name, repr(found)[:200]))
    if peak() - memory > MEGABYTES:
        report["greedy"].append((round(peak() - memory), reader.name, name))


def vote_on(texts: dict[str, str], task, step: int, report: dict) -> None:
    """Groups of eight hostile labels, with no answer among them, one from every `step` labels."""
    labels = [texts[name] for name in small() if texts[name].strip()]
    for start in range(0, len(labels), step):
        if not pooled(task, [*labels[start : start + 8], None]):
            report["wrong"].append(("a vote of hostile labels", start, ""))


if __name__ == "__main__":
    main()
