"""The table of steps left that `sharpening monitor` reads, and how well it does on models it has not seen:

    python -m studies.remaining

writes llm_bridge/logs/remaining.json from the ground truth of the tiny zoo. Scored with each model left out in
turn, at every evaluation of its runs that collapse: how often the 90 % interval holds, and the middle against a line
through the last four evaluations.
"""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np

from llm_bridge.logs.remaining import EDGES, ORDER, QUANTILES, TABLE, bin_of, level_of
from sharpening.collapse import CRITERIA
from studies.study import load_result

FEWEST = 30


@dataclass(frozen=True)
class Point:
    """An evaluation of a run before it collapsed or ended: ratio of the steps left to those so far."""

    run: int
    model: str
    level: float
    ratio: float
    collapsed: bool
    line: float
    share: float


def points(study: dict, criterion: str) -> list[Point]:
    """Every evaluation of every run that begins clear of the criterion."""
    found = []
    for number, run in enumerate(study["runs"]):
        end = run["collapse"][criterion]
        if end["outcome"] not in ("collapsed", "censored"):
            continue
        steps, values = run["curve"]["step"], run["curve"][CRITERIA[criterion].metric]
        last = steps[-1] if end["step"] is None else end["step"]
        levels = [level_of(criterion, values[0], value, run["floor"]) for value in values]
        for place in range(1, len(steps)):
            now = steps[place]
            if now >= last or levels[place] <= 0:
                break
            before = max(0, place - 3)
            slope = (levels[place] - levels[before]) / (now - steps[before])
            line = levels[place] / -slope / now if slope < 0 else np.inf
            found.append(
                Point(
                    number,
                    run["model"],
                    levels[place],
                    (last - now) / now,
                    end["step"] is not None,
                    line,
                    now / last,
                )
            )
    return found


def quantiles(some: list[Point]) -> list[float | None]:
    """Quantiles of the ratio, with censoring; every run weighs the same."""
    if len(some) < FEWEST:
        return [0.0, None, None]
    counts = Counter(point.run for point in some)
    some = sorted(some, key=lambda point: point.ratio)
    weights = np.array([1 / counts[point.run] for point in some])
    at_risk = np.cumsum(weights[::-1])[::-1]
    ended = np.array([point.collapsed for point in some])
    share = 1 - np.cumprod(np.where(ended, 1 - weights / at_risk, 1.0))
    return [
        round(some[int(np.searchsorted(share, quantile))].ratio, 4) if share[-1] >= quantile else None
        for quantile in QUANTILES
    ]


def table(some: list[Point]) -> list[list[float | None]]:
    """Quantiles for each level."""
    return [
        quantiles([point for point in some if bin_of(point.level) == row]) for row in range(len(EDGES) + 1)
    ]


def scores(some: list[Point]) -> dict:
    """Coverage and error with each model left out."""
    held, mine, lines, width, by_share = [], [], [], [], defaultdict(list)
    for model in sorted({point.model for point in some}):
        rows = table([point for point in some if point.model != model])
        for point in some:
            if point.model != model or not point.collapsed:
                continue
            low, middle, high = (np.inf if q is None else q for q in rows[bin_of(point.level)])
            held.append(low <= point.ratio <= high)
            by_share[min(3, int(4 * point.share))].append(held[-1])
            width.append((high + 0.01) / (low + 0.01))
            mine.append(_factor(middle, point.ratio))
            lines.append(_factor(point.line, point.ratio))
    return {
        "evaluations": len(held),
        "holds": round(float(np.mean(held)), 3),
        "holds_by_quarter_of_the_run": [round(float(np.mean(by_share[q])), 3) for q in range(4)],
        "no_upper_end": round(float(np.mean(np.isinf(width))), 3),
        "width": round(float(np.median([w for w in width if np.isfinite(w)])), 1),
        "error": round(float(np.median(mine)), 2),
        "error_of_a_line": round(float(np.median(lines)), 2),
    }


def _factor(guess: float, truth: float) -> float:
    """How many times too long or too short, with a hundredth of the steps so far added to both."""
    return float(np.exp(abs(np.log((min(guess, 100.0) + 0.01) / (truth + 0.01)))))


def result() -> dict:
    study = load_result("ground-truth")
    found = {name: points(study, name) for name in ORDER}
    return {
        "command": "python -m studies.remaining",
        "levels": list(EDGES),
        "quantiles": list(QUANTILES),
        "table": {name: table(some) for name, some in found.items()},
        "scores": {name: scores(some) for name, some in found.items()},
    }


if __name__ == "__main__":
    made = result()
    TABLE.write_text(json.dumps(made, indent=1) + "\n")
    print(json.dumps(made["scores"], indent=1))
