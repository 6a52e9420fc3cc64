"""How good forecasts of censored, interval-known steps are: ranks, distributions, slopes, coverage, and how sure
each figure is.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from llm_bridge.forecast.calibration.likelihood import fit_log_logistic
from llm_bridge.forecast.calibration.survival import LEVEL

GRID = np.geomspace(3, 400, 15)
"""Steps at which a distribution is compared with what happened, even in log time."""

DRAWS = 1000


@dataclass(frozen=True)
class Scored:
    """Runs with their forecasts, all (runs,): low and high steps between which a criterion was met, log median
    and spread of the forecast, and what the runs were of. rate: the learning rate, or its rank among its prior's.
    """

    prior: np.ndarray
    task: np.ndarray
    architecture: np.ndarray
    rate: np.ndarray
    label: np.ndarray
    log_rate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    centre: np.ndarray
    spread: np.ndarray

    def __getitem__(self, chosen) -> "Scored":
        return Scored(**{name: values[chosen] for name, values in vars(self).items()})


def order(runs: Scored) -> tuple[np.ndarray, np.ndarray]:
    """(pairs told in the right order, pairs that can be told), (runs, runs): i surely before j; ties half."""
    can = np.isfinite(runs.high)[:, None] & (runs.high[:, None] <= runs.low[None, :])
    apart = runs.centre[None, :] - runs.centre[:, None]
    return np.where(can, (apart > 0) + 0.5 * (apart == 0), 0.0), can.astype(float)


def c_index(runs: Scored) -> float:
    """Share of pairs in the right order, of those of which one surely came first."""
    right, can = order(runs)
    return float(right.sum() / can.sum())


def brier_skill(runs: Scored) -> float:
    """1 − integrated Brier score in log time over that of the share that had died by each step, over the runs
    of which it is known.
    """
    known = (runs.high[:, None] <= GRID) | (runs.low[:, None] >= GRID)
    died = runs.high[:, None] <= GRID
    chance = expit((np.log(GRID) - runs.centre[:, None]) / runs.spread[:, None])
    ours = constant = 0.0
    for column in np.flatnonzero(known.any(0)):
        told = known[:, column]
        truth = died[told, column]
        ours += np.mean((chance[told, column] - truth) ** 2)
        constant += np.mean((truth.mean() - truth) ** 2)
    return float(1 - ours / constant)


def within_rate(runs: Scored) -> dict[str, float]:
    """Spearman of forecast and measured medians over settings, rate by rate; what never died is one tie."""
    from scipy.stats import spearmanr

    found = {}
    for rate in dict.fromkeys(runs.rate[runs.rate != ""]):
        mine = runs[runs.rate == rate]
        labels = list(dict.fromkeys(mine.label))
        measured = [np.median(np.where(np.isinf(o.high), 1e9, o.high)) for o in _each(mine, labels)]
        told = [np.median(o.centre) for o in _each(mine, labels)]
        if len(labels) > 3 and len(set(measured)) > 2:
            found[str(rate)] = float(spearmanr(told, measured).statistic)
    return found


def _each(runs: Scored, labels):
    return [runs[runs.label == label] for label in labels]


def measured_slope(runs: Scored) -> float:
    """d log T / d log learning rate within priors: interval-censored, every prior with a level of its own."""
    priors = list(dict.fromkeys(runs.prior))[1:]
    table = np.column_stack([runs.log_rate, *(runs.prior == prior for prior in priors)])
    return float(fit_log_logistic(table, runs.low, runs.high)[0][1])


def forecast_slope(runs: Scored) -> float:
    """The same of the forecasts' medians: least squares, every prior with a level of its own."""
    centred = [
        (
            runs.log_rate[runs.prior == p] - runs.log_rate[runs.prior == p].mean(),
            runs.centre[runs.prior == p] - runs.centre[runs.prior == p].mean(),
        )
        for p in dict.fromkeys(runs.prior)
    ]
    rate, centre = (np.concatenate(side) for side in zip(*centred, strict=True))
    return float(rate @ centre / (rate @ rate))


def held(runs: Scored) -> np.ndarray:
    """Whether each run can lie in its interval of probability LEVEL: what is known of its step overlaps it."""
    reach = runs.spread * np.log((1 + LEVEL) / (1 - LEVEL))
    low, high = np.exp(runs.centre - reach), np.exp(runs.centre + reach)
    return (runs.high >= low) & (runs.low <= high)


def coverage(runs: Scored) -> dict[str, float]:
    """Share held, over all, and in the worst task, architecture and rate."""
    inside = held(runs)
    worst = {
        of: min(float(inside[getattr(runs, of) == one].mean()) for one in dict.fromkeys(getattr(runs, of)))
        for of in ("task", "architecture", "rate")
    }
    return {"all": float(inside.mean())} | worst


def by_prior(runs: Scored) -> tuple[np.ndarray, np.ndarray]:
    """`order` summed over the runs of each pair of priors."""
    of = np.array([runs.prior == prior for prior in dict.fromkeys(runs.prior)], float)
    right, can = order(runs)
    return of @ right @ of.T, of @ can @ of.T


def bootstrapped(forecasts: list[Scored], others: list[Scored] | None = None) -> tuple[float, float]:
    """90 % interval, over priors drawn again, of the mean C-index of some forecasts of the same runs; less that
    of others, where given.
    """
    sides = [[by_prior(runs) for runs in side] for side in (forecasts, *([others] if others else []))]
    size, random = len(sides[0][0][0]), np.random.default_rng(0)
    found = []
    for _ in range(DRAWS):
        weight = np.bincount(random.integers(size, size=size), minlength=size).astype(float)
        mean = [
            np.mean([weight @ right @ weight / (weight @ can @ weight) for right, can in side])
            for side in sides
        ]
        found.append(mean[0] - (mean[1] if others else 0.0))
    return tuple(float(value) for value in np.quantile(found, (0.05, 0.95)))
