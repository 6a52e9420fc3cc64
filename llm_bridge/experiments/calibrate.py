"""Fit the failure times of the forecast on the ground truth, leaving whole families out, and say how good they are on what was left out.

    python -m llm_bridge.experiments.calibrate      # writes llm_bridge/calibration/coefficients.json and results/calibration.json

The fit is lifelines' log-normal accelerated failure time model with a ridge penalty, on censored data. Intervals are conformal: ratios of
measured and forecast step on priors left out one at a time, their quantiles by Kaplan-Meier because some ratios are censored too.
"""

import json
import math
import time
from collections import defaultdict
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from llm_bridge.calibration.features import LABEL_FREE, LABELLED, features
from llm_bridge.calibration.outcome import Chance
from llm_bridge.calibration.survival import FailureTime
from llm_bridge.experiments.study import RESULTS, load_result
from llm_bridge.pilot import Pilot
from llm_bridge.settings import RunSettings

CRITERIA = ("relative", "half_life", "mode_retention", "excess_kl")
KINDS = {"labelled": LABELLED, "label-free": LABEL_FREE}
LEVEL, PENALTY = 0.9, 0.1
FAMILIES = {"architecture": "gpt_neox", "task": "sorting"}
"""Left out together: no prior of this architecture or of this task is used in the fit that is judged."""


@dataclass(frozen=True)
class Group:
    """The seeds of one model and one setting: what a forecast of it reads, and the measured steps (math.inf: not within `horizon`)."""

    prior: str
    architecture: str
    task: str
    label: str
    settings: RunSettings
    features: dict[str, float]
    steps: dict[str, list[float]]
    horizon: int
    gain: list[float]

    @property
    def left_out(self) -> bool:
        return self.architecture == FAMILIES["architecture"] or self.task == FAMILIES["task"]

    def median(self, criterion: str) -> float:
        """The middle seed, a censored one being later than all."""
        return float(np.median(self.steps[criterion]))


def _key(record) -> tuple:
    return record["model"], tuple(sorted((k, v) for k, v in record["settings"].items() if k not in ("seed", "learning_rate")))


def _probes(study: dict) -> dict[tuple, dict]:
    return {_key(record): record for record in study["probes"]}


def groups(study: dict) -> list[Group]:
    """The ground truth with its probes, one entry for all seeds of a setting; runs without a probe are left out."""
    from llm_bridge.experiments.priors import PRIORS

    probes = _probes(study)
    seeds = defaultdict(list)
    for run in study["runs"]:
        if _key(run) in probes:
            seeds[run["label"]].append(run)
    found = []
    for label, runs in seeds.items():
        probe, settings = probes[_key(runs[0])], RunSettings(**runs[0]["settings"])
        steps = {name: [math.inf if run["collapse"][name]["step"] is None else run["collapse"][name]["step"] for run in runs] for name in CRITERIA}
        recipe = PRIORS[runs[0]["model"]]
        found.append(Group(
            recipe.name, recipe.architecture, recipe.task, label, settings,
            features(probe["prior"], probe["coupling"], Pilot.from_dict(probe["pilot"]), settings), steps,
            settings.max_steps, [run["curve"]["accuracy"][-1] - run["curve"]["accuracy"][0] for run in runs],
        ))
    return found


def _rows(chosen, criterion, names):
    """One row a seed: features, duration, whether the criterion was met."""
    import pandas as pd

    rows = [
        {name: group.features[name] for name in names} | {"steps": min(step, group.horizon), "met": math.isfinite(step)}
        for group in chosen for step in group.steps[criterion] if step > 0
    ]
    return pd.DataFrame(rows)


def fit(chosen, criterion: str, names) -> tuple[float, dict[str, float], float]:
    """(intercept, weight of each feature, spread) of log steps; features are standardised for the penalty and turned back."""
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

    names = KINDS[kind]
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
    return FailureTime(criterion, *fit(chosen, criterion, names), low, high, LEVEL, len(ratios))


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


def better(chosen, kind: str) -> Chance:
    """Whether a seed's run ends better than it began, by ridge logistic regression on standardised features, turned back."""
    from sklearn.linear_model import LogisticRegression

    names, runs = KINDS[kind], [(group, gain > 0) for group in chosen for gain in group.gain]
    table = np.array([[group.features[name] for name in names] for group, _ in runs])
    middle, scale = table.mean(axis=0), np.where(np.ptp(table, axis=0) > 0, table.std(axis=0), np.inf)
    model = LogisticRegression().fit((table - middle) / scale, [good for _, good in runs])
    weights = model.coef_[0] / scale
    return Chance(float(model.intercept_[0] - weights @ middle), dict(zip(names, map(float, weights), strict=True)), len(runs))


def better_or_worse(chosen, tested) -> dict:
    """AUROC of "ends better than it began" on unseen groups, for each kind of features."""
    truth = [np.median(group.gain) > 0 for group in tested]
    scores = {kind: auroc([better(chosen, kind).of(group.features) for group in tested], truth) for kind in KINDS}
    return {"groups": len(tested), "better": int(sum(truth)), "auroc": scores}


def report(study: dict) -> dict:
    """Everything measured on the families left out: each head, every baseline, better or worse, the seeds' own scatter, costs."""
    found = groups(study)
    probes = _probes(study)
    of_label = {run["label"]: probes[_key(run)] for run in study["runs"] if _key(run) in probes}
    train, test = ([g for g in found if g.left_out is flag] for flag in (False, True))
    heads = {kind: {name: calibrated(train, name, kind) for name in CRITERIA} for kind in KINDS}
    told = {
        "runs": len(study["runs"]), "groups": len(found), "priors": len({g.prior for g in found}), "left_out": FAMILIES,
        "held_out": {kind: {name: judged(head, test) for name, head in mine.items()} for kind, mine in heads.items()},
        "baselines": {name: baselines(test, of_label, name) for name in CRITERIA},
        "better_or_worse": better_or_worse(train, test),
        "seeds": {name: seed_scatter(found, name) for name in CRITERIA},
        "cost": cost_share(study),
        "points": [
            {"label": g.label, "horizon": g.horizon, "measured": [None if math.isinf(s) else s for s in g.steps["relative"]],
             "forecast": round(heads["labelled"]["relative"].median(g.features), 1),
             "interval": [None if math.isinf(b) else round(b, 1) for b in heads["labelled"]["relative"].interval(g.features)]} for g in test
        ],
    }
    return told


def seed_scatter(found, criterion: str) -> float:
    """Median over groups of the largest over the smallest measured step of the seeds, among groups where every seed met it."""
    ratios = [max(g.steps[criterion]) / min(g.steps[criterion]) for g in found
              if len(g.steps[criterion]) > 1 and math.isfinite(max(g.steps[criterion])) and min(g.steps[criterion]) > 0]
    return float(np.median(ratios)) if ratios else math.nan


def cost_share(study: dict) -> dict[str, float]:
    """Tokens (generated, forward and backward) and seconds of a probe over those of one run to the horizon, medians over models."""
    shares = defaultdict(list)
    probes = _probes(study)
    for run in study["runs"]:
        horizon = RunSettings(**run["settings"]).max_steps
        if _key(run) in probes and run["curve"]["step"][-1] > horizon / 2:
            spent, whole = probes[_key(run)]["cost"], horizon / run["curve"]["step"][-1]
            tokens = ("generated_tokens", "forward_tokens", "backward_tokens")
            shares["tokens"].append(sum(spent[name] for name in tokens) / (whole * sum(run["cost"][name] for name in tokens)))
            shares["seconds"].append(spent["seconds"] / (whole * run["cost"]["seconds"]))
    return {name: float(np.median(values)) for name, values in shares.items()}


def main(source: Path | None = None):
    """Fit on everything for the coefficients that ship, and on all but the families left out for the report."""
    study = load_result("ground-truth") if source is None else json.loads(source.read_text())
    found = groups(study)
    told = {
        "command": "python -m llm_bridge.experiments.calibrate", "date": time.strftime("%Y-%m-%d"), "runs": len(study["runs"]),
        "versions": {name: version(name) for name in ("lifelines", "scikit-learn", "numpy")},
    }
    heads = {kind: {name: calibrated(found, name, kind).as_dict() for name in CRITERIA} for kind in KINDS}
    chances = {kind: better(found, kind).as_dict() for kind in KINDS}
    from llm_bridge.report.document import plain

    target = Path(__file__).parents[1] / "calibration" / "coefficients.json"
    target.write_text(json.dumps(plain(told | {"heads": heads, "better": chances}), indent=1) + "\n")
    (RESULTS / "calibration.json").write_text(json.dumps(plain(told | report(study)), indent=1) + "\n")
    print(target, RESULTS / "calibration.json", sep="\n")


if __name__ == "__main__":
    import sys

    main(*map(Path, sys.argv[1:]))
