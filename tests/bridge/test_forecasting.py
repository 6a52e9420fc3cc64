"""Forecasts: repeatable, several voices, and limits that are known without any training."""

import json
import math
from dataclasses import replace

import pytest
from tiny import after_equals, save

from llm_bridge import RunSettings, forecast_model, get_task, load_model
from llm_bridge.console.quiet import quiet_libraries
from llm_bridge.forecast.calibration.features import Reading, WeightNoise
from llm_bridge.forecast.model import SILENT, SPEAKER, first_rate
from llm_bridge.forecast.pilot import run_pilots
from llm_bridge.forecast.probe import probe_model
from llm_bridge.forecast.theory import radius_voice, step_size
from llm_bridge.report.document import forecast_document
from llm_bridge.report.words import VERDICTS, VOICES
from sharpening import CRITERIA, InputError, Outcome, collapse_steps

TASK = get_task("addition")
SETTINGS = RunSettings(eval_prompts=8, prompts_per_step=8, rollouts=4, max_steps=60, eval_every=5)


@pytest.fixture(scope="module")
def forecast():
    return forecast_model("addition-uncertain", TASK, SETTINGS, voices=True)


@pytest.fixture(scope="module")
def probe():
    return probe_model(load_model("addition-uncertain"), TASK, SETTINGS, gradient_prompts=8)


def test_all_voices_speak_on_the_same_steps_and_one_is_chosen(forecast):
    assert set(forecast.voices) == set(VOICES) == set(forecast.voices_collapse)
    for name, trajectory in forecast.voices.items():
        assert trajectory.step.tolist() == list(range(0, 61, 5)), name
        assert trajectory.source != "measured" and {"accuracy", "reward_accuracy", "mode_retention"} <= set(
            trajectory.metrics
        )
        assert set(forecast.voices_collapse[name]) == set(CRITERIA)
        assert 0 <= trajectory["accuracy"].min() and trajectory["accuracy"].max() <= 1
    assert (
        forecast.speaker == SPEAKER
        and forecast.trajectory is forecast.voices[SPEAKER]
        and forecast.why_speaker
    )
    assert forecast.verdict in VERDICTS and forecast.reasons


def test_the_uncoupled_voice_keeps_every_mode(forecast):
    """Alone, a prompt only sharpens: no mode moves and nothing is spent beyond the budget (theory S9)."""
    alone = forecast.voices["uncoupled"]
    assert alone["mode_retention"].min() == 1 and alone["excess_kl"].max() < 1e-9


def test_twice_gives_the_same_json_but_for_seconds(forecast):
    def text(found):
        document = forecast_document(found)
        assert document["cost"].pop("seconds") >= 0
        return json.dumps(document, sort_keys=True)

    assert text(forecast_model("addition-uncertain", TASK, SETTINGS, voices=True)) == text(forecast)


def test_voices_of_theory_are_asked_only_on_request_and_change_nothing(forecast):
    alone, asked = (
        forecast_document(found) for found in (forecast_model("addition-uncertain", TASK, SETTINGS), forecast)
    )
    assert set(alone.pop("voices")) == {forecast.speaker} < set(asked.pop("voices"))
    assert alone["cost"].pop("seconds") >= 0 <= asked["cost"].pop("seconds")
    assert alone == asked


def test_intervals_hold_the_step_they_are_around(forecast):
    for step in forecast.collapse.values():
        if step.level and step.outcome is Outcome.COLLAPSED:
            assert (
                step.low <= step.step
                and (step.high is None or step.step <= step.high <= step.horizon)
                and 0 < step.level < 1
            )
        elif step.outcome is not Outcome.COLLAPSED:
            assert step.step is None and (step.low is None or 1 <= step.low <= step.horizon)
    assert {name for name, step in forecast.collapse.items() if step.level} == {
        "relative",
        "half_life",
        "mode_retention",
        "excess_kl",
        "loss_spike",
    }


def test_the_pilot_says_what_other_settings_would_change(forecast):
    rows = {row["setting"]: row for row in forecast.sensitivity}
    assert (
        rows["half the learning rate"]["step"]
        > rows["as asked"]["step"]
        > rows["twice the learning rate"]["step"]
    )
    assert all(0 <= row["chance"] <= 1 for row in rows.values())
    assert 0 < forecast.safe_learning_rate < 1 and any(
        f"{forecast.safe_learning_rate:.1e}" in line for line in forecast.advice
    )
    assert not any("With half the learning rate" in line for line in forecast.reasons)


class TestLimits:
    def test_without_a_learning_rate_nothing_collapses_by_the_radius(self, probe):
        found = collapse_steps(radius_voice(probe, replace(SETTINGS, learning_rate=1e-12)))
        assert {step.outcome for step in found.values()} <= {Outcome.CENSORED, Outcome.UNAVAILABLE}
        assert found["relative"].outcome is found["mode_retention"].outcome is Outcome.CENSORED

    def test_a_huge_learning_rate_collapses_at_once(self, probe):
        found = collapse_steps(radius_voice(probe, replace(SETTINGS, learning_rate=1.0)))
        assert found["mode_retention"].step == 5 and found["half_life"].step == 5

    def test_steps_and_learning_rate_trade_off(self, probe):
        """The baseline sees learning rate × step only: half the rate takes twice the steps."""
        rate = probe.radius.radius / 100
        steps = [
            collapse_steps(
                radius_voice(probe, replace(SETTINGS, learning_rate=rate / slow, max_steps=600, eval_every=1))
            )["mode_retention"].step
            for slow in (1, 2, 4)
        ]
        assert steps[1] == pytest.approx(2 * steps[0], abs=2) and steps[2] == pytest.approx(
            4 * steps[0], abs=4
        )

    def test_a_pilot_begins_at_the_same_movement_whatever_the_optimizer(self, probe):
        """The radius over √weights under Adam; under SGD what moves the mean weight that far, given the mean
        gradient clock / weights.
        """
        adam, sgd = (first_rate(probe, replace(SETTINGS, optimizer=name), 1000) for name in ("adam", "sgd"))
        assert adam == pytest.approx(probe.radius.radius / math.sqrt(1000))
        assert sgd * probe.kernel.clock / 1000 == pytest.approx(adam)

    def test_step_size_is_proportional_to_the_learning_rate(self, probe):
        sizes = [step_size(probe, replace(SETTINGS, learning_rate=rate)) for rate in (1e-4, 3e-4)]
        assert sizes[1] == pytest.approx(3 * sizes[0]) and sizes[0] > 0
        assert step_size(probe, replace(SETTINGS, optimizer="sgd", learning_rate=1e-4)) == 1e-4
        ratio = max(probe.kernel.gram_ratio, 0.0)
        assert sizes[0] == pytest.approx(1e-4 / math.sqrt((1 + 7 * ratio) / 8))


def test_three_pilots_speak_together(forecast):
    """Their dates lie among those of each alone, which other seeds of the settings have."""
    together = forecast_model("addition-uncertain", TASK, replace(SETTINGS, max_steps=400), pilots=3)
    assert together.pilots == 3 and forecast.pilots == 1
    loaded = load_model("addition-uncertain")
    with quiet_libraries():
        probe = probe_model(loaded, TASK, SETTINGS, gradient_prompts=8)
        pilots = run_pilots(loaded, TASK, SETTINGS, 2, first_rate=1e-4, steps=6)
        alone = run_pilots(
            loaded, TASK, replace(SETTINGS, seed=SETTINGS.seed + 1), 1, first_rate=1e-4, steps=6
        )
    assert pilots[1].as_dict() == alone[0].as_dict() != pilots[0].as_dict()
    noise = WeightNoise.of(probe.radius, loaded.num_parameters)
    one, two, both = (
        Reading.of(probe.prior, probe.kernel, some, noise, "adam").at(SETTINGS)
        for some in (pilots[:1], pilots[1:], pilots)
    )
    assert both == pytest.approx({name: (one[name] + two[name]) / 2 for name in one}) and one != two


@pytest.mark.parametrize(("reward", "pilots"), [("majority", 0), ("token-entropy", 2)])
def test_pilots_that_cannot_be_run_are_refused_before_any_work(reward, pilots):
    with pytest.raises(InputError) as caught:
        forecast_model("no-such-model", TASK, replace(SETTINGS, reward=reward), pilots=pilots)
    assert caught.value.argument == "pilots"


@pytest.mark.parametrize(
    ("reward", "speaker"),
    [("token-entropy", "radius"), ("kl-previous", "radius"), ("hybrid-gated", "coupled")],
)
def test_other_rewards_are_forecast_by_a_voice_that_may_speak_and_without_an_interval(reward, speaker):
    found = forecast_model(
        "addition-uncertain", TASK, replace(SETTINGS, reward=reward, eval_prompts=4, max_steps=10)
    )
    assert found.speaker == speaker and found.verdict in VERDICTS and set(found.voices) == {speaker}
    assert found.sensitivity == [] and found.safe_learning_rate is None
    assert all(step.low is step.high is step.level is None for step in found.collapse.values())


def test_a_verifier_cannot_be_modelled_without_true_answers(tmp_path):
    path = tmp_path / "task.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"{a}+1="}) + "\n" for a in range(40)))
    with pytest.raises(InputError, match="no true answers"):
        forecast_model("addition-uncertain", get_task(path), replace(SETTINGS, reward="symbolic-verifier"))


@pytest.mark.parametrize(
    "model, task, name", [("no-such-model", TASK, "model"), ("addition-weak", get_task("capitals"), "task")]
)
def test_bad_input_is_refused(model, task, name):
    with pytest.raises(InputError) as caught:
        forecast_model(model, task, RunSettings(eval_prompts=4))
    assert caught.value.argument == name


def test_a_model_that_always_agrees_with_itself_has_nothing_to_learn_from(tmp_path):
    found = forecast_model(save(after_equals(d3=1.0), tmp_path), TASK, SETTINGS)
    assert found.verdict == "no_signal" and SILENT in found.reasons[0] and found.speaker != SPEAKER
    assert (found.trajectory["accuracy"] == found.trajectory["accuracy"][0]).all()
    assert "cannot be told" in found.reasons[1], "silence is not safety"
    assert all(step.step is None for step in found.collapse.values())
    assert not any(step.outcome is Outcome.CENSORED for step in found.collapse.values())
    json.dumps(forecast_document(found), allow_nan=False)
