"""Whether a tokenizer can write a task down, asked before any work."""

import unicodedata

from llm_bridge.models.chat import pictures_of
from llm_bridge.models.pictures import MARK
from llm_bridge.tasks.base import Task
from sharpening.errors import InputError

SAMPLE = 256


def spellable(task: Task, tokenizer) -> None:
    """Check that a tokenizer spells the prompts and true answers of a task; None if it does.

    Up to 256 problems, evenly spread over the task, are encoded and decoded: no unknown token may occur and
    the text must come back, white space, case and Unicode compatibility forms aside. Problems without a true
    answer are judged by their prompts.

    Raises InputError that names the first text the tokenizer cannot spell.
    """
    stride = max(1, len(task.problems) // SAMPLE)
    for problem in task.problems[::stride]:
        prompts = [("prompt", text) for text in _texts(problem.prompt)]
        for what, text in (*prompts, ("answer", task.solution(problem))):
            if text is not None and (reason := _misspelling(tokenizer, text)):
                raise InputError(
                    "task",
                    task.name,
                    f"the model's tokenizer cannot spell its {what} {text[:80]!r}: {reason}",
                    "Use a model whose tokenizer has these characters, or another task",
                )


def _texts(prompt) -> list[str]:
    """What a prompt holds that the tokenizer spells: of a chat with images its messages, since the processor spells the
    images and what its template writes around them.
    """
    if not pictures_of(prompt):
        return [prompt]
    return [MARK.sub("", turn["content"]) for turn in prompt.turns]


def _misspelling(tokenizer, text: str) -> str | None:
    ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    unknown = getattr(tokenizer, "unk_token_id", None)
    if unknown is not None and unknown in ids:
        return "it becomes an unknown token"
    # Special tokens that a text spells, such as those of a chat template, are part of it.
    backs = [tokenizer.decode(ids, skip_special_tokens=skip) for skip in (True, False)]
    return None if _folded(text) in map(_folded, backs) else f"it comes back as {backs[0][:80]!r}"


def _folded(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())
