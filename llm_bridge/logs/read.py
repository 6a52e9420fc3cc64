"""`read_log`: which reader an input needs, by its shape; then all findings, the worst first."""

import json
import re
from pathlib import Path

from llm_bridge.answers.extraction import extractor
from llm_bridge.logs.completions import file_step, folder_findings, read_trl, read_verl
from llm_bridge.logs.files import check_file, text_lines, unreadable
from llm_bridge.logs.finding import LEVELS, Finding
from llm_bridge.logs.formats import format_of
from llm_bridge.logs.groups import groups_log
from llm_bridge.logs.own import read_curve, read_monitor
from llm_bridge.logs.rows import jsonl_rows, read_csv, read_jsonl, read_trainer_state, rows_log
from llm_bridge.logs.run_log import RunLog, merge
from llm_bridge.logs.signs import placeholders, signs
from llm_bridge.logs.stopping import stopping
from llm_bridge.logs.trl_rewards import logged_rewards
from sharpening.errors import InputError

SUPPORTED = (
    "Give collapse_monitor.json, trajectory.json or the JSON of `sharpening measure`; TRL's output folder or"
    " its completions folder; verl's rollout_data_dir; trainer_state.json; or JSONL or CSV with a step and"
    " metrics"
)

LARGEST_DOCUMENT = 32 << 20
"""Bytes of a JSON document, which is held as a whole, at about ten times its size."""


def read_log(path: str | Path, *, answer_pattern: str | None = None) -> list[Finding]:
    """What the log of a run says: findings, the worst first.

    A folder is searched for everything that is known. `answer_pattern` (completions only): "last-number",
    "boxed", "text", "choice", "answer-tag" or "regex:PATTERN"; None takes the natural one (see
    `natural_pattern`) and says which.

    Raises:
        InputError: a path that does not exist, a file that nothing here can read, a broken line, an unknown
        pattern.
    """
    path = Path(path)
    if answer_pattern is not None:
        extractor(answer_pattern)
    try:
        if not path.exists():
            raise InputError("log", str(path), "there is no such file or folder", SUPPORTED)
        log = merge(_folder(path, answer_pattern) if path.is_dir() else [read_file(path, answer_pattern)])
    except OSError as error:
        raise unreadable(path, error) from error
    except ValueError as error:
        if isinstance(error, InputError) or "null" not in str(error):
            raise
        raise InputError("log", str(path), "a path holds no NUL character", SUPPORTED) from error
    findings = placeholders(log) + stopping(log) + signs(log) + log.findings
    return sorted(findings, key=lambda finding: -LEVELS.index(finding.level))


def _folder(path: Path, answer_pattern: str | None) -> list[RunLog]:
    logs = [
        read_file(path / name, answer_pattern)
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
        logs.append(read_trainer_state({"log_history": history}, state))
    logs += [
        read_file(file, answer_pattern)
        for file in sorted(path.iterdir())
        if file.is_file() and format_of(file)
    ]
    if not logs:
        raise InputError("log", str(path), "the folder holds no log that is known here", SUPPORTED)
    beside = path.parent if path.name == "completions" else path
    checkpoints = sorted(
        number for folder in beside.glob("checkpoint-*") if (number := _number(folder)) is not None
    )
    for log in logs:
        log.checkpoints = checkpoints
    return logs


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


def read_file(path: Path, answer_pattern: str | None) -> RunLog:
    """The RunLog of one file, by its shape."""
    check_file(path)
    if (own := format_of(path)) is not None:
        return own.read(path, answer_pattern)
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        beside = path.parent.parent if path.parent.name == "completions" else path.parent
        known = logged_rewards(_trainer_state(beside)[1])
        return groups_log(read_trl([path]), f"TRL completions {path.name}", answer_pattern, known)
    if suffix in (".csv", ".tsv"):
        return read_csv(path)
    if suffix == ".json":
        return _document(path)
    first = next(jsonl_rows(path, {}), {})
    if {"input", "output"} <= set(first):
        return groups_log(read_verl([path]), f"verl rollouts {path.name}", answer_pattern)
    return read_jsonl(path)


def _document(path: Path) -> RunLog:
    data = _json(path)
    if isinstance(data, list) and data and all(isinstance(row, dict) for row in data):
        return rows_log(lambda: data, f"JSON {path.name}", path=path)
    if isinstance(data, dict):
        if isinstance(data.get("rows"), list) and data["rows"]:
            return read_monitor(data, path)
        if data.get("log_history"):
            return read_trainer_state(data, path)
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
