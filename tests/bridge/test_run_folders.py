"""Nothing of the user's is lost in a run's folder, and what is read back from it is what was written."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cli_helpers import assert_refused, invoke
from tiny import random_model, save

from llm_bridge import RunSettings, get_task, load_model, measure
from llm_bridge.training.checkpoints import MARK, Checkpoints
from llm_bridge.training.run_folder import lock
from sharpening import InputError

MODEL, TASK = "addition-uncertain", get_task("addition")
SETTINGS = RunSettings(
    prompts_per_step=4, rollouts=4, learning_rate=2e-3, max_steps=6, eval_every=2, eval_prompts=4
)
OPTIONS = (
    "--prompts-per-step 4 --rollouts 4 --learning-rate 2e-3 --max-steps 6 --eval-every 2 --eval-prompts 4"
)


def run(folder, model=MODEL, settings=SETTINGS, **options):
    return measure(model, TASK, settings, output_dir=folder, **options)


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run that kept its checkpoints, and its folder."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    return run(folder, keep_checkpoints=True), folder


@pytest.fixture
def stopped(whole, tmp_path):
    """A run that was killed after its last checkpoint."""
    folder = tmp_path / "stopped"
    shutil.copytree(whole[1], folder)
    for name in ("finished.json", "trajectory.json", "cost.json"):
        (folder / name).unlink()
    return folder


def same(found, whole):
    assert found.trajectory.curve() == whole.trajectory.curve()
    assert {**found.cost, "seconds": 0} == {**whole.cost, "seconds": 0}


FOREIGN = [
    "checkpoint-2/model.safetensors",
    "checkpoint-best/w",
    "checkpoint-final/w",
    "previous-best.safetensors",
]


class TestForeignFolders:
    @pytest.mark.parametrize("names", [[name] for name in [*FOREIGN, "notes.txt", ".hidden"]] + [FOREIGN])
    def test_are_refused_and_left_alone(self, tmp_path, names):
        for name in names:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text("mine")
        before = contents(tmp_path)
        for command in ("measure", "compare"):
            started = time.monotonic()
            result = invoke(command, MODEL, *OPTIONS.split(), "--output", tmp_path)
            assert_refused(
                result, "`output`", "not empty", names[-1].split("/")[0] if len(names) == 1 else ""
            )
            assert time.monotonic() - started < 2
        assert contents(tmp_path) == before

    @pytest.mark.parametrize(
        "record", ["", "{", "[]", "null", "3", '{"name": "mine"}', '{"model": "m"}', "\x00\xff"]
    )
    def test_with_a_record_that_is_not_ours(self, tmp_path, record):
        (tmp_path / "run.json").write_text(record)
        (tmp_path / "checkpoint-2").mkdir()
        before = contents(tmp_path)
        for command in ("measure", "compare"):
            result = invoke(command, MODEL, *OPTIONS.split(), "--output", tmp_path)
            assert_refused(result, "`output`", "run.json is broken or was not written")
        assert contents(tmp_path) == before

    def test_what_is_laid_into_a_run_stays(self, whole, stopped):
        for name in [
            *FOREIGN[1:],
            "notes.txt",
            "checkpoint-100/w",
            "previous-3.safetensors",
            "checkpoint-x/w",
        ]:
            (stopped / name).parent.mkdir(exist_ok=True)
            (stopped / name).write_text("mine")
        shutil.rmtree(stopped / "checkpoint-6")
        (stopped / "checkpoint-6").mkdir()
        (stopped / "checkpoint-6" / "mine").write_text("mine")
        found = run(stopped)
        same(found, whole[0])
        assert {path.parent.name for path in stopped.rglob("w")} == {
            "checkpoint-best",
            "checkpoint-final",
            "checkpoint-100",
            "checkpoint-x",
        }
        assert (stopped / "previous-3.safetensors").exists() and (stopped / "notes.txt").exists()
        assert (stopped / "kept-1-checkpoint-6" / "mine").read_text() == "mine"
        assert "kept-1-checkpoint-6" in found.notes[0]
        assert not (stopped / "checkpoint-4").exists() and not (stopped / "checkpoint-6").exists()

    @pytest.mark.parametrize("beside", [(), ("mine",)])
    def test_a_checkpoint_killed_before_its_mark_stood_is_begun_again(self, tmp_path, beside):
        """What a kill between writing the mark and putting it in its place leaves; anything else is somebody's."""
        begun = tmp_path / "checkpoint-3"
        begun.mkdir()
        for name in (f".{MARK}.8532.partial", *beside):
            (begun / name).write_text("x")
        checkpoints = Checkpoints(tmp_path, "this run")
        assert [path.name for path in checkpoints.begin(3).iterdir()] == [MARK]
        kept = tmp_path / "kept-1-checkpoint-3"
        assert kept.exists() == bool(checkpoints.told) == bool(beside)


class TestIdentity:
    @pytest.fixture
    def own(self, tmp_path):
        return save(load_model("addition-weak"), tmp_path / "model")

    def test_other_weights_at_the_same_path_are_refused(self, own, tmp_path):
        run(tmp_path / "run", own)
        assert run(tmp_path / "run", own)
        before = contents(tmp_path / "run")
        save(load_model(MODEL), own)
        with pytest.raises(InputError, match="a run of other weights"):
            run(tmp_path / "run", own)
        result = invoke("compare", own, "--task", "addition", *OPTIONS.split(), "--output", tmp_path / "run")
        assert_refused(result, "other weights")
        assert contents(tmp_path / "run") == before

    def test_another_tokenizer_is_refused(self, own, tmp_path):
        run(tmp_path / "run", own)
        path = Path(own) / "tokenizer_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"padding_side": "left"}))
        with pytest.raises(InputError, match="a run of other tokenizer"):
            run(tmp_path / "run", own)

    def test_another_judge_at_the_same_path_is_refused(self, own, tmp_path):
        settings = replace(SETTINGS, reward=f"judge(model={own})", max_steps=1)
        run(tmp_path / "run", settings=settings)
        save(load_model(MODEL), own)
        with pytest.raises(InputError, match="a run of other judge"):
            run(tmp_path / "run", settings=settings)

    def test_what_nobody_loads_may_change(self, own, tmp_path):
        run(tmp_path / "run", own)
        (Path(own) / "README.md").write_text("words")
        assert run(tmp_path / "run", own)

    def test_another_version_is_refused(self, whole, tmp_path):
        shutil.copytree(whole[1], tmp_path / "run")
        record = json.loads((tmp_path / "run" / "run.json").read_text())
        (tmp_path / "run" / "run.json").write_text(json.dumps(record | {"version": "0.0.1"}))
        with pytest.raises(InputError, match="version 0.0.1"):
            run(tmp_path / "run")

    def test_a_record_without_digests_is_refused(self, whole, tmp_path):
        shutil.copytree(whole[1], tmp_path / "run")
        record = json.loads((tmp_path / "run" / "run.json").read_text())
        for name in ("weights", "tokenizer", "version", "mask_truncated_completions"):
            del record[name]
        (tmp_path / "run" / "run.json").write_text(json.dumps(record))
        with pytest.raises(InputError, match="earlier version"):
            run(tmp_path / "run")


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


DAMAGE = {
    "flip": flip,
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
}


def checkpoint_files():
    return [
        "model.safetensors",
        "optimizer.pt",
        "scheduler.pt",
        "rng_state.pth",
        "trainer_state.json",
        "training_args.bin",
        "collapse_monitor.json",
        "tokens.json",
        "seconds.json",
        "sharpening.json",
    ]


class TestDamage:
    @pytest.mark.parametrize("kind", DAMAGE)
    @pytest.mark.parametrize("name", checkpoint_files())
    def test_of_the_last_checkpoint_falls_back_to_the_one_before(self, whole, stopped, name, kind):
        (stopped / "collapse_monitor.json").write_text("{")
        DAMAGE[kind](stopped / "checkpoint-6" / name)
        found = run(stopped)
        same(found, whole[0])
        assert "checkpoint-6 is damaged" in found.notes[0] and "goes on from checkpoint-4" in found.notes[0]
        assert name in found.notes[0]

    @pytest.mark.parametrize("kind", DAMAGE)
    @pytest.mark.parametrize("name", checkpoint_files())
    def test_of_all_checkpoints_is_refused(self, stopped, name, kind):
        for step in (4, 6):
            DAMAGE[kind](stopped / f"checkpoint-{step}" / name)
        before = contents(stopped)
        with pytest.raises(InputError, match="no checkpoint that is whole") as error:
            run(stopped)
        assert "Remove the folder" in str(error.value) and name in str(error.value)
        assert contents(stopped) == before | {".lock": b""}

    @pytest.mark.parametrize("kind", DAMAGE)
    @pytest.mark.parametrize("name", ["trajectory.json", "cost.json"])
    def test_of_a_result(self, whole, tmp_path, name, kind):
        shutil.copytree(whole[1], tmp_path / "kept")
        DAMAGE[kind](tmp_path / "kept" / name)
        same(run(tmp_path / "kept"), whole[0])  # made anew from the checkpoints
        DAMAGE[kind](tmp_path / "kept" / name)
        with pytest.raises(InputError, match=f"{name} is missing or not as it was written"):
            run(tmp_path / "kept")

    @pytest.mark.parametrize("kind", DAMAGE)
    def test_of_the_record(self, stopped, kind):
        DAMAGE[kind](stopped / "run.json")
        with pytest.raises(InputError, match="output"):
            run(stopped)

    @pytest.mark.parametrize("text", ["", "{", "-1", "NaN", "1e999", "true", "[]", '"x"'])
    def test_of_the_seconds(self, whole, stopped, text):
        (stopped / "seconds.json").write_text(text)
        found = run(stopped)
        same(found, whole[0])
        assert 0 < found.cost["seconds"] < 1000


class TestTwoProcesses:
    def test_the_second_is_refused_before_any_work(self, stopped, tmp_path):
        with lock(stopped):
            started = time.monotonic()
            result = invoke("measure", MODEL, *OPTIONS.split(), "--output", stopped)
            assert_refused(result, "another process is measuring")
            with pytest.raises(InputError, match="another process"), lock(stopped):
                pass
            assert time.monotonic() - started < 3
        with lock(stopped):
            pass

    def test_of_two_that_start_together_one_measures(self, whole, tmp_path):
        arguments = [sys.executable, "-m", "llm_bridge.cli", "measure", MODEL, *OPTIONS.split()]
        both = [
            subprocess.Popen([*arguments, "--output", tmp_path / "run"], stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        told = [process.communicate(timeout=120)[1] for process in both]
        codes = sorted(process.returncode for process in both)
        assert codes in ([0, 2], [0, 0]) and "Traceback" not in "".join(told)
        assert codes == [0, 0] or "another process" in "".join(told)
        same(run(tmp_path / "run"), whole[0])


class TestKilled:
    SETTINGS = replace(SETTINGS, max_steps=30, eval_every=1)

    @pytest.fixture(scope="class")
    def whole(self, tmp_path_factory):
        """The run that nobody touched."""
        return run(tmp_path_factory.mktemp("whole") / "run", settings=self.SETTINGS)

    # `test_train.py` interrupts a run by Ctrl-C, too.
    @pytest.mark.parametrize(
        "kind",
        [
            *(pytest.param(kind, marks=pytest.mark.thorough) for kind in (signal.SIGINT, signal.SIGTERM)),
            signal.SIGKILL,
        ],
    )
    def test_at_random_moments_until_it_ends(self, tmp_path, kind, whole):
        """One folder, killed again and again at random, gives the curve of a run that nobody touched."""
        settings, rng = self.SETTINGS, np.random.default_rng([5, kind])
        options = OPTIONS.replace("--max-steps 6 --eval-every 2", "--max-steps 30 --eval-every 1").split()
        arguments = [sys.executable, "-m", "llm_bridge.cli", "measure", MODEL, *options]
        state, codes = tmp_path / "run" / "collapse_monitor.json", []
        for _ in range(2 if kind == signal.SIGKILL else 1):
            process = subprocess.Popen(
                [*arguments, "--output", tmp_path / "run"], stderr=subprocess.PIPE, text=True
            )
            before, deadline = state.stat().st_mtime_ns if state.exists() else 0, time.monotonic() + 60
            while process.poll() is None and time.monotonic() < deadline:
                if state.exists() and state.stat().st_mtime_ns > before:
                    break
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.3))
            process.send_signal(kind)
            error = process.communicate(timeout=60)[1]
            codes.append(process.returncode)
            assert "Traceback" not in error, error
            if codes[-1] == 0:
                break
        assert set(codes) <= ({0, -9} if kind == signal.SIGKILL else {0, 3}) and codes[0] != 0
        same(run(tmp_path / "run", settings=settings), whole)
        assert not list((tmp_path / "run").glob("*checkpoint-*"))


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("a small disk is mounted by root alone")
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], capture_output=True
    ).returncode:
        pytest.skip("tmpfs cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


class TestFullDisk:
    @pytest.mark.parametrize("left", [0, 20, 100, 300, 700, 1500, 2500])
    def test_one_paragraph_and_nothing_lost(self, whole, small_disk, left):
        """The disk fills up after the first checkpoint; once there is space, the run goes on to the same
        curve.
        """
        folder, filler = small_disk / "run", small_disk / "filler"
        shutil.copytree(whole[1], folder)
        for name in ("finished.json", "trajectory.json", "cost.json"):
            (folder / name).unlink()
        shutil.rmtree(folder / "checkpoint-6")
        mine = contents(folder / "checkpoint-4")
        with open(filler, "wb") as file:
            free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
            file.write(b"\0" * max(0, free - left * 1024))
        try:
            found = run(folder)
        except InputError as error:
            assert "No space left" in str(error) and "\n" not in str(error), error
            assert contents(folder / "checkpoint-4") == mine
            assert not (folder / "checkpoint-6").exists() and not list(folder.rglob("*.partial"))
            filler.unlink()
            found = run(folder)
        else:
            assert left > 1000
        same(found, whole[0])

    def test_on_the_command_line(self, small_disk):
        with open(small_disk / "filler", "wb") as file:
            file.write(b"\0" * (8 * 2**20 - 1500 * 1024))
        result = invoke("measure", MODEL, *OPTIONS.split(), "--output", small_disk / "run")
        assert_refused_last(result, "No space left")
        (small_disk / "filler").unlink()
        assert invoke("measure", MODEL, *OPTIONS.split(), "--output", small_disk / "run").exit_code == 0


def assert_refused_last(result, fragment):
    assert result.exit_code == 2 and "Traceback" not in result.output
    lines = [line for line in result.stderr.split("\n") if line.startswith("Error: ")]
    assert len(lines) == 1 and fragment in lines[0]


def test_a_run_that_collapsed_at_its_last_checkpoint_ends_there(tmp_path):
    settings = replace(SETTINGS, learning_rate=0.05, max_steps=40, criterion="mode_retention")
    whole = run(tmp_path, settings=settings, stop_on_collapse=True, keep_checkpoints=True)
    assert whole.trajectory.horizon < 40
    for name in ("finished.json", "trajectory.json", "cost.json"):
        (tmp_path / name).unlink()
    same(run(tmp_path, settings=settings, stop_on_collapse=True), whole)


class TestContext:
    def test_prompts_and_completions_beyond_it_are_refused_with_the_numbers(self, tmp_path):
        model = save(random_model("llama"), tmp_path / "model")
        for command in ("measure", "forecast", "compare"):
            rest = ("--max-new-tokens", 60, "--eval-prompts", 4, "--learning-rate", 1e-4)
            result = invoke(command, model, "--task", "addition", *rest)
            assert_refused(result, "`max_new_tokens` is 60", "holds 64", "--max-new-tokens 58")

    def test_what_just_fits_is_measured(self, tmp_path):
        model = save(random_model("gpt2"), tmp_path / "model")
        settings = replace(SETTINGS, max_new_tokens=58, max_steps=1)
        assert run(tmp_path / "run", model, settings).trajectory.horizon == 1
