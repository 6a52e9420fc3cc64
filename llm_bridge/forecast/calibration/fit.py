"""Fits on measured runs: failure times, the chances of how a run goes, and where it peaks.

A failure time is lifelines' log-normal accelerated failure time model with a ridge penalty, on censored data.
Intervals are conformal: ratios of measured and forecast step on priors left out one at a time, their
quantiles by Kaplan-Meier because some ratios are censored too. A group may be given as often as pilots read
it: what one pilot reads is noisy, and a fit that sees its scatter does not lean on its luck.
"""

import math
from dataclasses import dataclass

import numpy as np

from llm_bridge.forecast.calibration.features import OUTCOME, read_for
from llm_bridge.forecast.calibration.outcome import Chance, Rise
from llm_bridge.forecast.calibration.survival import DATED, KINDS, Calibration, FailureTime, lives

LEVEL, PENALTY, RISE = 0.9, 0.02, 0.03


@dataclass(frozen=True, kw_only=True)
class Group:
    """The seeds of one model and one setting: what a forecast of it reads, and what was measured.

    prior: what is left out together where intervals are made. steps: criterion to the step of each seed,
    math.inf where it was not met, math.nan where it cannot be told of the seed. horizon: the budget in steps;
    seen: each seed's last step, if not the horizon. start, end, best: accuracy at each seed's first, last and
    best evaluation, empty without labels; peak: the step of the best.
    """

    prior: str
    label: str
    features: dict[str, float]
    steps: dict[str, list[float]]
    horizon: int
    start: list[float]
    end: list[float]
    best: list[float]
    peak: list[int]
    seen: tuple[int, ...] | None = None

    def told(self, criterion: str) -> list[tuple[float, bool]]:
        """(duration, whether the criterion was met) of every seed of which it can be told."""
        steps = self.steps[criterion]
        ends = self.seen or (self.horizon,) * len(steps)
        return [
            (min(step, end), math.isfinite(step))
            for step, end in zip(steps, ends, strict=True)
            if not math.isnan(step)
        ]


def measured_runs(chosen, criterion: str | None = None) -> int:
    """Runs behind groups that several pilots may have read; of which a criterion can be told, or that have
    an accuracy.
    """
    once = {group.label: group for group in chosen}.values()
    return sum(len(group.end if criterion is None else group.told(criterion)) for group in once)


def _rows(chosen, criterion, names):
    """One row a seed: features, duration, whether the criterion was met."""
    import pandas as pd

    rows = [
        {name: group.features[name] for name in names} | {"steps": step, "met": met}
        for group in chosen
        for step, met in group.told(criterion)
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
            for step, happened in group.told(criterion):
                ratios.append(step / one.median(group.features))
                met.append(happened)
    curve = KaplanMeierFitter().fit(ratios, met)
    low, high = (float(curve.percentile(1 - level)) for level in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    runs = measured_runs(chosen, criterion)
    return FailureTime(criterion, *fit(chosen, criterion, names), low, high, LEVEL, runs)


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
    heads = {name: calibrated(chosen, name, kind) for name in DATED}
    chances = {end: chance(chosen, heads["half_life"], end, kind) for end in KINDS[kind]}
    return Calibration(heads, chances, rise(chosen))


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
    dead = [(group, seed) for group, seed in runs if 0 < group.steps["half_life"][seed] < math.inf]
    when = [group.peak[seed] / group.steps["half_life"][seed] for group, seed in dead]
    low, middle, high = np.quantile(when, [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2])
    room = [
        (group.best[seed] - group.start[seed]) / (group.features["label_accuracy"] - group.start[seed])
        for group, seed in runs
        if group.features["label_accuracy"] - group.start[seed] >= RISE
    ]
    return Rise(float(middle), float(low), float(high), LEVEL, float(np.median(room)), len(when))
