"""A prompt that occurs several times is one problem: how many repeats there were is told, and two different
true answers of one prompt are refused.
"""

from collections.abc import Sequence

from llm_bridge.tasks.base import Problem, Task
from sharpening.errors import InputError


def distinct_problems(task: Task, problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """The first problem of each prompt, in their order, with the rephrasings of all of them.

    Raises: InputError if a prompt has true answers that `task.equivalent` does not call the same; it names
    their lines (`data["line"]`).
    """
    first: dict[str, Problem] = {}
    wordings: dict[str, dict[str, None]] = {}
    for problem in problems:
        kept = first.setdefault(problem.prompt, problem)
        if kept is not problem and kept.answer != problem.answer:
            _check_same(task, kept, problem)
        wordings.setdefault(problem.prompt, {}).update(dict.fromkeys(problem.data.get("rephrasings", ())))
    return tuple(
        Problem(prompt, problem.answer, {**problem.data, "rephrasings": tuple(wordings[prompt])})
        for prompt, problem in first.items()
    )


def repeats_note(name: str, total: int, kept: int) -> list[str]:
    """One sentence on repeated prompts, none where there are none."""
    if kept == total:
        return []
    return [
        f"Task {name}: {total - kept} of {total} lines repeat a prompt and are left out; {kept} distinct prompts"
        " remain."
    ]


def _check_same(task: Task, kept: Problem, problem: Problem) -> None:
    one, other = kept.answer, problem.answer
    if one is not None and other is not None and task.equivalent(one, other):
        return
    lines = f"lines {kept.data['line']} and {problem.data['line']}"
    raise InputError(
        "task",
        str(getattr(task, "path", task.name)),
        f"{lines} ask the same, {kept.prompt[:60]!r}, and give different true answers,"
        f" {kept.data['answer'][:40]!r} and {problem.data['answer'][:40]!r}",
        "Correct or remove one of them",
    )
