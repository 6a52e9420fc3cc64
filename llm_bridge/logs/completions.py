"""Rollouts of a run, group by group: TRL's completions folder and verl's rollout_data_dir."""

import json
import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from llm_bridge.logs.rows import read_jsonl_rows
from sharpening.errors import InputError

TRUTH_COLUMNS = ("gts", "ground_truth", "answer", "solution", "label", "target")


@dataclass
class Group:
    """The completions of one prompt at one step; `truth` None if it is not known."""

    step: int
    prompt: str
    completions: list[str] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    truth: str | None = None


@dataclass
class Rollouts:
    """Every group of a run; columns that nothing reads; steps whose file repeats the one before."""

    groups: list[Group]
    unknown: list[str]
    repeated: list[int]


def read_trl(files: list[Path]) -> Rollouts:
    """TRL's `completions_<step>.parquet`: step, prompt, completion, one column a reward function, advantage,
    extra columns.

    The reward is the sum of the reward columns. A file that repeats the rows of the one before (logged more
    often than generated) is left out.
    """
    import pyarrow.parquet as parquet

    rows, unknown, repeated, before = [], [], [], None
    for file in sorted(files):
        try:
            table = parquet.read_table(file)
        except (OSError, ValueError) as error:
            raise InputError(
                "log",
                str(file),
                "it is not a complete parquet file",
                "Remove it, or wait until it is written",
            ) from error
        missing = [name for name in ("step", "prompt", "completion") if name not in table.column_names]
        if missing:
            raise InputError(
                "log",
                str(file),
                f"it has no column {', '.join(missing)}",
                "Give a folder that TRL's log_completions=True wrote",
            )
        fixed = {"step", "prompt", "completion", "advantage", *TRUTH_COLUMNS}
        rewards = [
            field.name
            for field in table.schema
            if field.name not in fixed and str(field.type) in ("double", "float")
        ]
        unknown += [
            name
            for name in table.column_names
            if name not in fixed and name not in rewards and name not in unknown
        ]
        found = table.to_pylist()
        content = [(str(row["prompt"]), str(row["completion"]), row.get("advantage")) for row in found]
        if not found or content == before:
            repeated += [row["step"] for row in found[:1]]
            continue
        before = content
        for row in found:
            values = [row[name] for name in rewards if row[name] is not None and not math.isnan(row[name])]
            rows.append(
                (
                    int(row["step"]),
                    row["prompt"],
                    None,
                    row["completion"],
                    sum(values) if values else None,
                    _truth(row),
                )
            )
    return Rollouts(_grouped(rows), unknown, repeated)


def read_verl(files: list[Path]) -> Rollouts:
    """verl's `<step>.jsonl`: rows of input, output, gts, score, step, uid; groups by uid, or by input where
    there is none.
    """
    rows, unknown = [], []
    for file in sorted(files, key=lambda file: int(file.stem) if file.stem.isdigit() else 0):
        for row in read_jsonl_rows(file)[0]:
            missing = [name for name in ("input", "output") if name not in row]
            if missing:
                raise InputError(
                    "log",
                    str(file),
                    f"a row has no field {', '.join(missing)}",
                    "Give a folder that verl's trainer.rollout_data_dir named",
                )
            step = row.get("step", int(file.stem) if file.stem.isdigit() else None)
            if step is None:
                raise InputError(
                    "log",
                    str(file),
                    "a row has no step, and the file is not named after one",
                    "Keep verl's file names, such as 12.jsonl",
                )
            unknown += [
                key
                for key in row
                if key not in ("input", "output", "score", "step", "uid", *TRUTH_COLUMNS)
                and key not in unknown
            ]
            score = row.get("score")
            score = float(score) if isinstance(score, int | float) and math.isfinite(score) else None
            rows.append((int(step), row["input"], row.get("uid"), row["output"], score, _truth(row)))
    return Rollouts(_grouped(rows), unknown, [])


def _truth(row: dict) -> str | None:
    for name in TRUTH_COLUMNS:
        value = row.get(name)
        if isinstance(value, list | tuple) and len(value) == 1:
            value = value[0]
        if isinstance(value, dict):
            value = value.get("ground_truth")
        if isinstance(value, str | int | float) and not isinstance(value, bool) and str(value).strip():
            return str(value).strip()
    return None


def _grouped(rows) -> list[Group]:
    """Groups by step and uid, else by step and prompt, whatever the order of the rows.

    A prompt drawn twice in one step has a multiple of the group size, which is the greatest common divisor of
    all counts of the run; its rows are cut in their order.
    """
    keyed: dict[tuple, list] = {}
    for row in rows:
        step, prompt, uid = row[:3]
        keyed.setdefault((step, _prompt(prompt), uid), []).append(row)
    counts = Counter(len(found) for (_, _, uid), found in keyed.items() if uid is None)
    size = math.gcd(*counts) if counts else 0
    groups = []
    for (step, prompt, uid), found in keyed.items():
        width = size if uid is None and size >= 2 else len(found)
        for start in range(0, len(found), width):
            part = found[start : start + width]
            rewards = [row[4] for row in part if row[4] is not None]
            groups.append(Group(step, prompt, [_completion(row[3]) for row in part], rewards, part[0][5]))
    return sorted(groups, key=lambda group: group.step)


def _prompt(value) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


def _completion(value) -> str:
    if isinstance(value, list | tuple) and value:
        value = value[-1]
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else ""
