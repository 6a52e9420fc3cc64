"""The folder of a run: whose it is, what it holds, and where a stopped run goes on."""

import hashlib
import json
import shutil
from pathlib import Path

from llm_bridge.training.monitor import STATE_FILE
from sharpening.errors import InputError
from sharpening.trajectory import Trajectory, write_json


def problems_digest(task) -> str:
    """16 hexadecimal digits that change with any prompt or true answer of the task, their order, and how
    answers are read.
    """
    told = [
        getattr(task, "answer_pattern", None),
        *([problem.prompt, problem.answer] for problem in task.problems),
    ]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def check_owner(output_dir: Path, identity: dict):
    """Raise InputError if the folder holds a run with other settings."""
    record = output_dir / "run.json"
    if record.is_file():
        found = json.loads(record.read_text())
        if found != identity:
            differ = sorted(key for key in identity if found.get(key) != identity[key])
            raise InputError(
                "output",
                str(output_dir),
                f"it holds a run with other settings ({', '.join(differ)})",
                "Choose another folder with --output, or remove this one",
            )


def claim(output_dir: Path, identity: dict):
    """Make the folder this run's own, now that model and task are known to be good, or raise InputError if it
    cannot be written.
    """
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        write_json(output_dir / "run.json", identity)
    except OSError as error:
        raise InputError(
            "output",
            str(output_dir),
            f"the run folder cannot be written ({error.strerror})",
            "Choose another with --output",
        ) from error


def finished(output_dir: Path) -> dict | None:
    path, cost = output_dir / "trajectory.json", output_dir / "cost.json"
    return (
        {"trajectory": Trajectory.load(path), "cost": json.loads(cost.read_text())}
        if path.is_file() and cost.is_file()
        else None
    )


def seconds_spent(output_dir: Path) -> float:
    path = output_dir / "seconds.json"
    return json.loads(path.read_text()) if path.is_file() and (output_dir / STATE_FILE).is_file() else 0.0


def last_whole_checkpoint(output_dir: Path) -> Path | None:
    """The newest checkpoint that was written to its end: `trainer_state.json` is the last file of each."""
    whole = []
    for folder in output_dir.glob("checkpoint-*"):
        try:
            json.loads((folder / "trainer_state.json").read_text())
            whole.append(folder)
        except (OSError, ValueError):
            shutil.rmtree(folder, ignore_errors=True)
    return max(whole, key=lambda folder: int(folder.name.split("-")[1]), default=None)
