"""Rollouts of a run, group by group: rows are read twice, first to learn which of them belong together, then
step by step. Only the completions of the steps being read are held.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from llm_bridge.logs.finding import Finding
from llm_bridge.logs.survey import Survey


class Row(NamedTuple):
    """One completion as it was logged. `uid` names its group, where the log does; `scores` are the columns
    that may be rewards; `truth` is the true answer, None if it is not known.
    """

    step: int
    prompt: str
    uid: str | None
    completion: str
    scores: tuple[float | None, ...]
    truth: str | None
    advantage: float | None = None


@dataclass
class Group:
    """The completions of one prompt at one step; `truth` None if it is not known."""

    step: int
    prompt: str
    completions: list[str | None] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    truth: str | None = None
    scores: list[tuple] = field(default_factory=list)
    advantages: list[float | None] = field(default_factory=list)


class Rollouts:
    """Every group of a run.

    `rows()` gives the rows anew at each call. `columns`: names of the scores. `rewards`: positions of those
    whose sum is the reward, None where it is not known. `in_order`: whether the rows of a group follow each
    other in the log. `unknown`: columns that nothing reads. `repeated`: steps whose file repeats the one
    before.
    """

    def __init__(
        self,
        rows: Callable[[], Iterator[Row]],
        *,
        columns: list[str],
        unknown: list[str],
        repeated: list[int] | None = None,
        in_order: bool = False,
        findings: dict[str, Finding] | None = None,
    ):
        self._rows, self.columns, self.unknown, self.in_order = rows, columns, unknown, in_order
        self.repeated = repeated if repeated is not None else []
        self.reader_findings = findings if findings is not None else {}
        self.survey = Survey(rows(), in_order)
        self.rewards: tuple[int, ...] | None = tuple(range(len(columns))) if len(columns) == 1 else None

    @property
    def groups(self) -> list[Group]:
        """Every group at once, by step."""
        return [group for _, groups in self.steps() for group in groups]

    def steps(
        self, read: Callable[[str], str | None] = lambda text: text
    ) -> Iterator[tuple[int, list[Group]]]:
        """(step, its groups), steps rising; `read` is applied to each completion as soon as it comes."""
        open_steps: dict[int, list[tuple[Row, str | None]]] = {}
        expected = self.survey.rows_of_step
        waiting = iter(sorted(expected))
        due = next(waiting, None)
        for row in self._rows():
            if row.step not in expected or len(open_steps.get(row.step, ())) == expected[row.step]:
                continue
            # Of a long completion only what was read is held.
            held = row._replace(completion=""), read(row.completion)
            open_steps.setdefault(row.step, []).append(held)
            while due is not None and len(open_steps.get(due, ())) == expected[due]:
                yield due, self._grouped(open_steps.pop(due))
                due = next(waiting, None)
        while due is not None:
            if due in open_steps:
                yield due, self._grouped(open_steps.pop(due))
            due = next(waiting, None)

    def _grouped(self, rows: list[tuple[Row, str | None]]) -> list[Group]:
        """Groups of (row, what was read of its completion) by uid, else by prompt (and true answer, where one text has several).

        A prompt drawn twice in one step has a multiple of the group size; its rows are cut in their order.
        """
        keyed: dict[tuple[str, str, str], list[tuple[Row, str | None]]] = {}
        for row, label in rows:
            split = row.truth if self.survey.is_split(row) else None
            keyed.setdefault((row.prompt, split or "", row.uid or ""), []).append((row, label))
        groups = []
        for (prompt, split, uid), found in sorted(keyed.items(), key=lambda item: item[0]):
            size = self.survey.size
            width = size if not uid and size >= 2 and len(found) % size == 0 else len(found)
            for start in range(0, len(found), width):
                part = [row for row, _ in found[start : start + width]]
                totals = [self._reward(row) for row in part]
                groups.append(
                    Group(
                        part[0].step,
                        f"{prompt}\0{split}" if split else prompt,
                        [label for _, label in found[start : start + width]],
                        [total for total in totals if total is not None],
                        None if self.survey.unsteady else part[0].truth,
                        [row.scores for row in part],
                        [row.advantage for row in part],
                    )
                )
        return groups

    def _reward(self, row: Row) -> float | None:
        scores = [row.scores[place] for place in self.rewards or ()]
        values = [value for value in scores if value is not None and math.isfinite(value)]
        return sum(values) if values else None

    def findings(self) -> list[Finding]:
        """What had to be left out or assumed to form the groups."""
        found = [*self.reader_findings.values(), *self.survey.findings()]
        if self.repeated:
            steps = Counter(self.repeated)
            found.append(
                Finding(
                    "repeated_rows",
                    "info",
                    f"{len(steps)} files repeat the completions of the one before and were left out. Files"
                    " whose groups are each of one mind are counted: a policy that has one answer writes"
                    " the same file at every step.",
                )
            )
        return found
