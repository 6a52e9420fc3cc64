"""`read_log`: which reader an input needs, by its shape; then all findings, the worst first."""

import importlib.util
import json
import re
from collections.abc import Mapping
from pathlib import Path

from llm_bridge.answers.extraction import extractor
from llm_bridge.logs.completions import (
    file_step,
    folder_findings,
    is_completions,
    parquet_rows,
    read_trl,
    read_verl,
)
from llm_bridge.logs.console import is_console, read_console
from llm_bridge.logs.events import event_files, is_events, read_events, read_wandb
from llm_bridge.logs.files import check_file, text_lines, unreadable
from llm_bridge.logs.finding import LEVELS, Finding
from llm_bridge.logs.formats import format_of
from llm_bridge.logs.groups import groups_log
from llm_bridge.logs.names import check_renames
from llm_bridge.logs.own import read_curve, read_monitor
from llm_bridge.logs.rows import jsonl_rows, read_csv, read_jsonl, read_trainer_state, rows_log
from llm_bridge.logs.run_log import RunLog, merge
from llm_bridge.logs.signs import placeholders, signs
from llm_bridge.logs.stopping import stopping
from llm_bridge.logs.trl_rewards import logged_rewards
from sharpening.errors import InputError

SUPPORTED = (
    "Give collapse_monitor.json, trajectory.json or the JSON of `sharpening measure`; TRL's output folder or"
    " its completions folder; verl's rollout_data_dir; trainer_state.json; TensorBoard's event"
    " files; a W&B run; the console output of TRL or verl; or JSONL, CSV or parquet with a step and metrics"
)

LARGEST_DOCUMENT = 32 << 20
"""Bytes of a JSON document, which is held as a whole, at about ten times its size."""


def read_log(
    path: str | Path,
    *,
    answer_pattern: str | None = None,
    renames: Mapping[str, str] | None = None,
    eval_prompts: int | None = None,
) -> list[Finding]:
    """What the log of a run says: findings, the worst first.

    A folder is searched for everything that is known. `answer_pattern` (completions only): "last-number",
    "boxed", "text", "choice", "answer-tag" or "regex:PATTERN"; None takes the natural one (see
    `natural_pattern`) and says which. `renames`: {column: the name that it has here}, for rows of metrics.
    `eval_prompts`: of how many prompts the accuracies are means, which sharpens the test for slow falls.

    Raises:
        InputError: a path that does not exist, a file that nothing here can read, a broken line, an unknown
        pattern.
    """
    log = run_log(path, answer_pattern=answer_pattern, renames=renames, eval_prompts=eval_prompts)
    return judge(log)


def run_log(
    path: str | Path,
    *,
    answer_pattern: str | None = None,
    renames: Mapping[str, str] | None = None,
    eval_prompts: int | None = None,
) -> RunLog:
    """The series of a log and what was found while reading it; arguments and errors as for `read_log`."""
    path = Path(path)
    if answer_pattern is not None:
        extractor(answer_pattern)
    if eval_prompts is not None and eval_prompts < 1:
        raise InputError(
            "eval_prompts", eval_prompts, "it counts prompts", "Give the size of the evaluation set"
        )
    names = check_renames(renames or {})
    try:
        if not path.exists():
            raise InputError("log", str(path), "there is no such file or folder", SUPPORTED)
        logs = (
            _folder(path, answer_pattern, names)
            if path.is_dir()
            else [read_file(path, answer_pattern, names)]
        )
        log = merge(logs)
    except OSError as error:
        raise unreadable(path, error) from error
    except ValueError as error:
        if isinstance(error, InputError) or "null" not in str(error):
            raise
        raise InputError("log", str(path), "a path holds no NUL character", SUPPORTED) from error
    log.answers = eval_prompts or log.answers
    return log


def judge(log: RunLog) -> list[Finding]:
    """Every finding about a log, the worst first."""
    findings = placeholders(log) + stopping(log) + signs(log) + log.findings
    return sorted(findings, key=lambda finding: -LEVELS.index(finding.level))


def _folder(path: Path, answer_pattern: str | None, renames: dict[str, str]) -> list[RunLog]:
    logs = [
        read_file(path / name, answer_pattern, {})
        for name in ("collapse_monitor.json", "trajectory.json")
        if (path / name).exists()
    ][:1]
    state, history = _trainer_state(path)
    inner = path / "completions" if (path / "completions").is_dir() else path
    if parquet := list(inner.glob("*.parquet")):
        logged = history or _trainer_state(path.parent)[1] if inner == path else history
        source = f"TRL completions ({len(parquet)} files)"
        logs.append(groups_log(read_trl(parquet), source, answer_pattern, logged_rewards(logged)))
    if verl := [file for file in path.glob("*.jsonl") if file_step(file) is not None]:
        logs.append(groups_log(read_verl(verl), f"verl rollouts ({len(verl)} files)", answer_pattern))
    if rollouts := parquet or verl:
        logs[-1].findings += folder_findings(rollouts)
    if state is not None and history:
        logs.append(read_trainer_state({"log_history": history}, state, renames))
    logs += [
        read_file(file, answer_pattern, {})
        for file in sorted(path.iterdir())
        if file.is_file() and format_of(file)
    ]
    logs += _by_trackers(path, renames) if not logs else []
    if not logs:
        raise InputError("log", str(path), "the folder holds no log that is known here", SUPPORTED)
    beside = path.parent if path.name == "completions" else path
    checkpoints = sorted(
        number for folder in beside.glob("checkpoint-*") if (number := _number(folder)) is not None
    )
    for log in logs:
        log.checkpoints = checkpoints
    return logs


def _by_trackers(path: Path, renames: dict[str, str]) -> list[RunLog]:
    """What TensorBoard or W&B keep of a run in a folder; W&B's copy of the console where its library is not
    installed.
    """
    if files := event_files(path):
        return [read_events(files, renames)]
    files = sorted(path.glob("*.wandb"))
    output = path / "files" / "output.log"
    if len(files) == 1 and (importlib.util.find_spec("wandb") is not None or not output.exists()):
        return [read_wandb(files[0], renames)]
    return [read_console(output, renames)] if output.is_file() else []


def _trainer_state(path: Path) -> tuple[Path | None, list | None]:
    """(trainer_state.json of the folder or of its last checkpoint, its log_history), None where there is
    none.
    """
    states = {
        number: file
        for file in path.glob("checkpoint-*/trainer_state.json")
        if (number := _number(file.parent)) is not None
    }
    state = path / "trainer_state.json"
    if not state.exists():
        if not states:
            return None, None
        state = states[max(states)]
    data = _json(state)
    return state, data.get("log_history") or None if isinstance(data, dict) else None


def read_file(path: Path, answer_pattern: str | None, renames: dict[str, str] | None = None) -> RunLog:
    """The RunLog of one file, by its shape.

    Raises InputError if columns are renamed in a file that has no rows of metrics.
    """
    check_file(path)
    own, suffix = format_of(path), path.suffix.lower()
    document = _json(path) if own is None and suffix == ".json" else None
    log = None if own else _rows_of(path, suffix, document, renames)
    if log is not None:
        return log
    if renames:
        rule = "columns are renamed in rows of metrics, and this file holds none"
        raise InputError("map", ", ".join(renames), rule, "Leave --map out")
    return own.read(path, answer_pattern) if own else _other(path, suffix, document, answer_pattern)


def _rows_of(path: Path, suffix: str, document, renames: dict[str, str] | None) -> RunLog | None:
    """The RunLog of a file of rows of metrics; None if it is none."""
    if is_events(path):
        return read_events([path], renames)
    if suffix == ".wandb":
        return read_wandb(path, renames)
    if suffix in (".csv", ".tsv"):
        return read_csv(path, renames)
    if suffix == ".parquet":
        return None if is_completions(path) else _parquet(path, renames)
    if suffix == ".json":
        return _rows_document(document, path, renames)
    if is_console(path):
        return read_console(path, renames)
    first = next(jsonl_rows(path, {}), {})
    return None if {"input", "output"} <= set(first) else read_jsonl(path, renames)


def _parquet(path: Path, renames: dict[str, str] | None) -> RunLog:
    return rows_log(lambda: parquet_rows(path), f"Parquet {path.name}", path=path, renames=renames)


def _other(path: Path, suffix: str, document, answer_pattern: str | None) -> RunLog:
    if suffix == ".parquet":
        beside = path.parent.parent if path.parent.name == "completions" else path.parent
        known = logged_rewards(_trainer_state(beside)[1])
        return groups_log(read_trl([path]), f"TRL completions {path.name}", answer_pattern, known)
    if suffix == ".json":
        return _document(document, path)
    return groups_log(read_verl([path]), f"verl rollouts {path.name}", answer_pattern)


def _rows_document(data, path: Path, renames: dict[str, str] | None) -> RunLog | None:
    if isinstance(data, list) and data and all(isinstance(row, dict) for row in data):
        return rows_log(lambda: data, f"JSON {path.name}", path=path, renames=renames)
    if isinstance(data, dict) and not data.get("rows") and data.get("log_history"):
        return read_trainer_state(data, path, renames)
    return None


def _document(data, path: Path) -> RunLog:
    if isinstance(data, dict):
        if isinstance(data.get("rows"), list) and data["rows"]:
            return read_monitor(data, path)
        if "curve" in data or data.get("kind") == "comparison":
            return read_curve(data, path)
    raise InputError("log", str(path), "its shape is none that is known here", SUPPORTED)


def _json(path: Path):
    check_file(path)
    if path.stat().st_size > LARGEST_DOCUMENT:
        raise InputError(
            "log",
            str(path),
            f"one JSON document of more than {LARGEST_DOCUMENT >> 20} MB is not read",
            "Give JSONL, one row a line, which is read row by row at any size",
        )
    try:
        return json.loads("".join(line for _, line in text_lines(path, longest=LARGEST_DOCUMENT)))
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError("log", str(path), f"it is not valid JSON ({error})", SUPPORTED) from error


def _number(folder: Path) -> int | None:
    match = re.fullmatch(r"checkpoint-(\d+)", folder.name)
    return int(match[1]) if match else None
