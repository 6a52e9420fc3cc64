"""How prompts are put to a model: as a chat or as plain text, behind a system message or examples, and where
completions end.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from llm_bridge.models.chat import (
    Prompt,
    has_template,
    looks_rendered,
    messages_of,
    pictures_of,
    rendered,
    transcript,
)
from llm_bridge.models.stop_strings import before_stop
from llm_bridge.tasks.base import Problem, Task
from sharpening.errors import InputError

RAW_TEXT = "RAW TEXT: "
"""How the note begins that says that a tokenizer has a chat template and the prompts do without."""


@dataclass(frozen=True)
class PromptForm:
    """How the prompts of a task are put.

    chat: True puts plain texts as the message of a user; False makes plain text of chats, the contents of their
    messages joined by blank lines; None leaves each as the data has it (a system message makes a chat of it). system:
    the system message, in front of all. few_shot: a text or a file of examples (`llm_bridge.tasks.few_shot`) in front
    of every question. stop: a completion ends with the token that completes one of these texts, as in transformers'
    `stop_strings`; its answer is read from what stands before. chat_template_kwargs: as in TRL's GRPOConfig.
    image_folder: where the paths of images in a JSONL file begin (None: in the file's own folder).

    Raises: InputError for texts that are empty and for settings that contradict each other.
    """

    chat: bool | None = None
    system: str | None = None
    few_shot: str | None = None
    stop: tuple[str, ...] = ()
    chat_template_kwargs: Mapping = field(default_factory=dict)
    image_folder: str | None = None

    def __post_init__(self):
        object.__setattr__(self, "stop", tuple(self.stop or ()))
        object.__setattr__(self, "chat_template_kwargs", dict(self.chat_template_kwargs or {}))
        for name, texts in (("system", [self.system]), ("few_shot", [self.few_shot]), ("stop", self.stop)):
            for text in texts:
                if text is not None and not (
                    isinstance(text, str) and (text if name == "stop" else text.strip())
                ):
                    raise InputError(name, text, "it must be a text and not empty", "Leave it out")
        if self.chat is False:
            for name in ("system", "chat_template_kwargs"):
                if getattr(self, name):
                    rule = (
                        "plain text has no system message and no template, and --no-chat asks for plain text"
                    )
                    fix = "Leave --no-chat out, or put the text into --few-shot"
                    raise InputError(name, getattr(self, name), rule, fix)

    def as_dict(self) -> dict:
        """What was chosen, as plain data; what was left out is not in it."""
        found = {
            "chat": self.chat,
            "system": self.system,
            "few_shot": self.few_shot,
            "stop": list(self.stop) or None,
            "chat_template_kwargs": self.chat_template_kwargs or None,
            "image_folder": None if self.image_folder is None else str(self.image_folder),
        }
        return {name: value for name, value in found.items() if value is not None}


class AskedTask(Task):
    """A task whose prompts are put in another form. Answers, labels and the split are those of the task itself.

    form: what was chosen, as plain data. stop: the texts at which completions end; only what stands before the first
    of them is read. for_tokenizer: whether the prompts are what a model sees already.
    """

    def __init__(self, base: Task, put, *, notes: Sequence[str] = (), for_tokenizer: bool = False, **kept):
        self.base, self.put = base, put
        self.name, self.description, self.max_new_tokens = base.name, base.description, base.max_new_tokens
        self.default_eval_prompts, self.exact_labels = base.default_eval_prompts, base.exact_labels
        self.notes, self.for_tokenizer = [*base.notes, *notes], for_tokenizer
        self.stop = tuple(kept.get("stop", getattr(base, "stop", ())))
        self.form = dict(kept.get("form", getattr(base, "form", {})))
        self._built = tuple(replace(problem, prompt=put(problem.prompt)) for problem in base.problems)

    def __getattr__(self, name: str):
        # Such as `path` and `answer_pattern`, which only some tasks have.
        if name.startswith("_") or "base" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.base, name)

    def _build(self) -> tuple[Problem, ...]:
        return self._built

    def extract(self, completion: str) -> str | None:
        return self.base.extract(before_stop(completion, self.stop))

    def settled(self, completion: str) -> bool:
        return any(stop in completion for stop in self.stop) or self.base.settled(completion)

    @property
    def settles(self) -> bool:
        return bool(self.stop) or self.base.settles

    def equivalent(self, first: str, second: str) -> bool | None:
        return self.base.equivalent(first, second)

    def unit(self, label: str) -> str | None:
        return self.base.unit(label)

    def is_correct(self, problem: Problem, label: str | None) -> bool:
        return self.base.is_correct(problem, label)

    def graded(self, problem: Problem, label: str | None) -> bool | None:
        return self.base.graded(problem, label)

    def solution(self, problem: Problem) -> str | None:
        return self.base.solution(problem)

    def rephrase(self, problem: Problem) -> tuple[str, ...]:
        return tuple(self.put(text) for text in self.base.rephrase(problem))

    def meaning(self, label: str) -> str:
        return self.base.meaning(label)


def asked(task: Task, form: PromptForm) -> Task:
    """The task with its prompts put as the form says, before any template; itself where the form says nothing.

    Raises: InputError for a file of chats and plain texts where the form does not say which, for a system message
    where a chat has one of its own, and for examples that cannot be read.
    """
    from llm_bridge.tasks.few_shot import read_examples

    told = form.as_dict()
    if not told and not hasattr(task, "path"):
        return task
    chats = [messages_of(problem.prompt) is not None for problem in task.problems]
    if form.chat is None and form.system is None and len(set(chats)) > 1:
        raise InputError(
            "task",
            task.name,
            "some of its prompts are chats and some are plain text",
            "Use --chat to put all of them as chats, or --no-chat for plain text",
        )
    if not told:
        return task
    if form.chat_template_kwargs and not (form.chat or form.system or all(chats)):
        rule = "the prompts are plain text, which no template renders"
        raise InputError("chat_template_kwargs", str(told["chat_template_kwargs"]), rule, "Add --chat")
    examples = read_examples(form.few_shot)
    found = AskedTask(task, lambda prompt: _put(prompt, form, examples), stop=form.stop, form=told)
    found.notes += examples.leaks([problem.prompt for problem in task.problems])
    if form.system is not None and form.chat is None and not all(chats):
        found.notes.append(
            "Plain prompts are put as a chat, the message of a user, since there is a system message."
        )
    return found


def _put(prompt: str, form: PromptForm, examples) -> Prompt:
    question, messages = getattr(prompt, "question", str(prompt)), messages_of(prompt)
    if form.chat is False and pictures_of(prompt):
        rule = "plain text has no place for the images of its prompts"
        raise InputError("chat", False, rule, "Leave --no-chat out")
    if form.chat is False or (messages is None and not form.chat and form.system is None):
        text = str(prompt) if messages is None else "\n\n".join(turn["content"] for turn in messages)
        return Prompt(examples.before_text(text), question=question)
    turns = list(messages or [{"role": "user", "content": str(prompt)}])
    head = [turns.pop(0)] if turns[0]["role"] in ("system", "developer") else []
    if form.system is not None:
        if head:
            raise InputError(
                "system",
                form.system[:60],
                f"the chat {question[:60]!r} has a system message of its own",
                "Leave --system out, or remove the system messages from the data set",
            )
        head = [{"role": "system", "content": form.system}]
    turns = head + examples.before_turns(turns)
    return Prompt(
        transcript(turns),
        question=question,
        messages=turns,
        options=form.chat_template_kwargs,
        pictures=pictures_of(prompt),
    )


def for_tokenizer(task: Task, tokenizer) -> Task:
    """The task with its prompts as a model with this tokenizer (of a vision-language model its processor) sees them:
    chats rendered by its template, once. Where the tokenizer has a template and the prompts are raw text, the notes say so.

    Raises: InputError as `llm_bridge.models.chat.rendered`.
    """
    if getattr(task, "for_tokenizer", False):
        return task
    if any(messages_of(problem.prompt) is not None for problem in task.problems):

        def render(prompt):
            return rendered(tokenizer, prompt) if isinstance(prompt, Prompt) else prompt

        return AskedTask(task, render, for_tokenizer=True)
    notes = raw_text_note(tokenizer, [problem.prompt for problem in task.problems], getattr(task, "form", {}))
    return AskedTask(task, lambda prompt: prompt, notes=notes, for_tokenizer=True) if notes else task


def raw_text_note(tokenizer, prompts: Sequence[str], told: Mapping | None = None) -> list[str]:
    """One sentence where a tokenizer has a chat template and the prompts do without, else none."""
    if not has_template(tokenizer) or any(looks_rendered(tokenizer, text) for text in prompts[:16]):
        return []
    if (told or {}).get("chat") is False:
        return [f"{RAW_TEXT}the model sees plain text without its chat template, as --no-chat asks."]
    return [
        f"{RAW_TEXT}the tokenizer has a chat template, and the prompts are plain text, so the model sees them raw, as a"
        " base model does. If it was tuned on chats, this is not the model that users meet: use --chat, or lists of"
        " messages as prompts. --no-chat says that raw text is meant."
    ]


def form_told(task: Task) -> dict:
    """What a result says of how its prompts were put: the form, whether as a chat, and the first prompt as the model
    sees it.
    """
    first = task.problems[0].prompt
    told = {"chat": messages_of(first) is not None, "example": str(first)}
    return json.loads(json.dumps({**getattr(task, "form", {}), **told}))


def is_file(text: str) -> bool:
    """Whether a text names a file: a word without white space that has a suffix or a slash, or that is there."""
    if not text or any(letter.isspace() for letter in text) or len(text) > 4_096:
        return _exists(text)
    return "/" in text or bool(Path(text).suffix) or _exists(text)


def _exists(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False
