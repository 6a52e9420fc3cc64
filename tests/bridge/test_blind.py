"""The blind study: its tasks can be read and spelt, its rates come from the probe alone, and times are intervals."""

import json
from dataclasses import replace

import pytest

import studies.blind as blind
from llm_bridge import RunSettings
from llm_bridge.tasks.base import base_rate_floor
from studies.blind import BLIND, rates, runs, times
from studies.blind_priors import ARCHITECTURES, BLIND_PRIORS, QUALITIES, fresh_blind_model
from studies.blind_score import blind_groups
from studies.blind_tasks import BLIND_TASKS
from studies.blind_tasks2 import EVERY_TASK
from studies.priors import PRIORS
from studies.study import load_result


@pytest.mark.parametrize("name", EVERY_TASK)
class TestTasks:
    def test_a_solution_is_read_as_the_answer_and_a_misconception_as_another(self, name):
        task = EVERY_TASK[name]()
        wrong = [(problem, task.mistaken(problem)) for problem in task.problems]
        assert all(task.extract(task.solution(problem)) == problem.answer for problem in task.problems)
        told = [task.extract(text) != problem.answer for problem, text in wrong if text is not None]
        assert all(task.extract(text) is not None for _, text in wrong if text is not None)
        assert 0.04 < sum(told) / len(wrong) < 0.6

    def test_every_text_is_spelt_in_characters_that_the_tokenizer_knows_once(self, name):
        from llm_bridge.zoo.pretraining import character_tokenizer

        task = EVERY_TASK[name]()
        tokenizer = character_tokenizer(task.letters)
        known = tokenizer.get_vocab()
        assert sorted(known.values()) == list(range(len(known)))
        texts = [problem.prompt + task.solution(problem) for problem in task.problems]
        texts += [wrong for problem in task.problems if (wrong := task.mistaken(problem))]
        assert set("".join(texts)) <= set(known)
        assert max(map(len, texts)) < 64
        longest = max(len(task.solution(problem)) for problem in task.problems)
        assert longest < task.max_new_tokens, "the end token must fit, too"


class TestPriors:
    def test_tasks_are_new_and_every_kind_is_there(self):
        assert len(BLIND_PRIORS) >= 60 and len(BLIND_TASKS) >= 10
        assert not {recipe.task for recipe in PRIORS.values()} & set(BLIND_TASKS)
        assert {recipe.architecture for recipe in BLIND_PRIORS.values()} == set(ARCHITECTURES)
        for quality in QUALITIES:
            assert {r.task for n, r in BLIND_PRIORS.items() if n.endswith(quality)} == set(BLIND_TASKS)
        below = BLIND_TASKS["below"]()
        assert base_rate_floor(below, below.problems) == pytest.approx(0.6, abs=0.01)

    def test_each_architecture_is_what_it_says_and_of_the_stated_size(self):
        from llm_bridge.zoo.pretraining import character_tokenizer

        for recipe in BLIND_PRIORS.values():
            model = fresh_blind_model(recipe, character_tokenizer(recipe.letters))
            assert model.config.model_type.startswith(recipe.architecture)
            assert 1e4 < model.num_parameters() < 2e6


PROBE = {"noise": {"radius": 0.0201}}


class TestRuns:
    def test_rates_read_the_radius_alone(self):
        assert rates(PROBE) == (1e-3, 2.5e-4, 6.3e-5)
        assert rates({"noise": {"radius": None}}) == rates({"noise": {"radius": 0.128}})

    def test_whatever_is_finished_is_spread_over_the_priors(self, tmp_path):
        for name in BLIND_PRIORS:
            (tmp_path / f"probe-{name}.json").write_text(json.dumps(PROBE))
        listed = runs(tmp_path)
        assert len({run.folder(tmp_path) for run in listed}) == len(listed) >= 6 * len(BLIND_PRIORS)
        for start in (0, len(BLIND_PRIORS)):
            assert len({run.model for run in listed[start : start + len(BLIND_PRIORS)]}) == len(BLIND_PRIORS)
        assert len(runs(tmp_path, ["below-llama-clean"])) <= 7

    def test_times_are_the_evaluations_on_both_sides(self):
        def told(step, outcome):
            return {"step": step, "outcome": outcome}

        record = {
            "floor": 0.1,
            "curve": {
                "step": [0, 1, 2, 3, 5],
                "reward_accuracy": [0.9, 0.4, 0.8, 0.3, 0.2],
                "mode_retention": [1.0, 0.9, 0.8, 0.7, 0.4],
                "excess_kl": [3.0, 3.0, 3.0, 3.0, 3.0],
            },
            "collapse": {
                "relative": told(None, "censored"),
                "half_life": told(3, "collapsed"),
                "mode_retention": told(None, "censored"),
                "excess_kl": told(None, "never_started"),
            },
        }
        assert times(record) == {
            "relative": [5, None],
            "half_life": [2, 3],
            "mode_retention": [3, None],
            "excess_kl": None,
        }


def test_a_prior_is_built_probed_measured_and_collected(tmp_path, monkeypatch):
    name = "comparison-qwen3-clean"
    monkeypatch.setitem(BLIND_PRIORS, name, replace(BLIND_PRIORS[name], steps=60))
    small = replace(blind.SETTINGS, max_steps=3, eval_prompts=16, prompts_per_step=4, rollouts=4)
    monkeypatch.setattr(blind, "SETTINGS", small)
    features = blind.features(name, tmp_path)
    assert features == blind.features(name, tmp_path) and features["prior"]["accuracy"] > 0.2
    first = runs(tmp_path)[0]
    assert first.settings.learning_rate == rates(features)[0]
    record = blind.measure_run(first, tmp_path)
    assert record["curve"]["step"] == [0, 1, 2, 3] and set(record["times"]) == set(blind.DATED)
    result = BLIND.collect(tmp_path)
    assert result["runs"] == [record] and result["priors"][0]["prior"] == name
    assert result["priors"][0]["probe"] == features


class TestResult:
    """The committed result: no run of a prior that was not probed, and times that its curves bear out."""

    def test_every_run_has_features_and_the_rates_follow_the_rule(self):
        result = load_result("blind")
        priors = {prior["prior"]: prior for prior in result["priors"]}
        assert len(priors) >= 60 and len(result["runs"]) >= 100
        for run in result["runs"]:
            stated = rates(priors[run["model"]]["probe"])
            chosen = RunSettings(**run["settings"]).learning_rate
            assert chosen == stated[result["rates"].index(run["label"].split()[1])]

    def test_times_are_those_of_the_curves(self):
        for run in load_result("blind")["runs"]:
            assert run["times"] == times(run)
            assert run["curve"]["step"][:3] == [0, 1, 2]

    def test_all_of_it_is_scored(self):
        found, silent = blind_groups(load_result("blind"))
        assert (
            len(found) + len(silent)
            >= len(load_result("blind")["runs"])
            == load_result("blind_score")["runs"]
        )
