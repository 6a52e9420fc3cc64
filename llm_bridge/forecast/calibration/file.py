"""The file of a calibration: what it must hold, checked on load, and how it is written."""

import json
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from llm_bridge.forecast.calibration.features import FATE, MEANINGS, NEED_LABELS
from llm_bridge.forecast.calibration.outcome import Chance, Fate, Fates, Rise
from llm_bridge.forecast.calibration.survival import (
    ALSO_DATED,
    CALIBRATED,
    DATED,
    KINDS,
    SHIPPED,
    Calibration,
    FailureTime,
    Origin,
)
from sharpening.errors import InputError

LARGEST = 1e6
"""No intercept or weight of a fit is larger, nor any setting of a run."""

FORMAT = 2
"""Of the file. Files of the first, whose failure times were log-normal in other features, must be fitted anew."""

Level = Annotated[float, Field(gt=0, lt=1)]
Coefficient = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
Runs = Annotated[int, Field(ge=1)]
Record = TypeVar("Record", bound=BaseModel)


class _Record(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, frozen=True)


class FailureTimeRecord(_Record):
    """A `FailureTime`."""

    criterion: str
    intercept: Coefficient
    weights: dict[str, Coefficient]
    spread: Annotated[float, Field(gt=0)]
    runs: Runs
    doubt: list[list[Coefficient]] | None = None
    typical: Annotated[float, Field(ge=0)] = 0.0


class ChanceRecord(_Record):
    """A `Chance`."""

    intercept: Coefficient
    weights: dict[str, Coefficient]
    runs: Runs


class FatesRecord(_Record):
    """A `Fates`."""

    intercepts: Annotated[dict[Fate, Coefficient], Field(min_length=2)]
    weights: dict[Fate, dict[str, Coefficient]]
    runs: Runs
    shortest_way: Coefficient | None = None

    @model_validator(mode="after")
    def _reads(self):
        if set(self.intercepts) != set(self.weights):
            raise ValueError("intercepts and weights must be of the same fates")
        if unknown := sorted({name for row in self.weights.values() for name in row} - set(FATE["labelled"])):
            raise ValueError(f"fates weigh {', '.join(unknown)}, which is not read for them")
        return self


class RiseRecord(_Record):
    """A `Rise`."""

    when: Annotated[float, Field(ge=0)]
    low: Annotated[float, Field(ge=0)]
    high: Annotated[float, Field(ge=0)]
    level: Level
    headroom: float
    runs: Runs

    @model_validator(mode="after")
    def _ordered(self):
        if not self.low <= self.when <= self.high:
            raise ValueError("when must lie between low and high")
        return self


class CalibrationFile(BaseModel):
    """A calibration as JSON: at least one of the kinds "labelled" and "label-free", each whole, and what it
    was made of.

    heads: kind to criterion to failure time. chances: kind to how a run may go to its chance. rise: where
    accuracy peaks. fates: kind to the chances of how a run goes as a whole, where they were fitted.
    runs, priors, rewards: what it was fitted on. left_out: what was left out together for
    the intervals, "priors" or "settings". taken_over: the parts that stem from another calibration, `base`.
    Keys that are not known are left as they are.
    """

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False, frozen=True)

    format: Literal[2]
    command: str = ""
    date: str
    runs: Runs
    versions: dict[str, str] = {}
    priors: list[str] = []
    rewards: list[str] = list(CALIBRATED)
    left_out: str = "priors"
    base: dict | None = None
    taken_over: list[str] = []
    heads: Annotated[dict[str, dict[str, FailureTimeRecord]], Field(min_length=1)]
    chances: dict[str, dict[str, ChanceRecord]]
    rise: RiseRecord
    fates: dict[str, FatesRecord] = {}

    @model_validator(mode="after")
    def _whole(self):
        if not set(self.heads) <= set(KINDS) or set(self.heads) != set(self.chances):
            raise ValueError(f"heads and chances must have the same kinds, of {', '.join(KINDS)}")
        for kind in self.heads:
            _check_kind(kind, self.heads[kind], self.chances[kind])
        return self

    def calibration(self, kind: str, file: Path = SHIPPED) -> Calibration:
        """What a forecast of one kind reads, as it came from `file`.

        Raises: InputError if the file has none of this kind.
        """
        if kind not in self.heads:
            raise InputError(
                "calibration",
                str(file),
                f"it has a fit for {' and '.join(self.heads)} tasks alone, and this one is {kind}",
                "Leave it out, or fit it again with `--base shipped`, which fills in what is missing",
            )
        heads = {name: FailureTime.from_dict(head.model_dump()) for name, head in self.heads[kind].items()}
        chances = {name: Chance(**one.model_dump()) for name, one in self.chances[kind].items()}
        told = "shipped" if Path(file) == SHIPPED else str(file)
        origin = Origin(told, self.date, self.runs)
        fates = Fates(**self.fates[kind].model_dump()) if kind in self.fates else None
        return Calibration(heads, chances, Rise(**self.rise.model_dump()), origin, fates)


def _check_kind(kind: str, heads: dict, chances: dict) -> None:
    """Raise ValueError unless a kind has every criterion and chance, which read what such a forecast knows."""
    if set(heads) - set(ALSO_DATED) != set(DATED):
        raise ValueError(_other(f"{kind} failure times", heads, DATED))
    if set(chances) != set(KINDS[kind]):
        raise ValueError(_other(f"{kind} chances", chances, KINDS[kind]))
    known = set(MEANINGS) - {"log_lives"} - (set(NEED_LABELS) if kind == "label-free" else set())
    for name, head in heads.items():
        if head.criterion != name:
            raise ValueError(f"the failure time under {name} says that it is of {head.criterion}")
        if unknown := sorted(set(head.weights) - known):
            raise ValueError(
                f"{kind} {name} weighs {', '.join(unknown)}, which such a forecast does not read"
            )
        size = len(head.weights) + 1
        if head.doubt is not None and [len(row) for row in head.doubt] != [size] * size:
            raise ValueError(
                f"the doubt of {kind} {name} must have {size} rows of {size} numbers: the intercept's, then the"
                " weights'"
            )
    for name, chance in chances.items():
        if unknown := sorted(set(chance.weights) - known - {"log_lives"}):
            raise ValueError(
                f"{kind} {name} weighs {', '.join(unknown)}, which such a forecast does not read"
            )


def _other(what: str, found, needed) -> str:
    missing, unknown = sorted(set(needed) - set(found)), sorted(set(found) - set(needed))
    told = ([f"lacks {', '.join(missing)}"] if missing else []) + (
        [f"has {', '.join(unknown)[:80]}, which is not known"] if unknown else []
    )
    return f"among the {what} it {' and '.join(told)}"


WROTE = "Give a file that `sharpening calibrate` wrote"


def read_calibration(file: Path, argument: str = "calibration") -> CalibrationFile:
    """A calibration file, checked.

    Raises: InputError if it cannot be read or is no calibration.
    """
    told = read_json(file, argument, WROTE)
    if isinstance(told, dict) and told.get("heads") and told.get("format", 1) != FORMAT:
        raise InputError(
            argument,
            str(file),
            f"it is a calibration of format {str(told.get('format', 1))[:20]}, and this version reads {FORMAT}: its"
            " failure times have another law and other features",
            "Fit it again with `sharpening calibrate`, from runs and forecasts made by this version",
        )
    return checked(CalibrationFile, told, argument, file, "calibration", WROTE)


def check_calibration(file: Path, reward: str, labelled: bool) -> Calibration:
    """The calibration that a forecast is to use.

    Raises: InputError as `load_calibration`, and where no run that it was fitted on had this reward.
    """
    found = read_calibration(file)
    if reward not in found.rewards or reward not in CALIBRATED:
        known = ", ".join(name for name in CALIBRATED if name in found.rewards)
        raise InputError(
            "calibration",
            str(file),
            f"it speaks about runs with {known or 'other rewards'}, and this one has {reward}",
            "Leave it out, or fit one on runs with this reward"
            if reward in CALIBRATED
            else "Leave it out: forecasts of this reward have no pilot that a calibration could read",
        )
    return found.calibration("labelled" if labelled else "label-free", file)


def read_json(file: Path, argument: str, fix: str):
    """The JSON of a file. Raises: InputError if it cannot be read."""
    try:
        return json.loads(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            argument, str(file), f"it cannot be read ({error.strerror or error})", fix
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(argument, str(file), f"it is not JSON ({str(error)[:100]})", fix) from error


def checked(model: type[Record], data, argument: str, file: Path, called: str, fix: str) -> Record:
    """`data` as a record of this type. Raises: InputError that names the first field that does not fit."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        message = first["msg"].removeprefix("Value error, ")
        raise InputError(
            argument, str(file), f"it is no {called}: {f'{place}: ' if place else ''}{message}{more}", fix
        ) from None
