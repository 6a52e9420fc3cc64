"""Whether the forecast made before training says more of the steps left than the run's own curve does:

    python -m studies.remaining_law      # results/remaining_law.json

At every evaluation of the stored runs (ground truth and both blind rounds) a log-logistic law of the steps left is asked
that has seen neither the run's task nor its architecture (`llm_bridge.forecast.calibration.likelihood`). What it reads:
`curve`, the steps so far, the level of the criterion (1 at the start, 0 where it is met), its logarithm, and the line
through the last four evaluations; `forecast`, the steps so far and the forecast's median over them; `both`. The spread
is fitted apart for three ranges of the level. Forecasts come from fits that were left out in the same way; those of runs
that are fitted on may have seen the task that is asked.
"""

import math
from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from llm_bridge.forecast.calibration.features import read_for
from llm_bridge.forecast.calibration.fit import fit
from llm_bridge.forecast.calibration.likelihood import fit_log_logistic, fit_spread
from llm_bridge.forecast.calibration.survival import FailureTime
from llm_bridge.logs.remaining import ORDER, level_of
from sharpening.collapse import CRITERIA
from sharpening.trajectory import write_json
from studies.fitting import BLIND_ROUNDS, StudyGroup, doubly_left_out, measured_before, told_late
from studies.study import RESULTS, load_result, made_with

READS = ("forecast", "curve", "both")
RANGES = (0.4, 0.8)
"""Bounds of the level between which a spread is fitted."""
TIMES = (0, 12, 35, 90, 200, math.inf)
"""Steps so far by which scores are told."""
FEW = 20


@dataclass(frozen=True)
class Look:
    """One evaluation of a run that has not met the criterion: it will after `low` and by `high` further steps."""

    group: StudyGroup
    elapsed: float
    level: float
    line: float
    told: float
    low: float
    high: float

    @property
    def ends(self) -> bool:
        return math.isfinite(self.high)

    def reads(self, what: str) -> list[float]:
        """The numbers of one law; times are logs."""
        elapsed = math.log(self.elapsed)
        line = math.log(min(50.0, max(0.02, self.line / self.elapsed)))
        curve = [self.level, math.log(max(self.level, 0.03)), line]
        ahead = min(4.0, max(-4.0, self.told - elapsed))
        return {
            "forecast": [elapsed, ahead],
            "curve": [elapsed, *curve],
            "both": [elapsed, *curve, ahead, self.level * ahead],
        }[what]


def forecasts(groups: list[StudyGroup], criterion: str) -> dict[str, float]:
    """Label to the log median of a forecast that has seen neither task nor architecture."""
    names = read_for("labelled", criterion)
    return {
        group.label: head.log_median(group.features)
        for rest, mine in doubly_left_out(groups)
        for head in [FailureTime(criterion, *fit(rest, criterion, names), 0)]
        for group in mine
    }


def looks(groups: list[StudyGroup], runs: dict[str, list[dict]], criterion: str) -> list[Look]:
    """Every evaluation after the first of every run that begins clear of the criterion, until it is met."""
    told, found = forecasts(groups, criterion), []
    for group in groups:
        for run in runs[group.label]:
            curve = run["curve"]
            values = curve.get(CRITERIA[criterion].metric)
            met = told_late(run["collapse"][criterion], curve["step"])
            if not met or values is None:
                continue
            between = met[0]
            levels = [level_of(criterion, values[0], value, run.get("floor")) for value in values]
            for place in range(1, len(levels)):
                now = curve["step"][place]
                if now > between[0] or levels[place] <= 0:
                    break
                if now == between[0] and math.isinf(between[1]):
                    continue
                before = max(0, place - 3)
                slope = (levels[place] - levels[before]) / (now - curve["step"][before])
                line = levels[place] / -slope if slope < 0 else math.inf
                rest = (between[0] - now, between[1] - now)
                found.append(Look(group, now, min(1.2, levels[place]), line, told[group.label], *rest))
    return found


def shares(some: list[Look]) -> np.ndarray:
    """Every prior counts alike."""
    sizes = Counter(look.group.prior for look in some)
    return np.array([1 / sizes[look.group.prior] for look in some])


def asked(found: list[Look], what: str) -> tuple[np.ndarray, np.ndarray]:
    """(log median, spread) of the steps left at every look, by laws without its task and architecture."""
    medians, spreads = np.zeros(len(found)), np.ones(len(found))
    place = {id(look): number for number, look in enumerate(found)}
    pairs = dict.fromkeys((look.group.task, look.group.architecture) for look in found)
    for task, architecture in pairs:
        rest = [look for look in found if look.group.task != task and look.group.architecture != architecture]
        mine = [look for look in found if (look.group.task, look.group.architecture) == (task, architecture)]
        low, high = (np.array([getattr(look, name) for look in rest]) for name in ("low", "high"))
        table, counts = np.array([look.reads(what) for look in rest]), shares(rest)
        weights, spread = fit_log_logistic(table, low, high, counts)
        fitted = weights[0] + table @ weights[1:]
        ranges = np.digitize([look.level for look in rest], RANGES)
        by_range = [
            fit_spread(fitted[at], low[at], high[at], counts[at]) if at.sum() > FEW else spread
            for at in (ranges == number for number in range(len(RANGES) + 1))
        ]
        for look in mine:
            medians[place[id(look)]] = weights[0] + np.dot(look.reads(what), weights[1:])
            spreads[place[id(look)]] = by_range[int(np.digitize(look.level, RANGES))]
    return medians, spreads


def scores(found: list[Look], medians, spreads) -> dict:
    """Mean log-likelihood of a look by steps so far, in nats; how often the 90 % interval holds, of all looks and of
    those at runs that end, and by how much the median is off at these.
    """
    low, high = (np.array([getattr(look, name) for look in found]) for name in ("low", "high"))
    ends = np.array([look.ends for look in found])
    counts, elapsed = shares(found), np.array([look.elapsed for look in found])

    def below(steps):
        with np.errstate(divide="ignore"):
            return expit((np.log(steps) - medians) / spreads)

    chance = np.where(ends, below(np.where(ends, high, 1.0)), 1.0) - below(low)
    likelihood = np.log(np.maximum(chance, 1e-12))
    reach = spreads * math.log(19)
    holds = (np.exp(medians - reach) <= high) & (np.exp(medians + reach) >= low)
    middle = (low + np.where(ends, high, low)) / 2
    off = np.abs(
        np.log((np.minimum(np.exp(medians), 100 * elapsed) + 0.01 * elapsed) / (middle + 0.01 * elapsed))
    )
    weighed = lambda values, at: round(float(np.average(values[at], weights=counts[at])), 3)  # noqa: E731
    every = np.ones(len(found), bool)
    return {
        "likelihood": weighed(likelihood, every),
        "by_steps_so_far": [
            weighed(likelihood, (elapsed > first) & (elapsed <= last))
            for first, last in zip(TIMES, TIMES[1:], strict=False)
        ],
        "holds": weighed(holds, every),
        "holds_where_it_ends": round(float(holds[ends].mean()), 3),
        "error": round(float(np.exp(np.median(off[ends]))), 2),
    }


def result() -> dict:
    groups, runs = measured_before()[0], defaultdict(list)
    for name in ("ground-truth", *BLIND_ROUNDS):
        for run in load_result(name)["runs"]:
            runs[run["label"]].append(run)
    found = {criterion: looks(groups, runs, criterion) for criterion in ORDER}
    return {
        **made_with("remaining-law", "python -m studies.remaining_law"),
        "steps_so_far": [time for time in TIMES if math.isfinite(time)],
        "looks": {criterion: len(some) for criterion, some in found.items()},
        "scores": {
            criterion: {what: scores(some, *asked(some, what)) for what in READS}
            for criterion, some in found.items()
        },
    }


if __name__ == "__main__":
    write_json(RESULTS / "remaining_law.json", result())
