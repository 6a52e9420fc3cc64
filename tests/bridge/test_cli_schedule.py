"""`sharpening schedule` for a model and for a synthetic population: documents, tables, notes and refusals."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from cli_helpers import assert_refused, invoke

from llm_bridge import Kernel, Prior
from llm_bridge.forecast import schedule as scheduling
from llm_bridge.forecast.probe import RetentionCurve
from llm_bridge.report.schedules import HEADLINES
from llm_bridge.sampling.cost import Cost
from sharpening import InputError, Population

VERIFIER = ("--tpr", 0.9, "--fpr", 0.1, "--cost", 0.5)
SMALL = ("--eval-prompts", 8, "--prompts-per-step", 8, "--rollouts", 4, "--max-steps", 40, "--eval-every", 5)
SHORT = (
    "--prompts-per-step",
    8,
    "--rollouts",
    4,
    "--max-steps",
    60,
    "--eval-every",
    5,
    "--optimizer",
    "sgd",
    "--step-size",
    6,
    "--safety",
    1,
)


def text(result):
    return " ".join(result.stdout.split())


@pytest.fixture
def probed(monkeypatch):
    """`schedule_model` on the shipped tiny model with a made-up probe: prompts that collapse, and a radius
    that says so or not.
    """
    prior = Population.synthetic(3, 96, 10, strength=2.0).replace(correct=None)

    def set_up(*, labelled, radius_collapses):
        def probe_model(loaded, task, settings, *, progress):
            population = (
                prior
                if not labelled
                else prior.replace(correct=Population.synthetic(3, 96, 10, strength=2.0).correct)
            )
            kept = np.array([1.0, 0.0 if radius_collapses else 1.0])
            metrics = {
                name: kept for name in ("accuracy", "label_accuracy", "reward_accuracy", "mode_retention")
            }
            return SimpleNamespace(
                population=population,
                prior=Prior(majority_ratio=0.6, entropy=1.0, tie=0.0, no_answer=0.0),
                kernel=Kernel(private=8.0, shared=1.0),
                radius=RetentionCurve(np.array([0.0, 1.0]), metrics, 0.1),
                cost=Cost(),
            )

        monkeypatch.setattr(scheduling, "probe_model", probe_model)

    return set_up


@pytest.fixture
def unlabelled(tmp_path):
    """A data set of sums without answers."""
    path = tmp_path / "sums.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"{a}+{b}="}) + "\n" for a in range(8) for b in range(8)))
    return path


RUN = ("--learning-rate", 6.0, "--optimizer", "sgd", "--prompts-per-step", 8, "--rollouts", 4, "--max-steps", 60, "--eval-every", 5,
       "--eval-prompts", 8, "--safety", 1)  # fmt: skip


class TestModel:
    def test_json_of_a_shipped_model(self):
        result = invoke("schedule", "addition-weak", *VERIFIER, *SMALL, "--json", "-")
        document = json.loads(result.stdout)
        assert (
            result.exit_code == 0
            and document["kind"] == "schedule"
            and document["adaptive_plans_searched"] is True
        )
        assert (
            document["model"] == "addition-weak"
            and document["task"] == "addition"
            and document["settings"]["max_steps"] == 40
        )
        assert (
            document["verdict"] in HEADLINES
            and document["reasons"]
            and document["verifier"] == {"tpr": 0.9, "fpr": 0.1, "cost": 0.5}
        )
        assert document["cost"]["generated_tokens"] > 0 and 0 <= document["alignment"] <= 1
        assert document["cost_of_all"] == 40 * 8 * 4 * 0.5 and document["theory_share"] == pytest.approx(
            1 / 1.8, rel=1e-5
        )
        assert HEADLINES[document["verdict"]][0] in result.stderr

    def test_a_plan_is_shown_with_its_cost(self, probed):
        probed(labelled=True, radius_collapses=True)
        result = invoke("schedule", "addition-weak", *VERIFIER, *RUN, "--json", "-")
        document = json.loads(result.stdout)
        assert document["verdict"] == "plan" and document["unverified"]["collapse"]["outcome"] == "collapsed"
        assert (
            document["plan"]["cost"] == pytest.approx(0.5 * document["plan"]["calls"], rel=1e-5)
            and document["plan"]["works"]
        )
        assert {one["family"] for one in document["best"]} == {"uniform", "gated", "periodic", "certified"}
        shown = " ".join(result.stderr.split())
        assert (
            f"{document['plan']['family']} *" in shown
            and f"{document['plan']['calls']:,.0f}" in shown
            and "theorem X2" in shown
        )
        assert "expects the unverified run to collapse at step" in document["notes"][-1]

    def test_says_where_the_other_voice_disagrees(self, probed):
        for collapses in (True, False):
            probed(labelled=True, radius_collapses=collapses)
            shown = text(invoke("schedule", "addition-weak", *VERIFIER, *RUN, "--learning-rate", 0.02))
            assert "No verification is needed" in shown
            assert ("it does not see what would break this model" in shown) is collapses

    def test_labels_may_be_assumed(self, probed, unlabelled):
        probed(labelled=False, radius_collapses=False)
        result = invoke(
            "schedule",
            "addition-weak",
            "--task",
            unlabelled,
            *VERIFIER,
            *RUN,
            "--wrong-modes",
            0.3,
            "--json",
            "-",
        )
        document = json.loads(result.stdout)
        assert document["wrong_modes"] == 0.3 and document["alignment"] == pytest.approx(0.7, abs=0.01)
        assert "Labels are assumed: on 30%" in document["notes"][0] and document["plan"]["works"]

    def test_but_not_without_being_told(self, unlabelled):
        named = ("schedule", "addition-weak", "--task", unlabelled, *VERIFIER, *RUN)
        assert_refused(invoke(*named), "wrong_modes", "--wrong-modes 0.3")
        assert_refused(invoke(*named, "--wrong-modes", 1.3), "wrong_modes")
        assert_refused(
            invoke("schedule", "addition-weak", *VERIFIER, "--wrong-modes", 0.3),
            "wrong_modes",
            "addition has true answers",
        )


class TestSynthetic:
    def test_json(self):
        words = ("schedule", "--alignment", 0.6, *VERIFIER, *SHORT, "--json", "-")
        result = invoke(*words)
        document = json.loads(result.stdout)
        assert (
            result.exit_code == 0
            and document["alignment"] == pytest.approx(0.6, abs=0.01)
            and "model" not in document
        )
        assert document["verdict"] == "plan" and document["settings"]["step_size"] == 6
        assert invoke(*words).stdout == result.stdout

    def test_a_verifier_without_use_is_said(self):
        shown = text(invoke("schedule", "--alignment", 0.6, "--tpr", 0.3, "--fpr", 0.4, *SHORT))
        assert "This verifier cannot help" in shown and "J = TPR - FPR = -0.1" in shown


@pytest.mark.parametrize("words, fragments", [
    (["addition-weak", "--confirm"], ["confirm", "a model does not read it"]),
    (["addition-weak", "--alignment", 0.5], ["alignment"]),
    (["addition-weak", "--reward", "true"], ["reward", "intrinsic"]),
    (["addition-weak", "--criterion", "loss_spike"], ["criterion", "lm_loss"]),
    (["addition-weak", "--safety", 0.5], ["safety"]),
    (["addition-weak", "--least-accuracy", 2], ["least_accuracy"]),
    (["addition-weak", "--cost", -1], ["cost"]),
    (["--learning-rate", 1], ["learning_rate", "Name a MODEL"]),
    (["--task", "addition"], ["task", "Name a MODEL"]),
    (["--alignment", 0.5, "--learning-rate", 1], ["learning_rate", "a synthetic population"]),
    (["--alignment", 1.5], ["alignment"]),
    (["--alignment", 0.5, "--wrong-modes", 0.5], ["wrong_modes"]),
    (["--alignment", 0.5, "--rollouts", 1], ["rollouts"]),
    (["no-such-model"], ["no-such-model"]),
], ids=lambda value: " ".join(map(str, value)))  # fmt: skip
def test_refusals_come_before_any_work(words, fragments, monkeypatch):
    monkeypatch.setattr(scheduling, "probe_model", lambda *_, **__: pytest.fail("the model was probed"))
    assert_refused(invoke("schedule", "--tpr", 0.9, "--fpr", 0.1, *words), *fragments)


def test_a_population_that_turns_out_to_have_no_labels(probed):
    """The task has answers, but none for the prompts that were probed."""
    from llm_bridge import RunSettings, get_task

    probed(labelled=False, radius_collapses=False)
    with pytest.raises(InputError, match="wrong_modes"):
        scheduling.schedule_model(
            "addition-weak", get_task("addition"), RunSettings(eval_prompts=8), tpr=0.9, fpr=0.1
        )
