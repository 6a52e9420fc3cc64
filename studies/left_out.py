"""How good the law of failure times and its baselines are on priors of which a fit has seen neither the task nor the
architecture, and what else was tried.

    python -m studies.left_out      # writes results/left_out.json
"""

import json
import math
import time
from collections.abc import Callable

import numpy as np

from llm_bridge.forecast.calibration.features import read_for
from llm_bridge.forecast.calibration.fit import fate_of, fates, fit, prior_counts
from llm_bridge.forecast.calibration.likelihood import fit_spread
from llm_bridge.forecast.calibration.outcome import FATES
from llm_bridge.forecast.calibration.survival import DATED, KINDS, FailureTime, lives
from studies.fitting import StudyGroup, doubly_left_out, measured_before
from studies.scoring import (
    Scored,
    bootstrapped,
    brier_skill,
    c_index,
    coverage,
    forecast_slope,
    measured_slope,
    within_rate,
)
from studies.study import RESULTS

LAWS: dict[str, Callable[[str], tuple[str, ...]]] = {kind: lambda c, k=kind: read_for(k, c) for kind in KINDS}

BASELINES = {
    "rate": ("log_rate",),
    "settings and prior": ("log_rate", "log_prompts", "label_accuracy", "majority_ratio"),
    "radius": ("log_radius_steps", "log_prompts"),
    "radius and rate": ("log_radius_steps", "log_rate", "log_prompts"),
    "pilot alone": ("log_pilot_steps", "log_prompts"),
}
"""What a simpler forecaster would read, fitted by the same survival model on the same runs."""


def names_of(law, criterion: str) -> tuple[str, ...]:
    return law(criterion) if callable(law) else law


def left_out(read: list[list[StudyGroup]], names, criterion: str) -> list[Scored]:
    """Every group forecast by a fit that has seen neither its task nor its architecture, as each pilot reads it;
    the spread is that which makes these forecasts likeliest.
    """
    found = [group for groups in read for group in groups]
    number = {id(group): pilot for pilot, groups in enumerate(read) for group in groups}
    rows = [[] for _ in read]
    for rest, mine in doubly_left_out(found):
        head = FailureTime(criterion, *fit(rest, criterion, names), 0)
        for group in mine:
            rows[number[id(group)]] += [
                (group, head.log_median(group.features), *told) for told in group.told(criterion)
            ]
    flat = [row for one in rows for row in one]
    counts = prior_counts([row[0] for row in flat])
    spread = fit_spread(*(np.array([row[i] for row in flat]) for i in (1, 2, 3)), counts)
    return [scored(one, spread) for one in rows]


def scored(rows: list[tuple], spread) -> Scored:
    """(group, log median, low, high) of every run as arrays; spread: of all, or one each."""
    groups = [row[0] for row in rows]
    text = lambda of: np.array([of(group) for group in groups])  # noqa: E731
    low, high, centre = (np.array([row[i] for row in rows]) for i in (2, 3, 1))
    return Scored(
        prior=text(lambda g: g.prior),
        task=text(lambda g: g.task),
        architecture=text(lambda g: g.architecture),
        rate=text(lambda g: g.rate),
        label=text(lambda g: g.label),
        log_rate=np.array([math.log(g.settings.learning_rate) for g in groups]),
        low=low,
        high=high,
        centre=centre,
        spread=np.broadcast_to(spread, centre.shape).astype(float),
    )


def figures(forecasts: list[Scored]) -> dict:
    """Every figure of one law and criterion, means over the pilots that read the runs."""
    mean = lambda of: float(np.mean([of(runs) for runs in forecasts]))  # noqa: E731
    plain = [runs[runs.rate != ""] for runs in forecasts]
    ranks = [within_rate(runs) for runs in forecasts]
    covered = [coverage(runs) for runs in plain]
    measured = measured_slope(plain[0])
    told = float(np.mean([forecast_slope(runs) for runs in plain]))
    return {
        "runs": len(forecasts[0].low),
        "c_index": mean(c_index),
        "c_index_interval": bootstrapped(forecasts),
        "brier_skill": mean(brier_skill),
        "within_rate": {rate: float(np.mean([one[rate] for one in ranks])) for rate in ranks[0]},
        "measured_slope": measured,
        "forecast_slope": told,
        "slope_ratio": measured / told,
        "coverage": {of: float(np.mean([one[of] for one in covered])) for of in covered[0]},
        "spread": float(np.mean(forecasts[0].spread)),
    }


def fates_left_out(read: list[list[StudyGroup]], kind: str) -> dict:
    """Share of runs whose fate was named, and the Brier score of the chances, doubly left out."""
    found, rows = [group for groups in read for group in groups], []
    names = read_for(kind, "half_life")
    for rest, mine in doubly_left_out(found):
        half = FailureTime("half_life", *fit(rest, "half_life", names), 0)
        fitted = fates(rest, half, kind)
        for group in mine:
            told = fitted.of(group.features | {"log_lives": lives(half, group.features, group.horizon)})
            rows += [(told, fate_of(group, seed)) for seed in range(len(group.end))]
    return fate_figures(rows)


def fate_figures(rows: list[tuple[dict, str]]) -> dict:
    """Of (chances, true fate) rows: share named right, of the constant answer, and Brier scores of both."""
    share = {name: float(np.mean([true == name for _, true in rows])) for name in FATES}
    score = lambda told, true: sum((told[name] - (name == true)) ** 2 for name in FATES)  # noqa: E731
    return {
        "runs": len(rows),
        "right": float(np.mean([max(told, key=told.get) == true for told, true in rows])),
        "most_frequent": max(share.values()),
        "brier": float(np.mean([score(told, true) for told, true in rows])),
        "constant_brier": float(np.mean([score(share, true) for _, true in rows])),
    }


def report(read: list[list[StudyGroup]]) -> dict:
    """Laws and baselines, doubly left out, and the law's gain over each baseline with its interval over priors."""
    told = {}
    for criterion in DATED:
        found = {
            name: left_out(read, names_of(law, criterion), criterion)
            for name, law in (LAWS | BASELINES).items()
        }
        told[criterion] = {name: figures(one) for name, one in found.items()}
        for kind in KINDS:
            told[criterion][kind]["gain"] = {
                name: bootstrapped(found[kind], found[name]) for name in BASELINES
            }
    return {"criteria": told, "fates": {kind: fates_left_out(read, kind) for kind in KINDS}}


def main():
    from llm_bridge.report.document import plain

    found = report(measured_before())
    head = {"command": "python -m studies.left_out", "date": time.strftime("%Y-%m-%d")}
    (RESULTS / "left_out.json").write_text(json.dumps(plain(head | found), indent=1) + "\n")
    for criterion, laws in found["criteria"].items():
        for name, one in laws.items():
            shown = {key: round(one[key], 3) for key in ("c_index", "brier_skill", "slope_ratio", "spread")}
            print(criterion, name, shown, one["within_rate"], one["coverage"], one.get("gain"))
    print(found["fates"])


if __name__ == "__main__":
    main()
