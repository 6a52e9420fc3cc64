"""Majority voting with equivalence classes: answers a second on strings after extraction, against a naive
loop, in one process.

    python studies/benchmarks/votes.py [--groups 20000] [--first-groups 100] [--seed 0]

Groups as in test-time training on MATH: 8, 16, 32 or 64 rollouts of a prompt, few distinct strings: the true
answer under one to three spellings, rivals, and now and then no answer. 300 prompts, visited again and again
as training does. Three figures: the first pass over all prompts (math-verify must compare new pairs), the
passes after it (its outcomes are remembered), and the same with the memory of whole label sets emptied before
every group. The naive loop compares each rollout's answer with those of the groups found so far, by the same
`equivalent`, and elects the largest group.
"""

import argparse
import random
import tempfile
import time
from pathlib import Path

from llm_bridge import Problem, get_task
from llm_bridge.answers import equivalence, normal_form
from llm_bridge.answers.guard import guard
from llm_bridge.tasks import votes

NUMBERS = ["7", "42", "1000", "0.25", "3/8", "-1.5", "120", "2.5"]
FORMULAS = [
    r"\frac{\pi}{2}",
    r"11\sqrt{2}",
    r"\sqrt{51}",
    r"\frac{3\sqrt{3}}{4}",
    "3+4i",
    r"\frac{1}{x+1}",
    "p-q",
    "x^2+2x+1",
    "2^{10}",
    r"\pi+1",
]
OTHERS = [
    r"(3,\frac{\pi}{2})",
    "(1,2]",
    "even",
    "Evelyn",
    r"\{1,2\}",
    "x=5",
    r"30^\circ",
    r"\begin{pmatrix}1\\2\end{pmatrix}",
    "1,-2",
]
SPELLINGS = {
    "0.25": [r"\frac14", "1/4"], "3/8": ["0.375"], "1000": ["1,000", "1000.0"], "2.5": [r"\frac{5}{2}", "5/2"],
    r"11\sqrt{2}": [r"11\sqrt2", r"11 \cdot \sqrt{2}"], r"\frac{\pi}{2}": [r"\pi/2", r"\dfrac{\pi}{2}"], "p-q": ["p - q", "-q+p"],
    r"\frac{3\sqrt{3}}{4}": [r"\frac{3}{4}\sqrt{3}"], "x^2+2x+1": ["(x+1)^2", "1+2x+x^2"], "3+4i": ["4i+3"], "2^{10}": ["1024"],
    r"(3,\frac{\pi}{2})": [r"\left(3,\frac{\pi}{2}\right)"], "even": [r"\text{even}"], "x=5": ["5"], r"30^\circ": ["30"],
    r"\{1,2\}": [r"\{2,1\}"],
}  # fmt: skip


def prompts(generator: random.Random, count: int) -> list[list[str]]:
    """The spellings that occur for each prompt, the frequent ones first."""
    found = []
    for _ in range(count):
        kind = generator.choices([NUMBERS, FORMULAS, OTHERS], [6, 2, 2])[0]
        truth, *rivals = generator.sample(kind, min(len(kind), generator.randint(2, 6)))
        if kind is NUMBERS:
            rivals = [str(generator.randint(-20, 400)) for _ in rivals]
        found.append([truth, *SPELLINGS.get(truth, []), *rivals])
    return found


def draw(generator: random.Random, spellings: list[str]) -> list[str | None]:
    weights = [1 / (rank + 1) ** 1.5 for rank in range(len(spellings))]
    return generator.choices([*spellings, None], [*weights, 0.1], k=generator.choice([8, 16, 32, 64]))


def naive(groups) -> int:
    """Answers voted on, the way of a loop over rollouts; nothing is remembered between groups."""
    done = 0
    for group in groups:
        classes: list[list[str]] = []
        for label in group:
            if label is None:
                continue
            for members in classes:
                if equivalence.equivalent(members[0], label):
                    members.append(label)
                    break
            else:
                classes.append([label])
        max(classes, key=len, default=None)
        done += len(group)
    return done


def ours(groups, rows, problems, task, each: bool = False) -> int:
    """Answers voted on, group sizes taken apart as `read_answers` needs; `each` forgets whole label sets
    before every group.
    """
    done = 0
    for size in (8, 16, 32, 64):
        part = [(row, group) for row, group in zip(rows, groups, strict=True) if len(group) == size]
        step = 1 if each else 256
        for start in range(0, len(part), step):
            if each:
                votes.forget()
            chosen = part[start : start + step]
            votes.pool_labels([problems[row] for row, _ in chosen], [group for _, group in chosen], task)
        done += size * len(part)
    return done


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--groups", type=int, default=20_000)
    parser.add_argument("--first-groups", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    generator = random.Random(options.seed)
    spellings = prompts(generator, 300)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "boxed.jsonl"
        path.write_text('{"prompt": "p", "answer": "x^2"}\n')
        task = get_task(path, answer_pattern="boxed")
    problems = [
        Problem(f"p{row}", normal_form.normal_form(options[0])) for row, options in enumerate(spellings)
    ]
    labels = [[normal_form.normal_form(text) for text in options] for options in spellings]
    rows = [generator.randrange(len(labels)) for _ in range(options.groups)]
    groups = [draw(generator, labels[row]) for row in rows]
    distinct = sum(len(set(group) - {None}) for group in groups) / len(groups)
    print(
        f"{len(groups)} groups, {sum(map(len, groups)) / len(groups):.1f} rollouts and {distinct:.1f}"
        f" distinct labels each, {len(labels)} prompts"
    )
    equivalence.equivalent("x+1", "1+x")
    runs = {
        "naive loop, first pass": lambda: naive(groups[: options.first_groups]),
        "naive loop, after it": lambda: naive(groups),
        "ours, first pass": lambda: ours(
            groups[: options.first_groups], rows[: options.first_groups], problems, task
        ),
        "ours, after it": lambda: ours(groups, rows, problems, task),
        "ours, label sets forgotten": lambda: ours(groups, rows, problems, task, each=True),
    }
    for name, run in runs.items():
        if name.endswith("first pass"):
            equivalence.forget()
            votes.forget()
        if name == "naive loop, after it" or name == "ours, after it":
            run()
        start, worker, busy = time.perf_counter(), guard("math").seconds, time.process_time()
        answers = run()
        wall, busy = time.perf_counter() - start, time.process_time() - busy + guard("math").seconds - worker
        print(
            f"{name:28} {answers:>9,} answers in {wall:6.2f} s: {answers / wall:>9,.0f}/s; processor"
            f" {busy:6.2f} s: {answers / busy:>9,.0f}/s"
        )


if __name__ == "__main__":
    main()
