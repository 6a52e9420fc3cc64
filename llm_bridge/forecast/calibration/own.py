"""A calibration fitted on one's own runs: what they suffice for is fitted, the rest is another calibration's or
missing.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.metadata import version

from llm_bridge.console.progress import NullProgress
from llm_bridge.forecast.calibration.enough import (
    EVENTS,
    LEAST_PRIORS,
    LEAST_RUNS,
    LEAST_SETTINGS,
    chance_shortage,
    events,
    failure_shortage,
    fates_shortage,
    of_kind,
    once,
    rise_shortage,
)
from llm_bridge.forecast.calibration.file import FORMAT, CalibrationFile
from llm_bridge.forecast.calibration.fit import (
    ENDS,
    Group,
    calibrated,
    chance,
    fate_of,
    fates,
    measured_runs,
    rise,
)
from llm_bridge.forecast.calibration.outcome import Chance, Fates, Rise
from llm_bridge.forecast.calibration.survival import DATED, KINDS, FailureTime
from sharpening.errors import InputError

PACKAGES = ("scipy", "scikit-learn", "numpy")
RULE = (
    f"A fit takes {LEAST_RUNS} runs in {LEAST_SETTINGS} models or settings, and {EVENTS} runs in which it"
    " happened (of a chance: and as many in which it did not) for each feature that differs between them"
)


@dataclass(frozen=True)
class Fitted:
    """One part of a calibration: what was fitted, or why nothing could be (`short`), and what stands in for
    it (`part` of the base, None if there is none).
    """

    kind: str
    name: str
    part: FailureTime | Chance | Fates | Rise | None
    runs: int
    met: int
    short: str | None = None

    @property
    def place(self) -> str:
        """Its name in the file, "labelled.relative"."""
        return f"{self.kind}.{self.name}" if self.kind else self.name

    def as_row(self) -> dict:
        """What a table shows of it; spread and interval of failure times alone."""
        head = self.part if isinstance(self.part, FailureTime) else None
        origin = "these runs" if self.short is None else "nothing" if self.part is None else "base"
        return {
            "name": self.name,
            "kind": self.kind or "both",
            "runs": self.runs,
            "events": self.met,
            "spread": head and head.spread,
            "low": head and head.factors[0],
            "high": head and head.factors[1],
            "from": origin,
            "why": self.short,
        }


def fit_parts(
    readings: list[list[Group]], base: CalibrationFile | None = None, progress=None
) -> list[Fitted]:
    """Every part of a calibration: fitted where the runs suffice, else the base's; `readings` as of
    `llm_bridge.forecast.calibration.pairing.readings`.
    """
    chosen = [group for read in readings for group in read]
    if left_out(chosen) == "settings":
        chosen = [replace(group, prior=group.label) for group in chosen]
    parts, bar = [], (progress or NullProgress()).start("fits", len(KINDS) * len(DATED))
    for kind in KINDS:
        mine, spare, heads = of_kind(chosen, kind), _spare(base, kind), []
        for name in DATED:
            heads.append(_head(mine, name, kind, spare))
            bar.advance()
        half = next(one.part for one in heads if one.name == "half_life")
        dated = half if isinstance(half, FailureTime) else None
        parts += heads + [_chance(mine, dated, end, kind, spare) for end in KINDS[kind]]
        parts.append(_fates(mine, dated, kind, spare))
    bar.close()
    labelled = of_kind(chosen, "labelled")
    risen = sum(ENDS["rises"](group, seed) for group in once(labelled) for seed in range(len(group.end)))
    short = rise_shortage(labelled)
    found = rise(labelled) if short is None else None if base is None else Rise(**base.rise.model_dump())
    return [*parts, Fitted("", "rise", found, measured_runs(labelled), risen, short)]


def left_out(chosen: list[Group]) -> str:
    """What intervals leave out together: "priors", or "settings" where there are too few priors."""
    return "priors" if len({group.prior for group in chosen}) >= LEAST_PRIORS else "settings"


def _spare(base: CalibrationFile | None, kind: str):
    return base.calibration(kind) if base is not None and kind in base.heads else None


def _head(chosen, criterion: str, kind: str, spare) -> Fitted:
    short, found = failure_shortage(chosen, criterion, kind), None
    if short is None:
        found = calibrated(chosen, criterion, kind)
    runs, met = measured_runs(chosen, criterion) if chosen else 0, events(chosen, criterion)
    return Fitted(
        kind, criterion, found if short is None else spare and spare.heads[criterion], runs, met, short
    )


def _chance(chosen, half_life: FailureTime | None, end: str, kind: str, spare) -> Fitted:
    short = chance_shortage(chosen, end, kind)
    if short is None and half_life is None:
        short = "it reads the failure time of half_life, which is missing"
    found = spare and spare.chances[end]
    if short is None and half_life is not None:
        found = chance(chosen, half_life, end, kind)
    told = [ENDS[end](group, seed) for group in once(chosen) for seed in range(len(group.end))]
    return Fitted(kind, end, found, len(told), sum(told), short)


def _fates(chosen, half_life: FailureTime | None, kind: str, spare) -> Fitted:
    short = fates_shortage(chosen, kind)
    if short is None and half_life is None:
        short = "it reads the failure time of half_life, which is missing"
    found = spare and spare.fates
    if short is None and half_life is not None:
        found = fates(chosen, half_life, kind)
    told = [fate_of(group, seed) for group in once(chosen) for seed in range(len(group.end))]
    return Fitted(kind, "fates", found, len(told), len(told) - told.count("dies"), short)


def calibration_of(
    parts: list[Fitted],
    readings: list[list[Group]],
    rewards: Iterable[str],
    base: CalibrationFile | None,
    told: str,
) -> dict:
    """The document of a calibration file; told: the command. A kind that lacks a part is left out.

    Raises: InputError where nothing was fitted, or where no kind is whole.
    """
    # A forecast without fates has its steps all the same.
    lacking = {part.place: part.short for part in parts if part.part is None and part.name != "fates"}
    whole = [kind for kind in KINDS if not any(place.startswith(f"{kind}.") for place in lacking)]
    groups = readings[0]
    fitted = any(part.short is None for part in parts)
    risen = parts[-1].part
    if not fitted or not whole or risen is None:
        listed = "; ".join(f"{place}: {why}" for place, why in _reasons(parts, lacking).items())
        raise InputError(
            "runs",
            f"{sum(len(group.at) for group in groups)} runs",
            f"there is too little to fit. {RULE}. {listed}",
            "Give more runs"
            + ("" if base or not fitted else ", or take over what is missing with --base shipped"),
        )
    named = {kind: [part for part in parts if part.kind == kind] for kind in whole}
    return {
        "format": FORMAT,
        "command": told,
        "date": time.strftime("%Y-%m-%d"),
        "runs": sum(len(group.at) for group in groups),
        "settings": len(groups),
        "pilots": len(readings),
        "priors": sorted({group.prior for group in groups}),
        "rewards": sorted(rewards),
        "left_out": left_out(groups),
        "versions": {name: version(name) for name in PACKAGES},
        "base": base and {"command": base.command, "date": base.date, "runs": base.runs},
        "taken_over": [part.place for part in parts if part.short is not None and part.part is not None],
        "heads": {
            kind: {one.name: one.part.as_dict() for one in found if one.part and one.name in DATED}
            for kind, found in named.items()
        },
        "chances": {
            kind: {one.name: one.part.as_dict() for one in found if one.part and one.name in KINDS[kind]}
            for kind, found in named.items()
        },
        "fates": {
            kind: one.part.as_dict()
            for kind, found in named.items()
            for one in found
            if one.name == "fates" and one.part is not None
        },
        "rise": risen.as_dict(),
    }


def _reasons(parts: list[Fitted], lacking: dict[str, str | None]) -> dict[str, str | None]:
    """Why parts are missing, once each; where a base stands in for all, why nothing was fitted."""
    told = lacking or {part.place: part.short for part in parts}
    first: dict[str | None, str] = {}
    for place, why in told.items():
        first.setdefault(why, place)
    return {place: why for why, place in first.items()}
