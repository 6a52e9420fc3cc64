"""Fuzz everything that reads an untrusted answer: grammar, mutations of the corpus, and labels built to join
two numbers.

    python studies/benchmarks/fuzz.py [--minutes 10] [--seed 0] [--engine hypothesis|atheris]

hypothesis: texts from a grammar and from mutations of tests/hostile's corpus, through every reader of that
corpus and through laws that hold for all texts; a failure is minimised. atheris (pip install atheris):
coverage-guided bytes through the readers of this process, the workers left out, whose code it cannot see.
Prints executions, and every finding once; a finding belongs into tests/hostile/found_texts.py.
"""

import argparse
import itertools
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "hostile"))

from corpus import CORPUS, small  # noqa: E402
from hypothesis import HealthCheck, given, seed, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from readers import Reader, all_readers, written_tasks  # noqa: E402

from llm_bridge.answers import equivalence
from llm_bridge.answers import normal_form as normal_form_module  # noqa: E402
from llm_bridge.answers.guard import guard  # noqa: E402
from llm_bridge.answers.normal_form import normal_form  # noqa: E402
from llm_bridge.answers.numbers import number, write_number  # noqa: E402
from llm_bridge.tasks import equivalent, votes  # noqa: E402
from llm_bridge.tasks.votes import pool_labels  # noqa: E402

SECONDS = 2.0
PIECES = [
    *"0123456789xyabnCei+-*/^_=<>!,.;:()[]{}|$%#&~'\"\\ \n\t\0", r"\frac", r"\dfrac", r"\sqrt", r"\boxed{", r"\text{", r"\left",
    r"\right", r"\pi", r"\pm",     r"\cdot", r"\infty", r"\{", r"\}", r"\circ", r"\sin", r"\ln", r"\int", r"\sum_{k=1}^{9}",
    r"\begin{pmatrix}", r"\end{pmatrix}", r"\in",
    r"\cup", "sin",     "ln", "exp", "sqrt", "**", "and", "or", "not", "true", "false", "in", "uses(", "gcd(", "prime(", "iff", "x=", "is", "#### ",
    "1,000", "0.5", "3*5+7",     "x^3", "1/2", "9**9", "10^{", "__import__('os')", "().__class__", "\u200b", "\u2212", "\uff17",
    "\u0664", "\ud800", "\u202e", "e\u0301", "\x1b[2J",
]  # fmt: skip
SHAPES = [
    "(%s)",
    "{%s}",
    r"\frac{%s}{2}",
    r"\sqrt{%s}",
    r"\boxed{%s}",
    "|%s|",
    "%s^{%s}",
    "[%s,%s)",
    r"\text{%s}",
]


def grammar() -> st.SearchStrategy:
    """Texts of pieces, boxed, repeated and nested."""
    flat = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)
    return st.recursive(
        flat,
        lambda inner: st.tuples(st.sampled_from(SHAPES), inner)
        .map(lambda pair: pair[0].replace("%s", pair[1])) | st.tuples(inner, inner).map("".join),
        max_leaves=4,
    ) | st.tuples(flat, st.integers(1, 400)).map(lambda pair: (pair[0] * pair[1])[:3_000])  # fmt: skip


def mutated() -> st.SearchStrategy:
    """A text of the corpus with a few cuts, copies and insertions."""
    texts = list(small().values())

    @st.composite
    def change(draw):
        text = draw(st.sampled_from(texts))
        for _ in range(draw(st.integers(1, 4))):
            at, end = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
            piece = draw(
                st.sampled_from(["", text[at:end] * 2]) | st.sampled_from(PIECES) | st.sampled_from(texts)
            )
            text = (text[:at] + piece + text[end:])[:4_000]
        return text

    return change()


class Findings:
    """Each failure once: by reader and kind."""

    def __init__(self):
        self.executions, self.slowest, self.kinds = 0, Counter(), {}

    def note(self, what: str, text) -> None:
        if what not in self.kinds or len(repr(text)) < len(repr(self.kinds[what])):
            if what not in self.kinds:
                print(f"FOUND {what}: {text!r}"[:2_000], flush=True)
            self.kinds[what] = text

    def run(self, reader: Reader, text: str) -> bool:
        self.executions += 1
        start = time.perf_counter()
        try:
            found = reader.read(text)
        except Exception as error:  # noqa: BLE001
            self.note(f"{reader.name} raises {type(error).__name__}", text)
            return False
        seconds = time.perf_counter() - start
        self.slowest[reader.name] = max(self.slowest[reader.name], seconds)
        if seconds > SECONDS and min(self.again(reader, text) for _ in range(3)) > SECONDS:
            self.note(f"{reader.name} takes {seconds:.1f} s", text)
            return False
        if not reader.allowed(found):
            self.note(f"{reader.name} says {found!r}"[:120], text)
            return False
        return True

    @staticmethod
    def again(reader: Reader, text: str) -> float:
        """Seconds of another try with nothing remembered: the claim is about the program, not about a busy
        machine.
        """
        equivalence.forget()
        votes.forget()
        normal_form_module.forget()
        start = time.perf_counter()
        reader.read(text)
        return time.perf_counter() - start


def laws() -> list[Reader]:
    """What holds for every text."""

    def written_once(text):
        value = number(text)
        return value is None or number(write_number(value)) == value or len(write_number(value)) > 400

    def idempotent(text):
        once = normal_form(text[:1_000])
        return normal_form(once) == once

    return [
        Reader("normal_form is idempotent", idempotent, bool),
        Reader("a written number is read back", written_once, bool),
        Reader("spaces around change nothing", lambda text: equivalent(text[:300], f" {text[:300]} "), bool),
    ]


def pair_laws(first: str, second: str, task, findings: Findings) -> None:
    """Symmetry; a chain of labels never joins two numbers; a label is not two numbers."""
    findings.executions += 3
    if equivalent(first, second) is not equivalent(second, first):
        findings.note("equivalent is not symmetric", (first, second))
    numbers = ["5", "7", "8"]
    for text in (first, second):
        if sum(equivalent(text, one) for one in numbers) > 1:
            findings.note("one label is two numbers", text)
    labels = list(
        dict.fromkeys(
            label for label in (*numbers, normal_form(first[:300]), normal_form(second[:300])) if label
        )
    )
    ids = dict(zip(labels, pool_labels(task.problems, [labels], task).ids[0].tolist(), strict=True))
    plain = [(label, number(label)) for label in labels if number(label) is not None]
    for (one, value), (other, another) in itertools.combinations(plain, 2):
        if ids[one] == ids[other] and abs(value - another) > 2e-6:
            findings.note("a chain joins two numbers", labels)


def by_hypothesis(minutes: float, number_of_seed: int, findings: Findings) -> None:
    readers, task = [*all_readers(thorough=True), *laws()], written_tasks()["jsonl boxed"]
    chance = random.Random(number_of_seed)
    cheap = [
        reader for reader in readers if "equivalent to" not in reader.name and "jsonl" not in reader.name
    ]
    dear = [reader for reader in readers if reader not in cheap]
    end, rounds = time.monotonic() + 60 * minutes, 0
    texts = grammar() | mutated()
    while time.monotonic() < end:
        rounds += 1

        @seed(number_of_seed + rounds)
        @settings(max_examples=200, database=None, deadline=None, suppress_health_check=list(HealthCheck))
        @given(texts, texts)
        def check(first, second):
            if time.monotonic() < end:
                for reader in (*cheap, *chance.sample(dear, 4)):
                    findings.run(reader, first)
                pair_laws(first, second, task, findings)

        check()
    print(f"{rounds} rounds")


def by_atheris(minutes: float, number_of_seed: int, findings: Findings) -> None:
    import atheris

    asking = ("equivalent to", "jsonl", "extractor regex")
    readers = [
        reader for reader in (*all_readers(), *laws()) if not any(word in reader.name for word in asking)
    ]
    atheris.instrument_all()
    end = time.monotonic() + 60 * minutes

    def one(data: bytes) -> None:
        if time.monotonic() > end:  # libFuzzer ends the process itself, past every handler.
            summary(findings)
            guard("math").close()
            os._exit(0)
        text = atheris.FuzzedDataProvider(data).ConsumeUnicode(4_000)
        for reader in readers:
            findings.run(reader, text)

    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    for name, text in CORPUS.items():
        (folder / name).write_bytes(text[:4_000].encode("utf-8", "surrogatepass"))
    arguments = [
        sys.argv[0],
        f"-max_total_time={int(60 * minutes) + 60}",
        f"-seed={number_of_seed + 1}",
        "-max_len=4000",
        "-verbosity=0",
        str(folder),
    ]
    atheris.Setup(arguments, one)
    atheris.Fuzz()


def summary(findings: Findings) -> None:
    denied = guard("math").denied + guard("regex").denied
    for event in set(denied):
        findings.note(f"a worker was asked for {event}", event)
    slowest = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in findings.slowest.most_common(3))
    print(
        f"{findings.executions:,} executions, {len(findings.kinds)} findings; slowest: {slowest}; worker"
        f" starts {guard('math').starts}",
        flush=True,
    )
    for what, text in findings.kinds.items():
        print(f"  {what}: {text!r}"[:600], flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", choices=("hypothesis", "atheris"), default="hypothesis")
    options = parser.parse_args()
    findings = Findings()
    guard("math").ask("x", "y")
    {"hypothesis": by_hypothesis, "atheris": by_atheris}[options.engine](
        options.minutes, options.seed, findings
    )
    summary(findings)


if __name__ == "__main__":
    main()
