"""Broken logs: each is read or refused in one paragraph. None raises anything but InputError, none waits, and
none gives the exit status of a finding without one.
"""

import json
import os
import stat
import subprocess
import sys

import pytest
from cli_helpers import assert_refused, invoke
from log_writers import write_rows

from llm_bridge import read_log
from sharpening import InputError

ROWS = "".join(
    json.dumps({"step": s, "reward": 0.5, "mode_retention": 1.0}) + "\n" for s in range(10)
).encode()
TABLE = "step,reward\n1,0.5\n2,0.6\n"
DEEP = 5_000
NAMES = (
    "log.jsonl",
    "log.csv",
    "log.json",
    "log.txt",
    "trainer_state.json",
    "collapse_monitor.json",
    "trajectory.json",
    "1.jsonl",
    "x.parquet",
)
BROKEN = {
    "nothing": b"",
    "blank lines": b"\n \n\n",
    "NUL bytes": b"\0" * 100,
    "half a mark": b"\xff\xfe\x00",
    "only a mark": b"\xef\xbb\xbf",
    "random bytes": bytes((37 * i * i + 11 * i) % 256 for i in range(500)),
    "parquet's letters": b"PAR1" * 20,
    "gzip's letters": b"\x1f\x8b\x08" + b"x" * 50,
    "null": b"null",
    "empty list": b"[]",
    "empty object": b"{}",
    "list in list": b"[[]]",
    "number": b"5\n",
    "text": b'"x"\n',
    "NaN": b"NaN",
    "list of numbers": b"[1, 2]\n",
    "one step": b'{"step": 1}\n',
    "rows of numbers": b'{"rows": [1]}',
    "rows of nothing": b'{"rows": [{}]}',
    "rows without steps": b'{"rows": [{"accuracy": 1}]}',
    "null step": b'{"rows": [{"step": null, "accuracy": 1}]}',
    "step in words": b'{"rows": [{"step": "x", "accuracy": 1}]}',
    "metric in words": b'{"rows": [{"step": 0, "accuracy": "x"}]}',
    "metric a list": b'{"rows": [{"step": 0, "accuracy": [1]}, {"step": 1, "accuracy": {"a": 1}}]}',
    "infinite metrics": b'{"rows": [{"step": 0, "accuracy": NaN}, {"step": 1, "accuracy": Infinity}]}',
    "nameless metric": b'{"rows": [{"step": 0, "": 1}]}',
    "floor in words": b'{"rows": [{"step": 0, "accuracy": 1}], "floor": "x"}',
    "infinite floor": b'{"rows": [{"step": 0, "accuracy": 1}], "floor": Infinity}',
    "history a number": b'{"log_history": 5}',
    "history of numbers": b'{"log_history": [1]}',
    "history an object": b'{"log_history": {"a": 1}}',
    "history of words": b'{"log_history": "abc"}',
    "history of nothing": b'{"log_history": [{}]}',
    "curve a number": b'{"curve": 5}',
    "steps a number": b'{"curve": {"step": 5}}',
    "values a number": b'{"curve": {"step": [0, 1], "accuracy": 5}}',
    "null among steps": b'{"curve": {"step": [0, null], "accuracy": [1, 1]}}',
    "words among steps": b'{"curve": {"step": ["a", "b"], "accuracy": [1, 1]}}',
    "words among values": b'{"curve": {"step": [0, 1], "accuracy": ["x", 1]}}',
    "step twice": b'{"curve": {"step": [0, 0], "accuracy": [0.5, 1]}}',
    "steps falling": b'{"curve": {"step": [5, 3], "accuracy": [0.5, 1]}}',
    "no steps": b'{"curve": {"step": [], "accuracy": []}}',
    "infinite value": b'{"curve": {"step": [0, 1], "accuracy": [1e999, 1]}}',
    "infinite step": b'{"curve": {"step": [0, 1e400], "accuracy": [1, 1]}}',
    "comparison of nothing": b'{"kind": "comparison"}',
    "comparison of a number": b'{"kind": "comparison", "measurement": 5}',
    "comparison of a list": b'{"kind": "comparison", "measurement": {"curve": []}}',
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "deep metrics": b'{"step": 1, "a":' + b'{"a":' * 600 + b"1" + b"}" * 601,
    "endless integer": b'{"step": 1' + b"0" * 5_000 + b', "reward": 1}\n',
    "huge integers": b'{"step": 1'
    + b"0" * 400
    + b', "reward": 1}\n{"step": 2, "reward": 1'
    + b"0" * 400
    + b"}\n",
    "negative steps": b'{"step": -1, "reward": 1}\n{"step": -5, "reward": 2}\n',
    "huge steps": b'{"step": 1e300, "reward": 1}\n{"step": 1e301, "reward": 2}\n',
    "distant steps": b'{"step": 4503599627370496, "mode_retention": 0.1}\n{"step": 0, "mode_retention": 1}\n',
    "steps in words": b'{"step": "a", "reward": 1}\n{"step": "b", "reward": 2}\n',
    "broken steps": b'{"step": 1.5, "reward": 1}\n{"step": 1.7, "reward": 2}\n',
    "true steps": b'{"step": true, "reward": 1}\n{"step": false, "reward": 2}\n',
    "step an object": b'{"step": {"a": 1}, "reward": 1}\n',
    "step a list": b'{"step": [1], "reward": 1}\n',
    "true reward": b'{"step": 1, "reward": true}\n',
    "mixed rewards": b'{"step": 1, "reward": "0.5"}\n{"step": 2, "reward": "x"}\n{"step": 3, "reward": [1]}\n',
    "an escape in a name": b'{"step": 1, "\\u001b[31mred": 1, "reward": 1}\n',
    "a surrogate in a name": b'{"step": 1, "\\ud800": 1, "reward": 0.5}\n',
    "rank a list": b'{"step": 1, "reward": 0.5, "rank": [1]}\n{"step": 1, "reward": 0.6, "rank": {"a": 1}}\n',
    "seed a list": b'{"step": 1, "reward": 0.5, "seed": [1]}\n{"step": 1, "reward": 0.7, "seed": 2}\n',
    "rollouts of numbers": b'{"input": 1, "output": 2, "step": 1}\n{"input": null, "output": null, "step": 1}\n',
    "uid a list": b'{"input": [1], "output": [{"content": "x"}], "step": "1", "uid": [1]}\n' * 4,
    "rollout step in words": b'{"input": "a", "output": "b", "step": "x"}\n',
    "rollout step broken": b'{"input": "a", "output": "b", "step": 1.5}\n',
    "infinite score": b'{"input": "a", "output": "b", "step": 1, "score": 1e999, "gts": NaN}\n' * 3,
    "huge score": b'{"input": "a", "output": "\\ud800", "step": 1, "score": 1'
    + b"0" * 400
    + b', "gts": "\\udfff"}\n',
    "true answers in a list": b'{"input": "a", "output": "b", "step": 1, "gts": {"ground_truth": [1]}}\n' * 2,
    "output an object": b'{"input": "a", "output": {"a": 1}, "step": 1, "gts": []}\n' * 2,
    "deep input": b'{"input":' + b"[" * 900 + b"]" * 900 + b', "output": "x", "step": 1}\n' * 2,
    "output missing": b'{"input": "a", "output": "b", "step": 1}\n{"input": "a", "step": 1}\n',
    "too many cells": b"step,reward\n1,2,3\n",
    "open quote": b'step,reward\n"1,2\n3,4\n',
    "column twice": b"step,step\n1,2\n",
    "no header": b"1,2\n3,4\n",
    "only a header": b"step\n",
    "too few cells": b"step,reward\n1\n2,0.5\n",
    "carriage returns": b"step,reward\r1,0.5\r2,0.6\r",
    "decimal commas": b"step;reward\n1;0,5\n2;0,6\n",
    "NUL in a row": b"step,reward\n1,0.5\n2,\0\n3,4\n",
    "quoted line break": b'step,reward\n1,"a\nb"\n2,0.5\n',
    "long cell": b"step,reward\n" + b"x" * 200_000 + b",1\n",
    "empty cells": b",\n,\n",
    "empty name": b'""\n1\n',
    "latin-1": "stép,reward\n1,0.5\n".encode("latin-1"),
    "UTF-16": TABLE.encode("utf-16"),
    "UTF-16 without a mark": TABLE.encode("utf-16-le"),
    "UTF-32": TABLE.encode("utf-32"),
    "rows in UTF-16": ROWS.decode().encode("utf-16"),
    "odd UTF-16": b"\xff\xfe" + ROWS.decode().encode("utf-16-le")[:-1],
    "NUL bytes after a crash": ROWS + b"\0" * 50,
    "cut in a row": ROWS[:-7],
    "cut in a character": ROWS + '{"step": 11, "naïve'.encode()[:-3],
    "a list among rows": ROWS + b"[1]\n",
    "words among rows": ROWS + b"xx\n" + ROWS,
    "surrogate bytes": "step,r\ud800\n1,2\n".encode("utf-8", "surrogatepass"),
    "two documents": b'{"log_history": [{"step": 1}]}{"log_history": [{"step": 1}]}',
    "numbers without end": b"1" * 100_000,
}


def test_the_table_is_as_long_as_it_says():
    assert len(BROKEN) >= 80


@pytest.mark.parametrize("name", NAMES)
def test_every_broken_file_is_read_or_refused(tmp_path, name):
    offences = []
    for kind, content in BROKEN.items():
        folder = tmp_path / kind.replace(" ", "_").replace("'", "")
        folder.mkdir()
        (folder / name).write_bytes(content)
        for target in (folder / name, folder):
            for pattern in (None, "boxed", r"regex:(\d+)"):
                try:
                    findings = read_log(target, answer_pattern=pattern)
                except InputError as error:
                    if "\n" in str(error) or not str(error).startswith("`log` is"):
                        offences.append((kind, target, str(error)))
                except Exception as error:
                    offences.append((kind, target, repr(error)))
                else:
                    json.dumps([finding.as_dict() for finding in findings], allow_nan=False).encode()
                    "".join(finding.message for finding in findings).encode()
    assert offences == []


def test_the_command_never_says_found_of_a_broken_log(tmp_path):
    """With --fail-on critical: status 0 or 2, one paragraph with 2, and 1 only with a critical finding."""
    offences = []
    for place, (kind, content) in enumerate(BROKEN.items()):
        for name in (("log.jsonl", "log.csv", "log.json")[place % 3],):
            path = tmp_path / f"{place}{name}"
            path.write_bytes(content)
            result = invoke("monitor", path, "--fail-on", "critical", "--json", "-")
            found = [record["level"] for record in json.loads(result.stdout)] if result.stdout else []
            one_paragraph = result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1
            right = {
                0: bool(found) and "critical" not in found,
                1: "critical" in found,
                2: one_paragraph and not found,
            }
            if not right.get(result.exit_code, False):
                offences.append((kind, name, result.exit_code, result.output))
    assert offences == []


class TestWhatIsRead:
    """Damage that takes nothing away: the values are those of the whole file."""

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
    def test_encodings_with_a_mark(self, tmp_path, encoding):
        rows = ROWS.decode()
        (tmp_path / "a.jsonl").write_bytes(rows.encode(encoding))
        (tmp_path / "b.csv").write_bytes("step,mode_retention\n0,1\n1,1\n9,1\n".encode(encoding))
        for name in ("a.jsonl", "b.csv"):
            assert "0 to 9" in input_of(tmp_path / name)

    @pytest.mark.parametrize("tail", [b'{"step": 10, "rew', b"\0" * 50, '{"step": 10, "é'.encode()[:-1]])
    def test_a_line_that_a_crash_left(self, tmp_path, tail):
        (tmp_path / "a.jsonl").write_bytes(ROWS + tail)
        findings = {finding.name: finding for finding in read_log(tmp_path / "a.jsonl")}
        assert "10 steps from 0 to 9" in findings["input"].message and "incomplete_line" in findings

    def test_a_number_that_may_be_cut_is_not_read(self, tmp_path):
        (tmp_path / "a.csv").write_text("reward,step\n0.5,10\n0.5,20\n0.5,30\n0.5,4")
        assert "3 steps from 10 to 30" in input_of(tmp_path / "a.csv")

    def test_semicolons_and_tabs(self, tmp_path):
        for mark in ";\t":
            (tmp_path / "a.csv").write_text("step,reward\n1,0.5\n2,0.6\n".replace(",", mark))
            assert "reward" in input_of(tmp_path / "a.csv")


def input_of(path):
    return next(finding.message for finding in read_log(path) if finding.name == "input")


class TestWhatIsNoFile:
    @pytest.mark.parametrize("name", ["log.jsonl", "log.csv", "log.json", "x.parquet"])
    def test_a_pipe_is_refused_at_once(self, tmp_path, name):
        os.mkfifo(tmp_path / name)
        with pytest.raises(InputError, match="a pipe"):
            read_log(tmp_path / name)

    @pytest.mark.parametrize("name", ["collapse_monitor.json", "1.jsonl", "trainer_state.json", "x.parquet"])
    def test_pipes_and_folders_where_files_belong(self, tmp_path, name):
        for make in (os.mkfifo, os.mkdir):
            folder = tmp_path / make.__name__
            folder.mkdir()
            make(folder / name)
            with pytest.raises(InputError, match="a file is needed"):
                read_log(folder)

    @pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no such device here")
    def test_a_device(self):
        assert_refused(invoke("monitor", "/dev/zero"), "device")

    @pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to this user")
    def test_a_forbidden_file(self, tmp_path):
        (tmp_path / "log.jsonl").write_bytes(ROWS)
        (tmp_path / "log.jsonl").chmod(0)
        assert_refused(invoke("monitor", tmp_path / "log.jsonl"), "Permission denied")

    def test_paths_that_cannot_be(self, tmp_path):
        (tmp_path / "loop").symlink_to(tmp_path / "loop")
        for path in (tmp_path / "loop", tmp_path / ("x" * 5_000), "a\0b"):
            with pytest.raises(InputError, match="log"):
                read_log(path)

    def test_a_document_that_is_too_large(self, tmp_path, monkeypatch):
        monkeypatch.setattr("llm_bridge.logs.read.LARGEST_DOCUMENT", 1 << 20)
        (tmp_path / "log.json").write_text("[" + " " * (2 << 20) + "]")
        assert_refused(invoke("monitor", tmp_path / "log.json"), "more than 1 MB", "JSONL")

    def test_a_line_without_an_end(self, tmp_path):
        with open(tmp_path / "log.jsonl", "wb") as file:
            file.truncate(100 << 20)
        assert_refused(invoke("monitor", tmp_path / "log.jsonl"), "line 1 has more than")


class TestNamesFromTheLog:
    EVIL = "\x1b]0;title\x07\x1b[2J\u202e\x9b31m\ud800"

    def test_nothing_reaches_the_terminal_raw(self, tmp_path):
        path = tmp_path / "log.jsonl"
        path.write_text(
            "".join(json.dumps({"step": s, "reward": 0.5, self.EVIL: 1}) + "\n" for s in range(3))
        )
        for arguments in ((), ("--json", "-")):
            result = invoke("monitor", path, *arguments)
            assert result.exit_code == 0 and not {"\x1b", "\x9b", "\u202e", "\x07"} & set(result.output)
            assert "x1b]0;title" in result.output.replace("\\\\", "\\").replace("\n", "")

    def test_nor_from_the_name_of_a_file(self, tmp_path):
        (tmp_path / "a\x1b[31m.jsonl").write_bytes(ROWS)
        assert "\x1b" not in input_of(tmp_path / "a\x1b[31m.jsonl")

    def test_nor_through_an_error(self, tmp_path):
        (tmp_path / "log.csv").write_text(f"step,{self.EVIL[:-1]},{self.EVIL[:-1]}\n1,2,3\n")
        result = invoke("monitor", tmp_path / "log.csv")
        assert_refused(result, "several columns")
        assert not {"\x1b", "\x9b", "\u202e", "\x07"} & set(result.stderr)

    def test_very_many_keys_are_counted(self, tmp_path):
        row = {"step": 1, "reward": 0.5} | {f"key {i} {'x' * 200}": 1 for i in range(1000)}
        (tmp_path / "log.jsonl").write_text(json.dumps(row) + "\n")
        message = next(f.message for f in read_log(tmp_path / "log.jsonl") if f.name == "unknown_keys")
        assert "960 more" in message and len(message) < 5_000

    def test_markup_is_text(self, tmp_path):
        path = tmp_path / "log.jsonl"
        path.write_text('{"step": 1, "[red]x[/nope]": 1, "reward": 1}\n')
        assert "[red]x[/nope]" in invoke("monitor", path).output


def test_a_fault_is_no_finding(monkeypatch, tmp_path):
    """A crash exits with 70 and one paragraph, whatever --fail-on says."""

    def fail(*_, **__):
        raise KeyError("unforeseen\nand long")

    monkeypatch.setattr("llm_bridge.logs.read.judge", fail)
    (tmp_path / "log.jsonl").write_bytes(ROWS)
    result = invoke("monitor", tmp_path / "log.jsonl", "--fail-on", "info")
    assert result.exit_code == 70 and not result.stdout
    assert result.stderr.count("\n") == 1 and "fault of sharpening" in result.stderr


def test_a_reader_that_leaves_is_no_finding(tmp_path):
    (tmp_path / "log.jsonl").write_bytes(ROWS)
    code = (
        f"import os, sys; from llm_bridge.cli import main; sys.argv = ['sharpening', 'monitor',"
        f" {str(tmp_path / 'log.jsonl')!r}]; main()"
    )
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert done.returncode == 141 and "Traceback" not in done.stderr
    assert stat.S_ISREG((tmp_path / "log.jsonl").stat().st_mode)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory is read from /proc")
@pytest.mark.parametrize("kind", ["rows", "rollouts"])
def test_memory_does_not_grow_with_the_file(tmp_path, kind):
    """20 MB of log cost less than 20 MB more than a short one; held as objects they would cost 200."""
    pad = "x" * 1000
    if kind == "rows":
        lines = (f'{{"step": {s}, "reward": 0.5, "note": "{pad}"}}\n' for s in range(20_000))
        (tmp_path / "log.jsonl").write_text("".join(lines))
        path = tmp_path / "log.jsonl"
    else:
        path = tmp_path / "roll"
        path.mkdir()
        for step in range(1, 21):
            row = {"output": f"{pad} so 7", "step": step, "score": 1.0}
            write_rows(path / f"{step}.jsonl", [row | {"input": f"p{i // 4}"} for i in range(1000)])
    (tmp_path / "short.jsonl").write_bytes(ROWS)
    assert peak(path) < peak(tmp_path / "short.jsonl") + 20


def peak(path) -> float:
    """Megabytes at most held while a log is read in a fresh process."""
    code = (
        "import re, sys; from llm_bridge.logs import read_log; read_log(sys.argv[1]);"
        " print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    return int(done.stdout) / 1024
