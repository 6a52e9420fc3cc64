"""How good a fit is on families that it has not seen: ranks, factors, coverage, every baseline, ends, the seeds' own scatter, cost."""

import math
from collections import defaultdict

import numpy as np

from llm_bridge.calibration.survival import Calibration, FailureTime
from llm_bridge.experiments.fitting import CRITERIA, ENDS, FAMILIES, KINDS, calibration, group_key, groups, probes_by_key
from llm_bridge.settings import RunSettings


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


def judged(head: FailureTime, tested) -> dict:
    """How good a failure time is on groups that it has not seen, against the median of their seeds."""
    forecast = np.array([head.median(group.features) for group in tested])
    measured = np.array([group.median(head.criterion) for group in tested])
    horizon = np.array([group.horizon for group in tested])
    met = np.isfinite(measured)
    factors = np.exp(np.abs(np.log(forecast[met] / measured[met])))
    inside = []
    for group in tested:
        low, high = head.interval(group.features)
        for step in group.steps[head.criterion]:
            # Of a censored run it is known only that it lies beyond the horizon: it counts as held if the interval reaches there.
            inside.append(low <= step <= high if math.isfinite(step) else high > group.horizon)
    return {
        "groups": len(tested), "collapsed": int(met.sum()), "spearman": censored_spearman(forecast, measured, horizon),
        "median_factor": float(np.median(factors)) if met.any() else math.nan, "coverage": float(np.mean(inside)),
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
    """The theory's step where it was asked, infinity where it sees no collapse or was not asked (settings varied one by one)."""
    step = probe["theory"].get(f"{group.settings.learning_rate:g}", {}).get(voice, {}).get("relative")
    return math.inf if step is None else step


def baselines(tested, probes: dict, criterion: str) -> dict[str, float]:
    """Spearman of every baseline with the measured step, on the same groups; nan where a baseline says the same of all."""
    measured, horizon = np.array([g.median(criterion) for g in tested]), np.array([g.horizon for g in tested])
    found = {}
    for name, score in BASELINES.items():
        scores = np.array([score(g, probes[g.label]) for g in tested], float)
        scores[np.isinf(scores)] = np.nanmax(scores[np.isfinite(scores)], initial=0) + 1
        found[name] = math.nan if np.ptp(scores) == 0 else censored_spearman(scores, measured, horizon * math.inf)
    return found


def judged_end(fitted: Calibration, end: str, tested) -> dict:
    """AUROC of one of ENDS on unseen groups, the truth being what most seeds did."""
    truth = [np.mean([ENDS[end](group, seed) for seed in range(len(group.end))]) > 0.5 for group in tested]
    return {"groups": len(tested), "true": int(sum(truth)),
            "auroc": auroc([fitted.chance(end, group.features, group.horizon) for group in tested], truth)}


def report(study: dict) -> dict:
    """Everything measured on the families left out: each head, every baseline, better or worse, the seeds' own scatter, costs."""
    found = groups(study)
    probes = probes_by_key(study)
    of_label = {run["label"]: probes[group_key(run)] for run in study["runs"] if group_key(run) in probes}
    train, test = ([g for g in found if g.left_out is flag] for flag in (False, True))
    fitted = {kind: calibration(train, kind) for kind in KINDS}
    told = {
        "runs": len(study["runs"]), "groups": len(found), "priors": len({g.prior for g in found}), "left_out": FAMILIES,
        "held_out": {kind: {name: judged(head, test) for name, head in mine.heads.items()} for kind, mine in fitted.items()},
        "baselines": {name: baselines(test, of_label, name) for name in CRITERIA},
        "ends": {kind: {end: judged_end(mine, end, test) for end in mine.chances} for kind, mine in fitted.items()},
        "seeds": {name: seed_scatter(found, name) for name in CRITERIA},
        "cost": cost_share(study),
        "points": [
            {"label": g.label, "horizon": g.horizon, "measured": [None if math.isinf(s) else s for s in g.steps["relative"]],
             "forecast": round(fitted["labelled"].heads["relative"].median(g.features), 1),
             "interval": [None if math.isinf(b) else round(b, 1) for b in fitted["labelled"].heads["relative"].interval(g.features)]} for g in test
        ],
    }
    return told


def seed_scatter(found, criterion: str) -> float:
    """Median over groups of the largest over the smallest measured step of the seeds, among groups where every seed met it."""
    ratios = [max(g.steps[criterion]) / min(g.steps[criterion]) for g in found
              if len(g.steps[criterion]) > 1 and math.isfinite(max(g.steps[criterion])) and min(g.steps[criterion]) > 0]
    return float(np.median(ratios)) if ratios else math.nan


def cost_share(study: dict) -> dict[str, float]:
    """Tokens (generated, forward and backward) and seconds of a forecast over those of a run to the horizon, medians over the runs that it was of.

    Runs that ended before half of their horizon are left out, the others' cost is taken on to it.
    """
    shares, spent = defaultdict(list), {record["label"]: record["cost"] for record in study["forecasts"]}
    for run in study["runs"]:
        horizon, last = RunSettings(**run["settings"]).max_steps, run["curve"]["step"][-1]
        if run["label"] in spent and last > horizon / 2:
            cost, whole = spent[run["label"]], horizon / last
            shares["tokens"].append(sum(cost[name] for name in TOKENS) / (whole * sum(run["cost"][name] for name in TOKENS)))
            shares["seconds"].append(cost["seconds"] / (whole * run["cost"]["seconds"]))
    return {name: float(np.median(values)) for name, values in shares.items()}
