"""Every adversarial answer against every extractor, comparison and verifier: nothing runs, nothing hangs,
every outcome is defined.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from corpus import CORPUS, armed

from llm_bridge import read_log
from llm_bridge.answers.guard import Guard
from sharpening import InputError

pytest.importorskip("math_verify", reason="math-verify is not installed")

HERE = Path(__file__).parent


def run(*arguments) -> dict:
    if not sys.platform.startswith("linux"):
        pytest.skip("memory and child processes are read from /proc")
    done = subprocess.run(
        [sys.executable, str(HERE / "runner.py"), *arguments],
        capture_output=True,
        text=True,
        cwd=HERE.parents[1],
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def report():
    return run()


def test_the_corpus_is_as_large_as_it_says():
    assert len(CORPUS) >= 600 and len(set(CORPUS.values())) == len(CORPUS)
    assert sum(len(text) >= 900_000 for text in CORPUS.values()) >= 20


def test_nothing_is_executed(report):
    """Not here: no code compiled, no process, socket, module or file; not in the workers, which report what
    they refused.
    """
    half = report["cases"] * report["readers"] // 2
    assert report["cases"] == len(CORPUS) and 25_000 < half <= report["calls"] <= half + 1
    assert report["executed"] == [] and report["denied"] == []
    assert report["left"] == [] and report["changed"] == []


@pytest.mark.thorough
def test_every_text_against_every_reader():
    report = run("--thorough")
    assert report["calls"] == report["cases"] * report["readers"] > 50_000
    assert [report[name] for name in ("executed", "denied", "left", "changed", "wrong", "slow")] == [[]] * 6


def test_every_outcome_is_defined(report):
    assert report["wrong"] == []


def test_each_answers_within_two_seconds(report):
    assert report["slow"] == []


def test_each_answers_within_256_megabytes(report):
    assert report["greedy"] == [] and report["grown_megabytes"] < 256 and report["worker_megabytes"] < 256


def test_a_hostile_answer_costs_no_start_of_a_worker(report):
    assert report["worker_starts"] == {"math": 1, "regex": 1}


def test_every_watch_sees_what_it_is_for():
    found = run("--plant")
    assert any("open(" in event for event in found["executed"]) and found["left"] == ["cwd/canary"]
    assert {reader for _, reader, _ in found["slow"]} == {"planted sleep"}
    assert {reader for _, reader, _ in found["greedy"]} == {"planted greed"}
    assert {reader for reader, _, _ in found["wrong"]} == {"planted garbage", "planted crash"}


PROBE = """
import importlib.util, os, sys
spec = importlib.util.spec_from_file_location("worker", sys.argv[1])
worker = importlib.util.module_from_spec(spec)
spec.loader.exec_module(worker)
denied = []
worker.refuse_the_rest(denied.append)
attempts = {
    "eval": lambda: eval("1+1"), "exec": lambda: exec("x = 1"), "compile": lambda: compile("1", "x", "eval"),
    "write": lambda: open(sys.argv[2], "w"), "append": lambda: open(sys.argv[2], "a"), "low-level": lambda: os.open(sys.argv[2], os.O_CREAT),
    "read outside": lambda: open("/etc/hostname"), "system": lambda: os.system("true"), "remove": lambda: os.remove(sys.argv[1]),
    "spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}), "exec program": lambda: os.execv("/bin/true", ["true"]),
    "socket": lambda: __import__("socket").socket(), "kill": lambda: os.kill(os.getpid(), 0), "environment": lambda: os.putenv("X", "1"),
}
for name, attempt in attempts.items():
    try:
        attempt()
    except PermissionError:
        continue
    print("allowed:", name)
print("denied:", len(denied))
"""


def test_the_worker_refuses_what_no_comparison_needs(tmp_path):
    import llm_bridge.answers.guard

    worker = Path(llm_bridge.answers.guard.__file__).with_name("guard_worker.py")
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROBE, str(worker), str(tmp_path / "canary")],
        capture_output=True,
        text=True,
    )
    assert done.stdout.split("\n")[:-1] == ["denied: 14"], done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == [] and worker.exists()


def test_numbers_reach_no_python_parser_in_the_worker():
    """math-verify's LaTeX parser gives every number to SymPy's parse_expr, which evaluates it; were it still
    there, this would be denied.
    """
    worker = Guard("math")
    for text in ("31+x", "20000y", "1.5x", "1{,}000", "3.14e10x", r"5\%", "1,000x"):
        worker.ask(text, "x+31")
    assert worker.ask("0.5x+1.25", r"\frac{x}{2}+\frac{5}{4}")[0] is True
    assert worker.denied == []
    worker.close()


def test_workers_inherit_no_secrets(monkeypatch):
    monkeypatch.setenv("HOSTILE_CANARY", "secret")
    worker = Guard("regex")
    worker.ask("(a)", "a")
    environment = Path(f"/proc/{worker._process.pid}/environ")
    assert not environment.exists() or b"HOSTILE_CANARY" not in environment.read_bytes()
    worker.close()


@pytest.mark.parametrize("pattern", [None, "last-number", "boxed"])
def test_logs_full_of_hostile_completions_are_read(tmp_path, pattern):
    texts = [
        armed(text, tmp_path / "canary")[:5_000]
        for name, text in CORPUS.items()
        if pattern != "boxed" or not name.startswith("number")
    ]
    folder = tmp_path / "rollouts"
    folder.mkdir()
    rows = [
        {"input": f"p{place // 8}", "output": text, "gts": "7", "score": 0.0, "step": 1, "uid": place // 8}
        for place, text in enumerate(texts)
    ]
    (folder / "1.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[: len(rows) // 8 * 8]))
    try:
        findings = read_log(folder, answer_pattern=pattern)
    except InputError:
        findings = []
    assert all(isinstance(finding.message, str) for finding in findings)
    assert not (tmp_path / "canary").exists()
