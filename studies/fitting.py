"""The ground truth as groups of seeds with features, and the fits on them: failure times, chances of how a
run ends, where it peaks.

Every fit takes each group as often as pilots read it: what one pilot reads is noisy, and a fit that sees its
scatter does not lean on its luck.

A failure time is lifelines' log-normal accelerated failure time model with a ridge penalty, on censored data.
Intervals are conformal: ratios of measured and forecast step on priors left out one at a time, their
quantiles by Kaplan-Meier because some ratios are censored too.
"""

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from llm_bridge import Calibration, Chance, FailureTime, Kernel, Pilot, Prior, Rise, RunSettings
from llm_bridge.forecast.calibration.features import OUTCOME, Reading, read_for
from llm_bridge.forecast.calibration.survival import lives

CRITERIA = ("relative", "half_life", "mode_retention", "excess_kl")
KINDS = ("labelled", "label-free")
LEVEL, PENALTY, RISE = 0.9, 0.02, 0.03
FAMILIES = {"architecture": "gpt_neox", "task": "sorting"}
"""Left out together: no prior of this architecture or of this task is used in the fit that is judged."""


@dataclass(frozen=True)
class Group:
    """The seeds of one model and one setting: what a forecast of it reads, and the measured steps (math.inf:
    not within `horizon`).

    start, end, best: accuracy at each seed's first, last and best evaluation; peak: the step of the best.
    """

    prior: str
    architecture: str
    task: str
    label: str
    settings: RunSettings
    features: dict[str, float]
    steps: dict[str, list[float]]
    horizon: int
    start: list[float]
    end: list[float]
    best: list[float]
    peak: list[int]

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


def readings(study: dict) -> list[list[Group]]:
    """`groups` as each of the probes' pilots read them."""
    return [groups(study, number) for number in range(min(len(probe["pilots"]) for probe in study["probes"]))]


def groups(study: dict, pilot: int = 0) -> list[Group]:
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
            for name in CRITERIA
        }
        recipe, curves = PRIORS[runs[0]["model"]], [run["curve"]["accuracy"] for run in runs]
        found.append(
            Group(
                recipe.name,
                recipe.architecture,
                recipe.task,
                label,
                settings,
                _reading(probe, pilot).at(settings),
                steps,
                settings.max_steps,
                [curve[0] for curve in curves],
                [curve[-1] for curve in curves],
                [max(curve) for curve in curves],
                [
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


def measured_runs(chosen) -> int:
    """Runs behind groups that several pilots may have read."""
    return sum(len(steps) for steps in {group.label: group.end for group in chosen}.values())


def _rows(chosen, criterion, names):
    """One row a seed: features, duration, whether the criterion was met."""
    import pandas as pd

    rows = [
        {name: group.features[name] for name in names}
        | {"steps": min(step, group.horizon), "met": math.isfinite(step)}
        for group in chosen
        for step in group.steps[criterion]
        if step > 0
    ]
    return pd.DataFrame(rows)


def fit(chosen, criterion: str, names) -> tuple[float, dict[str, float], float]:
    """(intercept, weight of each feature, spread) of log steps; features are standardised for the penalty and
    turned back.
    """
    from lifelines import LogNormalAFTFitter

    table = _rows(chosen, criterion, names)
    unmoved = {name: 0.0 for name in names if table[name].nunique() < 2}
    names = [name for name in names if name not in unmoved]
    middle, scale = table[list(names)].mean(), table[list(names)].std()
    standard = (table[list(names)] - middle) / scale
    standard[["steps", "met"]] = table[["steps", "met"]]
    model = LogNormalAFTFitter(penalizer=PENALTY).fit(standard, "steps", "met")
    weights = {name: float(model.params_["mu_"][name] / scale[name]) for name in names}
    intercept = float(model.params_["mu_"]["Intercept"] - sum(weights[name] * middle[name] for name in names))
    return intercept, weights | unmoved, float(np.exp(model.params_["sigma_"]["Intercept"]))


def calibrated(chosen, criterion: str, kind: str) -> FailureTime:
    """The failure time of one criterion, its interval from forecasts of priors left out one at a time."""
    from lifelines import KaplanMeierFitter

    names = read_for(kind, criterion)
    ratios, met = [], []
    for prior in dict.fromkeys(group.prior for group in chosen):
        rest, mine = [g for g in chosen if g.prior != prior], [g for g in chosen if g.prior == prior]
        one = FailureTime(criterion, *fit(rest, criterion, names), 1.0, 1.0, LEVEL, 0)
        for group in mine:
            for step in group.steps[criterion]:
                ratios.append(min(step, group.horizon) / one.median(group.features))
                met.append(math.isfinite(step))
    curve = KaplanMeierFitter().fit(ratios, met)
    low, high = (float(curve.percentile(1 - level)) for level in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return FailureTime(criterion, *fit(chosen, criterion, names), low, high, LEVEL, measured_runs(chosen))


ENDS = {
    "better": lambda group, seed: group.end[seed] > group.start[seed],
    "rises": lambda group, seed: group.best[seed] >= group.start[seed] + RISE,
    "beats_voting": lambda group, seed: group.best[seed] > group.features["label_accuracy"],
}
"""How a run may go, told of one seed; "beats_voting" speaks of labelled tasks alone."""


def chance(chosen, half_life: FailureTime, end: str, kind: str) -> Chance:
    """The chance of one of ENDS, by ridge logistic regression on standardised features, turned back."""
    from sklearn.linear_model import LogisticRegression

    names = OUTCOME[kind]
    runs = [(group, ENDS[end](group, seed)) for group in chosen for seed in range(len(group.end))]
    table = np.array([[_outcome_features(group, half_life)[name] for name in names] for group, _ in runs])
    middle, scale = table.mean(axis=0), np.where(np.ptp(table, axis=0) > 0, table.std(axis=0), np.inf)
    # A run that several pilots read counts once against the ridge.
    weight = measured_runs(chosen) / len(runs)
    model = LogisticRegression().fit(
        (table - middle) / scale, [good for _, good in runs], np.full(len(runs), weight)
    )
    weights = model.coef_[0] / scale
    return Chance(
        float(model.intercept_[0] - weights @ middle),
        dict(zip(names, map(float, weights), strict=True)),
        measured_runs(chosen),
    )


def _outcome_features(group, half_life) -> dict[str, float]:
    return group.features | {"log_lives": lives(half_life, group.features, group.horizon)}


def calibration(chosen, kind: str) -> Calibration:
    """Everything that a forecast of one kind reads, fitted on `chosen`."""
    heads = {name: calibrated(chosen, name, kind) for name in CRITERIA}
    ends = [end for end in ENDS if kind == "labelled" or end != "beats_voting"]
    return Calibration(
        heads, {end: chance(chosen, heads["half_life"], end, kind) for end in ends}, rise(chosen)
    )


def rise(chosen) -> Rise:
    """Where and how high accuracy peaks in the runs that gain RISE or more; when, of those whose half-life
    was measured too.
    """
    runs = [
        (group, seed)
        for group in {group.label: group for group in chosen}.values()
        for seed in range(len(group.end))
        if ENDS["rises"](group, seed)
    ]
    dead = [(group, seed) for group, seed in runs if math.isfinite(group.steps["half_life"][seed])]
    when = [group.peak[seed] / group.steps["half_life"][seed] for group, seed in dead]
    low, middle, high = np.quantile(when, [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2])
    room = [
        (group.best[seed] - group.start[seed]) / (group.features["label_accuracy"] - group.start[seed])
        for group, seed in runs
        if group.features["label_accuracy"] - group.start[seed] >= RISE
    ]
    return Rise(float(middle), float(low), float(high), LEVEL, float(np.median(room)), len(when))
