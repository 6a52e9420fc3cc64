"""Help, and the commands that need no model: lists, simulate, and those whose engine is an optional
module.
"""

import json
from dataclasses import fields

import pytest
from cli_helpers import assert_refused, invoke

from llm_bridge import RunSettings, read_log
from llm_bridge.logs import LEVELS

# Accuracies of two logs: the worst finding about the first is an info, about the second critical.
STEADY, BREAKS = [0.5] * 12, [0.5, 0.6, 0.6, 0.62, 0.6, 0.4, 0.3, 0.1, 0.05, 0.01, 0.01, 0.01]
RUN_COMMANDS = ("forecast", "measure", "compare")


class TestHelp:
    def test_no_arguments_show_the_commands(self):
        result = invoke()
        assert result.exit_code == 0
        for command in (*RUN_COMMANDS, "mcs", "simulate", "rewards", "tasks", "zoo"):
            assert command in result.stdout

    @pytest.mark.parametrize(
        "command",
        [*RUN_COMMANDS, "mcs", "simulate", "rewards", "tasks", "zoo", "zoo list", "zoo build", "zoo import"],
    )
    def test_every_command_explains_itself(self, command):
        result = invoke(*command.split(), "--help")
        assert result.exit_code == 0 and "Usage:" in result.stdout

    @pytest.mark.parametrize("command", RUN_COMMANDS)
    def test_every_run_setting_is_an_option(self, command, monkeypatch):
        monkeypatch.setenv("COLUMNS", "200")
        shown = invoke(command, "--help").stdout
        for field in fields(RunSettings):
            assert f"--{field.name.replace('_', '-')} " in shown

    def test_version(self):
        assert invoke("--version").stdout.startswith("sharpening ")


class TestLists:
    @pytest.mark.parametrize(
        "command, known",
        [
            ("rewards", {"majority", "true"}),
            ("tasks", {"addition", "countdown"}),
            ("zoo list", {"addition-weak"}),
        ],
    )
    def test_json_is_a_list_of_named_objects(self, command, known):
        result = invoke(*command.split(), "--json", "-")
        records = json.loads(result.stdout)
        assert result.exit_code == 0 and known <= {record["name"] for record in records}

    @pytest.mark.parametrize("command", ["rewards", "tasks", "zoo list"])
    def test_tables_name_everything(self, command):
        records = json.loads(invoke(*command.split(), "--json", "-").stdout)
        shown = invoke(*command.split()).stdout
        assert all(record["name"] in shown for record in records)

    def test_importing_a_missing_file(self, tmp_path):
        assert_refused(invoke("zoo", "import", tmp_path / "no.gguf", "--output", tmp_path / "out"), "no.gguf")
        assert not (tmp_path / "out").exists()

    def test_building_an_unknown_model(self, tmp_path):
        assert_refused(
            invoke("zoo", "build", "giant", "--output", tmp_path / "out"), "'giant'", "addition-weak"
        )


class TestSimulate:
    SMALL = ["simulate", "--prompts", 64, "--answers", 8, "--steps", 20, "--eval-every", 10]

    def test_curve_and_collapse(self):
        document = json.loads(invoke(*self.SMALL, "--json", "-").stdout)
        assert document["curve"]["step"] == [0, 10, 20] and "relative" in document["collapse"]
        assert document["settings"]["answers"] == 8

    def test_temperature_and_updates_on_one_batch(self):
        words = ["--temperature", 0.5, "--update", "grpo(num_iterations=2, epsilon_high=0.28)"]
        document = json.loads(invoke(*self.SMALL, *words, "--json", "-").stdout)
        assert document["settings"]["temperature"] == 0.5
        for refused in (["--temperature", 0], ["--temperature", 2, "--update", "kl_prox"]):
            assert_refused(invoke(*self.SMALL, *refused), "temperature")
        assert_refused(invoke(*self.SMALL, "--update", "grpo(epsilon_high=high)"), "epsilon_high", "high")

    def test_the_seed_decides(self):
        one, again, other = (invoke(*self.SMALL, "--seed", seed, "--json", "-").stdout for seed in (0, 0, 1))
        assert one == again and json.loads(one)["curve"] != json.loads(other)["curve"]

    @pytest.mark.parametrize(
        "update, method",
        [("kl_prox", "exact"), ("natural_gradient", "mean_field"), ("softmax_gradient", "sampled")],
    )
    def test_updates_and_methods(self, update, method):
        result = invoke(*self.SMALL, "--update", update, "--method", method, "--step-size", 0.5)
        assert result.exit_code == 0, result.exception
        assert "reward_accuracy" in result.stdout

    @pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.thorough) for n in (1, 2, 3))])
    def test_with_the_defaults_trained_prompts_rise_and_then_fall(self, seed):
        """By the .03 that names fates; prompts that are not trained on only fall."""
        curve = json.loads(invoke("simulate", "--seed", seed, "--json", "-").stdout)["curve"]
        trained, fresh = curve["train_accuracy"], curve["accuracy"]
        peak = max(range(len(trained)), key=trained.__getitem__)
        assert 0 < peak < len(trained) - 1 and trained[peak] > trained[0] + 0.03
        assert trained[-1] < 0.1 and fresh[-1] < 0.1 and max(fresh) < fresh[0] + 0.01

    @pytest.mark.parametrize(
        "asked, trains", [((), 48), (("--dataset-size", 7), 7), (("--dataset-size", 0), None)]
    )
    def test_how_many_prompts_are_trained(self, asked, trains):
        document = json.loads(invoke(*self.SMALL, *asked, "--steps", 2, "--json", "-").stdout)
        assert document["settings"]["dataset_size"] == trains
        assert ("train_accuracy" in document["curve"]) == (trains is not None)

    def test_the_step_size_is_that_of_the_text_or_of_the_option_and_never_of_both(self):
        ask = lambda *more: json.loads(invoke(*self.SMALL, *more, "--json", "-").stdout)  # noqa: E731
        told = ask("--update", "grpo(learning_rate=0.5, beta=0.1)")
        assert told["settings"]["step_size"] == 0.5 and ask()["settings"]["step_size"] == 4.0
        assert (
            told["curve"] == ask("--update", "grpo(beta=0.1)", "--step-size", 0.5)["curve"] != ask()["curve"]
        )
        for update in ("grpo(learning_rate=0.5)", "kl-prox(beta=2)"):
            assert_refused(invoke(*self.SMALL, "--update", update, "--step-size", 0.5), "step_size")

    def test_a_report(self, tmp_path):
        assert invoke(*self.SMALL, "--report", tmp_path / "page").exit_code == 0
        assert {path.name for path in (tmp_path / "page").iterdir()} == {
            "report.html",
            "rise_and_fall.png",
            "curves.png",
            "result.json",
        }

    @pytest.mark.parametrize(
        "arguments, fragment",
        [
            (["--update", "magic"], "magic"),
            (["--reward", "praise"], "praise"),
            (["--method", "guess"], "guess"),
            (["--shared", "-1"], "shared"),
            (["--step-size", "0"], "0"),
            (["--update", "grpo(beta=-1)"], "beta"),
            (["--rollouts", "1"], "rollouts"),
            (["--update", "kl_prox", "--step-size", "0"], "step_size"),
        ],
    )
    def test_bad_input(self, arguments, fragment):
        assert_refused(invoke(*self.SMALL, *arguments), fragment)


class TestMonitor:
    @pytest.mark.parametrize(
        "accuracies, fail_on, status",
        [
            *((STEADY, level, int(level == "info")) for level in (None, *LEVELS)),
            *((BREAKS, level, int(level is not None)) for level in (None, *LEVELS)),
        ],
    )
    def test_fail_on(self, accuracies, fail_on, status, tmp_path):
        log = tmp_path / "log.csv"
        rows = [f"{10 * i},{accuracy}" for i, accuracy in enumerate(accuracies)]
        log.write_text("\n".join(["step,eval_accuracy", *rows]))
        result = invoke("monitor", log, *(["--fail-on", fail_on] if fail_on else []), "--json", "-")
        assert result.exit_code == status
        assert json.loads(result.stdout) == [finding.as_dict() for finding in read_log(log)]

    def test_an_unknown_level(self):
        assert_refused(invoke("monitor", "log", "--fail-on", "doom"), "doom")
