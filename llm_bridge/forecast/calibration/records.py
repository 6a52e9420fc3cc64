"""Measured runs and forecasts as `sharpening measure`, `forecast` and `compare` left them, checked on load."""

import math
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from llm_bridge.forecast.calibration.documents import ForecastRecord, MeasurementRecord, PilotRecord
from llm_bridge.forecast.calibration.file import LARGEST, checked, read_json
from llm_bridge.forecast.calibration.survival import DATED
from llm_bridge.training.settings import RunSettings
from sharpening.collapse import Outcome, collapse_steps
from sharpening.errors import InputError
from sharpening.trajectory import Trajectory

RUNS = "runs"
FIX = "Give what `measure`, `forecast` or `compare` wrote with --json, or the folder of a finished run"


@dataclass(frozen=True)
class Run:
    """A measured run: criterion to step (math.inf: not met, math.nan: cannot be told), accuracy at `at`'s
    evaluations (None without labels); `problems`: what tells its data set, where the record does.
    """

    source: str
    model: str
    task: str
    settings: RunSettings
    problems: str | None
    steps: dict[str, float]
    at: tuple[int, ...]
    accuracy: tuple[float, ...] | None

    def same(self, other: "Run") -> bool:
        """Whether another record of these settings is of this very run; JSON has six digits."""
        if self.at != other.at or (self.accuracy is None) != (other.accuracy is None):
            return False
        mine, theirs = ([run.steps[name] for name in DATED] for run in (self, other))
        if self.accuracy is not None and other.accuracy is not None:
            if not np.allclose(self.accuracy, other.accuracy, atol=1e-4):
                return False
        return np.array_equal(mine, theirs, equal_nan=True)


@dataclass(frozen=True)
class Read:
    """A forecast that may be read for a fit."""

    source: str
    model: str
    task: str
    settings: RunSettings
    record: ForecastRecord

    @property
    def pilots(self) -> list[PilotRecord]:
        """The records of the pilots that had something to learn from."""
        return [pilot for pilot in self.record.pilot_records or () if not pilot.silent]


def read_records(paths) -> tuple[list[Run], list[Read]]:
    """Every run and forecast at these places: JSON documents, folders of runs, folders with documents.

    Raises: InputError for a place that holds none, an unfinished run, or a record that does not fit.
    """
    runs: list[Run] = []
    forecasts: list[Read] = []
    for path in map(Path, paths):
        found = _of_folder(path) if path.is_dir() else _of_document(path, read_json(path, RUNS, FIX))
        for one in found:
            if isinstance(one, Run):
                runs.append(one)
            else:
                forecasts.append(one)
    return runs, forecasts


def _of_folder(folder: Path) -> list[Run | Read]:
    """The run whose folder this is, and every document in it."""
    found: list[Run | Read] = []
    if (folder / "run.json").is_file():
        found.append(_of_run_folder(folder))
    for file in sorted(folder.glob("*.json")):
        try:
            data = read_json(file, RUNS, FIX)
        except InputError:
            continue
        if isinstance(data, dict) and data.get("kind") in ("measurement", "forecast", "comparison"):
            found += _of_document(file, data)
    if not found:
        raise InputError(RUNS, str(folder), "the folder holds no measured run and no forecast", FIX)
    return found


def _of_run_folder(folder: Path) -> Run:
    if not all((folder / name).is_file() for name in ("trajectory.json", "cost.json")):
        raise InputError(RUNS, str(folder), "its run has not finished", UNFINISHED)
    identity = read_json(folder / "run.json", RUNS, FIX)
    if not isinstance(identity, dict) or not all(
        isinstance(identity.get(name), str) for name in ("model", "task")
    ):
        raise InputError(
            RUNS, str(folder), "its run.json does not say which model was trained on which task", FIX
        )
    trajectory = Trajectory.load(folder / "trajectory.json")
    steps = {name: collapse_steps(trajectory)[name] for name in DATED}
    accuracy = trajectory["accuracy"] if trajectory.has("accuracy") else None
    if accuracy is not None and not np.isfinite(accuracy).all():
        raise InputError(RUNS, str(folder), "an evaluation of its run has no accuracy", FIX)
    known = {name: value for name, value in identity.items() if name in RunSettings.names()}
    return Run(
        str(folder),
        identity["model"],
        identity["task"],
        _settings(known, folder),
        identity.get("problems"),
        {name: _step(found.step, found.outcome.value) for name, found in steps.items()},
        tuple(map(int, trajectory.step)),
        None if accuracy is None else tuple(map(float, accuracy)),
    )


UNFINISHED = "Run the same `sharpening measure` again, which resumes it, or leave it out"


def _of_document(path: Path, data) -> list[Run | Read]:
    kind = data.get("kind") if isinstance(data, dict) else None
    if kind == "comparison":
        return [one for part in ("forecast", "measurement") for one in _of_document(path, data.get(part))]
    if kind == "forecast":
        told = checked(ForecastRecord, data, RUNS, path, "forecast", FIX)
        return [Read(str(path), told.model, told.task, _settings(told.settings, path), told)]
    if kind != "measurement":
        said = f" (its kind is {kind!r})" if kind is not None else ""
        raise InputError(RUNS, str(path), f"it is neither a measured run nor a forecast{said}", FIX)
    record = checked(MeasurementRecord, data, RUNS, path, "measured run", FIX)
    if record.interrupted:
        raise InputError(RUNS, str(path), "its run was interrupted", UNFINISHED)
    accuracy = record.curve.accuracy
    return [
        Run(
            str(path),
            record.model,
            record.task,
            _settings(record.settings, path),
            None,
            {name: _step(record.collapse[name].step, record.collapse[name].outcome) for name in DATED},
            tuple(record.curve.step),
            None if accuracy is None else tuple(accuracy),
        )
    ]


def _step(step: int | None, outcome: str) -> float:
    if step is not None:
        return float(step)
    return math.inf if outcome == Outcome.CENSORED.value else math.nan


def _settings(told: dict, path: Path) -> RunSettings:
    told = {name: value for name, value in told.items() if name != "trl"}
    wrong = [
        one.name for one in fields(RunSettings) if one.name in told and not _is_a(told[one.name], one.type)
    ]
    try:
        if wrong:
            raise ValueError(f"{', '.join(wrong)} must be a number or text, as it is in a run")
        return RunSettings(**told)
    except (TypeError, ValueError) as error:
        raise InputError(
            RUNS, str(path), f"its settings are not those of a run ({str(error)[:150]})", FIX
        ) from error


def _is_a(value, kind) -> bool:
    """Whether a JSON value has the type of a setting: a whole number is a float too, true is no number."""
    if isinstance(value, bool):
        return kind is bool
    if kind is float and isinstance(value, int | float):
        return abs(value) <= LARGEST
    return isinstance(value, kind)
