"""JSON, schema version 1: the same command and seed give the same document, but for `cost.seconds`."""

import enum
import math
from collections.abc import Mapping
from os import PathLike, fspath

import numpy as np

from llm_bridge.forecast.result import ModelForecast
from llm_bridge.report.comparison import curve_errors, voice_distances, within_interval
from llm_bridge.report.words import REFERENCES
from llm_bridge.training.measurement import Measurement

SCHEMA = 1
SIGNIFICANT_DIGITS = 6
TINY = 1e-12  # rounding noise in every metric's unit; smaller values are written as 0


def plain(value):
    """Plain JSON data: floats to six significant digits (0 below 1e-12), NaN and infinities to null, enums to
    their values.
    """
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if isinstance(value, bool | int | str) or value is None:
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if abs(value) >= TINY else 0.0
    if isinstance(value, PathLike):
        return fspath(value)
    raise TypeError(f"{type(value).__name__} has no place in the JSON schema: {value!r}")


def forecast_document(forecast: ModelForecast) -> dict:
    """The JSON of `sharpening forecast`: the speaker's curve and steps, every voice, verdict, reasons, prior
    and cost.
    """
    return plain(
        {
            **_head("forecast", forecast),
            "verdict": forecast.verdict,
            "advice": forecast.advice,
            "stop_by": forecast.stop_by,
            "reasons": forecast.reasons,
            "collapse": {name: _forecast_step(step) for name, step in forecast.collapse.items()},
            "curve": forecast.trajectory.curve(),
            "floor": forecast.trajectory.floor,
            "alignment": forecast.alignment,
            "coupling": forecast.coupling,
            "prior": forecast.prior,
            "sensitivity": forecast.sensitivity,
            "safe_learning_rate": forecast.safe_learning_rate,
            "pilots": forecast.pilots,
            "pilot_records": forecast.pilot_records,
            "weight_noise": forecast.weight_noise,
            "distribution": forecast.distribution,
            "fates": forecast.fates,
            "constant": forecast.constant,
            "problems": forecast.problems,
            "calibration": forecast.calibration,
            "engine": forecast.engine,
            "speaker": forecast.speaker,
            "why_speaker": forecast.why_speaker,
            "voices": {
                name: {
                    "collapse": {
                        criterion: _step(step)
                        for criterion, step in forecast.voices_collapse.get(name, {}).items()
                    },
                    "curve": trajectory.curve(),
                }
                for name, trajectory in forecast.voices.items()
            },
            "cost": forecast.cost,
            "references": REFERENCES,
            "notes": forecast.notes,
        }
    )


def measurement_document(measurement: Measurement) -> dict:
    """The JSON of `sharpening measure`."""
    return plain(
        {
            **_head("measurement", measurement),
            "interrupted": measurement.interrupted,
            "collapse": {name: _step(step) for name, step in measurement.collapse.items()},
            "curve": measurement.trajectory.curve(),
            "floor": measurement.trajectory.floor,
            "cost": measurement.cost,
            "notes": measurement.notes,
        }
    )


def comparison_document(forecast: ModelForecast, measurement: Measurement) -> dict:
    """The JSON of `sharpening compare`: both documents, and for every voice how far its steps and curves are
    off.

    `distance[voice][criterion]`: `factor` >= 1 (later over earlier step; `bound` is "at_least" where a run
    ended first), `direction` of the forecast. `curve_error[voice][metric]`: mean absolute difference over the
    measured evaluations.
    """
    return plain(
        {
            **_head("comparison", measurement),
            "forecast": forecast_document(forecast),
            "measurement": measurement_document(measurement),
            "speaker": forecast.speaker,
            "within_interval": {
                name: within_interval(step, measurement.collapse.get(name))
                for name, step in forecast.collapse.items()
            },
            "distance": {
                voice: {name: found.as_dict() for name, found in distances.items()}
                for voice, distances in voice_distances(forecast, measurement).items()
            },
            "curve_error": curve_errors(forecast, measurement),
        }
    )


def simulation_document(trajectory, settings: dict, collapse: dict) -> dict:
    """The JSON of `sharpening simulate`."""
    return plain(
        {
            "schema": SCHEMA,
            "kind": "simulation",
            "settings": settings,
            "floor": trajectory.floor,
            "collapse": {name: _step(step) for name, step in collapse.items()},
            "curve": trajectory.curve(),
        }
    )


def _head(kind: str, result) -> dict:
    return {
        "schema": SCHEMA,
        "kind": kind,
        "model": result.model,
        "task": result.task,
        "settings": result.settings.as_dict() | ({"trl": result.trl} if result.trl else {}),
    }


def _step(step) -> dict:
    return {"step": step.step, "outcome": step.outcome}


def _forecast_step(step) -> dict:
    return {**_step(step), "low": step.low, "high": step.high, "level": step.level}
