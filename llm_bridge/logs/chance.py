"""The chance that accuracy has begun to fall, without labels, and an alarm whose error holds over the whole run.

The score at a step is a weighted sum of signs (`since_start`), fitted on stored runs of the tiny zoo of which the
accuracy is known. Of other runs, all healthy, the highest score that each ever had is kept. An alarm is raised once the
highest score so far is one that at most `error` of them reached: whenever and however often it is asked, a run that is
exchangeable with them gives a false alarm with at most that probability (the rank of its maximum among theirs, a
conformal p-value; it never rises over a run). Made and judged by `python -m studies.monitor_chance`.
"""

import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from llm_bridge.logs.finding import Finding
from llm_bridge.logs.run_log import RunLog, Series
from llm_bridge.logs.since_start import FEWEST, Signs, signs_over_time

ERROR = 0.05
"""Chance of a false alarm over a whole run, among runs like the stored healthy ones."""
TABLE = Path(__file__).with_name("chance.json")


@dataclass(frozen=True)
class Chance:
    """At step `step`: `chance` that accuracy has begun to fall, `error` the share of healthy runs that ever came as far
    as this one so far (at least one in how many there are, plus one); `alarm` the first step at which it was ERROR
    or less and `before` the one before it at which the score was lowest, both None without an alarm.
    """

    step: int
    chance: float
    error: float
    healthy: int
    alarm: int | None = None
    before: int | None = None


@cache
def table() -> dict:
    """Weights of the signs, the curve that makes chances of scores, and the healthy runs' highest scores."""
    return json.loads(TABLE.read_text())


def scores(signs: Signs, made: dict) -> np.ndarray:
    """Score at each step."""
    weights = np.array([made["weights"].get(name, 0.0) for name in signs.names])
    return made["bias"] + signs.values @ weights


def chances(found: np.ndarray, made: dict) -> np.ndarray:
    """Chance at each score."""
    return 1 / (1 + np.exp(-np.clip(made["curve"][0] + made["curve"][1] * found, -30, 30)))


def errors(found: np.ndarray, made: dict) -> np.ndarray:
    """Share of healthy runs, this one among them, whose highest score is at or above the highest so far."""
    highest = np.maximum.accumulate(np.where(np.arange(len(found)) < FEWEST - 1, -np.inf, found))
    healthy = np.sort(made["healthy"])
    above = len(healthy) - np.searchsorted(healthy, highest, side="left")
    return (1 + above) / (1 + len(healthy))


def chance(log: RunLog) -> Chance | None:
    """The chance at the last step of the log; None where it holds no groups of training batches, or too few steps."""
    signs = signs_over_time(log)
    if signs is None:
        return None
    made = table()
    found = scores(signs, made)
    now, reached = chances(found, made), errors(found, made)
    last = Chance(signs.steps[-1], float(now[-1]), float(reached[-1]), len(made["healthy"]))
    crossed = np.flatnonzero(reached <= ERROR)
    if not len(crossed):
        return last
    place = int(crossed[0])
    calm = np.flatnonzero(found[: place + 1] == found[: place + 1].min())
    return replace(last, alarm=signs.steps[place], before=signs.steps[int(calm[-1])])


def chance_over_time(log: RunLog) -> Series | None:
    """The chance at each step, as a series of the log; None as for `chance`."""
    signs = signs_over_time(log)
    if signs is None:
        return None
    made = table()
    return Series(dict(zip(signs.steps, chances(scores(signs, made), made).tolist(), strict=True)), lag=1)


def told_chance(found: Chance | None) -> Finding | None:
    """The chance, in words: provisional once the alarm is raised, since the stored runs are of tiny models."""
    if found is None:
        return None
    values = {"chance": round(found.chance, 4), "error": round(found.error, 4), "healthy_runs": found.healthy}
    text = (
        f"Without labels: a chance of {found.chance:.0%} that accuracy has begun to fall"
        " (where as many runs fall as in the stored ones)."
    )
    if found.alarm is None:
        share = f"{found.error:.0%} of {found.healthy} healthy runs of tiny models came as far at some step"
        return Finding("collapse_chance", "info", f"{text} {share}: no alarm.", found.step, values)
    text += (
        f" Alarm since step {found.alarm}: at most {ERROR:.0%} of healthy runs of tiny models ever come as far, however"
        f" often one looks ({found.error:.1%} as far as this one by now). Larger models were not tried: an evaluation"
        " with labels, at this step and at the checkpoint to keep, decides."
    )
    return Finding("collapse_chance", "provisional", text, found.alarm, values)
