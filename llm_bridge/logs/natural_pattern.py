"""How answers of a log are read where nobody said it."""

from collections.abc import Sequence

from llm_bridge.answers.extraction import extractor
from llm_bridge.tasks.jsonl import default_pattern

_MARKED = {"boxed": "\\boxed", "answer-tag": "<answer>"}


def natural_pattern(truths: Sequence[str], completions: Sequence[str]) -> tuple[str, str]:
    """The answer pattern for these completions, and why, as the end of a sentence.

    An answer that at least half of the completions mark themselves (`\\boxed{…}`, `<answer>…</answer>`) is read
    there. Else the true answers decide as in a task file: numbers are read as the last number, letters as a
    choice. Else an answer is the whole completion.
    """
    for pattern, mark in _MARKED.items():
        read = extractor(pattern)
        # The search for the mark is cheap and spares the reader texts that cannot hold it.
        found = sum(mark in text and read(text) is not None for text in completions)
        if completions and 2 * found >= len(completions):
            return pattern, f"{found} of the first {len(completions)} completions hold {mark}"
    pattern = default_pattern(list(truths))
    if pattern == "boxed":
        # True answers in LaTeX that completions do not box are compared as they are written.
        pattern = "text"
    why = {"last-number": "every true answer is a number", "choice": "every true answer is a letter"}
    return pattern, why.get(pattern, "nothing marks an answer in a completion")
