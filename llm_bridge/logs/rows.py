"""Logs that are rows of named numbers: trainer_state.json, JSONL, verl's file logger, CSV."""

import csv
import json
import math
from pathlib import Path

from llm_bridge.logs.finding import Finding
from llm_bridge.logs.names import STEP_KEYS, canonical
from llm_bridge.logs.run_log import RunLog
from sharpening.errors import InputError


def read_trainer_state(data: dict, path: Path) -> RunLog:
    """Hugging Face's trainer_state.json: its `log_history`."""
    return rows_log(data["log_history"], f"Hugging Face trainer state {path.name}", lag=1)


def read_csv(path: Path) -> RunLog:
    """A CSV file with a header line."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            "log", str(path), f"it is not a CSV file ({error})", "Give a text file with a header line"
        ) from error
    return rows_log(
        [{key: value for key, value in row.items() if key} for row in rows], f"CSV {path.name}", path=path
    )


def read_jsonl_rows(path: Path) -> tuple[list[dict], list[Finding]]:
    """The objects of a JSONL file; a last line that is not complete yet is left out and reported.

    Raises InputError that names a line which is not a JSON object.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(
            "log",
            str(path),
            f"it is not a text file ({error.reason})",
            "Give a log that `sharpening monitor --help` lists",
        ) from error
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    rows, findings = [], []
    for number, line in numbered:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            if number == numbered[-1][0] and not lines[-1] == "" and rows:
                findings.append(
                    Finding(
                        "incomplete_line",
                        "info",
                        f"Line {number} of {path.name} is not complete yet and was left out.",
                    )
                )
                break
            raise InputError(
                "log", str(path), f"line {number} is not valid JSON ({error})", "Correct or remove the line"
            ) from error
        if not isinstance(row, dict):
            raise InputError(
                "log",
                str(path),
                f"line {number} is not a JSON object",
                "Each line must be one object with a step and metrics",
            )
        rows.append(row)
    return rows, findings


def rows_log(rows: list[dict], source: str, *, lag: int = 0, path: Path | None = None) -> RunLog:
    """A RunLog from rows of numbers by name; nested objects are flattened with "/", a `data` object is the
    row itself.

    A key whose value is null, empty or NaN has no value there. Rows without any step key are numbered from 0,
    and it is said.
    """
    if not rows:
        raise InputError(
            "log", str(path or source), "it holds no rows", "Give the log of a run that has begun"
        )
    flat = [_flatten(row) for row in rows]
    keys = list(dict.fromkeys(key for row in flat for key in row))
    step_key = next((key for key in STEP_KEYS if key in keys), None)
    names, unknown = canonical(keys)
    log = RunLog(source, unknown=unknown)
    if step_key is None:
        log.findings.append(
            Finding(
                "no_step",
                "info",
                f"No step column ({', '.join(STEP_KEYS[:3])}, ...): rows were counted from 0.",
            )
        )
    gaps: dict[str, int] = {}
    texts = set()
    for index, row in enumerate(flat):
        step = index if step_key is None else _number(row.get(step_key))
        if step is None or math.isnan(step):
            gaps["step"] = gaps.get("step", 0) + 1
            continue
        for key, name in names.items():
            if key not in row:
                continue
            value = _number(row[key])
            if value is None:
                texts.add(key)
            elif not math.isfinite(value):
                gaps[name] = gaps.get(name, 0) + 1
            else:
                is_training = lag or key.startswith("train")
                log.add(name, int(step), value, lag=int(is_training and not key.startswith("eval")))
    log.unknown += sorted(texts)
    if gaps:
        told = ", ".join(f"{name} in {count}" for name, count in gaps.items())
        log.findings.append(
            Finding(
                "missing_values",
                "info",
                f"Rows without a value: {told} of {len(flat)} rows. They are left out, not taken as zero.",
            )
        )
    return log


def _flatten(row: dict, prefix: str = "") -> dict:
    flat = {}
    for key, value in row.items():
        if isinstance(value, dict):
            flat |= _flatten(value, prefix if key == "data" else f"{prefix}{key}/")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _number(value) -> float | None:
    """The value as a float; NaN where there is none; None where it is something else."""
    if (
        value is None
        or value == ""
        or (isinstance(value, str) and value.strip().lower() in ("", "nan", "none", "null", "na"))
    ):
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None
