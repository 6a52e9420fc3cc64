"""Rows of numbers as they come, until every step of every metric has one value.

Rows of one step are written again by a run that resumed, or by several ranks. The rule: rows that go back to
a step which was written already, past the first one, are those of a resumed run, and earlier rows from that
step on are left out; all other values of one step are averaged. So neither the order of ranks nor that of
files decides anything.
"""

from array import array
from dataclasses import dataclass, field

import numpy as np

from llm_bridge.logs.finding import Finding
from llm_bridge.logs.run_log import RunLog, Series
from sharpening.errors import InputError

MOST_VALUES = 1_000_000
"""Values kept of one log; where there are more, only every 2nd, 4th, ... step is."""

_SHORTEST = 3
"""Fewest rows before and after a return that make it one of a resumed run, where no step is written twice."""


@dataclass
class _Column:
    """The values of one metric: their rows (positions in the log), steps and numbers."""

    lag: int
    prompts: str | None = ""
    rows: array = field(default_factory=lambda: array("q"))
    steps: array = field(default_factory=lambda: array("q"))
    values: array = field(default_factory=lambda: array("d"))
    ranks: array = field(default_factory=lambda: array("i"))


class Recorder:
    """Collects (row, step, metric, value) in any order; `fill` writes one value a step into a RunLog."""

    def __init__(self):
        self.columns: dict[str, _Column] = {}
        self.ranks: dict[object, int] = {}
        self.runs: set = set()
        self.stride, self._count, self._first = 1, 0, None

    def add(
        self,
        row: int,
        step: int,
        name: str,
        value: float,
        *,
        lag: int = 0,
        rank=None,
        prompts: str | None = "",
    ) -> None:
        """Note the finite value of a metric; `rank` is who wrote the row, where the log says so."""
        if not self.keeps(step):
            return
        column = self.columns.setdefault(name, _Column(lag, prompts))
        column.rows.append(row)
        column.steps.append(step)
        column.values.append(value)
        column.ranks.append(self.ranks.setdefault(rank, len(self.ranks)))
        self._count += 1
        if self._count > MOST_VALUES:
            self._thin()

    def keeps(self, step: int) -> bool:
        """Whether values of this step are still kept."""
        if self._first is None:
            self._first = step
        return step % self.stride == 0 or step == self._first

    def _thin(self) -> None:
        while self._count > 2 * MOST_VALUES // 3 and self.stride < 2**40:
            self.stride *= 2
            for column in self.columns.values():
                steps = np.array(column.steps)
                keep = (steps % self.stride == 0) | (steps == self._first)
                for name in ("rows", "steps", "values", "ranks"):
                    old = getattr(column, name)
                    setattr(column, name, array(old.typecode, np.array(old)[keep].tobytes()))
            self._count = sum(len(column.rows) for column in self.columns.values())

    def fill(self, log: RunLog, path: object = None) -> None:
        """Write every metric into the log, and say what was left out or averaged."""
        columns = {
            name: tuple(np.array(part) for part in (c.rows, c.steps, c.values, c.ranks))
            for name, c in self.columns.items()
        }
        named = len(self.ranks) > 1
        resumed = {found for column in columns.values() for found in _resumed(column, named)}
        left_out: set[int] = set()
        averaged: set[int] = set()
        for name, (rows, steps, values, ranks) in columns.items():
            stale = np.zeros(len(rows), dtype=bool)
            for row, step, rank in resumed:
                stale |= (rows < row) & (steps >= step) & ((ranks == rank) | (rank is None))
            left_out.update(rows[stale].tolist())
            found, several = _one_each(steps[~stale], values[~stale])
            averaged.update(several)
            log.series[name] = Series(found, self.columns[name].lag, self.columns[name].prompts)
        if averaged and len(self.runs) > 1:
            raise InputError(
                "log",
                str(path or log.source),
                f"it holds {len(self.runs)} runs, and their steps repeat",
                "Give the rows of one run, and monitor each alone",
            )
        log.findings += self._told(resumed, left_out, averaged, named)
        if (
            not resumed
            and not averaged
            and any((np.diff(steps) < 0).any() for _, steps, _, _ in columns.values())
        ):
            text = (
                "Rows are not in the order of steps, and no step has two values: they were sorted. If the run"
                " was resumed, remove the rows of the first attempt."
            )
            log.findings.append(Finding("unsorted_rows", "info", text))

    def _told(self, resumed, left_out, averaged, named) -> list[Finding]:
        findings = []
        if resumed:
            back = sorted({step for _, step, _ in resumed})
            findings.append(
                Finding(
                    "resumed_rows",
                    "warning",
                    f"Rows go back in step, to {_listed(back)}, as those of a resumed run do. The rows written"
                    f" last were taken: {len(left_out)} earlier rows, from that step on, were left out.",
                    back[0],
                )
            )
        if averaged:
            who = "ranks, which the log names" if named else "several ranks or files, or of a run begun anew"
            advice = "" if named else " If it is a run begun anew, remove the rows of the first attempt."
            findings.append(
                Finding(
                    "repeated_steps",
                    "info" if named else "warning",
                    f"{len(averaged)} steps, the first {min(averaged)}, have different values of one metric"
                    f" in several rows ({who}): their mean was taken, whatever their order.{advice}",
                    min(averaged),
                )
            )
        if self.stride > 1:
            findings.append(
                Finding(
                    "thinned",
                    "info",
                    f"More than {MOST_VALUES:,} values: only steps that are multiples of {self.stride} (and"
                    f" the first one, {self._first}) were read. No step named here is finer than that.",
                )
            )
        return findings


def _listed(steps: list[int]) -> str:
    shown = ", ".join(str(step) for step in steps[:5])
    return shown + (f" and {len(steps) - 5} more" if len(steps) > 5 else "")


def _one_each(steps: np.ndarray, values: np.ndarray) -> tuple[dict[int, float], list[int]]:
    """({step: mean of its values}, [steps whose values differ])."""
    order = np.lexsort((values, steps))
    steps, values = steps[order], values[order]
    if not len(steps):
        return {}, []
    starts = np.flatnonzero(np.r_[True, np.diff(steps) > 0])
    ends = np.r_[starts[1:], len(steps)]
    differ = values[starts] != values[ends - 1]
    found = dict(zip(steps[starts].tolist(), values[starts].tolist(), strict=True))
    for place in np.flatnonzero(differ):
        found[int(steps[starts[place]])] = float(np.mean(values[starts[place] : ends[place]]))
    return found, steps[starts[differ]].tolist()


def _resumed(column: tuple, named: bool) -> list[tuple[int, int, int | None]]:
    """(row, step, rank) from which rows of a resumed run follow, in one metric's rows."""
    rows, steps, _, ranks = column
    if not named:
        return [(row, step, None) for row, step in _goes_back(rows, steps, restart=False)]
    return [
        (row, step, int(rank))
        for rank in np.unique(ranks)
        for row, step in _goes_back(rows[ranks == rank], steps[ranks == rank], restart=True)
    ]


def _goes_back(rows: np.ndarray, steps: np.ndarray, *, restart: bool) -> list[tuple[int, int]]:
    """(row, step) of each return to a step already written.

    Where nobody says who wrote a row, ranks that write one after the other go back too. Theirs have every
    step equally often; a resumed run has the steps before its return once and some after it twice. Where no
    step is written twice, a few returns are those of a resumed run that logs at other steps, and many are rows
    in no order.
    """
    back = np.flatnonzero(np.diff(steps) < 0) + 1
    if not len(back):
        return []
    distinct, counts = np.unique(steps, return_counts=True)
    few = len(back) <= max(3, len(steps) // 20)
    if counts.max() == 1:
        ends = [*back[1:], len(steps)]
        long = few and all(
            end - place >= _SHORTEST and (steps[:place] < steps[place]).sum() >= _SHORTEST
            for place, end in zip(back, ends, strict=True)
        )
        return [(int(rows[place]), int(steps[place])) for place in back] if long else []
    found = []
    for place, end in zip(back, [*back[1:], len(steps)], strict=True):
        if np.isin(steps[place:end], steps[:place]).any():
            found.append((int(rows[place]), int(steps[place])))
    if restart or not found:
        return found if few else []
    first = min(step for _, step in found)
    before = counts[distinct < first]
    if not len(before) or before.max() > before.min() or counts.max() <= before.max():
        return []
    return found
