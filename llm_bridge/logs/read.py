"""`read_log`: which reader an input needs, by its shape; then all findings, the worst first."""

import json
import re
from pathlib import Path

from llm_bridge.answers.extraction import extractor
from llm_bridge.logs.completions import read_trl, read_verl
from llm_bridge.logs.finding import LEVELS, Finding
from llm_bridge.logs.groups import groups_log
from llm_bridge.logs.own import read_curve, read_monitor
from llm_bridge.logs.rows import read_csv, read_jsonl_rows, read_trainer_state, rows_log
from llm_bridge.logs.run_log import RunLog, merge
from llm_bridge.logs.signs import placeholders, signs
from llm_bridge.logs.stopping import stopping
from sharpening.errors import InputError

SUPPORTED = (
    "Give collapse_monitor.json, trajectory.json or the JSON of `sharpening measure`; TRL's output folder or"
    " its completions folder; verl's rollout_data_dir; trainer_state.json; or JSONL or CSV with a step and"
    " metrics"
)


def read_log(path: str | Path, *, answer_pattern: str | None = None) -> list[Finding]:
    """What the log of a run says: findings, the worst first.

    A folder is searched for everything that is known. `answer_pattern` (completions only): "last-number",
    "boxed", "text", "choice", "answer-tag" or "regex:PATTERN"; None takes the whole completion as the answer.

    Raises:
        InputError: a path that does not exist, a file that nothing here can read, a broken line, an unknown
        pattern.
    """
    path = Path(path)
    if answer_pattern is not None:
        extractor(answer_pattern)
    if not path.exists():
        raise InputError("log", str(path), "there is no such file or folder", SUPPORTED)
    log = merge(_folder(path, answer_pattern) if path.is_dir() else [_file(path, answer_pattern)])
    findings = placeholders(log) + stopping(log) + signs(log) + log.findings
    return sorted(findings, key=lambda finding: -LEVELS.index(finding.level))


def _folder(path: Path, answer_pattern: str | None) -> list[RunLog]:
    logs = [
        _file(path / name, answer_pattern)
        for name in ("collapse_monitor.json", "trajectory.json")
        if (path / name).is_file()
    ][:1]
    inner = path / "completions" if (path / "completions").is_dir() else path
    if parquet := list(inner.glob("*.parquet")):
        logs.append(groups_log(read_trl(parquet), f"TRL completions ({len(parquet)} files)", answer_pattern))
    if verl := [file for file in path.glob("*.jsonl") if file.stem.isdigit()]:
        logs.append(groups_log(read_verl(verl), f"verl rollouts ({len(verl)} files)", answer_pattern))
    states = {
        _number(file.parent): file
        for file in path.glob("checkpoint-*/trainer_state.json")
        if _number(file.parent) is not None
    }
    state = (
        path / "trainer_state.json"
        if (path / "trainer_state.json").is_file()
        else states[max(states)]
        if states
        else None
    )
    if state is not None and (history := _json(state)).get("log_history"):
        logs.append(read_trainer_state(history, state))
    if not logs:
        raise InputError("log", str(path), "the folder holds no log that is known here", SUPPORTED)
    beside = path.parent if path.name == "completions" else path
    checkpoints = sorted(
        number for folder in beside.glob("checkpoint-*") if (number := _number(folder)) is not None
    )
    for log in logs:
        log.checkpoints = checkpoints
    return logs


def _file(path: Path, answer_pattern: str | None) -> RunLog:
    if path.suffix == ".parquet":
        return groups_log(read_trl([path]), f"TRL completions {path.name}", answer_pattern)
    if path.suffix == ".csv":
        return read_csv(path)
    if path.suffix == ".json":
        return _document(path)
    rows, findings = read_jsonl_rows(path)
    if rows and {"input", "output"} <= set(rows[0]):
        return groups_log(read_verl([path]), f"verl rollouts {path.name}", answer_pattern)
    log = rows_log(rows, f"JSONL {path.name}", path=path)
    log.findings += findings
    return log


def _document(path: Path) -> RunLog:
    data = _json(path)
    if isinstance(data, list) and data and all(isinstance(row, dict) for row in data):
        return rows_log(data, f"JSON {path.name}", path=path)
    if isinstance(data, dict):
        if isinstance(data.get("rows"), list) and data["rows"]:
            return read_monitor(data, path)
        if data.get("log_history"):
            return read_trainer_state(data, path)
        if "curve" in data or data.get("kind") == "comparison":
            return read_curve(data, path)
    raise InputError("log", str(path), "its shape is none that is known here", SUPPORTED)


def _json(path: Path):
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError("log", str(path), f"it cannot be read ({error.strerror})", SUPPORTED) from error
    except (ValueError, RecursionError) as error:
        raise InputError("log", str(path), f"it is not valid JSON ({error})", SUPPORTED) from error


def _number(folder: Path) -> int | None:
    match = re.fullmatch(r"checkpoint-(\d+)", folder.name)
    return int(match[1]) if match else None
