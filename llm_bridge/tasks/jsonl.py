"""Tasks from a JSONL file: one object a line with `prompt` and `answer`, or GSM8K's `question` and `answer`
(or `prompt`) with "####". A prompt may be a chat, a list of messages, under `prompt` or `messages`.

A file without any `answer` (or another field of `llm_bridge.tasks.columns.ANSWERS`) is a task without labels. A line
may hold `rephrasings`, a list of other prompts for the same question.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from llm_bridge.answers.equivalence import equivalent, unit_of
from llm_bridge.answers.extraction import extractor, fold, last_box, last_choice, last_tag
from llm_bridge.answers.limits import MAX_LABEL
from llm_bridge.answers.normal_form import normal_form
from llm_bridge.answers.numbers import number, write_number
from llm_bridge.models.chat import Prompt, transcript
from llm_bridge.models.pictures import MARK, Picture, inside
from llm_bridge.tasks.base import Problem, Task
from llm_bridge.tasks.columns import answer_field, has_reply, images_in, prompt_field, read_prompt
from llm_bridge.tasks.distinct import distinct_problems, repeats_note
from sharpening.errors import InputError

_LATEX = re.compile(r"\\[A-Za-z]|[\^_]|^\$.*\$$")
_CHOICE = re.compile(r"\(?[A-J]\)?\.?")
_NEW_TOKENS = {"last-number": 256, "boxed": 512, "text": 32, "choice": 256, "answer-tag": 512, "regex": 256}


class JsonlTask(Task):
    r"""A task that a file describes.

    Answer patterns: "last-number", "boxed", "text", "choice", "answer-tag", "regex:PATTERN" (see `extraction`).
    None chooses: last-number if every true answer is a number, else choice if every one is a letter A to J and
    there are two or more of them, else boxed if one looks like LaTeX (a command, ^ or _), else text. Where no line
    has an `answer`, no label is ever correct, there is no solution, and None chooses text. Of a true answer with
    "####" (GSM8K) what stands behind the last one counts.

    Sameness: last-number compares exact values (so "042" is 42 and "0.250" is 1/4); boxed, and answer-tag and
    regex where the true answers are numbers or LaTeX, use `equivalence.equivalent`; choice, text, and any other
    answer-tag or regex, compare strings (text: words in lower case without a full stop). Blank lines are skipped.

    The prompts of chats are `Prompt`s with their messages; of `messages` a last turn of the assistant is the reply,
    and no part of the prompt.

    Images stand in a field `image` or `images`, or in parts {"type": "image", "image": ...} of messages, as paths from
    `image_folder` (by default the file's own folder), and nothing outside of it is opened; a line with images is a
    chat. Every image is opened once, here.

    Raises InputError, before any work, for a file that cannot be read, a broken line (its number and the file
    are named), a missing field, answers on some lines only, an empty data set, a true answer that does not
    fit the pattern, an unknown pattern, an image that is not inside the folder or cannot be read whole, and a prompt
    with two different true answers. Lines that repeat a
    prompt are left out, and `notes` says how many.
    """

    def __init__(
        self, path: str | Path, answer_pattern: str | None = None, image_folder: str | Path | None = None
    ):
        self.path = Path(path)
        self.name = self.path.stem
        if answer_pattern is not None:
            extractor(answer_pattern)
        folder = self.path.parent if image_folder is None else Path(image_folder)
        rows = list(_rows(self.path, folder))
        if not rows:
            raise InputError(
                "task",
                str(path),
                "the data set is empty",
                'Give a file with one {"prompt": ..., "answer": ...} a line',
            )
        answers = [row.answer for row in rows if row.answer is not None]
        if 0 < len(answers) < len(rows):
            line = next(row.line for row in rows if row.answer is None)
            raise InputError(
                "task",
                str(path),
                f"line {line} of {path} has no field answer, and other lines have one",
                "Each line needs prompt and answer (or question and answer), or no line an answer: a task"
                " without labels",
            )
        self._read_by(answer_pattern, answers)
        self.max_new_tokens = _NEW_TOKENS[self._kind]
        every = [
            Problem(
                row.prompt,
                self._truth(row.line, row.answer),
                {"line": row.line, "answer": row.answer, "rephrasings": row.rephrasings},
            )
            for row in rows
        ]
        self._loaded = distinct_problems(self, every)
        self.notes = [*repeats_note(self.name, len(every), len(self._loaded)), *_fields_note(self.name, rows)]
        if len(self._loaded) <= self.default_eval_prompts:
            self.default_eval_prompts = max(1, len(self._loaded) // 2)
        without = "" if answers else " without true answers"
        self.description = (
            f"{len(self._loaded)} problems{without} from {self.path.name}, answers read by"
            f" {self.answer_pattern}"
        )

    def _read_by(self, pattern: str | None, answers: list[str]) -> None:
        """Read answers by a pattern, None for the one that fits the true answers."""
        self.answer_pattern = pattern or default_pattern(answers)
        self._kind = self.answer_pattern.partition(":")[0]
        self._mathematics = is_mathematics(self.answer_pattern, answers)
        self.exact_labels = not self._mathematics
        self._read = extractor(self.answer_pattern)

    def _build(self) -> tuple[Problem, ...]:
        return self._loaded

    def extract(self, completion: str) -> str | None:
        label = self._read(completion)
        return (normal_form(label) or None) if label is not None and self._mathematics else label

    def equivalent(self, first: str, second: str) -> bool | None:
        return equivalent(first, second) if self._mathematics else first == second

    def unit(self, label: str) -> str | None:
        return unit_of(label) if self._mathematics else None

    def solution(self, problem: Problem) -> str | None:
        """The true answer as the file has it, in a box or a tag where these are read; None without one."""
        answer = problem.data["answer"]
        if answer is None:
            return None
        if self._kind == "answer-tag":
            return answer if last_tag(answer) else f"<answer>{answer}</answer>"
        return rf"\boxed{{{answer}}}" if self._kind == "boxed" and last_box(answer) is None else answer

    def _truth(self, line: int, answer: str | None) -> str | None:
        if answer is None:
            return None
        if self._kind == "last-number":
            value = number(normal_form(answer))
            truth = None if value is None else write_number(value)
        elif self._kind == "boxed":
            truth = normal_form(last_box(answer) or answer)
        elif self._kind == "choice":
            truth = last_choice(answer)
        else:
            truth = self._read(answer) or fold(answer)
            truth = normal_form(truth) if self._mathematics else truth
        if not truth or len(truth) > MAX_LABEL:
            raise InputError(
                "task",
                str(self.path),
                f"the true answer of line {line}, {answer[:60]!r}, is none that the pattern "
                f"{self.answer_pattern} can read (at most {MAX_LABEL} characters)",
                "Correct the line or choose another --answer-pattern",
            )
        return truth


def default_pattern(answers: list[str]) -> str:
    """The answer pattern that fits a list of true answers, text where there are none: see JsonlTask."""
    if not answers:
        return "text"
    if all(number(normal_form(answer)) is not None for answer in answers):
        return "last-number"
    if len(set(answers)) > 1 and all(_CHOICE.fullmatch(answer) for answer in answers):
        return "choice"
    return "boxed" if any(_LATEX.search(answer) for answer in answers) else "text"


def is_mathematics(pattern: str, answers: list[str]) -> bool:
    """Whether labels that a pattern reads are compared as mathematics, given the true answers."""
    kind = pattern.partition(":")[0]
    return kind == "boxed" or (
        kind in ("regex", "answer-tag") and default_pattern(answers) in ("last-number", "boxed")
    )


class _Number(str):
    """A JSON number, kept as it is written."""


class _Row(NamedTuple):
    """One line: its number, what it asks, the true answer (None without one), other wordings of the prompt, the field
    of the true answer, and whether a reply was left out of the prompt.
    """

    line: int
    prompt: str
    answer: str | None
    rephrasings: tuple[str, ...]
    answer_field: str | None
    reply: bool


def _rows(path: Path, folder: Path) -> Iterator[_Row]:
    """Each line that is not blank."""
    fix = "Correct or remove the line; each must be one JSON object"
    for line, raw in enumerate(_bytes(path).split(b"\n"), start=1):
        if not raw.strip():
            continue
        try:
            row = json.loads(
                raw.decode("utf-8"), parse_float=_Number, parse_int=_Number, parse_constant=_Number
            )
        except (ValueError, RecursionError) as error:
            raise InputError(
                "task", str(path), f"line {line} of {path} is not valid JSON ({error})", fix
            ) from error
        if not isinstance(row, dict):
            raise InputError("task", str(path), f"line {line} of {path} is not a JSON object", fix)
        name, prompt = _prompt(path, line, row, folder)
        field, answer = _answer(path, line, row)
        wordings = _rephrasings(path, line, row.get("rephrasings", []))
        if isinstance(prompt, Prompt):
            wordings = tuple(_reworded(prompt, text) for text in wordings)
        yield _Row(line, prompt, answer, wordings, field, has_reply(name, row[name]))


def _rephrasings(path: Path, line: int, found) -> tuple[str, ...]:
    if not isinstance(found, list) or not all(
        isinstance(text, str) and not isinstance(text, _Number) and text.strip() for text in found
    ):
        raise InputError(
            "task",
            str(path),
            f"line {line} of {path}: rephrasings must be a list of texts, it is {str(found)[:80]}",
            "Correct or remove the field",
        )
    return tuple(found)


def _reworded(chat: Prompt, text: str) -> Prompt:
    """The chat with another text in its last message, whose images stay in front."""
    marks = "".join(f"[image {digest}]" for digest in MARK.findall(chat.turns[-1]["content"]))
    if not chat.pictures:
        marks = ""
    turns = [*chat.turns[:-1], {**chat.turns[-1], "content": marks + text}]
    return Prompt(transcript(turns), messages=turns, pictures=chat.pictures)


def _with_images(path: Path, line: int, row: dict, name: str, folder: Path):
    """(the value of the prompt's field with images in place of paths, the images beside it)."""

    def opened(given):
        if not isinstance(given, str) or isinstance(given, _Number) or not given:
            raise ValueError(f"an image is given as {str(given)[:60]!r}, and it must be the path of a file")
        return Picture.read(inside(folder, given))

    def part_opened(part):
        if not isinstance(part, dict) or part.get("type") != "image":
            return part
        key = next((key for key in ("image", "path") if part.get(key) is not None), None)
        return part if key is None else {"type": "image", "image": opened(part[key])}

    value = row[name]
    try:
        if isinstance(value, list):
            value = [
                {**turn, "content": [part_opened(part) for part in turn["content"]]}
                if isinstance(turn, dict) and isinstance(turn.get("content"), list)
                else turn
                for turn in value
            ]
        beside = images_in(row)
        return value, [opened(given) for given in beside]
    except (ValueError, TypeError) as error:
        raise InputError(
            "task",
            str(path),
            f"line {line} of {path}: {error}",
            "Correct the path or the image, or remove the line; with --image-folder paths begin in another folder",
        ) from error


def _prompt(path: Path, line: int, row: dict, folder: Path) -> tuple[str, str]:
    """(field, prompt), a Prompt where it is a chat."""
    name = prompt_field(row)
    if name is None:
        raise InputError(
            "task",
            str(path),
            f"line {line} of {path} has no field prompt (it has {', '.join(row) or 'none'})",
            "Each line needs prompt and answer, messages and answer, or question and answer; without any answer it is"
            " a task without labels",
        )
    value, images = _with_images(path, line, row, name, folder)
    if isinstance(value, str) and (isinstance(value, _Number) or not value.strip()):
        raise _not_readable(path, line, name, value, "text")
    try:
        prompt = read_prompt(name, value, images)
    except ValueError as error:
        raise InputError(
            "task",
            str(path),
            f"line {line} of {path}: {name} is {'a list' if isinstance(value, list) else 'a text'}, and {error}",
            'Write a chat as [{"role": "user", "content": ...}], or the prompt as one text',
        ) from error
    if isinstance(prompt, Prompt):
        return name, prompt
    if not isinstance(prompt, str) or isinstance(prompt, _Number) or not prompt.strip():
        raise _not_readable(path, line, name, prompt, "text")
    return name, str(prompt)


def _answer(path: Path, line: int, row: dict) -> tuple[str | None, str | None]:
    """(field, true answer), both None without one; of an answer with "####" what stands behind the last one."""
    name, answer = answer_field(row)
    if name is None:
        return None, None
    if name != "answer" and isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    if isinstance(answer, str) and "####" in answer:
        answer = answer.rpartition("####")[2]
    if not isinstance(answer, str) or not answer.strip():
        raise _not_readable(path, line, name, answer, "text or a number")
    return name, str(answer).strip()


def _not_readable(path: Path, line: int, name: str, value, kinds: str) -> InputError:
    return InputError(
        "task",
        str(path),
        f"line {line} of {path}: {name} must be {kinds} and not empty, it is {value!r}",
        "Correct or remove the line",
    )


def _fields_note(name: str, rows: list[_Row]) -> list[str]:
    """Sentences on true answers that stand in another field than `answer`, and on replies that are not read."""
    others = sorted({row.answer_field for row in rows if row.answer_field} - {"answer"})
    found = [f"Task {name}: true answers are read from the field {' and '.join(others)}."] if others else []
    replies = sum(row.reply for row in rows)
    if replies:
        found.append(
            f"Task {name}: the last turn of {replies} of {len(rows)} chats is the assistant's; it is no part of the"
            " prompt, and no true answer either."
        )
    return found


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    except (OSError, ValueError) as error:
        raise InputError(
            "task",
            str(path),
            f"the file cannot be read ({getattr(error, 'strerror', None) or error})",
            "Give the path of a JSONL file, or the name of a built-in task (sharpening tasks)",
        ) from error
