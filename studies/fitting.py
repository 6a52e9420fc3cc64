"""What was measured, the ground truth and the blind rounds, as groups of seeds with features: what
`llm_bridge.forecast.calibration.fit` fits on.

Every fit takes each group as often as pilots read it: what one pilot reads is noisy, and a fit that sees its
scatter does not lean on its luck.
"""

import math
from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np

from llm_bridge import Kernel, Pilot, Prior, RunSettings
from llm_bridge.forecast.calibration.features import Reading, WeightNoise
from llm_bridge.forecast.calibration.fit import Group
from llm_bridge.forecast.calibration.survival import ALSO_DATED, DATED
from studies.study import load_result

FAMILIES = {"architecture": "gpt_neox", "task": "sorting"}
"""Left out together: no prior of this architecture or of this task is used in the fit that is judged."""


@dataclass(frozen=True, kw_only=True)
class StudyGroup(Group):
    """A `Group` of the ground truth, with what its judges ask; rate: the learning rate where nothing else was
    changed, else empty.
    """

    architecture: str
    task: str
    settings: RunSettings
    rate: str = ""

    @property
    def left_out(self) -> bool:
        return self.architecture == FAMILIES["architecture"] or self.task == FAMILIES["task"]

    def median(self, criterion: str) -> float:
        """The middle seed, a censored one being later than all."""
        return float(np.median(self.steps[criterion]))


def group_key(record) -> tuple:
    return record["model"], tuple(
        sorted((k, v) for k, v in record["settings"].items() if k not in ("seed", "learning_rate"))
    )


def probes_by_key(study: dict) -> dict[tuple, dict]:
    return {group_key(record): record for record in study["probes"]}


def readings(study: dict) -> list[list[StudyGroup]]:
    """`groups` as each of the probes' pilots read them."""
    return [groups(study, number) for number in range(min(len(probe["pilots"]) for probe in study["probes"]))]


def groups(study: dict, pilot: int = 0) -> list[StudyGroup]:
    """The ground truth with its probes and one of their pilots, one entry for all seeds of a setting; runs
    without a probe are left out.
    """
    from studies.priors import PRIORS

    probes = probes_by_key(study)
    seeds = defaultdict(list)
    for run in study["runs"]:
        if group_key(run) in probes:
            seeds[run["label"]].append(run)
    found = []
    for label, runs in seeds.items():
        probe, settings = probes[group_key(runs[0])], RunSettings(**runs[0]["settings"])
        steps = {
            name: [
                math.inf if run["collapse"][name]["step"] is None else run["collapse"][name]["step"]
                for run in runs
            ]
            for name in (*DATED, *ALSO_DATED)
        }
        recipe, curves = PRIORS[runs[0]["model"]], [run["curve"]["accuracy"] for run in runs]
        found.append(
            StudyGroup(
                prior=recipe.name,
                architecture=recipe.architecture,
                task=recipe.task,
                label=label,
                settings=settings,
                features=widened(probe, reading_of(probe, pilot, settings.optimizer), settings),
                rate=label.removeprefix(recipe.name).strip() if label.count(" ") == 1 else "",
                steps=steps,
                at=tuple(tuple(run["curve"]["step"]) for run in runs),
                horizon=settings.max_steps,
                start=[curve[0] for curve in curves],
                end=[curve[-1] for curve in curves],
                best=[max(curve) for curve in curves],
                peak=[
                    run["curve"]["step"][int(np.argmax(curve))]
                    for run, curve in zip(runs, curves, strict=True)
                ],
            )
        )
    return found


@dataclass(frozen=True, kw_only=True)
class BlindGroup(StudyGroup):
    """One run of a blind prior; intervals: criterion to what `told` says of it."""

    intervals: dict[str, list[tuple[float, float]]]

    def told(self, criterion: str) -> list[tuple[float, float]]:
        return self.intervals[criterion]


def blind_groups(blind: dict) -> tuple[list[BlindGroup], list[str]]:
    """(every run with its features, priors whose pilot was silent)."""
    priors = {one["prior"]: one for one in blind["priors"]}
    silent = [name for name, one in priors.items() if one["probe"]["pilots"][0].get("silent")]
    return [_blind_group(run, priors) for run in blind["runs"] if run["model"] not in silent], silent


def _blind_group(run: dict, priors: dict) -> BlindGroup:
    name, settings, curve = run["model"], RunSettings(**run["settings"]), run["curve"]
    prior = priors[name]
    reading = reading_of(prior["probe"] | {"num_parameters": prior["parameters"]}, 0, "adam")
    intervals = {
        criterion: [] if told is None else [(float(told[0]), math.inf if told[1] is None else float(told[1]))]
        for criterion, told in run["times"].items()
    }
    intervals |= {name: told_late(run["collapse"][name], curve["step"]) for name in ALSO_DATED}
    accuracy = curve["accuracy"]
    return BlindGroup(
        prior=name,
        architecture=prior["architecture"],
        task=prior["task"],
        label=run["label"],
        settings=settings,
        rate=run["label"].removeprefix(name).strip() if settings.beta == 0 else "",
        features=widened(prior["probe"], reading, settings),
        intervals=intervals,
        steps={name: [told[0][1] if told else math.nan] for name, told in intervals.items()},
        at=(tuple(curve["step"]),),
        horizon=settings.max_steps,
        start=accuracy[:1],
        end=accuracy[-1:],
        best=[max(accuracy)],
        peak=[curve["step"][int(np.argmax(accuracy))]],
    )


def told_late(end: dict, steps: list[int]) -> list[tuple[float, float]]:
    """What a run's stored end says of a criterion whose times were not kept."""
    if end["outcome"] == "censored":
        return [(float(steps[-1]), math.inf)]
    if end["outcome"] != "collapsed" or not end["step"]:
        return []
    return [(float(max(step for step in steps if step < end["step"])), float(end["step"]))]


BLIND_ROUNDS = ("blind", "blind-2")
"""Blind rounds that are measured and scored, and so may be fitted on."""


def measured_before(rounds=BLIND_ROUNDS) -> list[list[StudyGroup]]:
    """The ground truth as each of its probes' pilots read it, and with each the runs of these blind rounds, of which
    every prior has one pilot.
    """
    blind = [group for name in rounds for group in blind_groups(load_result(name))[0]]
    return [[*read, *map(replace, blind)] for read in readings(load_result("ground-truth"))]


def reading_of(probe: dict, pilot: int, optimizer: str) -> Reading:
    """What the calibration reads of a probe's record and one of its pilots."""
    noise = WeightNoise(
        tuple(probe["noise"]["noise"]), tuple(probe["noise"]["kept"]), probe["num_parameters"]
    )
    pilots = [Pilot.from_dict(probe["pilots"][pilot])]
    return Reading.of(Prior(**probe["prior"]), Kernel(**probe["coupling"]), pilots, noise, optimizer)


def widened(probe: dict, reading: Reading, settings: RunSettings) -> dict[str, float]:
    """Every feature of a run, with those of the baselines: `log_rate`, `log_radius_steps` (the isotropic noise that
    half of the answers survive over the learning rate) and `log_pilot_steps` (the pilot's two lengths alone).
    """
    rate = math.log(settings.learning_rate)
    radius = probe["noise"]["radius"] or probe["noise"]["noise"][-1]
    pilot = (reading.lengths["retention"] + reading.lengths.get("reward", math.nan)) / 2
    return reading.at(settings) | {
        "log_rate": rate,
        "log_radius_steps": math.log(radius) - rate,
        "log_pilot_steps": pilot - rate,
    }


def doubly_left_out(groups: list[StudyGroup]) -> list[tuple[list, list]]:
    """(fitted, left out): a prior is forecast by a fit that has seen neither its task nor its architecture."""
    pairs = dict.fromkeys((group.task, group.architecture) for group in groups)
    return [
        (
            [g for g in groups if g.task != task and g.architecture != architecture],
            [g for g in groups if (g.task, g.architecture) == (task, architecture)],
        )
        for task, architecture in pairs
    ]
