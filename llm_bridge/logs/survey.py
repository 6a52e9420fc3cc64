"""What a first reading of rollouts tells: how many completions a group has, which prompts come again, and
whether prompts with one text are one problem.
"""

import math
from array import array
from collections import Counter
from collections.abc import Iterable

import numpy as np

from llm_bridge.logs.finding import Finding

_MOST_ADVANTAGES = 100_000
_MOST_OPEN = 200_000
_OPENINGS = 256
_SURE = 16
"""Blocks of advantages that must sum to zero before chance is ruled out."""


class Survey:
    """The first reading. `size`: completions of a group where no uid says so, 0 if counts have no common
    divisor; `known`: whether advantages prove it. `openings`: the first completions that are not empty.
    """

    def __init__(self, rows: Iterable, in_order: bool):
        self.in_order = in_order
        self.rows_of_step: Counter = Counter()
        self.truths: dict[int, str] = {}
        self.openings: list[str] = []
        self.all_labelled = True
        self.any_labelled = False
        self.recurring: set[int] = set()
        self._counts: dict[int, int] = {}
        self._with_uid: set[int] = set()
        self._bare_counts: Counter = Counter()
        self._part_counts: Counter = Counter()
        self._parts_with_uid = False
        self._split_keys: set[int] = set()
        self._truth: dict[int, str | None] = {}
        self._parts: dict[int, Counter] = {}
        self._step_of_prompt: dict[int, int] = {}
        self._advantages: dict[int, array] = {}
        self._noted = 0
        self._prompts: Counter = Counter()
        self._back = False
        self._last: int | None = None
        self._closed: set[int | None] = set()
        for row in rows:
            self._note(row)
        self._fold()
        self.size, self.known, self._split, self.unsteady = self._sizes()

    def _note(self, row) -> None:
        self.rows_of_step[row.step] += 1
        if len(self.openings) < _OPENINGS and row.completion:
            self.openings.append(row.completion)
        if row.step != self._last:
            self._back |= row.step in self._closed
            self._closed.add(self._last)
            self._last = row.step
            if len(self._counts) > _MOST_OPEN:
                self._fold()
        key, prompt = _key(row), hash(row.prompt)
        if key not in self._counts:
            self._counts[key] = 0
            self._truth[key] = row.truth
            self._prompts[row.step] += 1
            if row.uid is not None:
                self._with_uid.add(key)
            if self._step_of_prompt.setdefault(prompt, row.step) != row.step:
                self.recurring.add(prompt)
        if key in self._parts:
            self._parts[key][row.truth] += 1
        elif row.truth != self._truth[key]:
            self._parts[key] = Counter({self._truth[key]: self._counts[key], row.truth: 1})
        self._counts[key] += 1
        self.all_labelled &= row.truth is not None
        self.any_labelled |= row.truth is not None
        if row.truth is not None:
            self.truths.setdefault(prompt, row.truth)
        if self.in_order and row.advantage is not None and self._noted < _MOST_ADVANTAGES:
            self._noted += 1
            self._advantages.setdefault(key, array("d")).append(row.advantage)

    def _fold(self) -> None:
        """Keep of the groups read so far only how many have how many completions."""
        for key, count in self._counts.items():
            if key in self._parts:
                self._split_keys.add(key)
                self._part_counts.update(self._parts[key].values())
                self._parts_with_uid |= key in self._with_uid
            elif key not in self._with_uid:
                self._bare_counts[count] += 1
        for kept in (self._counts, self._with_uid, self._truth, self._parts):
            kept.clear()

    def _sizes(self) -> tuple[int, bool, bool, bool]:
        parts = self._part_counts
        split = bool(parts) and not self._parts_with_uid
        size = math.gcd(*self._bare_counts) if self._bare_counts else math.gcd(*parts) if split else 0
        split = split and size >= 2 and all(count % size == 0 for count in parts)
        by_advantage = self._size_by_advantage(size)
        return by_advantage or size, by_advantage is not None, split, bool(parts) and not split

    def _size_by_advantage(self, size: int) -> int | None:
        """The group size that advantages prove: those of one group sum to zero; None where they do not
        tell.
        """
        whole = [np.array(found) for found in self._advantages.values() if size and len(found) % size == 0]
        whole = [found for found in whole if np.isfinite(found).all() and np.abs(found).max() > 1e-6]
        if size < 2 or not whole or not _sums_to_zero(whole, size):
            return None
        fitting = [d for d in range(2, size) if size % d == 0 and _sums_to_zero(whole, d)]
        sure = [d for d in fitting if _varying_blocks(whole, d) >= _SURE]
        return min(sure) if sure else None if fitting else size

    def is_split(self, row) -> bool:
        """Whether the prompt of this row stands for several problems, told apart by their true answers."""
        return self._split and _key(row) in self._split_keys

    def findings(self) -> list[Finding]:
        """What was assumed."""
        counts = self._bare_counts
        cut = sum(counts[count] for count in counts if 2 <= self.size < count)
        found = [self._told_size()] if counts or self._split else []
        if self._split:
            found.append(
                Finding(
                    "same_prompts",
                    "warning",
                    f"{len(self._split_keys)} prompts come with several true answers in one step and no uid: they"
                    " were told apart by those answers. Problems with the same text and the same answer cannot"
                    " be told apart, and mode_retention of such prompts compares by text and answer.",
                )
            )
        if self.unsteady:
            found.append(
                Finding(
                    "labels_unused",
                    "warning",
                    f"{len(self._split_keys)} groups have several true answers, so that column holds none: metrics"
                    " that need labels were not formed.",
                )
            )
        if cut and not self.in_order and not self._split:
            found.append(
                Finding(
                    "group_order",
                    "warning",
                    f"{cut} prompts come more than once in one step and no uid says which completions"
                    f" belong together: they were cut into groups of {self.size} in the order of rows. If rows"
                    " were shuffled, groups are mixed. Log uid.",
                )
            )
        if self._back:
            found.append(
                Finding(
                    "repeated_steps",
                    "warning",
                    "Rows go back to a step that was written already: all completions of one step were taken"
                    " together, whatever their order. If the run was resumed, remove the rows of the first"
                    " attempt.",
                )
            )
        return [finding for finding in found if finding is not None]

    def _told_size(self) -> Finding | None:
        if self.known:
            return None
        counts = self._bare_counts or self._part_counts
        text = "No uid says which completions belong together, and advantages do not show it. "
        if self.size < 2:
            text += (
                f"The completions of one prompt and step, {min(counts)} to {max(counts)}, were taken as one"
                " group, which is wrong where a prompt was drawn twice."
            )
            return Finding("group_size", "warning", text) if max(counts) > min(counts) else None
        alone = max(self._prompts.values()) == 1
        text += (
            f"Every step holds one prompt, {max(counts)} times: whether that is one group or several cannot be"
            f" known. It was read as groups of {self.size}; if the run's are smaller, majority_ratio,"
            " label_accuracy and reward_accuracy here are not the run's."
            if alone
            else f"Groups of {self.size} were formed from the completions of one prompt and step. If every"
            " prompt was drawn several times in each step, the run's groups are smaller."
        )
        return Finding("group_size", "warning" if alone else "info", text)


def _key(row) -> int:
    return hash((row.step, row.prompt, row.uid))


def _sums_to_zero(sequences: list[np.ndarray], size: int) -> bool:
    return all(np.abs(found.reshape(-1, size).sum(1)).max() < 1e-3 * size for found in sequences)


def _varying_blocks(sequences: list[np.ndarray], size: int) -> int:
    return sum(int((np.abs(found.reshape(-1, size)).max(1) > 1e-6).sum()) for found in sequences)
