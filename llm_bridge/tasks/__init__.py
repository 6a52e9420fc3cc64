"""Tasks: prompts with known answers, how answers are read, which are the same, and which are right."""

from llm_bridge.answers.equivalence import equivalent
from llm_bridge.tasks.base import Problem, Task
from llm_bridge.tasks.registry import TASKS, get_task
from llm_bridge.tasks.spelling import spellable

__all__ = [
    "TASKS",
    "Answers",
    "Problem",
    "Task",
    "answer_ids",
    "equivalent",
    "get_task",
    "read_answers",
    "spellable",
]


def __getattr__(name: str):
    if name in ("Answers", "answer_ids", "read_answers"):
        from llm_bridge.tasks import votes

        return getattr(votes, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
