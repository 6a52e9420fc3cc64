"""Studies: what a result is made of, that a run names a model which is built first, and the grid of the
ground truth.
"""

import dataclasses
import json

from llm_bridge import TASKS, RunSettings
from llm_bridge.zoo import RECIPES
from studies.ground_truth import GROUND_TRUTH
from studies.priors import PRIORS, build_prior
from studies.study import Run, Study

SMALL = RunSettings(max_steps=1, eval_every=1, eval_prompts=4, prompts_per_step=2, rollouts=2)


def test_a_model_is_prepared_once_and_the_study_goes_on_where_it_stopped(tmp_path):
    prepared = []

    def prepare(name, folder):
        prepared.append((name, folder))
        return "addition-weak"

    runs = [
        Run(f"run {seed}", "some prior", "addition", dataclasses.replace(SMALL, seed=seed)) for seed in (0, 1)
    ]
    study = Study("small", "two runs of one step", "make small", lambda: runs, workers=1, prepare=prepare)
    first = study.run(tmp_path)
    assert prepared == [("some prior", tmp_path)]
    assert [record["model"] for record in first["runs"]] == ["addition-weak"] * 2
    stamp = (tmp_path / "run_1-seed1" / "trajectory.json").stat().st_mtime_ns
    again = study.run(tmp_path)
    assert again == first == json.loads((tmp_path / "result.json").read_text())
    assert (tmp_path / "run_1-seed1" / "trajectory.json").stat().st_mtime_ns == stamp


class TestGroundTruth:
    def test_the_grid_is_as_wide_as_it_says(self):
        runs = GROUND_TRUTH.runs()
        assert len(runs) >= 300 and len(PRIORS) >= 25
        assert {run.settings.seed for run in runs} == {0, 1, 2}
        assert {PRIORS[run.model].architecture for run in runs} == {"llama", "gpt2", "gpt_neox"}
        assert {"addition", "modmul", "countdown", "sorting"} <= {run.task for run in runs}
        assert {"majority", "trajectory-entropy", "self-certainty"} <= {run.settings.reward for run in runs}
        assert {"adam", "sgd"} == {run.settings.optimizer for run in runs}
        assert len({(run.label, run.settings.seed) for run in runs}) == len(runs)
        assert (
            min(PRIORS[run.model].layers for run in runs) == 1
            and max(PRIORS[run.model].layers for run in runs) == 6
        )

    def test_every_recipe_names_a_task_and_an_architecture_that_exist(self):
        assert {recipe.task for recipe in PRIORS.values()} <= set(TASKS)
        assert all(name == recipe.name for name, recipe in PRIORS.items())

    def test_a_shipped_model_needs_no_building(self, tmp_path):
        assert build_prior("addition-weak", tmp_path) == "addition-weak" in RECIPES
        assert not list(tmp_path.iterdir())
