"""Forecasts beside what was measured, of runs on images and of runs in text under the same settings."""

import math

import numpy as np

from studies.paper.grids import groups

KINDS = {"images": "sighted", "text": "trained"}
"""By what the prompts hold: the kind of cell that measures their runs."""


def against(result: dict) -> dict:
    """`rows`: one a setting and criterion, the forecast made before the runs beside the steps of every seed.

    Of each row `forecast` is the median step, beyond the runs' end or not, and (`low`, `high`) the 90 % interval, None
    beyond the end; `measured` has the step of each seed, None where its run ended first; `held` counts seeds whose step
    can lie in the interval. `scores`, for images and text apart: by criterion the runs, the share held and the C-index of
    the medians (None where no pair of runs can be told apart); `fates`: the share of runs whose fate was the likeliest.
    """
    rows, scores = [], {}
    for what, kind in KINDS.items():
        foretold = groups(result, "foretold")
        found = {label: told for label, told in groups(result, kind).items() if foretold.get(label)}
        own = [
            row | {"what": what, "setting": label}
            for label, records in found.items()
            for row in _rows(foretold[label][0], records)
        ]
        if own:
            rows += own
            scores[what] = _scores(own) | {"fates": _fates(found, foretold)}
    return {"rows": [_plain(row) for row in rows], "scores": scores}


def _rows(foretold: dict, records: list[dict]):
    from studies.blind import times

    for name, told in foretold["forecast"].items():
        if told["level"] is None or name not in foretold["medians"]:
            continue
        known = [
            times({"curve": one["curves"][0], "collapse": one["collapse"][0], "floor": one["floor"]})[name]
            for one in records
        ]
        spans = [(low, math.inf if high is None else high) for low, high in filter(None, known)]
        first, last = (math.inf if told[end] is None else told[end] for end in ("low", "high"))
        # Before the interval's beginning nothing may be met; one that begins beyond the end holds what was not met.
        held = [high >= first and low <= last for low, high in spans]
        yield {
            "criterion": name,
            "forecast": foretold["medians"][name],
            "low": told["low"],
            "high": told["high"],
            "spans": spans,
            "measured": [None if high == math.inf else high for _, high in spans],
            "held": sum(held),
        }


def _plain(row: dict) -> dict:
    return {name: value for name, value in row.items() if name != "spans"}


def _scores(rows: list[dict]) -> dict:
    from studies.scoring import Scored, c_index, order

    found = {}
    for name in dict.fromkeys(row["criterion"] for row in rows):
        mine = [row for row in rows if row["criterion"] == name]
        pairs = [(row, span) for row in mine for span in row["spans"]]
        blank = np.full(len(pairs), "")
        centre = np.log([max(row["forecast"], 1e-9) for row, _ in pairs])
        low, high = (np.array([span[end] for _, span in pairs], float) for end in (0, 1))
        runs = Scored(blank, blank, blank, blank, blank, centre, low, high, centre, np.ones(len(pairs)))
        found[name] = {
            "runs": len(pairs),
            "held": sum(row["held"] for row in mine) / len(pairs) if pairs else None,
            "c_index": c_index(runs) if pairs and order(runs)[1].any() else None,
        }
    return {"criteria": found}


def _fates(found: dict, foretold: dict) -> float | None:
    from llm_bridge.forecast.calibration.outcome import fate

    right = []
    for label, records in found.items():
        chances = foretold[label][0]["fates"]
        for record in records if chances else ():
            accuracy = record["curves"][0]["accuracy"]
            right.append(max(chances, key=chances.get) == fate(accuracy[0], accuracy[-1], max(accuracy)))
    return float(np.mean(right)) if right else None
