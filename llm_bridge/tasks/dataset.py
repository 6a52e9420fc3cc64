"""A task made of the rows of a trainer's data set: texts or chats, with or without a true answer."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from llm_bridge.tasks.base import Problem, Task
from llm_bridge.tasks.columns import ANSWERS, answers_of, images_in, read_prompt
from llm_bridge.tasks.distinct import distinct_problems, repeats_note
from llm_bridge.tasks.jsonl import JsonlTask
from llm_bridge.tasks.prompts import PromptTask
from sharpening.errors import InputError


def prompt_text(prompt) -> str:
    """A prompt as one text; of a chat what its messages say, one after another."""
    if isinstance(prompt, str):
        return prompt
    return "\n\n".join(_content(message) for message in prompt)


def _content(message) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or "" for part in content)


def row_text(row: Mapping) -> str:
    """The prompt of a data set's row as one text; of one with images the chat that shows them (`Prompt`).

    Raises: InputError for images that cannot be read or have no place.
    """
    prompt, images = row["prompt"], images_in(row)
    if not images and not _holds_images(prompt):
        return prompt_text(prompt)
    try:
        found = read_prompt("prompt", list(prompt) if not isinstance(prompt, str) else prompt, images)
    except ValueError as error:
        raise InputError(
            "train_dataset", str(prompt)[:80], str(error), "Correct the row's messages or its images"
        ) from error
    assert isinstance(found, str)
    return found


def _holds_images(prompt) -> bool:
    return not isinstance(prompt, str) and any(
        part.get("type") == "image"
        for message in prompt
        if isinstance(message.get("content"), list)
        for part in message["content"]
    )


def row_texts(dataset) -> list[str]:
    """`row_text` of every row. Other columns than the prompt and its images are not read."""
    names = [name for name in ("prompt", "images", "image") if name in dataset.column_names]
    if len(names) == 1 and not _holds_images(dataset[0]["prompt"]):
        return [prompt_text(prompt) for prompt in dataset["prompt"]]
    return [row_text(row) for row in dataset.select_columns(names)]


class DatasetTask(JsonlTask):
    """Rows read as those of a JSONL file are; each problem's `data` holds `row`, the first row that asks it. texts: the
    prompt of every row.
    """

    def __init__(self, name: str, texts: Sequence[str], answers, answer_pattern: str | None, length: int):
        self.path, self.name, self.max_new_tokens, self.texts = Path(name), name, length, list(texts)
        self._read_by(answer_pattern, [answer for answer in answers if answer is not None])
        every = [
            Problem(text, self._truth(row, answer), {"row": row, "answer": answer})
            for row, (text, answer) in enumerate(zip(texts, answers, strict=True))
        ]
        self._loaded = distinct_problems(self, every)
        self.notes = repeats_note(self.name, len(every), len(self._loaded))
        self.description = f"{len(self._loaded)} prompts, answers read by {self.answer_pattern}"


class _ExtractedTask(PromptTask):
    """Rows whose answers a function reads."""

    def __init__(self, name, texts, answers, extract, length):
        super().__init__(list(texts), None if answers[0] is None else answers, extract, length)
        self.name, self.answer_pattern, self.texts = name, None, list(texts)
        self._problems = tuple(
            Problem(problem.prompt, problem.answer, {"row": row})
            for row, problem in enumerate(self._problems)
        )


def dataset_task(
    dataset,
    *,
    name: str,
    answers: Sequence | None = None,
    answer_key: str | None = None,
    answer_pattern: str | None = None,
    extract: Callable[[str], str | None] | None = None,
    max_new_tokens: int,
) -> tuple[Task, str]:
    """The task of a data set with a column `prompt`, and a sentence on how its answers are read.

    answers: one true answer a row; or answer_key: the column that holds them (by default the first of
    `llm_bridge.tasks.columns.ANSWERS` that is there; of a text with "####" what stands behind). answer_pattern:
    how one is read from a completion, as in `llm_bridge.get_task`; or extract: a function that reads it.

    Raises: InputError for a column that is missing, answers on some rows only, both kinds of either argument,
    a true answer that the pattern cannot read, and a prompt with two different true answers.
    """
    if answers is not None and answer_key is not None:
        raise InputError("answer_key", answer_key, "the answers are given already", "Leave one of them out")
    if extract is not None and answer_pattern is not None:
        raise InputError(
            "answer_pattern", answer_pattern, "a function reads the answers already", "Leave one of them out"
        )
    columns = dataset.column_names
    if "prompt" not in columns:
        raise InputError(
            "train_dataset", columns, "it has no column prompt", "Name the column that is asked `prompt`"
        )
    truths, where = _truths(dataset, answers, answer_key)
    texts = row_texts(dataset)
    task: Task
    if extract is not None:
        task = _ExtractedTask(name, texts, truths, extract, max_new_tokens)
        read = f"by {getattr(extract, '__name__', 'a function')}"
    else:
        task = by_pattern = DatasetTask(name, texts, truths, answer_pattern, max_new_tokens)
        read = f"by the pattern {by_pattern.answer_pattern}"
    return task, f"Answers are read {read}; {where}."


def _truths(dataset, answers, key) -> tuple[list[str | None], str]:
    count = len(dataset)
    if answers is not None:
        found, where = list(answers), "true answers are those given"
        if len(found) != count:
            raise InputError(
                "answers", len(found), f"the data set has {count} rows", "Give one true answer a row"
            )
    else:
        # Other columns may be large, or images.
        names = ANSWERS if key is None else (key,)
        held = {part for name in names for part in (name, name.partition(".")[0])}
        columns = [column for column in dataset.column_names if column in held]
        if key is not None and not columns:
            raise InputError(
                "answer_key",
                key,
                f"the data set has the columns {', '.join(dataset.column_names)}",
                "Name the column of the true answers",
            )
        found, fields = answers_of(dataset.select_columns(columns), key) if columns else ([], [])
        if key is None and not fields:
            return [None] * count, "there are no true answers, so only what needs none is told"
        named = "column" if len(fields) == 1 else "columns"
        where = f"true answers stand in the {named} {', '.join(fields)}"
    if any(answer is None for answer in found):
        row = next(row for row, answer in enumerate(found) if answer is None)
        raise InputError(
            "answers",
            None,
            f"row {row} has no true answer and others have one",
            "Leave rows without one out of the data set",
        )
    for row, answer in enumerate(found):
        if not isinstance(answer, str | int | float) or isinstance(answer, bool) or not str(answer).strip():
            raise InputError(
                "answers",
                repr(answer)[:60],
                f"the true answer of row {row} is neither a text nor a number, or it is empty",
                "Give one text or number a row",
            )
    return [str(answer).rpartition("####")[2].strip() for answer in found], where
