"""From completions to votes: each label is read once, equivalent labels of a prompt share one id, no answer
is -1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from llm_bridge.answers.equivalence import at_most
from llm_bridge.tasks.base import Problem, Task
from sharpening.metrics import NO_ANSWER

SECONDS_EACH = 2.0
"""Processor time that comparing the labels of a prompt may take in the worker, for each distinct label."""
_MOST_REMEMBERED = 4_096
_LONGEST_REMEMBERED = 4_000
_pools: WeakKeyDictionary[Task, dict[frozenset[str], dict[str, str]]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Answers:
    """What the rollouts of some prompts said.

    `ids` (prompts, rollouts) integers, -1 = no answer; `labels[id]` the text of an id, the same for every
    prompt; `correct` (prompts, rollouts) bool, never true for no answer, and equal for equal ids of a prompt;
    `undecided` (prompts, rollouts) bool: answers that are not known to be right and of which it is undecided
    whether they say the same as the true answer or another of the prompt.
    """

    ids: np.ndarray
    labels: list[str]
    correct: np.ndarray
    undecided: np.ndarray | None = None


def read_answers(
    problems: Sequence[Problem],
    completions_by_prompt: Sequence[Sequence[str]],
    task: Task,
    unread: Sequence[Sequence[bool]] | None = None,
) -> Answers:
    """Read, pool and grade completions, (prompts, rollouts) texts, in one pass.

    The label of each completion is extracted once; votes and grades both come from it. Within a prompt,
    labels that the task calls equivalent are one answer: the transitive closure, since equivalence is not
    transitive (if a is b and b is c, then a, b, c are one answer), except that a bare number among two units
    (5, 5 m, 5 km) stands alone. Its name is the first of its labels in
    sorted order, ids number the names in sorted order: the order of rollouts and prompts changes nothing. An
    answer is correct if one of its labels is. Pooling never sees the truth. `unread` (prompts, rollouts):
    completions that give no answer whatever they say, such as those that were cut off.

    Raises ValueError if the shapes do not fit.
    """
    if (
        len(problems) != len(completions_by_prompt)
        or len({len(group) for group in completions_by_prompt}) > 1
    ):
        raise ValueError(
            f"{len(problems)} problems need as many groups of equally many completions, got"
            f" {len(completions_by_prompt)} groups of sizes"
            f" {sorted({len(group) for group in completions_by_prompt})}"
        )
    if unread is None:
        labels = [[task.extract(text) for text in group] for group in completions_by_prompt]
    else:
        labels = [
            [None if skip else task.extract(text) for text, skip in zip(*rows, strict=True)]
            for rows in zip(completions_by_prompt, unread, strict=True)
        ]
    return pool_labels(problems, labels, task)


def pool_labels(
    problems: Sequence[Problem], labels_by_prompt: Sequence[Sequence[str | None]], task: Task
) -> Answers:
    """The second half of `read_answers`: pool and grade labels, (prompts, rollouts) as `task.extract` gave
    them, None = no answer.

    Comparing the labels of a prompt may take 2 s of processor time for each distinct one in all; where
    hostile labels use it up, those not yet compared are undecided. Undecided labels are different answers of
    the vote, not right, and marked.
    """
    pooled = [
        _pool(task, frozenset(label for label in group if label is not None)) for group in labels_by_prompt
    ]
    pools = [names for names, _ in pooled]
    labels = sorted({name for pool in pools for name in pool.values()})
    index = {name: position for position, name in enumerate(labels)}
    ids, correct, undecided = [], [], []
    for problem, group, (pool, unsure) in zip(problems, labels_by_prompt, pooled, strict=True):
        right: set[int] = set()
        open_labels = set(unsure)
        for label, name in pool.items():
            if task.is_correct(problem, label):
                right.add(index[name])
            elif not task.exact_labels and task.graded(problem, label) is None:
                open_labels.add(label)
        of_label = {label: index[name] for label, name in pool.items()} | {None: NO_ANSWER}
        row = [of_label[label] for label in group]
        ids.append(row)
        correct.append([one in right for one in row])
        undecided.append(
            [label in open_labels and one not in right for label, one in zip(group, row, strict=True)]
        )
    shape = (len(ids), len(ids[0]) if ids else 0)
    return Answers(
        np.array(ids, dtype=np.int64).reshape(shape),
        labels,
        np.array(correct, dtype=bool).reshape(shape),
        np.array(undecided, dtype=bool).reshape(shape),
    )


def answer_ids(
    problems: Sequence[Problem], completions_by_prompt: Sequence[Sequence[str]], task: Task
) -> tuple[np.ndarray, list[str]]:
    """(ids, labels) of `read_answers`: ids (prompts, rollouts), -1 = no answer, and the text of each id."""
    answers = read_answers(problems, completions_by_prompt, task)
    return answers.ids, answers.labels


def forget() -> None:
    """Empty the memory of label sets pooled so far; they change no outcome, only its cost."""
    _pools.clear()


def _pool(task: Task, labels: frozenset[str]) -> tuple[dict[str, str], frozenset[str]]:
    """(the name of each label: the first, in sorted order, of those it is equivalent to by a chain; the labels
    of pairs that are undecided).
    """
    if task.exact_labels or len(labels) < 2:
        return {label: label for label in labels}, frozenset()
    try:
        known = _pools.setdefault(task, {})
    except TypeError:
        known = {}
    names = known.get(labels)
    if names is not None:
        return names, frozenset()
    names, unsure = _chained(task, sorted(labels))
    if not unsure and sum(map(len, labels)) <= _LONGEST_REMEMBERED:
        while len(known) >= _MOST_REMEMBERED:
            del known[next(iter(known))]
        known[labels] = names
    return names, unsure


def _chained(task: Task, ordered: list[str]) -> tuple[dict[str, str], frozenset[str]]:
    units = {label: task.unit(label) for label in ordered}
    with at_most(SECONDS_EACH * len(ordered)):
        names, unsure = _joined(task, ordered, lambda first, second: True)
        for name in sorted(set(names.values())):
            members = [label for label in ordered if names[label] == name]
            if len({units[label] for label in members} - {None}) > 1:
                # A bare 5 is both 5 m and 5 km, so here it is neither.
                alike = lambda first, second: (units[first] is None) == (units[second] is None)  # noqa: E731
                names |= _joined(task, members, alike)[0]
    return names, frozenset(label for pair in unsure if names[pair[0]] != names[pair[1]] for label in pair)


def _joined(task: Task, ordered: list[str], may: Callable[[str, str], bool]) -> tuple[dict[str, str], list]:
    """(names by the transitive closure of the pairs that may be joined, undecided pairs)."""
    names, unsure = {label: label for label in ordered}, []
    for position, second in enumerate(ordered):
        for first in ordered[:position]:
            if names[first] == names[second] or not may(first, second):
                continue
            said = task.equivalent(first, second)
            if said is None:
                unsure.append((first, second))
            elif said:
                keep, drop = sorted((names[first], names[second]))
                names = {label: keep if name == drop else name for label, name in names.items()}
    return names, unsure
