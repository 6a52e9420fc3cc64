"""How good a fit is on families that it has not seen: ranks, factors, coverage, every baseline, ends, the
seeds' own scatter, cost.
"""

import math
from dataclasses import replace

import numpy as np

from llm_bridge import Calibration, FailureTime, RunSettings
from llm_bridge.forecast.calibration.features import read_for
from llm_bridge.forecast.calibration.fit import ENDS, calibration, fit
from llm_bridge.forecast.calibration.survival import DATED, KINDS
from studies.fitting import FAMILIES, doubly_left_out, group_key, probes_by_key, readings
from studies.study import load_result


def censored_spearman(forecast, measured, horizon) -> float:
    """Rank correlation where whatever lies beyond the horizon, forecast or measured, is one tie."""
    from scipy.stats import spearmanr

    cut = lambda values: np.minimum(values, np.asarray(horizon) * 1.001)  # noqa: E731
    return float(spearmanr(cut(forecast), cut(measured)).statistic)


def auroc(scores, truth) -> float:
    """Chance that a true case scores above a false one, ties half; nan where one kind is missing."""
    from scipy.stats import mannwhitneyu

    scores, truth = np.asarray(scores), np.asarray(truth, bool)
    if truth.all() or not truth.any():
        return math.nan
    return float(mannwhitneyu(scores[truth], scores[~truth]).statistic / (truth.sum() * (~truth).sum()))


def compared(forecast, tested, criterion: str) -> dict:
    """Rank and factor of forecast steps, against the median of each group's seeds."""
    forecast, measured = np.asarray(forecast), np.array([group.median(criterion) for group in tested])
    met = np.isfinite(measured)
    factors = np.exp(np.abs(np.log(forecast[met] / measured[met])))
    return {
        "spearman": censored_spearman(forecast, measured, [group.horizon for group in tested]),
        "median_factor": float(np.median(factors)) if met.any() else math.nan,
    }


def in_turn(read: list[list], kind: str, criterion: str) -> dict:
    """Every task and every architecture left out in turn: rank and factor over all groups so forecast,
    medians over the pilots.
    """
    families = [
        (of, name)
        for of in ("task", "architecture")
        for name in dict.fromkeys(getattr(group, of) for group in read[0])
    ]
    forecast, tested = [[] for _ in read], [[] for _ in read]
    for of, name in families:
        rest = [group for found in read for group in found if getattr(group, of) != name]
        head = FailureTime(criterion, *fit(rest, criterion, read_for(kind, criterion)), 0)
        for number, found in enumerate(read):
            mine = [group for group in found if getattr(group, of) == name]
            forecast[number] += [head.median(group.features) for group in mine]
            tested[number] += mine
    return median_of([compared(*one, criterion) for one in zip(forecast, tested, strict=True)])


def judged(head: FailureTime, tested) -> dict:
    """How good a failure time is on groups that it has not seen, against the median of their seeds."""
    forecast = np.array([head.median(group.features) for group in tested])
    horizon = np.array([group.horizon for group in tested])
    met = np.isfinite([group.median(head.criterion) for group in tested])
    inside = []
    for group in tested:
        low, high = head.interval(group.features)
        for step in group.steps[head.criterion]:
            # Of a censored run it is known only that it lies beyond the horizon: it counts as held if the
            # interval reaches there.
            inside.append(low <= step <= high if math.isfinite(step) else high > group.horizon)
    return {
        "groups": len(tested),
        "collapsed": int(met.sum()),
        **compared(forecast, tested, head.criterion),
        "coverage": float(np.mean(inside)),
        "auroc_within_horizon": auroc(-forecast / horizon, met),
    }


TOKENS = ("generated_tokens", "forward_tokens", "backward_tokens")

BASELINES = {
    "accuracy": lambda g, probe: probe["prior"]["accuracy"],
    "label accuracy": lambda g, probe: probe["prior"]["label_accuracy"],
    "majority ratio": lambda g, probe: probe["prior"]["majority_ratio"],
    "entropy": lambda g, probe: -probe["prior"]["entropy"],
    "pass@k − pass@1": lambda g, probe: probe["pass_gap"],
    "learning rate alone": lambda g, probe: -g.settings.learning_rate,
    "uncoupled theory": lambda g, probe: _theory(g, probe, "uncoupled"),
    "lazy kernel alone": lambda g, probe: _theory(g, probe, "coupled"),
    "retention radius alone": lambda g, probe: _noise_radius(probe) / g.settings.learning_rate,
}
"""What a simple forecaster would go by: the larger, the later the collapse."""


def _noise_radius(probe) -> float:
    radius = probe["noise"]["radius"]
    return math.inf if radius is None else radius


def _theory(group, probe, voice) -> float:
    """The theory's step where it was asked, infinity where it sees no collapse or was not asked (settings
    varied one by one).
    """
    step = probe["theory"].get(f"{group.settings.learning_rate:g}", {}).get(voice, {}).get("relative")
    return math.inf if step is None else step


def baselines(tested, probes: dict, criterion: str) -> dict[str, float]:
    """Spearman of every baseline with the measured step, on the same groups; nan where a baseline says the
    same of all.
    """
    measured, horizon = np.array([g.median(criterion) for g in tested]), np.array([g.horizon for g in tested])
    found = {}
    for name, score in BASELINES.items():
        scores = np.array([score(g, probes[g.label]) for g in tested], float)
        scores[np.isinf(scores)] = np.nanmax(scores[np.isfinite(scores)], initial=0) + 1
        found[name] = (
            math.nan if np.ptp(scores) == 0 else censored_spearman(scores, measured, horizon * math.inf)
        )
    return found


def judged_end(fitted: Calibration, end: str, tested) -> dict:
    """AUROC of one of ENDS on unseen groups, the truth being what most seeds did."""
    truth = [np.mean([ENDS[end](group, seed) for seed in range(len(group.end))]) > 0.5 for group in tested]
    return {
        "groups": len(tested),
        "true": int(sum(truth)),
        "auroc": auroc([fitted.chance(end, group.features, group.horizon) for group in tested], truth),
    }


def averaged(read: list[list]) -> list:
    """Groups whose features are the means over the pilots that read them."""
    return [
        replace(
            same[0],
            features={name: float(np.mean([g.features[name] for g in same])) for name in same[0].features},
        )
        for same in zip(*read, strict=True)
    ]


def median_of(judges: list[dict]) -> dict:
    """What a forecast from one pilot is worth: each figure's median over pilots, and rank and factor of every
    one.
    """
    middle = {name: float(np.median([one[name] for one in judges])) for name in judges[0]}
    return middle | {
        f"each_{name}": [one[name] for one in judges]
        for name in ("spearman", "median_factor", "auroc")
        if name in middle
    }


def report(study: dict) -> dict:
    """Everything measured on the families left out: each head, every baseline, better or worse, the seeds'
    own scatter, costs.

    Heads and chances are fitted on what all pilots read. held_out and ends: judged by one pilot at a time,
    medians over the pilots;
    held_out_averaged: by features averaged over the pilots, as a forecast from several has them. in_turn:
    other families left out too.
    """
    read = readings(study)
    probes = probes_by_key(study)
    of_label = {run["label"]: probes[group_key(run)] for run in study["runs"] if group_key(run) in probes}
    fitted = {
        kind: calibration([g for found in read for g in found if not g.left_out], kind, doubly_left_out)
        for kind in KINDS
    }
    tests = [[g for g in found if g.left_out] for found in read]
    test, found = averaged(tests), read[0]
    heads = {kind: mine.heads.items() for kind, mine in fitted.items()}
    return {
        "runs": len(study["runs"]),
        "groups": len(found),
        "priors": len({g.prior for g in found}),
        "left_out": FAMILIES,
        "pilots": len(read),
        "held_out": {
            kind: {name: median_of([judged(head, one) for one in tests]) for name, head in mine}
            for kind, mine in heads.items()
        },
        "held_out_averaged": {
            kind: {name: judged(head, test) for name, head in mine} for kind, mine in heads.items()
        },
        "in_turn": {kind: {name: in_turn(read, kind, name) for name in DATED} for kind in KINDS},
        "baselines": {name: baselines(test, of_label, name) for name in DATED},
        "ends": {
            kind: {end: median_of([judged_end(mine, end, one) for one in tests]) for end in mine.chances}
            for kind, mine in fitted.items()
        },
        "seeds": {name: seed_scatter(found, name) for name in DATED},
        "cost": cost_share(study, load_result("forecast_cost")),
        "points": [
            {
                "label": g.label,
                "horizon": g.horizon,
                "measured": [None if math.isinf(s) else s for s in g.steps["relative"]],
                "forecast": round(fitted["labelled"].heads["relative"].median(g.features), 1),
                "interval": [
                    None if math.isinf(b) else round(b, 1)
                    for b in fitted["labelled"].heads["relative"].interval(g.features)
                ],
            }
            for g in test
        ],
    }


def seed_scatter(found, criterion: str) -> float:
    """Median over groups of the largest over the smallest measured step of the seeds, among groups where
    every seed met it.
    """
    ratios = [
        max(g.steps[criterion]) / min(g.steps[criterion])
        for g in found
        if len(g.steps[criterion]) > 1
        and math.isfinite(max(g.steps[criterion]))
        and min(g.steps[criterion]) > 0
    ]
    return float(np.median(ratios)) if ratios else math.nan


def cost_share(study: dict, timed: dict) -> dict[str, float]:
    """Tokens (generated, forward and backward) and seconds of a forecast over those of a run to the horizon,
    medians over the runs that it was of.

    Runs that ended before half of their horizon are left out of the tokens, the others' are taken on to it.
    Seconds are those of `timed`, where forecast and run were timed side by side (studies.cost).
    """
    shares, spent = [], {record["label"]: record["cost"] for record in study["forecasts"]}
    for run in study["runs"]:
        horizon, last = RunSettings(**run["settings"]).max_steps, run["curve"]["step"][-1]
        if run["label"] in spent and last > horizon / 2:
            cost, whole = spent[run["label"]], horizon / last
            shares.append(
                sum(cost[name] for name in TOKENS) / (whole * sum(run["cost"][name] for name in TOKENS))
            )
    return {
        "tokens": float(np.median(shares)),
        "seconds": float(np.median([row["forecast"] / row["run"] for row in timed["rows"]])),
    }
