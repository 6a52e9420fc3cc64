"""GSM8K and MATH-500: does every true answer equal itself, which other answers of the set does it equal,
which cannot be parsed?

    python studies/benchmarks/known_answers.py [--data ../shared/data] [--pairs]

Each answer is written as a model would write it, read by the task's extractor and graded. "Next": the
following problem's answer. `--pairs`: every pair of different normal forms of the set (MATH-500: 46,056
pairs, some minutes), each found the same is printed.
"""

import argparse
import itertools
import time
from collections import Counter
from pathlib import Path

from llm_bridge import get_task
from llm_bridge.answers.approximate import surely_differ
from llm_bridge.answers.formulas import parse_formula
from llm_bridge.answers.guard import guard
from llm_bridge.answers.normal_form import is_words, normal_form
from llm_bridge.answers.numbers import number
from llm_bridge.tasks import equivalent

SETS = {"GSM8K": "gsm8k_test.jsonl", "MATH-500": "math500.jsonl"}


def kind(form: str) -> str:
    """How an answer is compared: as a number, as words, as a list of parts or a formula decided here, or by
    math-verify.
    """
    if number(form) is not None:
        return "number"
    if is_words(form):
        return "words"
    if form[0] in "([" and form[-1] in ")]" and "," in form:
        return "tuple or interval"
    if parse_formula(form, strict=True) is not None and not surely_differ(form, form):
        return "formula"
    return "math-verify"


def readable(form: str) -> bool:
    """Whether math-verify makes an expression of it: one that it can compare is the same as itself."""
    return guard("math").ask(form, form)[0] is True


def report(name: str, path: Path, pairs: bool) -> None:
    task = get_task(path)
    problems = task.problems
    itself = [
        problem for problem in problems if not task.is_correct(problem, task.extract(task.solution(problem)))
    ]
    following = [
        (problem.data["line"], problem.data["answer"], other.data["answer"])
        for problem, other in zip(problems, problems[1:] + problems[:1], strict=True) if task.is_correct(problem, task.extract(task.solution(other)))
    ]  # fmt: skip
    false = [found for found in following if normal_form(found[1]) != normal_form(found[2])]
    forms = sorted({normal_form(problem.data["answer"]) for problem in problems})
    kinds = Counter(map(kind, forms))
    unreadable = [form for form in forms if kind(form) not in ("number", "words") and not readable(form)]
    print(f"{name}: {len(problems)} answers, {len(forms)} different, {dict(kinds)}")
    print(f"  not equal to themselves: {len(itself)} {[problem.data['answer'] for problem in itself]}")
    print(
        f"  equal to the next problem's answer: {len(following)}, of which under another spelling:"
        f" {len(false)} {false}"
    )
    print(f"  not parsed by math-verify: {len(unreadable)} {unreadable}")
    if pairs:
        start, asked = time.perf_counter(), guard("math").seconds
        same = [pair for pair in itertools.combinations(forms, 2) if equivalent(*pair)]
        print(
            f"  pairs of different normal forms: {len(forms) * (len(forms) - 1) // 2:,}, found the same:"
            f" {len(same)} {same}"
        )
        print(
            f"  {time.perf_counter() - start:.0f} s, the worker {guard('math').seconds - asked:.0f} s of"
            " processor time"
        )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[3] / "shared" / "data")
    parser.add_argument("--pairs", action="store_true")
    options = parser.parse_args()
    for name, file in SETS.items():
        path = options.data / file
        if path.exists():
            report(name, path, options.pairs)
        else:
            print(f"{name}: {path} is not there")


if __name__ == "__main__":
    main()
