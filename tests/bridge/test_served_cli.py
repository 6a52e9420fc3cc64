"""`sharpening forecast --server` against a real server: its numbers against the known law, nothing drawn
twice, what it refuses, how it stops.
"""

import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from cli_helpers import assert_refused, invoke
from serving import serving
from tiny import after_equals

from llm_bridge import Problem, ServedAnswers
from llm_bridge.forecast.served import (
    SERVED_VERDICTS,
    close_call,
    judge_answers,
    standard_error,
    vote_accuracy,
)
from llm_bridge.sampling.answer_file import ANSWERS_FILE
from llm_bridge.sampling.server import API_KEY
from llm_bridge.tasks import Answers
from sharpening import InputError

MASSES = {"d3": 0.6, "d5": 0.3, "d7": 0.1}
VOTERS, DRAWS = 4, 48


@pytest.fixture(scope="module")
def known():
    return after_equals(**MASSES)


@pytest.fixture
def sums(tmp_path, monkeypatch):
    """Twelve sums, of which the model's favourite answer solves some; the same without true answers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(API_KEY, raising=False)
    pairs = [(a, b) for a in range(4) for b in (1, 2, 3)]
    for name, labelled in (("sums", True), ("open", False)):
        rows = [{"prompt": f"{a}+{b}="} | ({"answer": str(a + b)} if labelled else {}) for a, b in pairs]
        Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return "sums.jsonl"


def forecast(server, task="sums.jsonl", *more, model="tiny", prompts=8, draws=DRAWS):
    words = [
        "--prompts",
        prompts,
        "--draws",
        draws,
        "--rollouts",
        VOTERS,
        "--max-new-tokens",
        3,
        "--concurrency",
        2,
    ]
    return invoke(
        "forecast", model, "--server", getattr(server, "url", server), "--task", task, *words, *more
    )


def vote_law(answer: str) -> float:
    """P(a vote of VOTERS, ties shared, says `answer`): every outcome of the draws counted, nothing shared
    with the code under test.
    """
    total = 0.0
    for outcome in product(MASSES, repeat=VOTERS):
        counts = {name: outcome.count(name) for name in outcome}
        leaders = [name for name, count in counts.items() if count == max(counts.values())]
        total += math.prod(MASSES[name] for name in outcome) * (f"d{answer}" in leaders) / len(leaders)
    return total


def test_the_numbers_are_those_of_the_known_law(known, sums):
    """8 prompts × 48 draws: shares within 5 standard errors of the draws alone; the prompts asked are in the
    file of answers.
    """
    with serving(known) as server:
        result = forecast(server, sums, "--output", "kept", "--json", "out.json", "--report", "page")
    assert result.exit_code == 0, (result.output, result.exception)
    document = json.loads(Path("out.json").read_text())
    asked = [json.loads(line)["prompt"] for line in Path("kept", ANSWERS_FILE).read_text().splitlines()[1:]]
    truths = [str(sum(map(int, prompt.rstrip("=").split("+")))) for prompt in asked]
    assert len(truths) == 8 and "3" in truths and len(set(truths)) > 2
    single, vote = (
        float(np.mean([law(truth) for truth in truths]))
        for law in (lambda t: MASSES.get(f"d{t}", 0.0), vote_law)
    )
    prior, error = document["prior"], document["standard_error"]
    assert abs(prior["accuracy"] - single) < 5 * math.sqrt(0.25 / (8 * DRAWS))
    assert abs(prior["label_accuracy"] - vote) < 5 * math.sqrt(0.25 / (8 * DRAWS / VOTERS))
    alignment = np.mean([truth == "3" for truth in truths])
    assert prior["alignment"] == document["alignment"] == pytest.approx(alignment, abs=1e-5)
    assert error["alignment"] == pytest.approx(
        np.std([truth == "3" for truth in truths], ddof=1) / math.sqrt(8), rel=1e-4
    )
    assert [row["votes"] for row in document["votes"]] == [1, 2, 4, 8, 16, 32, 48]
    assert (
        document["votes"][0]["accuracy"] == prior["accuracy"]
        and document["votes"][-1]["accuracy"] == document["alignment"]
    )
    assert document["votes"][2]["accuracy"] == prior["label_accuracy"]
    assert {row["youden"]: row["share"] for row in document["verification"]} == pytest.approx(
        {0.5: 2 / 3, 0.9: 1 / 1.9}, abs=1e-5
    )
    assert (
        document["kind"] == "served_forecast"
        and document["schema"] == 1
        and document["verdict"] in SERVED_VERDICTS
    )
    assert document["settings"]["rollouts"] == VOTERS and "learning_rate" not in document["settings"]
    assert document["cost"]["generated_tokens"] == 8 * DRAWS * 2 and document["cost"]["seconds"] > 0
    shown = " ".join(result.stdout.replace("│", " ").split())
    assert (
        "better than voting without training?" in shown
        and "He et al. 2026" in shown
        and "learning rate" in shown
    )
    assert {path.name for path in Path("page").iterdir()} == {"report.html", "votes.png", "result.json"}
    assert "--output kept" in document["command"] and "--concurrency 2" in document["command"]
    assert document["command"] in Path("page/report.html").read_text()
    assert json.loads(Path("page/result.json").read_text()) == document


def test_a_second_call_draws_only_what_is_missing_and_needs_no_server_for_what_is_there(known, sums):
    with serving(known) as server:
        assert forecast(server, draws=6, prompts=4).exit_code == 0
        before = len(server.requests)
        grown = forecast(server, "sums.jsonl", "--json", "-", draws=8, prompts=5)
        assert [body.get("n", 1) for _, body in server.requests[before:]] in (
            [2, 2, 2, 2, 8],
            [2, 2, 2, 8, 2],
        )
        assert len(list(Path("runs").iterdir())) == 1, (
            "the number of prompts and draws is no part of the folder's name"
        )
        assert forecast(server, "sums.jsonl", "--seed", 1, draws=4, prompts=1).exit_code == 0
        assert len(list(Path("runs").iterdir())) == 2
    again = forecast(server, "sums.jsonl", "--json", "-", draws=8, prompts=5)
    assert again.exit_code == 0 and again.stdout == grown.stdout


def test_without_labels_it_says_what_remains(known, sums):
    with serving(known) as server:
        result = forecast(server, "open.jsonl", "--json", "-", "--report", "page", draws=16)
    assert result.exit_code == 0, (result.output, result.exception)
    document = json.loads(result.stdout)
    assert document["verdict"] == "no_labels" and document["alignment"] is None and document["votes"] == []
    assert (
        set(document["prior"])
        == {"majority_ratio", "entropy", "tie", "no_answer", "undecided"}
        == set(document["standard_error"])
    )
    assert "True answers to 100 prompts" in " ".join(document["reasons"])
    assert (
        not Path("page/votes.png").exists() and "needs true answers" in Path("page/report.html").read_text()
    )


def test_what_has_no_torch_can_ask_a_server(known, sums):
    code = (
        "import sys\nsys.modules['torch'] = None\nfrom llm_bridge.cli import main\nsys.argv = ['sharpening',"
        " 'forecast', 'tiny', '--server', sys.argv[1], '--task', 'sums.jsonl', '--prompts', '2', '--draws',"
        " '8', '--json', '-']\nmain()"
    )
    with serving(known) as server:
        done = subprocess.run(
            [sys.executable, "-c", code, server.url],
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
    assert done.returncode == 0 and json.loads(done.stdout)["prior"], done.stderr


ROOT = Path(__file__).parent.parent.parent


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_ctrl_c_keeps_the_answers_and_says_how_to_go_on(known, sums):
    """After ten requests the server is silent until Ctrl-C has come; the same command then draws the rest
    alone.
    """
    with serving(known, most=1) as server:
        real, interrupted = server.sample, threading.Event()
        server.sample = lambda *arguments: (
            len(server.requests) <= 10 or interrupted.wait(120),
            real(*arguments),
        )[1]
        command = [
            sys.executable,
            "-m",
            "llm_bridge.cli",
            "forecast",
            "tiny",
            "--server",
            server.url,
            "--task",
            "sums.jsonl",
            "--prompts",
            "8",
            "--draws",
            "16",
            "--output",
            "kept",
        ]
        running = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
        )
        deadline = time.monotonic() + 120
        while len(server.requests) < 10 and running.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        told = running.communicate(timeout=60)[1]
        interrupted.set()
        assert running.returncode == 3 and "resume from kept" in told and "Traceback" not in told
    kept = sum(
        len(json.loads(line)["texts"]) for line in Path("kept", ANSWERS_FILE).read_text().splitlines()[1:]
    )
    assert 0 < kept < 8 * 16
    with serving(known) as fresh:
        command[command.index("--server") + 1] = fresh.url
        result = invoke(*command[3:])
        assert result.exit_code == 0, (result.output, result.exception)
        assert sum(body.get("n", 1) for _, body in fresh.requests) == 8 * 16 - kept


class TestRefusals:
    @pytest.mark.parametrize(
        "more, fragments",
        [
            (["--learning-rate", "1e-5"], ["`learning_rate`", "no step to date", "without --server"]),
            (["--max-steps", "20"], ["`max_steps`"]),
            (["--dataset-size", "64"], ["`dataset_size`"]),
            (["--criterion", "half_life"], ["`criterion`"]),
            (["--eval-prompts", "4"], ["`eval_prompts`"]),
            (["--reward", "self-certainty"], ["`reward`", "majority votes"]),
            (["--draws", "3"], ["`draws` is 3", "vote of 4"]),
            (["--rollouts", "1"], ["`rollouts` is 1"]),
            (["--prompts", "0"], ["`prompts` is 0"]),
            (["--server", "localhost:8000"], ["`url`", "http://localhost:8000/v1"]),
            (["--server", "http://me:hunter2@host/v1"], ["`url`", "password"]),
        ],
        ids=lambda value: " ".join(value) if value[0].startswith("--") else "",
    )
    def test_before_any_request(self, sums, more, fragments):
        result = forecast("http://127.0.0.1:9/v1", sums, *more)
        assert_refused(result, *fragments)
        assert "hunter2" not in result.stderr and not any(path.is_dir() for path in Path("runs").glob("*"))

    def test_no_model_and_no_task(self, sums):
        assert_refused(
            invoke("forecast", "--server", "http://x/v1", "--task", sums), "`model` is None", "/models"
        )
        assert_refused(invoke("forecast", "tiny", "--server", "http://x/v1"), "`task` is None")

    @pytest.mark.parametrize(
        "own",
        [["--prompts", 3], ["--draws", 9], ["--concurrency", 1], ["--output", "here"]],
        ids=lambda own: own[0],
    )
    def test_options_of_a_server_without_one(self, sums, own):
        assert_refused(invoke("forecast", *own), f"`{own[0].removeprefix('--')}`", "--server URL")

    def test_nobody_there_is_told_at_once(self, sums):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        started = time.monotonic()
        assert_refused(forecast(url), url, "Start the server", "once")
        assert time.monotonic() - started < 10 and not list(Path("runs").iterdir()), (
            "no retries, and no empty folder"
        )

    def test_a_name_that_the_server_does_not_list(self, known, sums):
        with serving(known) as server:
            assert_refused(forecast(server, model="huge"), "huge", "It serves tiny")

    def test_a_missing_package_names_the_extra(self, sums, monkeypatch):
        monkeypatch.setitem(sys.modules, "openai", None)
        assert_refused(forecast("http://127.0.0.1:9/v1"), "openai", "sharpening[served]")


def test_the_key_comes_from_the_environment_and_is_not_written_down(known, sums, monkeypatch):
    monkeypatch.setenv(API_KEY, "s3cret\n")
    with serving(known) as server:
        result = forecast(
            server, sums, "--output", "kept", "--json", "out.json", "--report", "page", prompts=2, draws=4
        )
        assert result.exit_code == 0 and set(server.keys) == {"Bearer s3cret"}
        server.script = [401]
        refused = forecast(server, sums, "--seed", 3, prompts=2, draws=4)
    assert_refused(refused, "`api_key`", API_KEY)
    written = [path.read_bytes() for path in Path().rglob("*") if path.is_file()]
    assert written and not any(
        b"s3cret" in content for content in [*written, result.output.encode(), refused.output.encode()]
    )


def test_a_chat_template_is_told_in_the_result(known, sums):
    with serving(known, endpoints=("chat/completions",)) as server:
        document = json.loads(forecast(server, sums, "--json", "-", prompts=2, draws=4).stdout)
    assert document["settings"]["endpoint"] == "chat/completions" and "template" in document["notes"][0]


def judged(ids, truths, rollouts=4):
    """The forecast from given answer ids (prompts, draws); `truths`: the right id of each prompt, None
    without labels.
    """
    ids = np.array(ids)
    problems = [Problem(f"{row}?", None if truths is None else str(truths[row])) for row in range(len(ids))]
    correct = (
        np.zeros(ids.shape, dtype=bool) if truths is None else (ids == np.array(truths)[:, None]) & (ids >= 0)
    )
    drawn = ServedAnswers(
        problems, Answers(ids, [str(i) for i in range(9)], correct), "http://x/v1", "completions", [], _Free()
    )
    return judge_answers(drawn, "m", "t", {"rollouts": rollouts, "draws": ids.shape[1]})


class _Free:
    def as_dict(self):
        return {}


@pytest.mark.parametrize(
    "ids, truths, code",
    [
        ([[0] * 6 + [1, 2]] * 20, [0] * 20, "votes_help"),
        ([[0] * 6 + [1, 2]] * 20, [1] * 20, "votes_hurt"),
        ([[0] * 6 + [1, 2]] * 20, [0, 1] * 10, "no_difference"),
        ([[0] * 8] * 20, [0] * 20, "no_signal"),
        ([[0] * 8] * 20, None, "no_signal"),
        ([[0] * 6 + [1, 2]] * 20, None, "no_labels"),
        ([[0] * 6 + [1, 2]], [0], "no_difference"),
    ],
)
def test_verdicts(ids, truths, code):
    found = judged(ids, truths)
    assert found.verdict == code and found.reasons
    if code == "votes_hurt":
        assert "would lose" in " ".join(found.reasons) and "100 % of the prompts" in " ".join(found.reasons)


def test_a_prompt_without_answers_is_neither_right_nor_decided():
    found = judged([[-1] * 8, [0] * 8], [0, 0])
    assert (
        found.prior["accuracy"] == found.alignment == 0.5
        and found.prior["undecided"] == 0.5
        and found.prior["no_answer"] == 0.5
    )


def test_close_calls_and_standard_errors():
    assert (
        not close_call(np.array([0] * 10 + [1]))
        and close_call(np.array([0] * 6 + [1] * 3))
        and close_call(np.array([-1] * 9))
    )
    assert close_call(np.array([0] * 4)), "four answers, even if they agree, are within two errors of a tie"
    assert not close_call(np.array([0] * 5))
    assert (
        standard_error(np.array([0.0, 1.0])) == pytest.approx(0.5) and standard_error(np.array([1.0])) is None
    )


def test_the_vote_of_two_shares_its_ties():
    """A vote of two is right as often as one answer; groups are disjoint, so six draws are three votes of
    two.
    """
    ids = np.random.default_rng(0).integers(0, 3, (50, 6))
    correct = ids == 0
    assert np.allclose(vote_accuracy(ids, correct, 2), correct.mean(axis=1)) and np.allclose(
        vote_accuracy(ids, correct, 1), correct.mean(axis=1)
    )


@pytest.mark.parametrize("name", ["prompts", "concurrency"])
def test_bad_numbers_come_from_the_engine_with_their_name(name):
    from llm_bridge import served_answers

    with pytest.raises(InputError, match=name):
        served_answers("http://127.0.0.1:9/v1", "tiny", None, **{name: 0})
