"""`sharpening monitor --follow`, `--on-finding` and `--report`, as a user runs them beside a training."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_helpers import assert_refused, invoke

from llm_bridge.logs.finding import Finding
from llm_bridge.logs.follow import follow
from llm_bridge.logs.hook import Hook
from sharpening import InputError

HEALTHY = [0.5, 0.55, 0.6, 0.61, 0.62]
DEAD = [0.05, 0.04]


def lines(values, start=0):
    return "".join(
        json.dumps({"step": 10 * (start + i), "eval/accuracy": value}) + "\n"
        for i, value in enumerate(values)
    )


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "llm_bridge.cli", "monitor", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


class TestFollow:
    def test_from_no_file_to_the_collapse(self, tmp_path):
        """The log appears, grows and dies; the level of --fail-on ends the watching with status 1."""
        log, out = tmp_path / "run" / "log.jsonl", tmp_path / "found.json"
        watcher = start(log, "--follow", "--interval", 0.1, "--fail-on", "critical", "--json", out)
        assert "no such file" in watcher.stderr.readline()
        log.parent.mkdir()
        log.write_text(lines(HEALTHY) + '{"step": 50, "eval')
        until(out.exists)
        with open(log, "a") as file:
            file.write("/accuracy" + '": 0.05}\n')
        until(lambda: any(f["level"] == "provisional" for f in json.loads(out.read_text())))
        with open(log, "a") as file:
            file.write(lines([0.04], 6))
        told, _ = watcher.communicate(timeout=60)
        assert watcher.returncode == 1
        assert "provisional: stop: step" in told and "critical: stop: step" in told
        assert told.count("critical: stop") == 1 and "info: no_collapse" in told

    def test_ctrl_c_ends_it_quietly(self, tmp_path):
        log = tmp_path / "log.jsonl"
        log.write_text(lines(HEALTHY))
        watcher = start(log, "--follow", "--interval", 0.1, "--json", "-")
        first = json.loads(watcher.stdout.readline())
        assert set(first) == {"name", "level", "step", "message"}
        watcher.send_signal(signal.SIGINT)
        _, complaints = watcher.communicate(timeout=60)
        assert watcher.returncode == 0 and "Traceback" not in complaints

    def test_idle_ends_it(self, tmp_path):
        log = tmp_path / "log.jsonl"
        log.write_text(lines(HEALTHY + DEAD))
        assert invoke("monitor", log, "--follow", "--interval", 0.05, "--idle", 0.1).exit_code == 0
        done = invoke("monitor", log, "--follow", "--interval", 0.05, "--fail-on", "critical")
        assert done.exit_code == 1 and "critical: stop" in done.stdout
        assert_refused(invoke("monitor", log, "--idle", 3), "--follow")

    def test_only_changes_are_read_and_only_what_is_new_is_told(self, tmp_path):
        log, reads = tmp_path / "log", []
        readings = iter([["info"], ["info"], ["critical"]])

        def read():
            reads.append(1)
            return [Finding("stop", level, "x") for level in next(readings)]

        now, waits = [0.0], []

        def sleep(seconds):
            now[0] += seconds
            waits.append(seconds)
            if len(waits) in (3, 6):
                log.write_text("x" * len(waits))

        log.write_text("")
        looks = list(follow(log, read, interval=1, idle=5, clock=lambda: now[0], sleep=sleep))
        assert len(reads) == 3 and [len(look.new) for look in looks] == [1, 0, 1]
        assert looks[-1].new[0].level == "critical"

    def test_reading_takes_a_tenth_of_the_time(self, tmp_path):
        (tmp_path / "log").write_text("")
        now, waits = [0.0], []

        def read():
            now[0] += 3
            return []

        def sleep(seconds):
            waits.append(seconds)
            now[0] += seconds

        list(follow(tmp_path / "log", read, interval=1, idle=20, clock=lambda: now[0], sleep=sleep))
        assert waits[0] == 30


class TestOnFinding:
    ECHO = "import sys, json; open({out!r}, 'a').write(json.dumps([sys.argv[1:], json.load(sys.stdin)]) + chr(10))"

    def command(self, tmp_path, *words):
        script = tmp_path / "hook.py"
        script.write_text(self.ECHO.format(out=str(tmp_path / "out.jsonl")))
        return f"{sys.executable} {script} " + " ".join(words)

    def calls(self, tmp_path):
        path = tmp_path / "out.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def test_each_finding_of_the_level_once(self, tmp_path):
        log = tmp_path / "log.jsonl"
        log.write_text(lines(HEALTHY + DEAD))
        command = self.command(tmp_path, "{level}", "'step {step} of {log}'", "{message}")
        assert invoke("monitor", log, "--on-finding", command, "--fail-on", "critical").exit_code == 1
        calls = self.calls(tmp_path)
        assert {said["name"] for _, said in calls} >= {"stop", "collapse_accuracy_peak"}
        for words, said in calls:
            assert words == ["critical", f"step {said['step']} of {log}", said["message"]]
            assert said["level"] == "critical" and said["log"] == str(log)

    def test_text_of_a_log_is_one_word_and_never_run(self, tmp_path):
        bad = f"$(touch {tmp_path}/a); `touch {tmp_path}/b`\n' ; touch {tmp_path}/c #{{level}}"
        Hook(self.command(tmp_path, "x{message}y"), Path("log"))(Finding("stop", "critical", bad))
        (words, said), *_ = self.calls(tmp_path)
        assert len(words) == 1 and words[0] == f"x{said['message']}y" and "{level}" in words[0]
        assert not [name for name in "abc" if (tmp_path / name).exists()]

    @pytest.mark.parametrize("command", ["", "no-such-command-here {name}", "echo 'open"])
    def test_what_cannot_be_run_is_refused_before_any_work(self, tmp_path, command):
        with pytest.raises(InputError, match="on_finding"):
            Hook(command, Path("log"))
        if command:
            assert_refused(invoke("monitor", tmp_path / "none", "--on-finding", command), "on_finding")

    def test_a_command_that_fails_is_told_and_changes_nothing(self, tmp_path, capfd):
        log = tmp_path / "log.jsonl"
        log.write_text(lines(HEALTHY + DEAD))
        assert invoke("monitor", log, "--on-finding", "false").exit_code == 0


class TestReport:
    def test_a_page_that_escapes_what_a_log_says(self, tmp_path):
        log = tmp_path / "log.jsonl"
        rows = [json.loads(line) for line in lines(HEALTHY + DEAD).splitlines()]
        log.write_text("".join(json.dumps(row | {"<script>alert(1)</script>": 1.0}) + "\n" for row in rows))
        folder = tmp_path / "report"
        assert invoke("monitor", log, "--report", folder).exit_code == 0
        page = (folder / "report.html").read_text()
        assert "<script>" not in page and "&lt;script&gt;" in page and "Stop at step" in page
        document = json.loads((folder / "result.json").read_text())
        assert document["kind"] == "monitor" and document["series"]["accuracy"]["value"] == HEALTHY + DEAD
        assert (folder / "curves.png").read_bytes()[:4] == b"\x89PNG"
        assert invoke("monitor", log, "--report", folder).exit_code == 0

    def test_a_log_without_any_known_metric(self, tmp_path):
        log = tmp_path / "log.jsonl"
        log.write_text('{"step": 1, "other": 2}\n')
        assert invoke("monitor", log, "--report", tmp_path / "report").exit_code == 0
        assert "cannot_tell" in (tmp_path / "report" / "report.html").read_text()
