"""Logs that are rows of named numbers: trainer_state.json, JSONL, verl's file logger, CSV."""

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from itertools import chain
from pathlib import Path

from llm_bridge.logs.files import LONGEST_LINE, text_lines
from llm_bridge.logs.finding import Finding, named
from llm_bridge.logs.names import (
    CALL_KEYS,
    RANK_KEYS,
    RUN_KEYS,
    STEP_KEYS,
    canonical,
    is_evaluation,
    is_training,
    prompts_of,
)
from llm_bridge.logs.panel import panel_names
from llm_bridge.logs.recorder import Recorder
from llm_bridge.logs.run_log import RunLog
from llm_bridge.logs.values import number, whole
from sharpening.errors import InputError

DEEPEST = 8
"""Nesting of objects in a row; what lies deeper is no metric."""
MOST_KEYS = 20_000


def read_trainer_state(data: dict, path: Path, renames: dict[str, str] | None = None) -> RunLog:
    """Hugging Face's trainer_state.json: its `log_history`."""
    history = data["log_history"]
    if not isinstance(history, list) or not all(isinstance(row, dict) for row in history):
        raise InputError(
            "log", str(path), "its log_history is no list of objects", "Give the file as the trainer wrote it"
        )
    return rows_log(
        lambda: history, f"Hugging Face trainer state {path.name}", lag=1, path=path, renames=renames
    )


def read_csv(path: Path, renames: dict[str, str] | None = None) -> RunLog:
    """A CSV file with a header line, its cells apart by commas, semicolons or tabs.

    A last line without its end may have been cut inside a number, so it is left out and reported.
    """
    findings: dict[str, Finding] = {}
    log = rows_log(lambda: _csv_rows(path, findings), f"CSV {path.name}", path=path, renames=renames)
    log.findings += findings.values()
    return log


def read_jsonl(path: Path, renames: dict[str, str] | None = None) -> RunLog:
    """A file with one JSON object a line."""
    findings: dict[str, Finding] = {}
    log = rows_log(lambda: jsonl_rows(path, findings), f"JSONL {path.name}", path=path, renames=renames)
    log.findings += findings.values()
    return log


def _csv_rows(path: Path, findings: dict[str, Finding]) -> Iterator[dict]:
    lines = _complete_lines(path, findings)
    first = next(lines, "")
    delimiter = max(",;\t", key=first.count)
    csv.field_size_limit(LONGEST_LINE)
    rows = csv.reader(chain([first], lines), delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        if header and all(name == "" or number(name) is not None for name in header):
            raise InputError(
                "log", str(path), "its first line names no columns", "Give a CSV file with a header line"
            )
        names = panel_names(header, path)
        known = [name for name in names if name]
        if twice := sorted({name for name in known if known.count(name) > 1}):
            raise InputError(
                "log",
                str(path),
                f"it has several columns of one name: {', '.join(twice[:5])}",
                "Keep one column of each name",
            )
        for row in rows:
            if len(row) > len(names):
                raise InputError(
                    "log",
                    str(path),
                    f"line {rows.line_num} has {len(row)} cells and the header {len(names)}",
                    "Correct the line",
                )
            if row:
                yield {name: cell for name, cell in zip(names, row, strict=False) if name}
    except csv.Error as error:
        raise InputError(
            "log", str(path), f"it is not a CSV file ({error})", "Give a text file with a header line"
        ) from error


def _complete_lines(path: Path, findings: dict[str, Finding]) -> Iterator[str]:
    for line, text in text_lines(path):
        if line > 1 and not text.endswith("\n"):
            findings[path.name] = _incomplete(path, line)
            return
        yield text


def jsonl_rows(path: Path, findings: dict[str, Finding]) -> Iterator[dict]:
    """The objects of a JSONL file, one at a time; a last line that is not complete yet is left out and
    reported in `findings`, by the name of the file.

    Raises InputError that names a line which is not a JSON object.
    """
    broken = None
    any_row = False
    for line, text in text_lines(path):
        if not text.strip():
            continue
        if broken is not None:
            raise _no_json(path, *broken)
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            broken = (line, error)
            if text.endswith("\n") or not any_row:
                raise _no_json(path, *broken) from error
            continue
        if not isinstance(row, dict):
            raise InputError(
                "log",
                str(path),
                f"line {line} is not a JSON object",
                "Each line must be one object with a step and metrics",
            )
        any_row = True
        yield row
    if broken is not None:
        findings[path.name] = _incomplete(path, broken[0])


def _incomplete(path: Path, line: int) -> Finding:
    return Finding(
        "incomplete_line", "info", f"Line {line} of {path.name} is not complete yet and was left out."
    )


def _no_json(path: Path, line: int, error: Exception) -> InputError:
    return InputError(
        "log", str(path), f"line {line} is not valid JSON ({error})", "Correct or remove the line"
    )


class _Reading:
    """What is noted while rows are read: the keys first, then the values and what has none."""

    def __init__(self, lag: int):
        self.lag, self.recorder = lag, Recorder()
        self.keys: dict[str, None] = {}
        self.steps = dict.fromkeys(STEP_KEYS, 0)
        self.step_keys: list[str] = []
        self.gaps: dict[str, int] = {}
        self.texts: dict[str, None] = {}
        self.lost: dict[str, None] = {}
        self.rows = 0

    def note_keys(self, row: dict, source: str) -> None:
        """Note which keys there are, and in how many rows each step key has a step."""
        if not row.keys() <= self.keys.keys():
            self.keys.update(dict.fromkeys(row))
            self.step_keys = [key for key in STEP_KEYS if key in self.keys]
            if len(self.keys) > MOST_KEYS:
                raise InputError(
                    "log",
                    source,
                    f"its rows have more than {MOST_KEYS:,} different keys",
                    "Give a log of metrics",
                )
        for key in self.step_keys:
            if whole(row.get(key)) is not None:
                self.steps[key] += 1

    def step_key(self) -> str | None:
        """The key of optimizer steps that most rows have; a count of log calls only where there is none."""
        real = [key for key in STEP_KEYS if key not in CALL_KEYS and self.steps[key]]
        if real:
            return max(real, key=lambda key: self.steps[key])
        return next((key for key in (*CALL_KEYS, *STEP_KEYS) if key in self.keys), None)

    @cached_property
    def _ranks(self) -> list[str]:
        return [key for key in RANK_KEYS if key in self.keys]

    @cached_property
    def _runs(self) -> list[str]:
        return [key for key in RUN_KEYS if key in self.keys]

    def read(self, row: dict, step_key: str | None, names: dict[str, str]) -> None:
        """Note the values of one flat row."""
        index, self.rows = self.rows, self.rows + 1
        step = index if step_key is None else whole(row.get(step_key))
        if step is None:
            self.gaps["step"] = self.gaps.get("step", 0) + 1
            self.lost.update({name: None for key, name in names.items() if _finite(row.get(key))})
            return
        if not self.recorder.keeps(step):
            return
        rank = next((str(row[key]) for key in self._ranks if row.get(key) not in (None, "")), None)
        for key in self._runs:
            if row.get(key) not in (None, "") and len(self.recorder.runs) < 1000:
                self.recorder.runs.add((key, str(row[key])))
        for key, name in names.items():
            if key not in row:
                continue
            value = number(row[key])
            if value is None:
                self.texts[key] = None
            elif not math.isfinite(value):
                self.gaps[name] = self.gaps.get(name, 0) + 1
            else:
                lag = int(bool(self.lag or is_training(key)) and not is_evaluation(key))
                prompts = None if lag else prompts_of(key)
                self.recorder.add(index, step, name, value, lag=lag, rank=rank, prompts=prompts)


def _finite(value) -> bool:
    found = number(value)
    return found is not None and math.isfinite(found)


def rows_log(
    rows: Callable[[], Iterable[dict]],
    source: str,
    *,
    lag: int = 0,
    path: Path | None = None,
    renames: dict[str, str] | None = None,
) -> RunLog:
    """A RunLog from rows of numbers by name; nested objects are flattened with "/", a `data` object is the
    row itself. `rows()` gives them anew each time it is called: they are read twice and never all held.

    A key whose value is null, empty or NaN has no value there. Rows without any step key are numbered from 0,
    and it is said. Rows that repeat a step: see `recorder`. `renames`: {column: the name that it has here}.
    """
    renames = renames or {}
    reading = _Reading(lag)
    for row in rows():
        reading.note_keys(_flatten(row), str(path or source))
    if absent := [column for column in renames if column not in reading.keys]:
        raise InputError(
            "map",
            named(absent),
            f"the log has no such column; it has {named(list(reading.keys))}",
            "Correct --map",
        )
    chosen_step = next((column for column, name in renames.items() if name == "step"), None)
    step_key = chosen_step or reading.step_key()
    names, unknown, others = canonical(reading.keys, renames)
    for row in rows():
        reading.read(_flatten(row), step_key, names)
    if not reading.rows:
        raise InputError(
            "log", str(path or source), "it holds no rows", "Give the log of a run that has begun"
        )
    log = RunLog(source, unknown=unknown)
    log.unknown += sorted(key for key in reading.texts if key not in unknown)
    log.findings += _told(reading, step_key, others)
    reading.recorder.fill(log, path)
    log.findings += _in_shares(log)
    return log


def _in_shares(log: RunLog) -> list[Finding]:
    """Accuracies that are written in percent are taken as shares; those that are no shares at all are no
    accuracy.
    """
    found = []
    for name in ("accuracy", "label_accuracy", "reward_accuracy"):
        series = log.series.get(name)
        if series is None or not len(series) or (series.array.min() >= 0 and series.array.max() <= 1):
            continue
        if series.array.min() >= 0 and series.array.max() <= 100:
            text = f"{name} goes up to {series.array.max():.3g}: it was taken to be in percent, and divided by 100."
            series.values = {step: value / 100 for step, value in series.values.items()}
        else:
            text = (
                f"{name} ranges from {series.array.min():.3g} to {series.array.max():.3g}: that is no share of right"
                " answers, so it was not judged."
            )
            log.series[f"score_of_{name}"] = log.series.pop(name)
        found.append(Finding("percent", "warning", text))
    return found


def _told(reading: _Reading, step_key: str | None, others: list[str]) -> list[Finding]:
    findings = []
    if step_key is None:
        text = f"No step column ({', '.join(STEP_KEYS[:2])}, step, ...): rows were counted from 0."
        findings.append(Finding("no_step", "info", text))
    elif step_key in CALL_KEYS:
        text = (
            f"The step column is {step_key}, which W&B counts up at every call of its log function. Unless it"
            " was given the optimizer step, steps named here are no optimizer steps and no checkpoint has"
            " their number: export train/global_step as well, or as the x axis."
        )
        findings.append(Finding("log_calls", "warning", text))
    if reading.gaps:
        told = ", ".join(f"{name} in {count}" for name, count in reading.gaps.items())
        lost = f" Without a step, values of {', '.join(reading.lost)} were lost." if reading.lost else ""
        text = (
            f"Rows without a value: {told} of {reading.rows} rows. They are left out, not taken as"
            f" zero.{lost}"
        )
        findings.append(Finding("missing_values", "warning" if lost else "info", text))
    if others:
        text = f"Not read, because another column says the same of the run: {named(sorted(others))}."
        findings.append(Finding("other_columns", "info", text))
    return findings


def _flatten(row: dict) -> dict:
    for value in row.values():
        if type(value) is dict:
            break
    else:
        return row
    flat: dict = {}
    open_parts = [(row, "", 0)]
    while open_parts:
        part, prefix, depth = open_parts.pop()
        for key, value in part.items():
            if not isinstance(value, dict):
                flat.setdefault(f"{prefix}{key}", value)
            elif depth < DEEPEST:
                open_parts.append((value, prefix if key == "data" else f"{prefix}{key}/", depth + 1))
            else:
                flat.setdefault(f"{prefix}{key}", "...")
    return flat
