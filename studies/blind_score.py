"""The frozen law on priors that were measured afterwards, beside baselines fitted on what was measured before.

    python -m studies.blind_score ROUND     # reads results/ROUND.json, writes results/ROUND_score.json

Run with the calibration that was frozen for the round: the result tells whether it is. A pilot that never moved a
weight has no forecast: its prior is counted, and left out of every figure.
"""

import json
import sys
import time

import numpy as np

from llm_bridge import load_calibration
from llm_bridge.forecast.calibration.fit import fate_of, fit
from llm_bridge.forecast.calibration.survival import DATED, KINDS, FailureTime
from studies.fitting import BLIND_ROUNDS, StudyGroup, blind_groups, measured_before
from studies.frozen import digests
from studies.left_out import BASELINES, fate_figures, figures, left_out, scored
from studies.scoring import Scored, bootstrapped, c_index
from studies.study import RESULTS, load_result


def of_head(found, head: FailureTime, spread=None) -> Scored:
    """Every run of which the criterion can be told, forecast by one head; spread: of all, else the head's own."""
    rows, spreads = [], []
    for group in found:
        for told in group.told(head.criterion):
            rows.append((group, head.log_median(group.features), *told))
            spreads.append(head.spread_at(group.features) if spread is None else spread)
    return scored(rows, np.array(spreads))


def ceiling(runs: Scored) -> float | None:
    """The C-index of another seed's own step as the forecast, over settings with two; None where there are none."""
    centre = np.full(len(runs.low), np.nan)
    for label in dict.fromkeys(runs.label):
        mine = np.flatnonzero(runs.label == label)
        if len(mine) == 2:
            centre[mine] = np.log(np.minimum(runs.high[mine[::-1]], 1e9))
    known = ~np.isnan(centre)
    if not known.any():
        return None
    return c_index(Scored(**vars(runs) | {"centre": centre})[known])


def report(blind_round: str, read: list[list[StudyGroup]]) -> dict:
    """Every figure of law and baselines on a round's runs, and the law's gain over each with its interval; read: all
    that was measured before it.
    """
    found, silent = blind_groups(load_result(blind_round))
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
        "priors": len({group.prior for group in found}),
        "silent": silent,
        "digests_hold": digests() == load_result(f"frozen-{blind_round}")["digests"],
        "criteria": told,
        "fates": {kind: fates(found, kind) for kind in KINDS},
    }


def fates(found, kind: str) -> dict:
    """How often the fate of a blind run was named."""
    calibration, rows = load_calibration(kind), []
    for group in found:
        rows.append((calibration.fate(group.features, group.horizon), fate_of(group, 0)))
    return fate_figures(rows)


def main(name: str):
    from llm_bridge.report.document import plain

    before = BLIND_ROUNDS[: BLIND_ROUNDS.index(name)] if name in BLIND_ROUNDS else BLIND_ROUNDS
    found = report(name, measured_before(before))
    head = {"command": f"python -m studies.blind_score {name}", "date": time.strftime("%Y-%m-%d")}
    (RESULTS / f"{name}_score.json").write_text(json.dumps(plain(head | found), indent=1) + "\n")
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
    main(*sys.argv[1:])
