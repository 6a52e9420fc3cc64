"""How far a forecast is from a measurement: as a factor between collapse steps, and as a mean distance
between curves.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np

from llm_bridge.forecast.result import ModelForecast
from llm_bridge.training.measurement import Measurement


@dataclass(frozen=True)
class Distance:
    """Later step over earlier step: `factor` >= 1.

    direction: "late" (the forecast comes after the measured step), "early", "same"; None where one of the two
    says nothing.
    bound: "exact", or "at_least" where one side is censored: the factor is then the smallest one possible.
    Both censored: direction "same", factor None, since neither step is known.
    """

    factor: float | None
    direction: str | None
    bound: str | None

    def as_dict(self) -> dict:
        return asdict(self)

    @property
    def text(self) -> str:
        """For tables: "×1.8 late", "≥ ×2.0 early", "exact", "agree" (both censored) or "–"."""
        if self.direction is None:
            return "–"
        if self.factor is None:
            return "agree"
        if self.direction == "same":
            return "exact"
        prefix = "≥ " if self.bound == "at_least" else ""
        digits = 1 if self.factor >= 1.05 else 2
        return f"{prefix}×{self.factor:.{digits}f} {self.direction}"


NOTHING = Distance(None, None, None)


def distance(predicted, measured) -> Distance:
    """Distance between two steps that have `step`, `outcome` and `horizon` (a CollapseStep or a
    ForecastStep).

    Only "collapsed" and "censored" can be compared. A censored side lies after its horizon: where that
    horizon comes before the other side's step, nothing can be said.
    """
    if predicted is None or measured is None:
        return NOTHING
    outcomes = predicted.outcome.value, measured.outcome.value
    if outcomes == ("collapsed", "collapsed"):
        return _ratio(predicted.step, measured.step)
    if outcomes == ("censored", "censored"):
        return Distance(None, "same", None)
    if outcomes == ("censored", "collapsed"):
        return _bound(predicted.horizon, measured.step, "late")
    if outcomes == ("collapsed", "censored"):
        return _bound(measured.horizon, predicted.step, "early")
    return NOTHING


def within_interval(predicted, measured) -> bool | None:
    """Whether the measured step lies in [low, high] of a ForecastStep; None where the interval or the
    measurement says nothing.

    A censored measurement lies inside an interval without an upper end, and outside one that ended before the
    run did.
    """
    if (
        predicted is None
        or measured is None
        or predicted.low is None
        or measured.outcome.value not in ("collapsed", "censored")
    ):
        return None
    high = math.inf if predicted.high is None else predicted.high
    if measured.step is not None:
        return predicted.low <= measured.step <= high
    return True if high == math.inf else False if high <= measured.horizon else None


def _ratio(predicted: int, measured: int) -> Distance:
    if predicted == measured:
        return Distance(1.0, "same", "exact")
    if min(predicted, measured) <= 0:
        return NOTHING
    return Distance(
        max(predicted, measured) / min(predicted, measured),
        "late" if predicted > measured else "early",
        "exact",
    )


def _bound(horizon: int | None, step: int, direction: str) -> Distance:
    if horizon is None or not 0 < step <= horizon:
        return NOTHING
    return Distance(horizon / step, direction, "at_least")


def voice_distances(forecast: ModelForecast, measurement: Measurement) -> dict[str, dict[str, Distance]]:
    """For every voice and criterion: how far its step is from the measured one."""
    measured = measurement.collapse
    return {
        voice: {name: distance(step, measured.get(name)) for name, step in steps.items()}
        for voice, steps in forecast.voices_collapse.items()
    }


def curve_errors(forecast: ModelForecast, measurement: Measurement) -> dict[str, dict[str, float]]:
    """For every voice and metric both sides have: mean |forecast - measured| over the measured evaluations,
    in the metric's unit.

    The forecast is interpolated linearly between its own steps; measured evaluations beyond its last step are
    left out.
    """
    measured = measurement.trajectory
    errors = {}
    for voice, trajectory in forecast.voices.items():
        reach = measured.step <= trajectory.horizon
        errors[voice] = {
            name: float(
                np.mean(
                    np.abs(
                        np.interp(measured.step[reach], trajectory.step, trajectory[name])
                        - measured[name][reach]
                    )
                )
            )
            for name in measured.metrics
            if trajectory.has(name)
            and np.isfinite(trajectory[name]).all()
            and np.isfinite(measured[name][reach]).all()
        }
    return errors
