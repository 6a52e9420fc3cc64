"""How a task reads answers, shown on its own true answers: a wrong reading is then seen before any work."""

from dataclasses import dataclass

from llm_bridge.tasks.base import Task

_TAIL = 60


@dataclass(frozen=True)
class Reading:
    """The end of a prompt, its true answer as it was given (None without one), and how that is read (None: no
    answer is found in it).
    """

    prompt: str
    answer: str | None
    label: str | None


def reading_examples(task: Task, count: int = 3) -> list[Reading]:
    """The first `count` problems: each prompt's end, its true answer, and the label that a completion which gives
    this answer votes for.
    """
    found = []
    for problem in task.problems[:count]:
        solution = task.solution(problem)
        label = None if solution is None else task.extract(solution)
        found.append(Reading(_tail(problem.question), problem.data.get("answer", problem.answer), label))
    return found


def reading_told(task: Task, count: int = 3) -> list[str]:
    """What is said at the start of a run: the answer pattern, and the examples, one line each."""
    pattern = getattr(task, "answer_pattern", None)
    how = f"by {pattern}" if pattern else "in the task's own way"
    lines = [f"Answers of {task.name} are read {how}:"]
    for one in reading_examples(task, count):
        truth = (
            "no true answer"
            if one.answer is None
            else f"true answer {_short(one.answer)} is read as {_short(one.label) if one.label else 'no answer'}"
        )
        lines.append(f"  {_short(one.prompt)}: {truth}")
    return lines


def _tail(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _TAIL else "…" + text[-_TAIL:]


def _short(text: str) -> str:
    return repr(text if len(text) <= 2 * _TAIL else text[:_TAIL] + "…")
