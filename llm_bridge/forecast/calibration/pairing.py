"""Measured runs and the forecasts that were made of them, paired and turned into what a fit reads."""

from collections import defaultdict

from llm_bridge.forecast.calibration.documents import PilotRecord
from llm_bridge.forecast.calibration.features import Reading
from llm_bridge.forecast.calibration.fit import Group
from llm_bridge.forecast.calibration.records import RUNS, Read, Run
from llm_bridge.training.settings import RunSettings
from sharpening.errors import InputError

UNREAD = ("seed", "learning_rate", "max_steps", "eval_every", "eval_early", "criterion")
"""Settings that neither probe nor pilot reads, so that one forecast serves runs which differ in them."""

SAME = ("seed", "criterion")
"""Settings in which the runs of one group may differ."""


def _without(settings: RunSettings, names) -> tuple:
    return tuple((name, value) for name, value in settings.as_dict().items() if name not in names)


def _key(one: Run | Read) -> tuple:
    return one.model, one.task, _without(one.settings, UNREAD)


def paired(runs: list[Run], forecasts: list[Read]) -> tuple[dict[tuple, list[Run]], dict[tuple, list[Read]]]:
    """(runs by group, forecasts by key): every run once, and for each the forecasts of its model, task and
    settings, but for UNREAD.

    Raises: InputError where there is no run or no forecast; for two runs of the same settings and seed that
    went differently; for a run without a forecast, or whose forecasts have no pilot that learnt, or one of
    other prompts.
    """
    if not runs or not forecasts:
        lacking, found = ("measured run", "forecast") if not runs else ("forecast", "measured run")
        raise InputError(
            RUNS,
            f"{len(runs or forecasts)} × {found}",
            f"a fit reads measured runs and forecasts of them, and there is no {lacking}",
            f"Give the JSON of `sharpening {'measure' if not runs else 'forecast'}` too",
        )
    by_key, groups = defaultdict(list), defaultdict(list)
    for forecast in forecasts:
        by_key[_key(forecast)].append(forecast)
    for run in _once(runs):
        _check_forecasts(run, by_key, forecasts)
        groups[run.model, run.task, _without(run.settings, SAME)].append(run)
    return dict(groups), dict(by_key)


def _once(runs: list[Run]) -> list[Run]:
    seen: dict[tuple, Run] = {}
    for run in runs:
        known = seen.setdefault((run.model, run.task, _without(run.settings, ("criterion",))), run)
        if known is not run and not known.same(run):
            raise InputError(
                RUNS,
                run.source,
                f"it has the model, task, settings and seed of {known.source}, and went differently",
                "Leave one of the two out, or measure with another --seed",
            )
    return list(seen.values())


def _check_forecasts(run: Run, by_key: dict, forecasts: list[Read]) -> None:
    mine = by_key.get(_key(run))
    how = "Forecast with the settings of the run, `sharpening forecast … --json FILE`, and give FILE too"
    if mine is None:
        raise InputError(RUNS, run.source, _unpaired(run, forecasts), how)
    if not any(forecast.pilots for forecast in mine):
        told = any(forecast.record.pilot_records for forecast in mine)
        raise InputError(
            RUNS,
            mine[0].source,
            "no step of its pilots moved a weight, so a fit has nothing to read"
            if told
            else "it holds no pilot: it was made by an older version, or for a reward whose forecasts have none",
            "Leave it and its runs out" if told else how,
        )
    for forecast in mine:
        if forecast.record.weight_noise is None:
            raise InputError(
                RUNS,
                forecast.source,
                "it does not tell what weight noise did to the model, which failure times read since format 2 of"
                " calibrations",
                how,
            )
        if run.problems and forecast.record.problems and run.problems != forecast.record.problems:
            raise InputError(
                RUNS,
                run.source,
                f"its task {run.task} has other prompts or answers than that of {forecast.source}",
                how,
            )
        if (run.accuracy is not None) != forecast.record.labelled:
            raise InputError(
                RUNS,
                run.source,
                f"it and {forecast.source} disagree on whether task {run.task} has true answers",
                how,
            )


def _unpaired(run: Run, forecasts: list[Read]) -> str:
    """Why no forecast fits a run, told of the nearest one."""
    same_model = [one for one in forecasts if one.model == run.model]
    same_task = [one for one in same_model if one.task == run.task]
    if not same_model:
        return f"there is no forecast of its model {run.model}"
    if not same_task:
        return f"there is no forecast of its model {run.model} on its task {run.task}"
    mine = dict(_without(run.settings, UNREAD))
    differences = [
        [name for name, value in _without(one.settings, UNREAD) if mine[name] != value] for one in same_task
    ]
    nearest = min(differences, key=len)
    return (
        f"no forecast of {run.model} on {run.task} has its settings: the nearest differs in"
        f" {', '.join(nearest)}"
    )


def unused(by_key: dict, groups: dict) -> list[str]:
    """Where the forecasts are that no run goes with."""
    used = {_key(run) for runs in groups.values() for run in runs}
    return [forecast.source for key, found in by_key.items() if key not in used for forecast in found]


def readings(groups: dict[tuple, list[Run]], by_key: dict[tuple, list[Read]]) -> list[list[Group]]:
    """The groups as each pilot read them, every one by equally many: a model with more pilots weighs no more
    than another.
    """
    pilots = {}
    for key in dict.fromkeys(_key(runs[0]) for runs in groups.values()):
        # A forecast that is given twice is one reading.
        found = {str(pilot): (forecast, pilot) for forecast in by_key[key] for pilot in forecast.pilots}
        pilots[key] = list(found.values())
    count = min(map(len, pilots.values()))
    return [
        [_group(runs, *pilots[_key(runs[0])][number]) for runs in groups.values()] for number in range(count)
    ]


def _group(runs: list[Run], forecast: Read, pilot: PilotRecord) -> Group:
    from llm_bridge.forecast.pilot import Pilot

    first, told = runs[0], forecast.record
    reading = Reading.of(
        told.known_prior,
        told.kernel,
        [Pilot.from_dict(pilot.model_dump())],
        told.noise,
        first.settings.optimizer,
    )
    curves = [run.accuracy for run in runs if run.accuracy is not None]
    highest = [max(curve) for curve in curves]
    return Group(
        prior=f"{first.model} on {first.task}",
        label=str((first.model, first.task, _without(first.settings, SAME))),
        features=reading.at(first.settings),
        steps={name: [run.steps[name] for run in runs] for name in first.steps},
        horizon=first.settings.max_steps,
        at=tuple(run.at for run in runs),
        start=[curve[0] for curve in curves],
        end=[curve[-1] for curve in curves],
        best=highest,
        peak=[run.at[curve.index(top)] for run, curve, top in zip(runs, curves, highest, strict=False)],
    )
