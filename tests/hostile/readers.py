"""Everything that reads an untrusted answer, each as one function of a text, with a check of what it may
say.
"""

import json
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_bridge import TASKS, Problem, get_task, get_verifier
from llm_bridge.answers.arithmetic import parse_expression
from llm_bridge.answers.extraction import extractor, last_box
from llm_bridge.answers.formulas import parse_formula
from llm_bridge.answers.normal_form import normal_form
from llm_bridge.answers.numbers import last_number, number
from llm_bridge.tasks import equivalent
from llm_bridge.tasks.votes import pool_labels, read_answers
from llm_bridge.verifiers.constraints import parse_constraint
from llm_bridge.verifiers.symbolic import read_answer, read_expression
from sharpening import InputError

REFERENCE = "7"
MORE_REFERENCES = (
    r"\frac{x}{2}+\sqrt{3}",
    r"\frac{\sqrt{3}}{2}", r"(1,\frac{\pi}{2}]", r"\{1,2\}", "x=5", "even", r"\begin{pmatrix}1\\2\end{pmatrix}", "x>3", "3+4i",
)  # fmt: skip


@dataclass(frozen=True)
class Reader:
    """`read(text)` must give something that `allowed` accepts, within the limits, whatever the text."""

    name: str
    read: Callable[[str], Any]
    allowed: Callable[[Any], bool]


def is_label(found) -> bool:
    return found is None or isinstance(found, str) and 0 < len(found) <= 1_000


def is_flag(found) -> bool:
    return found is True or found is False


def is_outcome(found) -> bool:
    return found is None or is_flag(found)


def is_verdict(found) -> bool:
    return isinstance(found, float) and 0 <= found <= 1


def anything(found) -> bool:
    return True


def written_tasks(thorough: bool = False) -> dict:
    """A JSONL task for each answer pattern."""
    rows = {"last-number": "7", "boxed": r"\frac{\pi}{2}", "text": "even", r"regex:(\S+)\s*$": "even"}
    rows |= {"choice": "B", "answer-tag": "7"}
    rows |= {r"regex:answer is (.*)": "x^2+1"} if thorough else {}
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for place, (pattern, answer) in enumerate(rows.items()):
            path = Path(folder) / f"task{place}.jsonl"
            path.write_text(json.dumps({"prompt": "p", "answer": answer}) + "\n")
            found[f"jsonl {pattern}"] = get_task(path, answer_pattern=pattern)
    return found


def task_readers(name: str, task) -> list[Reader]:
    problem = task.problems[0]

    def voted(text):
        answers = read_answers([problem], [[text, task.solution(problem), text, ""]], task)
        return (
            answers.ids[0, 0] == answers.ids[0, 2] and not (answers.correct[0] & (answers.ids[0] < 0)).any()
        )

    return [
        Reader(f"{name}: extract", task.extract, is_label),
        Reader(f"{name}: extract a box", lambda text: task.extract(rf"so \boxed{{{text}}}"), is_label),
        Reader(f"{name}: settled", task.settled, is_flag),
        Reader(f"{name}: is_correct", lambda text: task.is_correct(problem, text), is_flag),
        Reader(f"{name}: a vote", voted, lambda found: bool(found)),
    ]


def verifier_readers() -> list[Reader]:
    questions = {
        "symbolic": [("", Problem("37+48=", None)), (" x,y", Problem("q", None, {"constraint": "x + y = 10 and x > y"})),
                     (" uses", Problem("3,5,7>22:", None)), (" logic", Problem("q", None, {"constraint": "A iff not B"}))],
        "teacher": [("", Problem("3,5,7>22:", None)), (" unsolvable", Problem("1,1,1>99:", None))],
        "antiderivative": [("", Problem("an antiderivative of 3*x^2 is", None)), (" of 1/x", Problem("an antiderivative of 1/x is", None))],
    }  # fmt: skip
    found = []
    for name, problems in questions.items():
        verifier = get_verifier(name)
        for what, problem in problems:
            found.append(
                Reader(
                    f"verifier {name}{what}",
                    lambda text, v=verifier, p=problem: v.verdict(p, text),
                    is_verdict,
                )
            )
    return found


def parsers() -> list[Reader]:
    plain = {
        "normal_form": normal_form, "last_box": last_box, "last_number": last_number, "number": number, "parse_expression": parse_expression,
        "parse_formula": parse_formula, "parse_constraint": parse_constraint, "read_answer": read_answer, "read_expression": read_expression,
    }  # fmt: skip
    cut = {"normal_form": 1_000, "last_box": 20_000, "last_number": 20_000}
    return [
        Reader(name, lambda text, name=name: plain[name](text[: cut.get(name)]), anything) for name in plain
    ]


def extractors(thorough: bool) -> list[Reader]:
    patterns = ["last-number", "boxed", "text", "choice", "answer-tag"] + (
        [r"regex:(a+)+$", r"regex:answer:? (.*)", r"regex:((?:.|\n)*)"] if thorough else []
    )
    return [Reader(f"extractor {pattern}", extractor(pattern), is_label) for pattern in patterns]


def comparisons(thorough: bool) -> list[Reader]:
    found = [Reader("equivalent to itself", lambda text: equivalent(text, text), lambda said: said is True)]
    for other in (REFERENCE, *(MORE_REFERENCES if thorough else ())):
        found.append(
            Reader(f"equivalent to {other}", lambda text, other=other: equivalent(text, other), is_outcome)
        )
        if thorough:
            found.append(
                Reader(
                    f"boxed, equivalent to {other}",
                    lambda text, o=other: equivalent(rf"\boxed{{{text}}}", o),
                    is_outcome,
                )
            )
    return found


def dataset_readers() -> list[Reader]:
    """The text as a line of a data set, and as a verifier's question: an InputError is a defined outcome
    here.
    """

    def as_truth(text):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "t.jsonl"
            path.write_bytes(json.dumps({"prompt": text, "answer": text}).encode() + b"\n")
            try:
                task = get_task(path)
                return task.is_correct(task.problems[0], task.extract(task.solution(task.problems[0])))
            except InputError:
                return None

    def as_question(name, **data):
        def read(text):
            try:
                return get_verifier(name).verdict(Problem(text, None, {key: text for key in data}), "7")
            except InputError:
                return None

        return read

    return [
        Reader("a line of a data set", as_truth, lambda found: found is None or is_flag(found)),
        Reader(
            "a prompt of symbolic", as_question("symbolic"), lambda found: found is None or is_verdict(found)
        ),
        Reader(
            "a constraint",
            as_question("symbolic", constraint=1),
            lambda found: found is None or is_verdict(found),
        ),
        Reader(
            "a prompt of teacher", as_question("teacher"), lambda found: found is None or is_verdict(found)
        ),
        Reader(
            "an integrand",
            as_question("antiderivative", integrand=1),
            lambda found: found is None or is_verdict(found),
        ),
    ]


def all_readers(thorough: bool = False) -> list[Reader]:
    """Every reader; thorough: compared with more answers, searched with slow expressions, and read as data
    sets too.
    """
    tasks = {name: get_task(name) for name in TASKS} | written_tasks(thorough)
    found = [*parsers(), *extractors(thorough), *comparisons(thorough), *verifier_readers()]
    for name, task in tasks.items():
        found += task_readers(name, task)
    return found + (dataset_readers() if thorough else [])


def pooled(task, labels: list[str | None]) -> bool:
    """A vote on hostile labels: only None is no answer, whatever was equivalent to what."""
    answers = pool_labels(task.problems, [labels], task)
    rate = answers.correct.mean()
    return math.isfinite(rate) and all(
        (one < 0) == (label is None) for one, label in zip(answers.ids[0], labels, strict=True)
    )
