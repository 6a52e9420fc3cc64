"""Hostile answers: nothing is executed, nothing runs for ever, no memory is eaten; a dead worker process is
replaced.
"""

import os
import resource
import sys
import threading

import pytest

from llm_bridge.answers.equivalence import equivalent
from llm_bridge.answers.guard import Guard, guard
from sharpening import InputError

pytest.importorskip("math_verify", reason="math-verify is not installed")

CODE = [
    "__import__('os').system('touch CANARY')",
    "$__import__('os').system('touch CANARY')$",
    r"\text{__import__('os').system('touch CANARY')}",
    "exec(\"open('CANARY','w')\")",
    "open('CANARY','w').write('x')",
    "(lambda: __import__('pathlib').Path('CANARY').touch())()",
    "1 if __import__('os').system('touch CANARY') else 2",
    r"\operatorname{__import__('os').system('touch CANARY')}",
    "().__class__.__base__.__subclasses__()",
    "`touch CANARY`",
    "$(touch CANARY)",
    "; touch CANARY",
    r"\input{CANARY}",
    r"\immediate\write18{touch CANARY}",
    "x.__class__",
    'f\'{open("CANARY","w")}\'',
    "{open('CANARY','w')}",
]


def test_hostile_answers_are_never_executed(tmp_path):
    from llm_bridge import TASKS, get_task
    from llm_bridge.answers.extraction import extractor

    canary = tmp_path / "canary"
    readers = [get_task(name).extract for name in TASKS] + [
        extractor(pattern) for pattern in ("last-number", "boxed", "text", "regex:(.*)")
    ]
    for code in CODE:
        hostile = code.replace("CANARY", str(canary))
        assert not equivalent(hostile, "0") and not equivalent(hostile, "1")
        guard("math").ask(hostile, r"\frac{x}{2}")
        for read in readers:
            read(hostile)
            read(rf"\boxed{{{hostile}}}")
    assert not canary.exists()


def test_the_canary_would_show_an_execution(tmp_path):
    sympy_parser = pytest.importorskip("sympy.parsing.sympy_parser")
    canary = tmp_path / "canary"
    with pytest.raises(Exception):  # noqa: B017
        sympy_parser.parse_expr(CODE[0].replace("CANARY", str(canary)) + ".x")
    assert canary.exists()


HOSTILE = [
    "9**9**9**9",
    "9^{9^{9^{9}}}",
    "2^{2^{33}}",
    "10000000!",
    "(" * 140 + "1" + ")" * 140,
    "{" * 140 + "1" + "}" * 140,
    r"\sqrt{" * 40 + "x" + "}" * 40,
    "x" * 300,
    "(" * 100_000,
    "9" * 1_000_000,
    "a" * 1_000_000,
    "1\0",
    "\0",
    "\ud800",
    r"\prod_{n=1}^{10000000} n",
    r"\int \frac{e^{x^{x}}}{\sin(x^x)} dx",
    "(a+b+c+d+e)^{500}",
    r"\frac{" * 100,
    r"\begin{pmatrix}" + "&".join("1" * 120) + r"\end{pmatrix}",
    "(1," * 90 + "1" + ")" * 90,
]


@pytest.fixture(scope="module")
def start_cost():
    """Processor seconds of starting and ending one worker."""
    before = child_seconds()
    worker = Guard("math")
    worker.ask("x", "y")
    worker.close()
    return child_seconds() - before


def child_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_answers_are_different_within_two_seconds(text, start_cost):
    guard("math").close()
    before, own = child_seconds(), os.times()
    assert not equivalent(text, r"7+\pi")
    guard("math").close()
    now = os.times()
    seconds = child_seconds() - before + now.user + now.system - own.user - own.system
    assert seconds < 2.0 + 2 * start_cost + 0.3


def test_a_text_that_overran_is_remembered_and_costs_nothing_again():
    equivalent("8^{8^{8^{8}}}", r"5+\pi")
    starts = guard("math").starts
    for other in ("y", r"6+\pi", "z+1"):
        assert not equivalent("8^{8^{8^{8}}}", other)
    assert guard("math").starts == starts
    assert equivalent(r"\sqrt{49}", "7")


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the memory limit is read from /proc and set by RLIMIT_AS"
)
def test_the_worker_cannot_take_more_than_its_memory():
    worker = Guard("regex")
    assert worker.ask("(a)", "a") == ("a", [])
    limit = resource.prlimit(worker._process.pid, resource.RLIMIT_AS)[0]
    with open(f"/proc/{worker._process.pid}/statm") as size:
        in_use = int(size.read().split()[0]) * resource.getpagesize()
    assert 200 * 2**20 < limit - in_use <= 256 * 2**20
    assert resource.prlimit(worker._process.pid, resource.RLIMIT_FSIZE)[0] == 0
    assert worker.ask("(a{0,2147483647}b)" * 60_000, "a")[0] is None
    assert worker.ask("(a)", "a") == ("a", [])
    worker.close()


def test_the_wall_clock_is_a_backstop():
    worker = Guard("regex", wall_seconds=0.2)
    assert worker.ask("(a+)+$", "a" * 40 + "b") == (None, [])
    assert worker._process is None
    worker.wall_seconds = 10
    assert worker.ask("(b)", "b") == ("b", [])
    assert worker.starts == 2
    worker.close()


def test_a_killed_worker_is_replaced():
    worker = Guard("regex")
    worker.ask("(b)", "b")
    worker._process.kill()
    worker._process.wait()
    assert worker.ask("(b)", "b") == ("b", [])
    worker.close()


def test_threads_share_a_worker():
    worker, results = Guard("regex"), {}
    threads = [
        threading.Thread(target=lambda n=n: results.__setitem__(n, worker.ask("([0-9]+)", f"x{n}y")[0]))
        for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {n: str(n) for n in range(20)} and worker.starts == 1
    worker.close()


def test_a_worker_that_cannot_start_says_what_to_install(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(InputError, match="math-verify"):
        Guard("math").ask("x", "y")
