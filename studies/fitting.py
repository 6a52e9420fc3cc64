"""The ground truth as groups of seeds with features: what `llm_bridge.forecast.calibration.fit` fits on.

Every fit takes each group as often as pilots read it: what one pilot reads is noisy, and a fit that sees its
scatter does not lean on its luck.
"""

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from llm_bridge import Kernel, Pilot, Prior, RunSettings
from llm_bridge.forecast.calibration.features import Reading
from llm_bridge.forecast.calibration.fit import Group
from llm_bridge.forecast.calibration.survival import DATED

FAMILIES = {"architecture": "gpt_neox", "task": "sorting"}
"""Left out together: no prior of this architecture or of this task is used in the fit that is judged."""


@dataclass(frozen=True, kw_only=True)
class StudyGroup(Group):
    """A `Group` of the ground truth, with what its judges ask."""

    architecture: str
    task: str
    settings: RunSettings

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
            for name in DATED
        }
        recipe, curves = PRIORS[runs[0]["model"]], [run["curve"]["accuracy"] for run in runs]
        found.append(
            StudyGroup(
                prior=recipe.name,
                architecture=recipe.architecture,
                task=recipe.task,
                label=label,
                settings=settings,
                features=_reading(probe, pilot).at(settings),
                steps=steps,
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


def _reading(probe: dict, pilot: int) -> Reading:
    """What the calibration reads of a probe's record and one of its pilots."""
    kernel = Kernel(**probe["coupling"])
    return Reading.of(Prior(**probe["prior"]), kernel, [Pilot.from_dict(probe["pilots"][pilot])])
