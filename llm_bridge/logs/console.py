"""What trainers print: verl's `step:1 - key:value - ...` and the dictionaries of TRL and transformers, among
progress bars, ranks, colours and everything else that is written to a terminal.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from llm_bridge.logs.files import text_lines
from llm_bridge.logs.rows import rows_log
from llm_bridge.logs.run_log import RunLog
from sharpening.errors import InputError

SUFFIXES = (".log", ".txt", ".out", ".err", "")
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_VERL = re.compile(r"(?:^|[\s)\]'\"])step:(\d+) - (?=[^\s:]+:)")
_PAIR = re.compile(r"([^\s:]+(?:\([^)]*\))?):(?:np\.\w+\()?([-+.\w]+)\)?")
_DICT = re.compile(r"\{'[^{}]*\}")
_ITEM = re.compile(r"'([^']+)':\s*'?([-+.\w]+)'?(?=\s*[,}])")
_PROGRESS = re.compile(r"\b(\d+)/\d+ \[")


def is_console(path: Path) -> bool:
    """Whether a file is the text of a terminal: by its ending, unless its first line is JSON."""
    if path.suffix.lower() not in SUFFIXES:
        return False
    first = next((text for _, text in text_lines(path) if text.strip()), "")
    try:
        return not isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return not first.lstrip().startswith('{"')


def read_console(path: Path, renames: dict[str, str] | None = None) -> RunLog:
    """The metrics that a trainer printed.

    A dictionary has no step: that of the last progress bar before it (`12/100 [`) is taken, and where there is none
    they are counted. Raises InputError if no line holds metrics.
    """
    if next(_rows(path), None) is None:
        raise InputError(
            "log",
            str(path),
            "no line of it holds metrics as verl (`step:1 - key:value`) or transformers (`{'key': value}`) print"
            " them",
            "Give the console output of a run that has begun, or a file that `sharpening monitor --help` lists",
        )
    return rows_log(lambda: _rows(path), f"console output {path.name}", path=path, renames=renames)


def _rows(path: Path) -> Iterator[dict]:
    progress: int | None = None
    for _, text in text_lines(path):
        line = _COLOUR.sub("", text)
        if (found := _VERL.search(line)) is not None:
            if not text.endswith("\n"):
                return
            row = dict(_pair(part) for part in line[found.end() :].split(" - ") if _PAIR.match(part))
            if row:
                yield {"step": int(found[1]), **row}
            continue
        place = 0
        for found in _DICT.finditer(line):
            if bars := _PROGRESS.findall(line[place : found.start()]):
                progress = int(bars[-1])
            place = found.end()
            row = dict(_ITEM.findall(found[0]))
            if row and not {"train_runtime", "eval_runtime"} & set(row):
                yield row if progress is None else {"step": progress, **row}
        if bars := _PROGRESS.findall(line[place:]):
            progress = int(bars[-1])


def _pair(part: str) -> tuple[str, str]:
    found = _PAIR.match(part)
    assert found is not None, "the caller has looked"
    return found[1], found[2]
