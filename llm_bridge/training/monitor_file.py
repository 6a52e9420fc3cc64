"""`collapse_monitor.json`: the evaluations of a watched run and the initial model that they compare with."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llm_bridge.training.initial import InitialModel
from sharpening.errors import InputError
from sharpening.trajectory import Trajectory, write_json

STATE_FILE = "collapse_monitor.json"


@dataclass(frozen=True)
class Kept:
    """What the file holds up to a step: the rows of the evaluations, the initial model, and the tokens generated and run
    through the network so far.
    """

    rows: list[dict]
    initial: InitialModel
    spent: tuple[int, ...]


def read_kept(path: Path, step: int) -> Kept:
    """Up to `step`. Raises: InputError if the file is missing, broken, or does not reach back to the beginning."""
    if not path.is_file():
        raise InputError(
            "folder",
            str(path.parent),
            f"the run resumes at step {step}, but {STATE_FILE} of its beginning is not there",
            "Give the monitor the folder of the first run, or start anew",
        )
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        rows = [row for row in data["rows"] if row["step"] <= step]
        curve_of(rows, data["floor"])
        spent = tuple(int(count) for count in rows[-1]["_tokens"])
        return Kept(rows, InitialModel.from_dict(data["initial"]), spent)
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise InputError(
            "folder",
            str(path.parent),
            f"the run resumes at step {step}, but {STATE_FILE} in it is broken",
            "Put the file back as it was written, or start anew",
        ) from error


def write_kept(path: Path, rows: list[dict], initial: InitialModel | None, floor: float | None) -> None:
    """In one piece; the folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {"rows": rows, "initial": None if initial is None else initial.as_dict(), "floor": floor}
    write_json(path, state, indent=None)


def curve_of(rows: list[dict], floor: float | None, settings: dict | None = None) -> Trajectory:
    """The evaluations as a curve; a metric that is not finite at every one of them is left out."""
    # An evaluation says undecided_rate only where it is above zero.
    some = {"undecided_rate": 0.0} if any("undecided_rate" in row for row in rows) else {}
    rows = [some | row for row in rows]
    names = [
        name for name in rows[0] if name != "step" and name[0] != "_" and all(name in row for row in rows)
    ]
    return Trajectory(
        step=np.array([row["step"] for row in rows]),
        metrics={name: np.array([row[name] for row in rows]) for name in names},
        floor=floor,
        source="measured",
        settings=settings or {},
    )
