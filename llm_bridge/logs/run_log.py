"""What every reader hands over: series by metric name, and what could not be read."""

from dataclasses import dataclass, field

import numpy as np

from llm_bridge.logs.finding import Finding, named

DISTINCT = ("_distinct_share", "distinct_answers")
NARROWED = 0.3
ERRORS = {"accuracy": "_accuracy_error", "mode_mass": "_mode_mass_error"}
"""Metric to the name of its standard error at an evaluation: no metrics, kept for the test of a fall."""


@dataclass
class Series:
    """One metric over a run: step -> value. A step without a value is absent, never zero.

    `lag`: updates between the model that was measured and the step it is logged at: 1 for the rollouts of
    training batches, which the model gave before that step's update, 0 for evaluations. `prompts`: the set that
    was measured, the same at every step; None where each step has its own.
    """

    values: dict[int, float]
    lag: int = 0
    prompts: str | None = ""

    @property
    def steps(self) -> list[int]:
        return sorted(self.values)

    @property
    def array(self) -> np.ndarray:
        return np.array([self.values[step] for step in self.steps], dtype=float)

    def ends(self) -> tuple[float, float]:
        """Means of the first and of the last fifth of the values (at least one value each)."""
        values = self.array
        width = max(1, len(values) // 5)
        return float(values[:width].mean()), float(values[-width:].mean())

    def __len__(self) -> int:
        return len(self.values)


@dataclass
class RunLog:
    """`source` in words; `series` by canonical name; `unknown` keys that no rule reads; `floor` of reward
    accuracy, `answers` behind one value of accuracy, if known.
    """

    source: str
    series: dict[str, Series] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    floor: float | None = None
    checkpoints: list[int] = field(default_factory=list)
    answers: int | None = None

    def add(self, name: str, step: int, value: float, lag: int = 0, prompts: str | None = ""):
        self.series.setdefault(name, Series({}, lag, prompts)).values[step] = float(value)

    def get(self, name: str, at_least: int = 2) -> Series | None:
        """The series of a metric if it has enough values to show a change."""
        found = self.series.get(name)
        return found if found is not None and len(found) >= at_least else None

    def first(self, *names: str) -> tuple[str, Series] | None:
        """The first of these metrics that was recorded twice or more."""
        return next(((name, series) for name in names if (series := self.get(name)) is not None), None)


def fewer(distinct: Series) -> bool:
    """Whether the number of distinct majority answers fell by 30 % or more from the first to the last fifth
    of the run.
    """
    many, few = distinct.ends()
    return few <= (1 - NARROWED) * many


def describe(log: RunLog) -> Finding:
    """What was read: source, steps, spacing and metrics."""
    steps = sorted({step for series in log.series.values() for step in series.values})
    if not steps:
        return Finding("input", "info", f"{log.source}: no metric that is known here.")
    gaps = np.diff(steps)
    spacing = (
        f", a value every {int(np.median(gaps))} steps, so no step named here is finer than that"
        if len(gaps) and np.median(gaps) > 1
        else ""
    )
    names = named([name for name in log.series if name[:1] != "_"])
    return Finding(
        "input",
        "info",
        f"{log.source}: {len(steps)} steps from {steps[0]} to {steps[-1]}{spacing}. Metrics: {names}.",
        steps[-1],
    )


def merge(logs: list[RunLog]) -> RunLog:
    """One log from several of one run: of a metric recorded twice, the earlier log's is taken."""
    merged = RunLog("; ".join(log.source for log in logs))
    for log in logs:
        if "reward_accuracy" in log.series and "reward_accuracy" not in merged.series:
            merged.floor = log.floor
        for name, series in log.series.items():
            merged.series.setdefault(name, series)
        merged.unknown += [key for key in log.unknown if key not in merged.unknown]
        merged.findings += [describe(log), *log.findings]
        merged.checkpoints = merged.checkpoints or log.checkpoints
        merged.answers = merged.answers or log.answers
    return merged
