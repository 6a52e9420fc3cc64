"""The names of the built-in tasks, and the way from a name or a file to a task."""

import importlib
import pkgutil
from pathlib import Path

from llm_bridge.tasks.base import TASKS, Task
from llm_bridge.tasks.corpus import CorpusTask
from llm_bridge.tasks.form import PromptForm, asked
from llm_bridge.tasks.jsonl import JsonlTask
from sharpening.errors import InputError

# A new task is one new file here with one decorated class: whatever lies in this package is imported.
for _found in pkgutil.iter_modules([str(Path(__file__).parent)]):
    if _found.name != "registry":
        importlib.import_module(f"llm_bridge.tasks.{_found.name}")


def get_task(
    name_or_path: str | Path, answer_pattern: str | None = None, form: PromptForm | None = None
) -> Task:
    """The built-in task of that name, the task that a JSONL file describes, or the next words of a text file
    (.txt), read and checked here.

    `answer_pattern` (JSONL only): "last-number", "boxed", "text", "choice", "answer-tag" or "regex:PATTERN"; None
    chooses by the true answers. `form`: how its prompts are put (`llm_bridge.tasks.form`).

    Raises InputError for an unknown name, a file that is missing, empty or broken, and an unknown or
    misplaced pattern, and a form that does not fit.
    """
    form = form or PromptForm()
    return asked(_named(name_or_path, answer_pattern, form.image_folder), form)


def _named(name_or_path: str | Path, answer_pattern: str | None, image_folder: str | None = None) -> Task:
    if image_folder is not None and (str(name_or_path) in TASKS or not str(name_or_path).endswith(".jsonl")):
        raise InputError(
            "image_folder",
            image_folder,
            f"{name_or_path} names no image files",
            "Leave --image-folder out, or give a JSONL file",
        )
    name = str(name_or_path)
    if name in TASKS:
        if answer_pattern is not None:
            raise InputError(
                "answer_pattern",
                answer_pattern,
                f"the built-in task {name} reads answers in its own way",
                "Leave --answer-pattern out, or give a JSONL file",
            )
        return TASKS[name]()
    path = Path(name)
    if not path.suffix and path.name == name and not _exists(path):
        raise InputError(
            "task",
            name,
            f"known tasks are {', '.join(TASKS)}",
            "Give one of these names or the path of a JSONL file",
        )
    if path.suffix == ".txt":
        if answer_pattern is not None:
            raise InputError(
                "answer_pattern",
                answer_pattern,
                "the answers of raw text are its next words",
                "Leave --answer-pattern out",
            )
        return CorpusTask(path)
    return JsonlTask(path, answer_pattern, image_folder)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
