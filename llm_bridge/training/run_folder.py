"""The folder of a run: whose it is, what it holds, and that one process at a time writes in it. Nothing that
a run did not write is ever changed or removed.
"""

import contextlib
import hashlib
import json
import math
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from filelock import FileLock, Timeout

from llm_bridge.console.launch import process
from sharpening.errors import InputError
from sharpening.trajectory import Trajectory, write_json

RECORD, FINISHED, LOCK = "run.json", "finished.json", ".lock"
RESULTS = ("trajectory.json", "cost.json")
FILES = ("weights", "tokenizer", "judge")
OTHER = "Choose another folder with --output, or remove this one"


def problems_digest(task) -> str:
    """16 hexadecimal digits that change with any prompt as the model sees it, true answer or rephrasing of the task,
    their order, how answers are read, and where completions stop.
    """
    told = [
        getattr(task, "answer_pattern", None),
        *([problem.prompt, problem.answer] for problem in task.problems),
    ]
    wordings = [
        [problem.prompt, found] for problem in task.problems if (found := problem.data.get("rephrasings"))
    ]
    told += [wordings] if wordings else []
    told += [{"stop": list(task.stop)}] if getattr(task, "stop", ()) else []
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def run_identity(model: str, task, settings, stop_on_collapse: bool = False) -> dict:
    """Everything that a run's curve depends on: settings, and digests of weights, tokenizer and problems.

    Raises: InputError if there is no such model.
    """
    from llm_bridge.models.digest import model_digests
    from llm_bridge.training.reward_function import verified_part, verifier_settings

    part = verified_part(settings.parsed_reward)
    judge = "" if part is None else verifier_settings(part).get("model", "")
    try:
        package = version("sharpening")
    except PackageNotFoundError:
        package = "not installed"
    return {
        "model": model,
        "task": task.name,
        "problems": problems_digest(task),
        **settings.as_dict(),
        "stop_on_collapse": stop_on_collapse,
        **model_digests(model),
        **({"judge": model_digests(judge)["weights"]} if judge else {}),
        **({"processes": process()[1]} if process()[1] > 1 else {}),
        "version": package,
    }


def identity_digest(identity: dict) -> str:
    """The name under which a run marks what it writes."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def check_folder_is_ours(output_dir: Path) -> dict | None:
    """The record of the run in the folder, None where the folder is missing or empty.

    Raises: InputError for a folder with other people's files, or with a record that cannot be read.
    """
    record = output_dir / RECORD
    if not output_dir.is_dir():
        return None
    if not record.exists():
        strange = sorted(path.name for path in output_dir.iterdir() if not _scratch(path.name))
        if strange:
            raise InputError(
                "output",
                str(output_dir),
                f"it is not empty and holds no run of ours ({RECORD} is missing; it has {_some(strange)})",
                "Choose a new or empty folder with --output",
            )
        return None
    found = read_json(record)
    if not isinstance(found, dict) or not {"model", "task", "problems"} <= set(found):
        raise InputError(
            "output", str(output_dir), f"its {RECORD} is broken or was not written by this command", OTHER
        )
    return found


def check_owner(output_dir: Path, identity: dict) -> None:
    """Raise InputError if the folder holds other files, a run of another model, task or settings, or one that
    another process is writing.
    """
    found = check_folder_is_ours(output_dir)
    if found is None:
        return
    if missing := [name for name in ("weights", "tokenizer", "version") if name not in found]:
        raise InputError(
            "output",
            str(output_dir),
            f"its run was begun by an earlier version, which did not write down {' and '.join(missing)}, so"
            " nobody can tell whether it is this run",
            OTHER,
        )
    differ = sorted(
        key
        for key in found.keys() | identity.keys()
        if found.get(key, _MISSING) != identity.get(key, _MISSING)
    )
    by_name = [key for key in differ if key not in (*FILES, "version")]
    told_by_name = {"weights": "model", "tokenizer": "model", "judge": "reward"}
    by_file = [key for key in differ if key in FILES and told_by_name[key] not in differ]
    if by_name or by_file or differ:
        told = [f"with other settings ({', '.join(by_name)})"] if by_name else []
        told += [f"of other {key} (now {identity[key]}, then {found[key]})" for key in by_file]
        if "version" in differ:
            told.append(f"of version {found['version']} of this package (now {identity['version']})")
        raise InputError("output", str(output_dir), f"it holds a run {' and '.join(told)}", OTHER)
    if not (output_dir / FINISHED).exists():
        check_unlocked(output_dir)


_MISSING = object()


def claim(output_dir: Path, identity: dict) -> None:
    """Make the folder this run's own, now that model and task are known to be good, or raise InputError if it
    cannot be written. Call it under `lock`.
    """
    check_owner_again = check_folder_is_ours(output_dir)
    if check_owner_again is not None and check_owner_again != identity:
        raise InputError("output", str(output_dir), "another run has claimed it meanwhile", OTHER)
    if check_owner_again is None:
        with _told(output_dir):
            write_json(output_dir / RECORD, identity)


@contextlib.contextmanager
def lock(output_dir: Path):
    """Inside, no other process writes in the folder, which is made if it is missing; the system frees it when
    a process dies.

    Raises: InputError if another process has it, or if it cannot be written.
    """
    with _told(output_dir):
        output_dir.mkdir(parents=True, exist_ok=True)
    held = FileLock(output_dir / LOCK)
    with _told(output_dir):
        try:
            held.acquire(timeout=0)
        except Timeout as error:
            raise _busy(output_dir) from error
    try:
        yield
    finally:
        held.release()


def check_unlocked(output_dir: Path) -> None:
    """Raise InputError if another process is writing in the folder now."""
    if (output_dir / LOCK).exists():
        with lock(output_dir):
            pass


def _busy(output_dir: Path) -> InputError:
    return InputError(
        "output",
        str(output_dir),
        "another process is measuring in this folder now",
        "Wait until it ends, or choose another folder with --output",
    )


@contextlib.contextmanager
def _told(output_dir: Path):
    try:
        yield
    except OSError as error:
        raise InputError(
            "output",
            str(output_dir),
            f"the run folder cannot be written ({error.strerror})",
            "Choose another with --output",
        ) from error


def write_results(output_dir: Path, trajectory: Trajectory, cost: dict) -> None:
    """Write the curve, the cost and, last, the sums by which `finished` knows both to be whole."""
    from llm_bridge.models.digest import file_digest

    trajectory.save(output_dir / "trajectory.json")
    write_json(output_dir / "cost.json", cost)
    write_json(output_dir / FINISHED, {name: file_digest(output_dir / name) for name in RESULTS})


def finished(output_dir: Path) -> dict | None:
    """Trajectory and cost of a finished run; None where the run is not finished, or where a result is gone
    but checkpoints are left to make it anew.

    Raises: InputError if a result is missing or is not what was written, and no checkpoint is left.
    """
    from llm_bridge.models.digest import file_digest
    from llm_bridge.training.checkpoints import numbered

    if not (output_dir / FINISHED).exists():
        return None
    sums = read_json(output_dir / FINISHED)
    damaged = [
        name
        for name in RESULTS
        if not isinstance(sums, dict)
        or not (output_dir / name).is_file()
        or file_digest(output_dir / name) != sums.get(name)
    ]
    if damaged and not numbered(output_dir):
        raise InputError(
            "output",
            str(output_dir),
            f"its run is finished, but {' and '.join(damaged)} is missing or not as it was written",
            "Remove the folder to measure anew, or choose another with --output",
        )
    return (
        None
        if damaged
        else {
            "trajectory": Trajectory.load(output_dir / "trajectory.json"),
            "cost": read_json(output_dir / "cost.json"),
        }
    )


def read_json(path: Path):
    """What a JSON file holds; None if it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def as_seconds(value) -> float | None:
    """`value` if it is a number of seconds, else None."""
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if plain and math.isfinite(value) and value >= 0 else None


def _scratch(name: str) -> bool:
    """What a process that was killed before its record was whole can leave behind."""
    return name == LOCK or name.startswith(f".{RECORD}.") and name.endswith(".partial")


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
