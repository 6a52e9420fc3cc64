"""Fits on measured runs: failure times, the chances of how a run goes, and where it peaks.

A failure time is a log-logistic accelerated failure time model on interval-censored runs with a small ridge
(`llm_bridge.forecast.calibration.likelihood`). How wide it is comes from forecasts of what a fit had not
seen. A group may be given as often as pilots read it: what one pilot reads is noisy, and a fit that sees its
scatter does not lean on its luck. Every prior counts alike, whatever the number of its runs: a forecast is asked of
a new one.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from llm_bridge.forecast.calibration.features import FATE, OUTCOME, read_for
from llm_bridge.forecast.calibration.likelihood import fit_log_logistic, fit_spread
from llm_bridge.forecast.calibration.outcome import GAIN, Chance, Fates, Rise, fate
from llm_bridge.forecast.calibration.survival import (
    ALSO_DATED,
    DATED,
    KINDS,
    LEVEL,
    Calibration,
    FailureTime,
    lives,
    way,
)


@dataclass(frozen=True, kw_only=True)
class Group:
    """The seeds of one model and one setting: what a forecast of it reads, and what was measured.

    prior: what is left out together where intervals are made. steps: criterion to the step of each seed,
    math.inf where it was not met, math.nan where it cannot be told of the seed. horizon: the budget in steps;
    at: each seed's evaluations, 0 first. start, end, best: accuracy at each seed's first, last and best
    evaluation, empty without labels; peak: the step of the best.
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
    at: tuple[tuple[int, ...], ...]

    def told(self, criterion: str) -> list[tuple[float, float]]:
        """(low, high) of every seed of which the criterion can be told: it was met after step low and at high
        at the latest, inf where the run ended first.
        """
        found = []
        for step, at in zip(self.steps[criterion], self.at, strict=True):
            if math.isinf(step):
                found.append((float(at[-1]), math.inf))
            elif step > 0:
                found.append((float(max(one for one in at if one < step)), float(step)))
        return found


def measured_runs(chosen, criterion: str | None = None) -> int:
    """Runs behind groups that several pilots may have read; of which a criterion can be told, or that have
    an accuracy.
    """
    once = {group.label: group for group in chosen}.values()
    return sum(len(group.end if criterion is None else group.told(criterion)) for group in once)


def _rows(chosen, criterion: str, names) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(features (rows, names), low, high, count), one row a seed and reading."""
    rows = [(group, *told) for group in chosen for told in group.told(criterion)]
    table = np.array([[group.features[name] for name in names] for group, _, _ in rows])
    low, high = (np.array([row[i] for row in rows]) for i in (1, 2))
    return table, low, high, prior_counts([group for group, _, _ in rows])


def prior_counts(rows) -> np.ndarray:
    """What each row's group counts, so that all rows of a prior together count one."""
    sizes = Counter(group.prior for group in rows)
    return np.array([1 / sizes[group.prior] for group in rows])


SIZE = "log_prompts"
"""A feature of the settings alone, whose weight is told by priors that were run with several values of it: between
priors it says which study a prior was in.
"""


def fit(chosen, criterion: str, names) -> tuple[float, dict[str, float], float]:
    """(intercept, weight of each feature, spread) of log steps; that of SIZE from within priors where any was run
    with several.
    """
    found, spread = _fitted(chosen, criterion, names)
    return float(found[0]), dict(zip(names, map(float, found[1:]), strict=True)), spread


def _fitted(chosen, criterion: str, names) -> tuple[np.ndarray, float]:
    table, low, high, counts = _rows(chosen, criterion, names)
    size = _size_weight(chosen, criterion, names) if SIZE in names else None
    if size is None:
        return fit_log_logistic(table, low, high, counts)
    at = names.index(SIZE)
    known = np.exp(size * table[:, at])
    found, spread = fit_log_logistic(np.delete(table, at, 1), low / known, high / known, counts)
    return np.insert(found, at + 1, size), spread


def _size_weight(chosen, criterion: str, names) -> float | None:
    """The weight of SIZE where every prior has a level of its own; None where none was run with two sizes."""
    sizes: dict[str, set[float]] = {}
    for group in chosen:
        if group.told(criterion):
            sizes.setdefault(group.prior, set()).add(group.features[SIZE])
    several = [prior for prior, mine in sizes.items() if len(mine) > 1]
    if not several:
        return None
    mine = [group for group in chosen if group.prior in several]
    table, low, high, counts = _rows(mine, criterion, names)
    of = [group.prior for group in mine for _ in group.told(criterion)]
    levels = np.array([[prior == one for one in several[1:]] for prior in of], float)
    found, _ = fit_log_logistic(np.column_stack([table, levels]), low, high, counts)
    return float(found[1 + names.index(SIZE)])


def other_priors(chosen) -> list[tuple[list, list]]:
    """(all but one prior's groups, that prior's), each prior once."""
    priors = dict.fromkeys(group.prior for group in chosen)
    return [
        ([g for g in chosen if g.prior != prior], [g for g in chosen if g.prior == prior]) for prior in priors
    ]


def calibrated(
    chosen, criterion: str, kind: str, folds: Callable[..., Iterable] = other_priors
) -> FailureTime:
    """The failure time of one criterion; folds: chosen to (fitted, left out) pairs whose forecasts tell the
    spread.
    """
    names = read_for(kind, criterion)
    left = []
    for rest, mine in folds(chosen):
        head = FailureTime(criterion, *fit(rest, criterion, names), 0)
        left += [
            (group, head.log_median(group.features), *told)
            for group in mine
            for told in group.told(criterion)
        ]
    medians, low, high = (np.array([row[i] for row in left]) for i in (1, 2, 3))
    spread = fit_spread(medians, low, high, prior_counts([row[0] for row in left]))
    intercept, weights, _ = fit(chosen, criterion, names)
    doubt = _jackknife(chosen, criterion, names)
    table, *_, counts = _rows(chosen, criterion, names)
    full = np.column_stack([np.ones(len(table)), table])
    typical = float(np.average(np.einsum("ri,ij,rj->r", full, doubt, full), weights=counts))
    return FailureTime(
        criterion,
        intercept,
        weights,
        spread,
        measured_runs(chosen, criterion),
        tuple(tuple(map(float, row)) for row in doubt),
        typical,
    )


def _jackknife(chosen, criterion: str, names) -> np.ndarray:
    """Covariance of (intercept, weights) from fits without one prior each: (P − 1)/P Σ (b_p − mean)²."""
    fits = np.array([_fitted(rest, criterion, names)[0] for rest, _ in other_priors(chosen)])
    apart = fits - fits.mean(0)
    return (len(fits) - 1) / len(fits) * apart.T @ apart


ENDS = {
    "better": lambda group, seed: group.end[seed] > group.start[seed],
    "rises": lambda group, seed: group.best[seed] >= group.start[seed] + GAIN,
    "beats_voting": lambda group, seed: group.best[seed] > group.features["label_accuracy"],
}
"""How a run may go, told of one seed; "beats_voting" speaks of labelled tasks alone."""


def chance(chosen, half_life: FailureTime, end: str, kind: str) -> Chance:
    """The chance of one of ENDS, by ridge logistic regression on standardised features, turned back."""
    names = OUTCOME[kind]
    intercepts, weights, _ = _logistic(chosen, half_life, names, ENDS[end])
    return Chance(
        float(intercepts[0]), dict(zip(names, map(float, weights[0]), strict=True)), measured_runs(chosen)
    )


def fates(chosen, half_life: FailureTime, kind: str) -> Fates:
    """The chances of FATES, by ridge multinomial logistic regression on standardised features."""
    names = FATE[kind]
    intercepts, weights, classes = _logistic(chosen, half_life, names, fate_of)
    if len(classes) == 2:
        intercepts, weights = np.array([0.0, intercepts[0]]), np.stack([np.zeros(len(names)), weights[0]])
    rows = [dict(zip(names, map(float, row), strict=True)) for row in weights]
    return Fates(
        dict(zip(classes, map(float, intercepts), strict=True)),
        dict(zip(classes, rows, strict=True)),
        measured_runs(chosen),
        min(way(group.features, group.horizon) for group in chosen),
    )


def fate_of(group: Group, seed: int) -> str:
    """Which of FATES one seed had."""
    return fate(group.start[seed], group.end[seed], group.best[seed])


def _logistic(chosen, half_life: FailureTime, names, truth) -> tuple[np.ndarray, np.ndarray, list]:
    """(intercepts, weights (rows, names), classes), one row a class, or one alone of two classes."""
    from sklearn.linear_model import LogisticRegression

    runs = [(group, truth(group, seed)) for group in chosen for seed in range(len(group.end))]
    table = np.array([[_outcome_features(group, half_life)[name] for name in names] for group, _ in runs])
    middle, scale = table.mean(axis=0), np.where(np.ptp(table, axis=0) > 0, table.std(axis=0), np.inf)
    # All together count as many as there are runs against the ridge, however many pilots read them.
    counts = prior_counts([group for group, _ in runs])
    model = LogisticRegression(max_iter=1000).fit(
        (table - middle) / scale, [one for _, one in runs], counts / counts.sum() * measured_runs(chosen)
    )
    weights = model.coef_ / scale
    return model.intercept_ - weights @ middle, weights, [str(one) for one in model.classes_]


def _outcome_features(group, half_life) -> dict[str, float]:
    return group.features | {"log_lives": lives(half_life, group.features, group.horizon)}


def calibration(chosen, kind: str, folds: Callable[..., Iterable] = other_priors) -> Calibration:
    """Everything that a forecast of one kind reads, fitted on `chosen`; folds: as of `calibrated`."""
    also = [name for name in ALSO_DATED if all(name in group.steps for group in chosen)]
    heads = {name: calibrated(chosen, name, kind, folds) for name in (*DATED, *also)}
    chances = {end: chance(chosen, heads["half_life"], end, kind) for end in KINDS[kind]}
    return Calibration(heads, chances, rise(chosen), fates=fates(chosen, heads["half_life"], kind))


def rise(chosen) -> Rise:
    """Where and how high accuracy peaks in the runs that gain GAIN or more; when, of those whose half-life
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
        if group.features["label_accuracy"] - group.start[seed] >= GAIN
    ]
    return Rise(float(middle), float(low), float(high), LEVEL, float(np.median(room)), len(when))
