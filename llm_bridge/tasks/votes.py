"""From completions to votes: each label is read once, equivalent labels of a prompt share one id, no answer is -1."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from llm_bridge.tasks.base import Problem, Task
from sharpening.metrics import NO_ANSWER


@dataclass(frozen=True)
class Answers:
    """What the rollouts of some prompts said.

    `ids` (prompts, rollouts) integers, -1 = no answer; `labels[id]` the text of an id, the same for every prompt;
    `correct` (prompts, rollouts) bool, never true for no answer, and equal for equal ids of a prompt.
    """

    ids: np.ndarray
    labels: list[str]
    correct: np.ndarray


def read_answers(problems: Sequence[Problem], completions_by_prompt: Sequence[Sequence[str]], task: Task) -> Answers:
    """Read, pool and grade completions, (prompts, rollouts) texts, in one pass.

    The label of each completion is extracted once; votes and grades both come from it. Within a prompt, labels that the task
    calls equivalent are one answer: the transitive closure, since equivalence is not transitive (if a is b and b is c, then a,
    b, c are one answer). Its name is the first of its labels in sorted order, ids number the names in sorted order: the order
    of rollouts and prompts changes nothing. An answer is correct if one of its labels is. Pooling never sees the truth.

    Raises ValueError if the shapes do not fit.
    """
    if len(problems) != len(completions_by_prompt) or len({len(group) for group in completions_by_prompt}) > 1:
        raise ValueError(
            f"{len(problems)} problems need as many groups of equally many completions, "
            f"got {len(completions_by_prompt)} groups of sizes {sorted({len(group) for group in completions_by_prompt})}"
        )
    read = [[task.extract(text) for text in group] for group in completions_by_prompt]
    pools = [_pool(task, {label for label in group if label is not None}) for group in read]
    labels = sorted({name for pool in pools for name in pool.values()})
    index = {name: position for position, name in enumerate(labels)}
    shape = (len(read), len(read[0]) if read else 0)
    ids, correct = np.full(shape, NO_ANSWER, dtype=np.int64), np.zeros(shape, dtype=bool)
    for row, (problem, group, pool) in enumerate(zip(problems, read, pools, strict=True)):
        right = {pool[label] for label in pool if task.is_correct(problem, label)}
        for column, label in enumerate(group):
            if label is not None:
                ids[row, column] = index[pool[label]]
                correct[row, column] = pool[label] in right
    return Answers(ids, labels, correct)


def answer_ids(
    problems: Sequence[Problem], completions_by_prompt: Sequence[Sequence[str]], task: Task
) -> tuple[np.ndarray, list[str]]:
    """(ids, labels) of `read_answers`: ids (prompts, rollouts), -1 = no answer, and the text of each id."""
    answers = read_answers(problems, completions_by_prompt, task)
    return answers.ids, answers.labels


def _pool(task: Task, labels: set[str]) -> dict[str, str]:
    """The name of each label: the first, in sorted order, of those it is equivalent to by a chain."""
    names: dict[str, str] = {label: label for label in labels}
    if task.exact_labels:
        return names
    ordered = sorted(labels)
    for position, second in enumerate(ordered):
        for first in ordered[:position]:
            if names[first] != names[second] and task.equivalent(first, second):
                keep, drop = sorted((names[first], names[second]))
                names = {label: keep if name == drop else name for label, name in names.items()}
    return names
