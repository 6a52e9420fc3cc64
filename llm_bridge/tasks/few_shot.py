"""Worked examples in front of every question: a text as it is, or questions with answers from a JSONL file."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_bridge.models.chat import messages_of, transcript
from llm_bridge.tasks.columns import ABSENT, answer_field, has_reply, images_in, prompt_field, read_prompt
from sharpening.errors import InputError


@dataclass(frozen=True)
class Examples:
    """What stands in front of every question: `text`, as it is, and then `pairs` of question and answer.

    In plain text a pair is the question, a space unless white space is there, the answer and a blank line. In a chat a
    pair is a message of the user and the assistant's reply, and the text stands at the beginning of the first message
    of the user.
    """

    text: str = ""
    pairs: tuple[tuple[str, str], ...] = ()

    def before_text(self, prompt: str) -> str:
        """The examples and the prompt as one text."""
        shown = [f"{q}{'' if q[-1:].isspace() else ' '}{a}\n\n" for q, a in self.pairs]
        return self.text + "".join(shown) + prompt

    def before_turns(self, turns: Sequence[dict]) -> list[dict]:
        """The examples and the turns of a chat, its system message left out."""
        found = []
        for question, answer in self.pairs:
            found += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        found += turns
        if self.text:
            found[0] = {**found[0], "content": self.text + found[0]["content"]}
        return found

    def leaks(self, prompts: Sequence[str]) -> list[str]:
        """One sentence where examples are prompts of the task itself, else none."""
        same = len({question for question, _ in self.pairs} & {str(prompt) for prompt in prompts})
        return (
            [f"{same} of the few-shot examples are prompts of the task itself: their answers are given away."]
            if same
            else []
        )


def read_examples(given: str | None) -> Examples:
    """The examples that `--few-shot` gives: a .jsonl file of questions and answers, any other file as a text, else the
    text itself.

    Raises: InputError for a file that cannot be read, and a line that is no question with an answer.
    """
    from llm_bridge.tasks.form import is_file

    if given is None:
        return Examples()
    if not is_file(given):
        return Examples(text=given)
    try:
        text = Path(given).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InputError(
            "few_shot",
            given,
            f"the file cannot be read ({reason})",
            "Give the path of a file, or the examples themselves as a text of several words",
        ) from error
    if Path(given).suffix != ".jsonl":
        if not text.strip():
            raise InputError(
                "few_shot", given, "the file is empty", "Write the examples into it, or leave it out"
            )
        return Examples(text=text)
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not lines:
        raise InputError(
            "few_shot", given, "the file is empty", "Write the examples into it, or leave it out"
        )
    return Examples(pairs=tuple(_pair(given, number, line) for number, line in lines))


def _pair(given: str, number: int, line: str) -> tuple[str, str]:
    try:
        row = json.loads(line, parse_float=str, parse_int=str)
        name = prompt_field(row) if isinstance(row, dict) else None
        if name is None:
            raise ValueError("it has no prompt")
        answer = row[name][-1].get("content") if has_reply(name, row[name]) else answer_field(row)[1]
        if images_in(row):
            raise ValueError("examples with images are not read")
        prompt = read_prompt(name, row[name])
        turns = messages_of(prompt)
        if turns is not None and len(turns) > 1:
            raise ValueError("its chat has more than one message before the reply")
        question = prompt if turns is None else transcript(turns)
        if answer is ABSENT or not isinstance(answer, str) or not answer.strip():
            raise ValueError("it has no answer")
        if not isinstance(question, str) or not question.strip():
            raise ValueError("its prompt is no text")
    except (ValueError, RecursionError, AttributeError) as error:
        raise InputError(
            "few_shot",
            given,
            f"line {number} is no example: {error}",
            'Write one {"prompt": ..., "answer": ...} a line',
        ) from error
    return str(question), answer
