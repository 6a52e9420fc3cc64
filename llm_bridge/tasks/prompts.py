"""A task made of a user's own prompts."""

from llm_bridge.tasks.base import Problem, Task
from sharpening.errors import InputError


class PromptTask(Task):
    """A task made of a user's own prompts: `extract` reads the answer, `answers` (if any) are compared after
    the same extraction.
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
        if isinstance(prompts, str) or not all(isinstance(prompt, str) for prompt in prompts):
            raise InputError(
                "prompts",
                prompts,
                "it must be a list of texts",
                "Turn chat messages into text with tokenizer.apply_chat_template",
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
            Problem(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)
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
