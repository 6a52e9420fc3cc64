"""The frozen law on priors that were measured afterwards, beside baselines fitted on the stored runs.

    python -m studies.blind_score       # reads results/blind.json, writes results/blind_score.json

A pilot that never moved a weight has no forecast: its prior is counted, and left out of every figure.
"""

import json
import math
import time

import numpy as np

from llm_bridge import RunSettings, load_calibration
from llm_bridge.forecast.calibration.fit import fit
from llm_bridge.forecast.calibration.outcome import fate
from llm_bridge.forecast.calibration.survival import DATED, KINDS, FailureTime
from studies.fitting import StudyGroup, reading_of, readings, widened
from studies.frozen import digests
from studies.left_out import BASELINES, fate_figures, figures, left_out, scored
from studies.scoring import Scored, bootstrapped, c_index
from studies.study import RESULTS, load_result


def blind_groups(blind: dict) -> tuple[list[tuple[StudyGroup, dict]], list[str]]:
    """((settings' group, run) of every run, priors whose pilot was silent)."""
    priors = {one["prior"]: one for one in blind["priors"]}
    silent = [name for name, one in priors.items() if one["probe"]["pilots"][0].get("silent")]
    found = []
    for run in blind["runs"]:
        name = run["model"]
        if name in silent:
            continue
        prior, settings = priors[name], RunSettings(**run["settings"])
        probe = prior["probe"] | {"num_parameters": prior["parameters"]}
        reading = reading_of(probe, 0, "adam")
        plain = settings.beta == 0
        rate = run["label"].removeprefix(name).strip()
        group = StudyGroup(
            prior=name,
            architecture=prior["architecture"],
            task=prior["task"],
            label=run["label"],
            settings=settings,
            rate=rate if plain else "",
            features=widened(prior["probe"], reading, settings),
            steps={},
            horizon=settings.max_steps,
            start=[],
            end=[],
            best=[],
            peak=[],
            at=(),
        )
        found.append((group, run))
    return found, silent


def of_head(found, head: FailureTime, spread=None) -> Scored:
    """Every run of which the criterion can be told, forecast by one head; spread: of all, else the head's own."""
    rows, spreads = [], []
    for group, run in found:
        told = run["times"][head.criterion]
        if told is None:
            continue
        low, high = told
        rows.append((group, head.log_median(group.features), low, math.inf if high is None else high))
        spreads.append(head.spread_at(group.features) if spread is None else spread)
    return scored(rows, np.array(spreads))


def ceiling(runs: Scored) -> float:
    """The C-index of another seed's own step as the forecast, over settings with two."""
    centre = np.full(len(runs.low), np.nan)
    for label in dict.fromkeys(runs.label):
        mine = np.flatnonzero(runs.label == label)
        if len(mine) == 2:
            centre[mine] = np.log(np.minimum(runs.high[mine[::-1]], 1e9))
    known = ~np.isnan(centre)
    return c_index(Scored(**vars(runs) | {"centre": centre})[known])


def report(blind: dict, read: list[list[StudyGroup]]) -> dict:
    """Every figure of law and baselines on the blind runs, and the law's gain over each with its interval."""
    found, silent = blind_groups(blind)
    every = [group for groups in read for group in groups]
    told = {}
    for criterion in DATED:
        laws = {kind: of_head(found, load_calibration(kind).heads[criterion]) for kind in KINDS}
        for name, names in BASELINES.items():
            head = FailureTime(criterion, *fit(every, criterion, names), 0)
            spread = float(left_out(read, names, criterion)[0].spread[0])
            laws[name] = of_head(found, head, spread)
        told[criterion] = {name: figures([runs]) for name, runs in laws.items()}
        told[criterion]["labelled"]["ceiling"] = ceiling(laws["labelled"])
        for kind in KINDS:
            told[criterion][kind]["gain"] = {
                name: bootstrapped([laws[kind]], [laws[name]]) for name in BASELINES
            }
    return {
        "runs": len(found),
        "priors": len({group.prior for group, _ in found}),
        "silent": silent,
        "digests_hold": digests() == load_result("frozen")["digests"],
        "criteria": told,
        "fates": {kind: fates(found, kind) for kind in KINDS},
    }


def fates(found, kind: str) -> dict:
    """How often the fate of a blind run was named."""
    calibration, rows = load_calibration(kind), []
    for group, run in found:
        curve = run["curve"]["accuracy"]
        told = calibration.fate(group.features, group.horizon)
        rows.append((told, fate(curve[0], curve[-1], max(curve))))
    return fate_figures(rows)


def main():
    from llm_bridge.report.document import plain

    blind = load_result("blind")
    found = report(blind, readings(load_result("ground-truth")))
    head = {"command": "python -m studies.blind_score", "date": time.strftime("%Y-%m-%d")}
    (RESULTS / "blind_score.json").write_text(json.dumps(plain(head | found), indent=1) + "\n")
    for criterion, laws in found["criteria"].items():
        for name, one in laws.items():
            shown = {key: round(one[key], 3) for key in ("c_index", "brier_skill", "slope_ratio", "spread")}
            print(
                criterion,
                name,
                shown,
                one["within_rate"],
                one["coverage"],
                one.get("gain"),
                one.get("ceiling"),
            )
    print(found["fates"], found["runs"], found["priors"], found["silent"], found["digests_hold"])


if __name__ == "__main__":
    main()
