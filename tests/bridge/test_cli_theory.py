"""`sharpening theorems` and `sharpening schedule`: tables, JSON, exit status, refusals, and no torch."""

import json
import subprocess
import sys

import pytest
from cli_helpers import assert_refused, invoke

from sharpening import KLProx, list_theorems


def text(result):
    """Standard output without its line breaks."""
    return " ".join(result.stdout.split())


class TestTheorems:
    def test_the_list_is_the_registry(self):
        records = json.loads(invoke("theorems", "--json", "-").stdout)
        assert [record["name"] for record in records] == [theorem.name for theorem in list_theorems()]
        assert all(
            {"title", "statement", "formula", "assumptions", "derivation", "source", "symbol"} <= set(record)
            for record in records
        )

    def test_the_table_names_everything(self):
        shown = invoke("theorems").stdout
        assert all(theorem.name in shown for theorem in list_theorems())

    def test_check_tells_how_many_were_tried(self):
        result = invoke("theorems", "S1", "S6", "--check", "--cases", 2)
        assert result.exit_code == 0, result.output
        assert "2 theorems on 2 random populations each" in text(result)
        assert "2 hold, 0 fail, 0 not tested" in text(result)

    def test_check_as_json(self):
        result = invoke("theorems", "U4", "S1", "--check", "--cases", 3, "--seed", 4, "--json", "-")
        records = json.loads(result.stdout)
        assert [record["name"] for record in records] == ["U4", "S1"]
        for record in records:
            assert (
                record["outcome"] == "holds" and record["cases"] == record["held"] + record["violated"] == 3
            )
            assert (
                record["failed"] == 0
                and record["prompts"] > 0
                and record["witness"] is None
                and all(record["derivation"].values())
            )
        assert (
            invoke("theorems", "U4", "S1", "--check", "--cases", 3, "--seed", 4, "--json", "-").stdout
            == result.stdout
        )

    def test_one_that_is_never_met_is_not_called_true(self):
        """The first population has two answers, so there is no rarest one beside mode and rival."""
        result = invoke("theorems", "N2", "--check", "--cases", 1)
        assert result.exit_code == 0 and "0 hold, 0 fail, 1 not tested" in text(result)
        assert "assumptions of N2" in text(result)

    def test_a_failure_shows_its_witness_and_exits_one(self, monkeypatch):
        monkeypatch.setattr(KLProx, "step_size", property(lambda self: 2 / self.beta))
        result = invoke("theorems", "S1", "U4", "--check", "--cases", 2)
        assert result.exit_code == 1
        assert "1 hold, 1 fail" in text(result) and "S1 fails in population 0" in text(result)
        broken = invoke("theorems", "S1", "--check", "--cases", 2, "--json", "-")
        assert broken.exit_code == 1 and json.loads(broken.stdout)[0]["witness"]["log_probs"]

    @pytest.mark.parametrize(
        "arguments, fragments",
        [(["S99"], ["'S99'", "S1"]), (["--check", "--cases", 0], ["cases"]), (["--check", "--seed", -1], ["seed"]),
         (["--json", "."], ["json"])],
    )  # fmt: skip
    def test_bad_input(self, arguments, fragments):
        assert_refused(invoke("theorems", *arguments), *fragments)


class TestSchedule:
    VERIFIER = ["schedule", "--tpr", 0.9, "--fpr", 0.3, "--cost", 0.01]

    def test_json(self, tmp_path):
        result = invoke(
            *self.VERIFIER,
            "--rollouts",
            8,
            "--prompts-per-step",
            10,
            "--max-steps",
            100,
            "--json",
            tmp_path / "plan.json",
        )
        document = json.loads((tmp_path / "plan.json").read_text())
        plan = document["plan"]
        assert (
            result.exit_code == 0
            and document["kind"] == "schedule"
            and document["adaptive_plans_searched"] is False
        )
        assert plan["kind"] == "uniform" and plan["verified_rollouts"] == 6 and plan["calls"] == 6000
        assert (
            plan["cost"] == pytest.approx(60)
            and plan["cost_of_all"] == pytest.approx(80)
            and plan["saving"] == pytest.approx(20)
        )
        assert plan["threshold_share"] == pytest.approx(0.625) and plan[
            "intrinsic_threshold"
        ] == pytest.approx(0.375)
        assert document["settings"]["max_steps"] == 100

    def test_the_table_says_what_is_not_searched(self):
        shown = text(invoke(*self.VERIFIER))
        assert (
            "rollouts to verify per prompt 6" in shown
            and "Adaptive plans" in shown
            and "not searched yet" in shown
        )

    def test_confirm_simulates(self):
        document = json.loads(invoke(*self.VERIFIER, "--confirm", "--json", "-").stdout)
        assert document["simulation"]["confirmed"] is True
        assert document["simulation"]["share_below"] < 0.625 < document["simulation"]["share_above"]

    @pytest.mark.parametrize(
        "arguments, fragments",
        [
            (["--tpr", 1.5, "--fpr", 0.1], ["tpr", "1.5"]),
            (["--tpr", 0.5, "--fpr", -1], ["fpr"]),
            (["--tpr", 0.3, "--fpr", 0.3], ["no share of verified rollouts rescues"]),
            (["--tpr", 0.9, "--fpr", 0.1, "--cost", -2], ["cost"]),
            (["--tpr", 0.9, "--fpr", 0.1, "--rollouts", 1], ["rollouts"]),
            (["--tpr", 0.9], ["--fpr"]),
        ],
    )
    def test_bad_input(self, arguments, fragments):
        assert_refused(invoke("schedule", *arguments), *fragments)


def test_neither_command_loads_torch():
    code = (
        "import sys; from typer.testing import CliRunner; from llm_bridge.cli import create_app\nfor words in"
        " (['theorems'], ['theorems', 'S1', '--check', '--cases', '1'], ['schedule', '--tpr', '1', '--fpr',"
        " '0']):\n    assert CliRunner().invoke(create_app(), words).exit_code == 0,"
        " words\nprint(*sorted({'torch', 'transformers', 'hypothesis'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
