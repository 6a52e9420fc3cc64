"""The Model Collapse Step: He et al.'s protocol by name, a number only where there was a collapse."""

import json
import os
import shlex
import signal

import numpy as np
import pytest
from cli_helpers import assert_refused, invoke

from llm_bridge import Measurement, get_task, mcs_settings, measure_mcs, model_collapse_step
from sharpening import InputError, Outcome, Trajectory

FAST = "--learning-rate 1e-2 --max-steps 12 --eval-every 2 --eval-prompts 48".split()


def run_of(values, *, every=5, aggressive=False, floor=0.002):
    """A measured run whose reward accuracy at every evaluation is given; steps in batches."""
    settings = mcs_settings(
        aggressive=aggressive, learning_rate=1e-3, max_steps=every * (len(values) - 1), eval_every=every
    )
    steps = np.arange(len(values)) * settings.eval_every
    metrics = {"reward_accuracy": np.array(values, float)}
    curve = Trajectory(step=steps, metrics=metrics, floor=floor, source="measured", settings={})
    return Measurement("some-model", "addition", settings, curve)


class TestProtocol:
    def test_the_default_is_he_s(self):
        settings = mcs_settings(learning_rate=1e-6)
        assert (settings.prompts_per_step, settings.rollouts, settings.temperature) == (64, 8, 1.0)
        assert (settings.reward, settings.beta, settings.criterion) == ("majority", 0.0, "absolute")
        assert settings.max_steps > 383, "the latest published step"

    def test_aggressive_learns_from_the_same_batch_in_64_updates(self):
        usual, fast = (
            mcs_settings(learning_rate=1e-6, aggressive=kind, max_steps=14) for kind in (False, True)
        )
        assert fast.max_steps == 64 * usual.max_steps == 64 * 14
        assert fast.rollouts * fast.prompts_per_step == fast.config["per_device_train_batch_size"] == 8
        held = fast.config["per_device_train_batch_size"] * fast.config["steps_per_generation"]
        assert held == usual.prompts_per_step * usual.rollouts

    @pytest.mark.parametrize(
        "changes",
        [{"beta": 0.1}, {"rollouts": 16}, {"reward": "true"}, {"temperature": 0.7}, {"dataset_size": 63}],
    )
    def test_what_the_protocol_fixes_is_refused_by_name(self, changes):
        with pytest.raises(InputError, match=next(iter(changes))):
            mcs_settings(learning_rate=1e-6, **changes)

    def test_a_run_of_other_settings_has_no_mcs(self):
        measured = run_of([0.9, 0.0, 0.0])
        changed = measured.settings.__class__(**measured.settings.as_dict() | {"beta": 0.1})
        with pytest.raises(InputError, match="protocol"):
            model_collapse_step(Measurement("m", "addition", changed, measured.trajectory))


class TestStep:
    def test_it_is_the_first_evaluation_below_one_percent_and_says_how_exactly(self):
        found = model_collapse_step(run_of([0.9, 0.5, 0.01, 0.009, 0.0]))
        assert (found.step, found.after, found.lasting, found.text) == (15, 10, True, "15")

    def test_one_dip_counts_as_he_counts_it_and_is_said_to_be_one(self):
        found = model_collapse_step(run_of([0.9, 0.005, 0.4, 0.3]))
        assert (found.step, found.lasting) == (5, False)

    @pytest.mark.parametrize("aggressive", [False, True])
    def test_without_collapse_there_is_no_number(self, aggressive):
        found = model_collapse_step(run_of([0.9, 0.5, 0.2], every=7, aggressive=aggressive))
        assert found.step is None and found.text == "more than 14 steps" and found.outcome is Outcome.CENSORED

    def test_aggressive_steps_are_batches_and_not_updates(self):
        assert model_collapse_step(run_of([0.9, 0.5, 0.0, 0.0], every=7, aggressive=True)).step == 14

    def test_a_model_that_begins_below_has_nothing_to_lose(self):
        found = model_collapse_step(run_of([0.0, 0.0]))
        assert found.step is None and "initial model" in found.text and found.standing() is None


class TestStanding:
    def test_a_step_is_placed_where_one_evaluation_can_tell(self):
        found = model_collapse_step(run_of([0.9, 0.0, 0.0], every=40)).standing()
        assert "OLMo-2-1124-7B" in found["undecided"] and "Qwen2.5-Math-1.5B" in found["above"]
        found = model_collapse_step(run_of([0.9, 0.9, 0.0, 0.0], every=40)).standing()
        assert found["below"] == ["OLMo-2-1124-7B", "Meta-Llama-3.1-8B"] and len(found["above"]) == 5

    def test_a_run_that_held_is_only_above_what_it_outlasted(self):
        found = model_collapse_step(run_of([0.9, 0.9, 0.9], every=100)).standing()
        assert len(found["below"]) == 3 and len(found["undecided"]) == 4 and not found["above"]

    def test_aggressive_settings_have_no_published_table(self):
        assert model_collapse_step(run_of([0.9, 0.0, 0.0], aggressive=True)).standing() is None


class TestCommand:
    def test_a_collapse_is_dated_and_reported_and_read_back(self, tmp_path):
        command = ["mcs", "addition-uncertain", *FAST, "--output", tmp_path / "run"]
        result = invoke(*command, "--json", tmp_path / "a.json", "--report", tmp_path / "page")
        assert result.exit_code == 0, result.output
        document = json.loads((tmp_path / "a.json").read_text())
        curve, found = document["curve"], document["mcs"]
        below = [
            step for step, value in zip(curve["step"], curve["reward_accuracy"], strict=True) if value < 0.01
        ]
        assert document["kind"] == "mcs" and found["step"] == below[0] == found["after"] + 2
        assert found["more_than"] is None and document["cost"]["generated_tokens"] > 0
        assert str(below[0]) in result.stdout and "OLMo-2-1124-7B" in result.stdout
        page = (tmp_path / "page" / "report.html").read_text()
        again = next(
            line for line in page.replace("</pre>", "<pre>").split("<pre>") if "sharpening mcs" in line
        )
        words = shlex.split(again.replace("&#x27;", "'"))[1:]
        assert invoke(*words, "--output", tmp_path / "run", "--json", tmp_path / "b.json").exit_code == 0
        assert json.loads((tmp_path / "b.json").read_text()) == document

    def test_what_it_needs_is_asked_for_before_any_work(self, tmp_path):
        unlabelled = tmp_path / "plain.jsonl"
        unlabelled.write_text("\n".join(json.dumps({"prompt": f"{i}+1="}) for i in range(200)))
        refused = invoke("mcs", "addition-weak", "--task", unlabelled, "--output", tmp_path / "run")
        assert_refused(refused, "true answers", "mode_retention")
        assert_refused(invoke("mcs", "addition-weak", "--dataset-size", 32), "dataset_size", "64")
        assert invoke("mcs", "addition-weak", "--beta", 0.1).exit_code == 2
        assert not (tmp_path / "run").exists()


class _StopAt:
    """Progress that sends this process SIGINT at an optimizer update."""

    def __init__(self, update):
        self.left = update

    def start(self, *_):
        return self

    def advance(self, steps=1):
        self.left -= steps
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)

    def close(self):
        pass


@pytest.mark.thorough
def test_an_aggressive_run_that_is_stopped_inside_a_batch_resumes_to_the_same_curve(tmp_path):
    options = dict(
        learning_rate=1e-3, aggressive=True, max_steps=4, eval_prompts=16, dataset_size=None, seed=1
    )
    task = get_task("addition")
    whole = measure_mcs("addition-weak", task, output_dir=tmp_path / "whole", **options)
    stopped = measure_mcs("addition-weak", task, output_dir=tmp_path / "cut", progress=_StopAt(90), **options)
    assert stopped.measurement.interrupted and stopped.batches == 2
    resumed = measure_mcs("addition-weak", task, output_dir=tmp_path / "cut", **options)
    assert resumed.measurement.trajectory.curve() == whole.measurement.trajectory.curve()
    assert resumed.measurement.cost["generated_tokens"] == whole.measurement.cost["generated_tokens"]
