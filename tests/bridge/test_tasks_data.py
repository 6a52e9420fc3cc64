"""All 1,319 GSM8K answers and all 500 MATH answers: each is read as itself and is not its neighbour."""

import json
import random
from pathlib import Path

import pytest

from llm_bridge import get_task
from llm_bridge.tasks import equivalent

DATA = Path(__file__).parents[2].parent / "shared" / "data"


def load(name):
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not beside this checkout (../shared/data)")
    return get_task(path), [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def coincidences(task):
    """(line, answer, next answer) wherever the next problem's answer is also right."""
    found = []
    for place, problem in enumerate(task.problems):
        assert task.is_correct(problem, task.extract(task.solution(problem))), problem
        following = task.problems[(place + 1) % len(task.problems)]
        if task.is_correct(problem, task.extract(task.solution(following))):
            found.append((problem.data["line"], problem.data["answer"], following.data["answer"]))
    return found


def test_gsm8k():
    task, rows = load("gsm8k_test.jsonl")
    assert len(task.problems) == 1_319 and task.answer_pattern == "last-number"
    truth = [row["answer"].split("####")[1].strip().replace(",", "") for row in rows]
    assert [problem.answer for problem in task.problems] == truth
    found = coincidences(task)
    assert [line for line, _, _ in found] == [
        line
        for line, (a, b) in enumerate(zip(truth, truth[1:] + truth[:1], strict=True), 1)
        if int(a) == int(b)
    ]
    assert len(found) == 15


def test_gsm8k_solutions_end_in_their_answers():
    task, rows = load("gsm8k_test.jsonl")
    for problem, row in zip(task.problems, rows, strict=True):
        assert task.is_correct(problem, task.extract(row["answer"]))


def test_math500():
    pytest.importorskip("math_verify", reason="math-verify is not installed")
    task, rows = load("math500.jsonl")
    assert len(task.problems) == 500 and task.answer_pattern == "boxed"
    assert coincidences(task) == [(23, "5", "x=5"), (187, "7", "7"), (404, "3", "3")]
    for problem, row in zip(task.problems, rows, strict=True):
        assert equivalent(row["answer"], problem.answer)


def test_math500_answers_differ_from_answers_far_away():
    """A fixed sample of pairs of different answers, the plain numbers left out; the pairs found the same are
    listed, each right.
    """
    pytest.importorskip("math_verify", reason="math-verify is not installed")
    task, _ = load("math500.jsonl")
    answers = sorted(
        {problem.answer for problem in task.problems if not problem.answer.lstrip("-").isdigit()}
    )
    generator = random.Random(0)
    pairs = [tuple(sorted(generator.sample(answers, 2))) for _ in range(120)]
    assert {pair for pair in pairs if equivalent(*pair)} <= SAME


SAME: set[tuple[str, str]] = set()
