"""A task made of a user's own prompts."""

from collections.abc import Mapping

from llm_bridge.models.chat import chat_prompt, is_chat
from llm_bridge.tasks.base import Problem, Task
from llm_bridge.tasks.columns import answers_of, images_in, only, prompt_field, read_prompt
from sharpening.errors import InputError


class PromptTask(Task):
    """A task made of a user's own prompts: `extract` reads the answer, `answers` (if any) are compared after
    the same extraction.

    prompts: texts, chats (lists of messages) or rows of a data set, as a trainer reads them, with `prompt` or
    `messages`. answers: one a prompt, or the name of a column; None takes the column of rows that holds them
    (`llm_bridge.tasks.columns.ANSWERS`), if all rows have one.
    """

    name, description = "prompts", "a user's own prompts"

    def __init__(self, prompts, answers=None, extract=None, max_new_tokens=64):
        if not len(prompts):
            raise InputError(
                "prompts",
                prompts,
                "there must be at least one evaluation prompt",
                "Pass a few dozen held-out prompts",
            )
        if not isinstance(prompts, str) and all(isinstance(prompt, Mapping) for prompt in prompts):
            prompts, answers = _columns(prompts, answers)
        if isinstance(prompts, str) or not all(
            isinstance(prompt, str) or is_chat(prompt) for prompt in prompts
        ):
            raise InputError(
                "prompts",
                str(prompts)[:80],
                "it must be a list of texts, of chats (lists of messages), or of rows with a field prompt",
                "Pass what your trainer's data set holds, such as prompts=dataset or prompts=dataset['prompt']",
            )
        if len({isinstance(prompt, str) for prompt in prompts}) > 1:
            raise InputError(
                "prompts",
                str(prompts)[:80],
                "some are texts and some are chats",
                "Pass all of them as lists of messages",
            )
        if answers is not None and len(answers) != len(prompts):
            raise InputError(
                "answers",
                len(answers),
                f"there are {len(prompts)} prompts",
                "Pass one true answer a prompt, or none at all",
            )
        if answers is not None and any(answer is None for answer in answers):
            raise InputError(
                "answers",
                None,
                "some prompts have a true answer and some do not",
                "Leave prompts without one out",
            )
        if extract is not None and not callable(extract):
            raise InputError(
                "extract",
                extract,
                "it must be a function of a completion's text",
                "Pass extract=function, or leave it out",
            )
        self._extract = extract or (lambda text: text.strip() or None)
        self.max_new_tokens = max_new_tokens
        answers = [None] * len(prompts) if answers is None else [str(answer) for answer in answers]
        self._problems = tuple(
            Problem(_read(prompt), answer) for prompt, answer in zip(prompts, answers, strict=True)
        )

    def _build(self):
        return self._problems

    def extract(self, completion):
        label = self._extract(completion)
        return None if label is None else str(label)

    def is_correct(self, problem, label):
        if label is None or problem.answer is None:
            return False
        return label in (problem.answer, self.extract(problem.answer))


def _read(prompt):
    if isinstance(prompt, str):
        return prompt
    try:
        return chat_prompt(list(prompt))
    except ValueError as error:
        raise InputError("prompts", str(prompt)[:80], str(error), "Correct its messages") from error


def _columns(rows, answers):
    """(prompts, answers or None) of the rows of a data set."""
    found: list | None
    if answers is None or isinstance(answers, str):
        found = answers_of(rows, answers)[0]
        if answers is not None and None in found:
            raise InputError(
                "answers", answers, f"row {found.index(None)} has no such field", "Pass the name of a column"
            )
        found = None if all(answer is None for answer in found) else found
    else:
        found = [only(answer) for answer in answers]
    names = [prompt_field(row) for row in rows]
    if None in names:
        row = rows[names.index(None)]
        rule = f"a row has no field prompt (it has {', '.join(map(str, row)) or 'none'})"
        raise InputError("prompts", str(row)[:80], rule, "Pass rows with a field prompt or messages")
    try:
        prompts = [
            read_prompt(name or "prompt", row[name], images_in(row))
            for name, row in zip(names, rows, strict=True)
        ]
    except ValueError as error:
        raise InputError(
            "prompts", str(rows)[:80], str(error), "Correct the messages or the images"
        ) from error
    return prompts, found
