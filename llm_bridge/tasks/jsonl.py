"""Tasks from a JSONL file: one object a line with `prompt` and `answer`, or GSM8K's `question` and `answer`
(or `prompt`) with "####".

A file without any `answer` is a task without labels. A line may hold `rephrasings`, a list of other prompts
for the same question.
"""

import json
import re
from pathlib import Path

from llm_bridge.answers.equivalence import equivalent, unit_of
from llm_bridge.answers.extraction import extractor, fold, last_box, last_choice, last_tag
from llm_bridge.answers.limits import MAX_LABEL
from llm_bridge.answers.normal_form import normal_form
from llm_bridge.answers.numbers import number, write_number
from llm_bridge.tasks.base import Problem, Task
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

    Raises InputError, before any work, for a file that cannot be read, a broken line (its number and the file
    are named), a missing field, answers on some lines only, an empty data set, a true answer that does not
    fit the pattern, an unknown pattern, and a prompt with two different true answers. Lines that repeat a
    prompt are left out, and `notes` says how many.
    """

    def __init__(self, path: str | Path, answer_pattern: str | None = None):
        self.path = Path(path)
        self.name = self.path.stem
        if answer_pattern is not None:
            extractor(answer_pattern)
        rows = list(_rows(self.path))
        if not rows:
            raise InputError(
                "task",
                str(path),
                "the data set is empty",
                'Give a file with one {"prompt": ..., "answer": ...} a line',
            )
        answers = [answer for _, _, answer, _ in rows if answer is not None]
        if 0 < len(answers) < len(rows):
            line = next(line for line, _, answer, _ in rows if answer is None)
            raise InputError(
                "task",
                str(path),
                f"line {line} of {path} has no field answer, and other lines have one",
                "Each line needs prompt and answer (or question and answer), or no line an answer: a task"
                " without labels",
            )
        self.answer_pattern = answer_pattern or default_pattern(answers)
        self._kind = self.answer_pattern.partition(":")[0]
        self._mathematics = is_mathematics(self.answer_pattern, answers)
        self.exact_labels = not self._mathematics
        self._read = extractor(self.answer_pattern)
        self.max_new_tokens = _NEW_TOKENS[self._kind]
        every = [
            Problem(
                prompt,
                self._truth(line, answer),
                {"line": line, "answer": answer, "rephrasings": rephrasings},
            )
            for line, prompt, answer, rephrasings in rows
        ]
        self._loaded = distinct_problems(self, every)
        self.notes = repeats_note(self.name, len(every), len(self._loaded))
        without = "" if answers else " without true answers"
        self.description = (
            f"{len(self._loaded)} problems{without} from {self.path.name}, answers read by"
            f" {self.answer_pattern}"
        )

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


_ABSENT = object()


class _Number(str):
    """A JSON number, kept as it is written."""


def _rows(path: Path):
    """(line number, prompt, answer or None, rephrasings) of each line that is not blank."""
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
        yield line, *_fields(path, line, row), _rephrasings(path, line, row.get("rephrasings", []))


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


def _fields(path: Path, line: int, row: dict) -> tuple[str, str | None]:
    prompt_field = "prompt" if "prompt" in row or "question" not in row else "question"
    if prompt_field not in row:
        raise InputError(
            "task",
            str(path),
            f"line {line} of {path} has no field {prompt_field} (it has {', '.join(row) or 'none'})",
            "Each line needs prompt and answer, or question and answer; without any answer it is a task"
            " without labels",
        )
    prompt, answer = row[prompt_field], row.get("answer", _ABSENT)
    if isinstance(answer, str) and "####" in answer:
        answer = answer.rpartition("####")[2]
    if isinstance(prompt, list):
        raise InputError(
            "task",
            str(path),
            f"line {line} of {path}: {prompt_field} is a list, it looks like a chat, and must be one text",
            "Write each chat as text with tokenizer.apply_chat_template(messages, tokenize=False,"
            " add_generation_prompt=True) and give that as prompt",
        )
    for name, value, kinds in ((prompt_field, prompt, "text"), ("answer", answer, "text or a number")):
        if value is _ABSENT:
            continue
        if (
            not isinstance(value, str)
            or (name != "answer" and isinstance(value, _Number))
            or not value.strip()
        ):
            raise InputError(
                "task",
                str(path),
                f"line {line} of {path}: {name} must be {kinds} and not empty, it is {value!r}",
                "Correct or remove the line",
            )
    return str(prompt), None if answer is _ABSENT else str(answer).strip()


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
