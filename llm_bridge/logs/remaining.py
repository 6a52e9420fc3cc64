"""How many steps a run has left: quantiles of (steps left) / (steps so far) among stored runs at the same level.

The level of a criterion is 1 at the start and 0 where it is met. Ratios have no unit, so the table does not
depend on learning rate or spacing. Runs that ended first are censored (Kaplan and Meier); where they leave no upper
quantile, there is no upper end. Made and scored by `python -m studies.remaining` on the runs of the tiny zoo.
"""

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from llm_bridge.logs.finding import Finding
from llm_bridge.logs.run_log import RunLog
from sharpening.collapse import CRITERIA

ORDER = ("relative", "mode_retention", "excess_kl")
"""The first of these that a log allows is the one that is forecast."""
EDGES = (0.15, 0.3, 0.5, 0.7, 0.85, 0.95)
"""Bounds between the levels of the table."""
QUANTILES = (0.05, 0.5, 0.95)
TABLE = Path(__file__).with_name("remaining.json")


@dataclass(frozen=True)
class Remaining:
    """Steps left to a criterion at step `step`: middle and a 90 % interval, infinite where none is known."""

    criterion: str
    step: int
    low: float
    middle: float
    high: float


def level_of(criterion: str, first: float, now: float, floor: float | None) -> float:
    """1 at the start, 0 at the threshold of the criterion, negative beyond."""
    rule = CRITERIA[criterion]
    if rule.kind == "towards_floor":
        assert floor is not None, "the criterion has a floor"
        threshold = floor + rule.amount * (first - floor)
    else:
        threshold = rule.amount
    if first == threshold:
        return 0.0
    return (now - threshold) / (first - threshold)


def bin_of(level: float) -> int:
    """The row of the table for a level."""
    return sum(level >= edge for edge in EDGES)


@cache
def _table() -> dict:
    return json.loads(TABLE.read_text())["table"]


def remaining(log: RunLog) -> Remaining | None:
    """Steps left at the last evaluation; None where no criterion of the table is in the log, it began below, or
    is met already.
    """
    for name in ORDER:
        rule = CRITERIA[name]
        series = log.get(rule.metric)
        if series is None or (rule.needs_floor and log.floor is None):
            continue
        steps, values = series.steps, series.array
        elapsed = steps[-1] - steps[0]
        level = level_of(name, float(values[0]), float(values[-1]), log.floor)
        starts_clear = not rule.holds(values[:1], rule.threshold(values, log.floor))[0]
        if level <= 0 or not starts_clear:
            return None
        ratios = _table()[name][bin_of(level)]
        low, middle, high = (math.inf if ratio is None else ratio * elapsed for ratio in ratios)
        return Remaining(name, steps[-1], low, middle, high)
    return None


def told_remaining(log: RunLog) -> Finding | None:
    """The steps left, in words."""
    found = remaining(log)
    if found is None or math.isinf(found.low):
        return None
    high = "no known end" if math.isinf(found.high) else f"{found.high:,.0f}"
    middle = (
        "more than half of them not at all"
        if math.isinf(found.middle)
        else f"half of them by {found.middle:,.0f}"
    )
    text = (
        f"Stored runs that stood where this one stands met `{found.criterion}` {found.low:,.0f} to {high} steps later"
        f" ({middle}). This interval is wide, and known for tiny models only."
    )
    return Finding("remaining_steps", "info", text, found.step)
