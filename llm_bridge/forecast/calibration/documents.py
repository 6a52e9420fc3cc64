"""The JSON documents of `sharpening measure` and `forecast`, as far as a fit reads them."""

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from llm_bridge.forecast.calibration.features import WeightNoise
from llm_bridge.forecast.calibration.survival import DATED
from llm_bridge.forecast.kernel import Kernel
from llm_bridge.forecast.prior import PRIOR, Prior

SCHEMA = Literal[1]
Share = Annotated[float, Field(ge=0, le=1)]
Step = Annotated[int, Field(ge=0, le=10**12)]


class _Record(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False, frozen=True)


class StepRecord(_Record):
    step: Step | None
    outcome: Literal["collapsed", "censored", "never_started", "unavailable"]

    @model_validator(mode="after")
    def _agrees(self):
        if (self.step is None) == (self.outcome == "collapsed"):
            raise ValueError("a step belongs to the outcome collapsed, and to no other")
        return self


class CurveRecord(_Record):
    step: Annotated[list[Step], Field(min_length=1)]
    accuracy: list[Share] | None = None

    @model_validator(mode="after")
    def _fits(self):
        if self.step[0] != 0 or any(b <= a for a, b in zip(self.step, self.step[1:], strict=False)):
            raise ValueError("steps must begin with 0 and increase")
        if self.accuracy is not None and len(self.accuracy) != len(self.step):
            raise ValueError("accuracy must have one value for each step")
        return self


class _Document(_Record):
    """What every document of a run says of it."""

    schema_version: Annotated[SCHEMA, Field(alias="schema")]
    model: str
    task: str
    settings: dict[str, Any]


class MeasurementRecord(_Document):
    """The JSON of `sharpening measure`."""

    kind: Literal["measurement"]
    interrupted: bool
    collapse: dict[str, StepRecord]
    curve: CurveRecord

    @model_validator(mode="after")
    def _whole(self):
        if missing := [name for name in DATED if name not in self.collapse]:
            raise ValueError(f"collapse lacks {', '.join(missing)}")
        if any((self.collapse[name].step or 0) > self.curve.step[-1] for name in DATED):
            raise ValueError("collapse has a step after the last of the curve")
        return self


class PilotRecord(_Record):
    """A pilot, as `Pilot.as_dict` tells it."""

    displacement: Annotated[list[float], Field(min_length=2)]
    floor: float | None
    silent: bool = False
    metrics: dict[str, list[float]]

    @model_validator(mode="after")
    def _fits(self):
        at = self.displacement
        if at[0] != 0 or any(b <= a for a, b in zip(at, at[1:], strict=False)):
            raise ValueError("displacement must begin with 0 and increase")
        if len(self.metrics.get("retention", ())) != len(at):
            raise ValueError("retention must have one value for each displacement")
        rewarded = self.metrics.get("reward_accuracy")
        if rewarded is not None and (len(rewarded) != len(at) - 1 or self.floor is None):
            raise ValueError("reward_accuracy must have one value for each step, and a floor")
        return self


class NoiseRecord(_Record):
    """Weight noise, as `WeightNoise.as_dict` tells it."""

    noise: Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=2)]
    retention: list[Share]
    num_parameters: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _fits(self):
        if self.noise[0] != 0 or any(b <= a for a, b in zip(self.noise, self.noise[1:], strict=False)):
            raise ValueError("noise must begin with 0 and increase")
        if len(self.retention) != len(self.noise):
            raise ValueError("retention must have one value for each noise")
        return self


class ForecastRecord(_Document):
    """The JSON of `sharpening forecast`, as far as a fit reads it."""

    kind: Literal["forecast"]
    prior: dict[str, float | None]
    coupling: dict[str, float | None]
    problems: str | None = None
    pilot_records: list[PilotRecord] | None = None
    weight_noise: NoiseRecord | None = None

    @model_validator(mode="after")
    def _read(self):
        needed = ("majority_ratio", *(("accuracy", "label_accuracy") if self.labelled else ()))
        told = {name: self.prior.get(name) for name in needed}
        if missing := [name for name, value in told.items() if value is None]:
            raise ValueError(f"prior lacks {', '.join(missing)}")
        if any(value is not None and not 0 <= value <= 1 for value in told.values()):
            raise ValueError(f"prior must have {', '.join(needed)} between 0 and 1")
        if self.coupling.get("cosine") is None:
            raise ValueError("coupling lacks cosine")
        if self.labelled and any("reward_accuracy" not in one.metrics for one in self.pilot_records or ()):
            raise ValueError("a pilot of a task with labels lacks reward_accuracy")
        return self

    @property
    def labelled(self) -> bool:
        return self.prior.get("label_accuracy") is not None

    @property
    def known_prior(self) -> Prior:
        """The prior, nan where a record does not tell what no fit reads."""
        unread = dict.fromkeys(("entropy", "tie", "no_answer"), math.nan)
        known = {name: value for name in PRIOR if (value := self.prior.get(name)) is not None}
        return Prior(**unread | known)

    @property
    def kernel(self) -> Kernel:
        """The kernel, as far as a fit reads it."""
        known = {name: value for name, value in self.coupling.items() if value is not None}
        return Kernel(cosine=known["cosine"], clock=known.get("clock", 0.0))

    @property
    def noise(self) -> WeightNoise:
        """The weight noise of a record that tells it."""
        told = self.weight_noise
        assert told is not None, "`pairing` refuses records without it"
        return WeightNoise(tuple(told.noise), tuple(told.retention), told.num_parameters)
