"""Readers of rollouts: TRL's completions folder and verl's rollout_data_dir."""

import hashlib
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

from llm_bridge.logs.files import check_file, unreadable
from llm_bridge.logs.finding import Finding, named
from llm_bridge.logs.rollouts import Rollouts, Row
from llm_bridge.logs.rows import jsonl_rows
from llm_bridge.logs.values import number, whole
from sharpening.errors import InputError

TRUTH_COLUMNS = ("gts", "ground_truth", "answer", "solution", "label", "target")
_BATCH = 256
_LONGEST_KEY = 200
_LATER = 60.0
"""Seconds by which one file must be newer before that means anything."""
_SESSION = re.compile(r"(?P<group>.+)_\d+_\d+")
_SURROGATES = re.compile("[\ud800-\udfff]")
_FIXED = {"step", "prompt", "completion", "advantage", *TRUTH_COLUMNS}


def read_trl(files: list[Path]) -> Rollouts:
    """TRL's `completions_<step>.parquet`: step, prompt, completion, one column a reward function, extra
    columns, advantage.

    Which columns are rewards: see `trl_rewards`. A file that repeats the rows of the one before (logged more
    often than generated) is left out, unless every group in it is of one mind: that is what a collapsed
    policy writes, and evidence.
    """
    files = sorted(files)
    names, columns = [], []
    for file in files:
        for name, kind in _schema(file):
            if name not in names:
                names.append(name)
            if kind in ("double", "float", "halffloat") and name not in _FIXED and name not in columns:
                columns.append(name)
    unknown = [name for name in names if name not in _FIXED and name not in columns]
    repeated = _repeats(files) if len(files) > 1 else {}
    fresh = [file for file in files if file not in repeated]

    def rows() -> Iterator[Row]:
        for file in fresh:
            for row in parquet_rows(file):
                yield Row(
                    _step(row["step"], file),
                    _prompt(row["prompt"]),
                    None,
                    _completion(row["completion"]),
                    tuple(_finite(row.get(name)) for name in columns),
                    _truth(row),
                    _finite(row.get("advantage")),
                )

    return Rollouts(rows, columns=columns, unknown=unknown, repeated=list(repeated.values()), in_order=True)


def _schema(file: Path) -> list[tuple[str, str]]:
    with _opened(file) as parquet:
        schema = parquet.schema_arrow
    missing = [name for name in ("step", "prompt", "completion") if name not in schema.names]
    if missing:
        raise InputError(
            "log",
            str(file),
            f"it has no column {', '.join(missing)}",
            "Give a folder that TRL's log_completions=True wrote",
        )
    if twice := sorted({name for name in schema.names if schema.names.count(name) > 1}):
        raise InputError(
            "log", str(file), f"it has several columns of one name: {', '.join(twice)}", "Rename one"
        )
    return [(field.name, str(field.type)) for field in schema]


def _opened(file: Path):
    import pyarrow
    import pyarrow.parquet as parquet

    check_file(file)
    try:
        return parquet.ParquetFile(file)
    except PermissionError as error:
        raise unreadable(file, error) from error
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise _incomplete(file) from error


def is_completions(file: Path) -> bool:
    """Whether a parquet file holds prompts or completions, and not rows of metrics."""
    with _opened(file) as parquet:
        return bool({"prompt", "completion"} & set(parquet.schema_arrow.names))


def parquet_rows(file: Path) -> Iterator[dict]:
    """The rows of a parquet file, a batch at a time. Raises InputError for one that is not complete."""
    import pyarrow

    with _opened(file) as opened:
        try:
            for batch in opened.iter_batches(batch_size=_BATCH):
                yield from batch.to_pylist()
        except (OSError, ValueError, OverflowError, pyarrow.ArrowException) as error:
            raise _incomplete(file) from error


def _incomplete(file: Path) -> InputError:
    return InputError(
        "log", str(file), "it is not a complete parquet file", "Remove it, or wait until it is written"
    )


def _repeats(files: list[Path]) -> dict[Path, int]:
    """The files that repeat the one before, with their step."""
    repeated: dict[Path, int] = {}
    before = None
    for file in files:
        digest, step = hashlib.blake2b(digest_size=16), None
        of_prompt: dict[str, str] = {}
        varies = False
        for row in parquet_rows(file):
            step = row["step"] if step is None else step
            prompt, completion = str(row["prompt"]), str(row["completion"])
            varies |= of_prompt.setdefault(prompt, completion) != completion
            content = repr((prompt, completion, row.get("advantage")))
            digest.update(content.encode("utf-8", "surrogatepass"))
        if varies and step is not None and digest.digest() == before:
            repeated[file] = step
        before = digest.digest()
    return repeated


def read_verl(files: list[Path]) -> Rollouts:
    """verl's `<step>.jsonl`: rows of input, output, gts, score, step, uid; groups by uid, or by input where
    there is none. Where uid names the rollout too (`GROUP_SESSION_INDEX`, verl from 0.9 on), the last output of each
    session is read and the group is what comes before.
    """
    files = sorted(files, key=lambda file: (file_step(file) or 0, file.name))
    unknown: dict[str, None] = {}
    findings: dict[str, Finding] = {}
    by_session = bool(files) and _names_sessions(files[0])

    def read(file: Path, row: dict) -> Row:
        _check_verl(file, row)
        known = ("input", "output", "score", "step", "uid", *TRUTH_COLUMNS)
        unknown.update(dict.fromkeys(key for key in row if key not in known))
        step = row.get("step")
        step = file_step(file) if step is None else _step(step, file)
        if step is None:
            raise InputError(
                "log",
                str(file),
                "a row has no step, and the file is not named after one",
                "Keep verl's file names, such as 12.jsonl",
            )
        uid, score = row.get("uid"), (_finite(row.get("score")),)
        uid = None if uid is None or uid == "" else str(uid)
        uid = uid.rpartition("_")[0].rpartition("_")[0] if by_session and uid else uid
        return Row(step, _prompt(row["input"]), uid, _completion(row["output"]), score, _truth(row))

    def rows() -> Iterator[Row]:
        for file in files:
            found = jsonl_rows(file, findings)
            for row in _last_outputs(found) if by_session else found:
                yield read(file, row)

    rollouts = Rollouts(rows, columns=["score"], unknown=[], findings=findings)
    rollouts.unknown = list(unknown)
    return rollouts


def _check_verl(file: Path, row: dict) -> None:
    missing = [name for name in ("input", "output") if name not in row]
    if missing:
        raise InputError(
            "log",
            str(file),
            f"a row has no field {', '.join(missing)}",
            "Give a folder that verl's trainer.rollout_data_dir named",
        )


def _names_sessions(file: Path) -> bool:
    """Whether every uid of a file is of one row alone and ends in the numbers of a session and an output, and rows of
    one input share what comes before.
    """
    groups: dict[str, set[str]] = {}
    seen: set[str] = set()
    rows = 0
    for row in jsonl_rows(file, {}):
        match = _SESSION.fullmatch(str(row.get("uid") or ""))
        if match is None or match[0] in seen:
            return False
        rows += 1
        seen.add(match[0])
        groups.setdefault(match["group"], set()).add(_prompt(row.get("input")))
    return rows > len(groups) and all(len(inputs) == 1 for inputs in groups.values())


def _last_outputs(rows: Iterator[dict]) -> Iterator[dict]:
    """Of the outputs of one session, which follow each other, the last one."""
    held: dict | None = None
    for row in rows:
        if held is not None and _session(held) != _session(row):
            yield held
        held = row
    if held is not None:
        yield held


def _session(row: dict) -> str:
    return str(row.get("uid")).rpartition("_")[0]


def folder_findings(files: list[Path]) -> list[Finding]:
    """What the names and times of rollout files tell: files of an attempt before a resumed run, and files
    that are not read.
    """
    found = []
    stepped = {step: file for file in files if (step := file_step(file)) is not None}
    written = {step: file.stat().st_mtime for step, file in stepped.items()}
    newest = max(written, key=lambda step: (written[step], step), default=0)
    older = sorted(
        step for step, time in written.items() if step > newest and time < written[newest] - _LATER
    )
    if older:
        text = (
            f"The file of step {newest} was written after those of steps {older[0]} to {older[-1]}, as a run"
            " does that resumed from an earlier checkpoint. Times of files may come from copying, so these"
            f" {len(older)} files were read: if the run was resumed, remove them."
        )
        found.append(Finding("older_files", "warning", text, newest))
    folder = files[0].parent
    others = sorted(file.name for file in folder.glob(f"*{files[0].suffix}") if file not in files)
    if others:
        found.append(
            Finding("unread_files", "info", f"Not read, because no step is in their names: {named(others)}.")
        )
    return found


def file_step(file: Path) -> int | None:
    """The step that a file is named after, None if its name is no number."""
    found = re.fullmatch("(?:completions_)?([0-9]{1,15})", file.stem)
    return int(found[1]) if found else None


def _step(value, file: Path) -> int:
    step = whole(value)
    if step is None:
        raise InputError(
            "log",
            str(file),
            f"a row has the step {str(value)[:40]!r}, which is no whole number from 0 on",
            "Correct or remove the row",
        )
    return step


def _finite(value) -> float | None:
    found = number(value) if not isinstance(value, bool) else float(value)
    return found if found is not None and math.isfinite(found) else None


def _truth(row: dict) -> str | None:
    for name in TRUTH_COLUMNS:
        value = row.get(name)
        if isinstance(value, list | tuple) and len(value) == 1:
            value = value[0]
        if isinstance(value, dict):
            value = value.get("ground_truth")
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            text = _text(value) if isinstance(value, str) else _digits(value)
            if text.strip():
                return text.strip()
    return None


def _digits(value: int | float) -> str:
    try:
        return str(value)
    except ValueError:  # Python writes no integer of more than some thousand digits
        return ""


def _prompt(value) -> str:
    try:
        text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    except (TypeError, ValueError, RecursionError):
        text = str(type(value))
    text = _text(text)
    if len(text) <= _LONGEST_KEY:
        return text
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _completion(value) -> str:
    if isinstance(value, list | tuple) and value:
        value = value[-1]
    if isinstance(value, dict):
        value = value.get("content")
    return _text(value) if isinstance(value, str) else ""


def _text(value: str) -> str:
    """Text without lone surrogates, which no encoding can write."""
    return value if value.isascii() else _SURROGATES.sub("\ufffd", value)
