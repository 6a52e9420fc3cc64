"""The command line: options, exit status, bad input, and a standard output that holds nothing but JSON."""

import json
import os
import subprocess
import sys
import types
from dataclasses import replace
from pathlib import Path

import pytest
from cli_helpers import assert_refused, invoke
from synthetic_results import make_forecast, make_measurement

from llm_bridge import RunSettings
from sharpening import InputError

HERE = Path(__file__).parent


@pytest.fixture
def engine(monkeypatch, tmp_path):
    """The commands with a made-up engine behind them; `engine.calls` records what it was asked for."""
    calls = []

    def forecast_model(model, task, settings, *, pilots, voices, engine, progress):
        stand.pilots, stand.voices, stand.engine = pilots, voices, engine
        calls.append(("forecast", model, task.name, settings))
        print("chatter of a library")
        return replace(make_forecast(model=model, **settings.as_dict()), pilots=pilots)

    def measure(model, task, settings, *, output_dir, progress):
        calls.append(("measure", model, task.name, settings, output_dir))
        bar = progress.start("training", settings.max_steps)
        bar.advance()
        bar.close()
        return make_measurement(model=model, interrupted=stand.interrupted, **settings.as_dict())

    stand = types.SimpleNamespace(calls=calls, interrupted=False)
    modules = {
        "llm_bridge.forecast.model": {"forecast_model": forecast_model},
        "llm_bridge.training.measure": {"measure": measure},
        "llm_bridge.models.names": {"check_model_name": lambda name: None},
    }
    for name, content in modules.items():
        monkeypatch.setitem(sys.modules, name, types.SimpleNamespace(**content))
    monkeypatch.chdir(tmp_path)
    stand.replace = lambda module, name, function: setattr(sys.modules[module], name, function)
    return stand


class TestSettings:
    def test_the_defaults_are_those_of_run_settings(self, engine):
        assert invoke("forecast").exit_code == 0
        assert engine.calls[0] == ("forecast", "addition-uncertain", "addition", RunSettings())

    def test_the_engine_is_handed_on(self, engine):
        assert invoke("forecast").exit_code == 0 and engine.engine == "transformers"
        assert invoke("forecast", "--engine", "vllm").exit_code == 0 and engine.engine == "vllm"

    def test_several_pilots_are_asked_for_and_told(self, engine):
        assert invoke("forecast", "--pilots", "3", "--json", "f.json", "--report", "page").exit_code == 0
        assert engine.pilots == 3 and json.loads(Path("f.json").read_text())["pilots"] == 3
        assert "--task addition --pilots 3" in Path("page/report.html").read_text()

    @pytest.mark.parametrize(
        ("arguments", "asked"),
        [((), False), (("--voices",), True), (("--report", "page"), True), (("--json", "-"), False)],
    )
    def test_voices_of_theory_are_for_those_who_ask_and_for_reports(self, engine, arguments, asked):
        assert invoke("forecast", *arguments).exit_code == 0 and engine.voices is asked

    def test_every_option_arrives(self, engine):
        chosen = dict(
            reward="true",
            prompts_per_step=16,
            rollouts=4,
            temperature=0.7,
            learning_rate=1e-4,
            optimizer="sgd",
            beta=0.1,
            dataset_size=64,
            max_steps=50,
            seed=3,
            criterion="half_life",
            max_new_tokens=5,
            eval_every=10,
            eval_prompts=32,
        )
        words = [word for name, value in chosen.items() for word in (f"--{name.replace('_', '-')}", value)]
        words, chosen = (
            [*words, "--mask-truncated-completions", "--eval-early"],
            chosen | {"mask_truncated_completions": True, "eval_early": True},
        )
        assert {*chosen, "config", "train_rollouts"} == set(RunSettings.names())
        assert invoke("forecast", "addition-weak", "--task", "modmul", *words).exit_code == 0
        assert engine.calls[0] == ("forecast", "addition-weak", "modmul", RunSettings(**chosen))

    def test_a_small_task_lowers_the_number_of_evaluation_prompts(self, engine):
        assert invoke("forecast", "some/model", "--task", "capitals", "--learning-rate", 1e-5).exit_code == 0
        assert engine.calls[0][3].eval_prompts < RunSettings.eval_prompts

    def test_the_run_folder_depends_on_every_setting_and_on_nothing_else(self, engine):
        for extra in ([], [], ["--seed", 1], ["--task", "modmul"], ["--output", "mine"]):
            assert invoke("measure", *extra).exit_code == 0
        folders = [call[4] for call in engine.calls]
        assert folders[0] == folders[1] and len(set(folders)) == 4 and folders[4] == Path("mine")
        assert folders[0].parent == Path("runs") and folders[0].name.startswith(
            "addition-uncertain-addition-"
        )


class TestBadInput:
    @pytest.mark.parametrize(
        "arguments, fragments",
        [
            (["--no-such-option"], ["--no-such-option", "forecast --help"]),
            (["--rollouts", "many"], ["--rollouts", "forecast --help"]),
            (["--rollouts", "1"], ["`rollouts` is 1", "vote"]),
            (["--reward", "praise"], ["'praise'", "majority"]),
            (["--criterion", "vibes"], ["'vibes'", "half_life"]),
            (["--optimizer", "lion"], ["'lion'", "adam"]),
            (["--learning-rate", "-1"], ["learning_rate"]),
            (["--eval-prompts", "0"], ["eval_prompts"]),
            (["--dataset-size", "8"], ["dataset_size", "prompts_per_step=32"]),
            (["--dataset-size", "1000000"], ["dataset_size"]),
            (["--task", "poetry"], ["'poetry'", "addition", "JSONL"]),
            (["--task", "missing.jsonl"], ["missing.jsonl"]),
            (["--answer-pattern", "boxed"], ["answer_pattern"]),
            (["some/model"], ["`task` is None", "some/model"]),
            (["./nowhere", "--task", "addition"], ["./nowhere", "addition-uncertain"]),
            (["no.gguf", "--task", "addition"], ["no.gguf"]),
            (["no-such-model", "--task", "addition"], ["no-such-model", "addition-uncertain"]),
            (["--json", "."], ["`json`", "folder"]),
            (["--json", "/dev/full"], ["/dev/full", "No space left"]),
            (["--json", "file/result.json"], ["file/result.json", "a file is in the way"]),
            (["--report", "file"], ["`report`", "a file is in the way"]),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else None,
    )
    def test_it_is_refused_before_any_work(self, engine, arguments, fragments):
        Path("file").write_text("in the way")
        assert_refused(invoke("forecast", *arguments), *fragments)
        assert engine.calls == []
        assert Path("file").read_text() == "in the way"

    @pytest.mark.parametrize(
        "content, fragments",
        [
            ("", ["task.jsonl"]),
            ('{"prompt": "1+1=", "answer": "2"}\n{"prompt": \n', ["2"]),
            ('{"prompt": "1+1=", "answer": "2"}\n{"prompt": "1+2="}\n', ["2", "answer"]),
        ],
        ids=["empty", "broken line", "missing answer"],
    )
    def test_broken_jsonl(self, engine, content, fragments):
        Path("task.jsonl").write_text(content)
        assert_refused(invoke("forecast", "--task", "task.jsonl"), "task.jsonl", *fragments)
        assert engine.calls == []

    def test_an_error_from_within_is_one_paragraph_too(self, engine):
        def refuse(*_, **__):
            raise InputError("model", "tiny", "it has\nno weights", "Find them")

        engine.replace("llm_bridge.forecast.model", "forecast_model", refuse)
        assert_refused(invoke("forecast"), "no weights", "Find them")

    def test_a_full_disk_during_the_run(self, engine):
        def fill(*_, **__):
            raise OSError(28, "No space left on device", "runs/x/checkpoint-15")

        engine.replace("llm_bridge.training.measure", "measure", fill)
        assert_refused(invoke("measure"), "No space left on device", "checkpoint-15")

    def test_a_missing_package_names_the_extra(self, engine):
        def lack(*_, **__):
            raise ModuleNotFoundError("No module named 'torch'", name="torch")

        engine.replace("llm_bridge.forecast.model", "forecast_model", lack)
        assert_refused(invoke("forecast"), "torch", "sharpening[llm]")

    def test_a_bug_is_not_dressed_up_as_bad_input(self, engine):
        def fail(*_, **__):
            raise ZeroDivisionError("bug")

        engine.replace("llm_bridge.forecast.model", "forecast_model", fail)
        result = invoke("forecast")
        assert result.exit_code == 70 and not result.stdout
        told = result.stderr.strip()
        assert "\n" not in told and "fault of sharpening" in told and "ZeroDivisionError" in told

    def test_a_bug_shows_where_it_arose_if_asked(self, engine, monkeypatch):
        def fail(*_, **__):
            raise ZeroDivisionError("bug")

        monkeypatch.setenv("SHARPENING_TRACEBACK", "1")
        engine.replace("llm_bridge.forecast.model", "forecast_model", fail)
        assert "Traceback" in invoke("forecast").stderr

    def test_no_folder_is_left_behind_by_a_bad_model(self, engine):
        def refuse(name):
            raise InputError("model", name, "the folder has no weights")

        engine.replace("llm_bridge.models.names", "check_model_name", refuse)
        assert_refused(invoke("measure"), "no weights")
        assert not Path("runs").exists()


class TestOutputs:
    def test_json_and_report(self, engine):
        result = invoke("compare", "--json", "deep/er/out.json", "--report", "page")
        assert result.exit_code == 0, result.exception
        document = json.loads(Path("deep/er/out.json").read_text())
        assert document["kind"] == "comparison" and document["forecast"]["schema"] == 1
        assert {path.name for path in Path("page").iterdir()} == {
            "report.html",
            "curves.png",
            "collapse_steps.png",
            "result.json",
        }
        assert json.loads(Path("page/result.json").read_text()) == document

    def test_json_on_standard_output_stands_alone(self, engine):
        result = invoke("forecast", "--json", "-")
        assert result.exit_code == 0 and json.loads(result.stdout)["kind"] == "forecast"
        assert "chatter" in result.stderr and "forecast collapse step" in result.stderr

    def test_even_a_library_that_writes_to_the_file_descriptor_does_not_reach_it(self, tmp_path):
        script = tmp_path / "run.py"
        script.write_text(
            f"import os, sys, types, subprocess\nsys.path[:0] = [{str(HERE)!r},"
            f" {str(HERE.parent.parent)!r}]\nfrom synthetic_results import make_forecast\ndef"
            " forecast_model(model, task, settings, *, pilots, voices, engine, progress):\n    os.write(1, b'raw"
            " chatter\\n'); print('chatter'); subprocess.run(['echo', 'child chatter'])\n    return"
            " make_forecast(model=model)\nsys.modules['llm_bridge.forecast.model'] ="
            " types.SimpleNamespace(forecast_model=forecast_model)\nsys.modules['llm_bridge.models.names'] ="
            " types.SimpleNamespace(check_model_name=lambda name: None)\nfrom llm_bridge.cli import"
            " main\nsys.argv = ['sharpening', 'forecast', '--json', '-']\nmain()\n"
        )
        done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["model"] == "addition-uncertain"
        assert done.stderr.count("chatter") == 3

    def test_the_same_command_gives_the_same_json(self, engine):
        assert invoke("forecast", "--json", "-").stdout == invoke("forecast", "--json", "-").stdout

    def test_earlier_results_survive_a_failure(self, engine, monkeypatch):
        Path("out.json").write_text("earlier")
        assert_refused(invoke("forecast", "--rollouts", "1", "--json", "out.json"))

        def full(descriptor):
            raise OSError(28, "No space left on device")

        real = os.fsync
        engine.replace(
            "llm_bridge.forecast.model",
            "forecast_model",
            lambda *_, **__: monkeypatch.setattr(os, "fsync", full) or make_forecast(),
        )
        result = invoke("forecast", "--json", "out.json")
        monkeypatch.setattr(os, "fsync", real)
        assert result.exit_code == 2 and "No space left" in result.stderr
        assert Path("out.json").read_text() == "earlier" and os.listdir() == ["out.json"]

    def test_a_device_is_written_and_not_replaced(self, engine):
        assert invoke("forecast", "--json", "/dev/null").exit_code == 0
        assert Path("/dev/null").is_char_device()

    def test_a_link_is_followed(self, engine):
        Path("real.json").write_text("earlier")
        Path("link.json").symlink_to("real.json")
        assert invoke("forecast", "--json", "link.json").exit_code == 0
        assert Path("link.json").is_symlink() and json.loads(Path("real.json").read_text())["schema"] == 1

    def test_tables_are_on_standard_output(self, engine):
        result = invoke("compare", "--criterion", "half_life")
        assert result.exit_code == 0 and "Factor off" in result.stdout and "half_life *" in result.stdout


class TestInterruption:
    @pytest.mark.parametrize("command", ["measure", "compare"])
    def test_an_interrupted_run_says_how_to_resume(self, engine, command):
        engine.interrupted = True
        result = invoke(command, "--output", "here", "--json", "out.json")
        assert result.exit_code == 3 and "resume from here" in result.stderr
        document = json.loads(Path("out.json").read_text())
        assert document.get("interrupted", document.get("measurement", {}).get("interrupted")) is True

    def test_ctrl_c_in_the_middle_is_the_same(self, engine):
        def stop(*_, **__):
            raise KeyboardInterrupt

        engine.replace("llm_bridge.training.measure", "measure", stop)
        result = invoke("measure")
        assert result.exit_code == 3 and "resume" in result.stderr

    def test_a_forecast_cannot_be_resumed(self, engine):
        def stop(*_, **__):
            raise KeyboardInterrupt

        engine.replace("llm_bridge.forecast.model", "forecast_model", stop)
        assert invoke("forecast").exit_code == 130


def test_the_commands_need_no_torch_to_refuse():
    code = (
        "import sys\nfrom llm_bridge.cli import main\nsys.argv = ['sharpening', 'forecast', '--rollouts',"
        " '1']\ntry:\n    main()\nexcept SystemExit as end:\n    print(end.code, sorted({'torch', 'jax',"
        " 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=HERE.parent.parent
    )
    assert done.stdout.strip() == "2 []"
