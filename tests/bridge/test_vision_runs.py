"""Runs on images: the example of the documentation, the metrics that ask whether the model looks, `measure`."""

import runpy
from pathlib import Path

import pytest
import torch
from vision import small_folder, small_model

from llm_bridge import Evaluator, RunSettings, get_task, load_model, measure
from llm_bridge.training.prepare import prepared

ROOT = Path(__file__).parents[2]
DOTS = get_task("dots")


def test_the_example_of_the_documentation_sees_a_model_fall(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    found = runpy.run_path(str(ROOT / "docs/examples/grpo_vision.py"))
    curve = found["monitor"].trajectory
    assert curve.step.tolist() == [0, 4, 8]
    assert curve["label_accuracy"][0] > 0.85 > 0.6 > curve["label_accuracy"][-1]
    assert curve["blind_retention"][0] < 0.1 and curve.has("blind_accuracy") and curve.has("excess_kl")
    assert not found["monitor"].failures and "blind_retention" in capsys.readouterr().out
    text = (ROOT / "docs/examples/grpo_vision.py").read_text().splitlines()
    assert sum(bool(line.strip()) and "import" not in line for line in text) <= 25


class Small:
    """A loaded small model, its task, and an evaluator of 12 prompts."""

    def __init__(self, folder):
        self.loaded = load_model(small_folder(folder))
        settings = RunSettings(learning_rate=1e-3, eval_prompts=12)
        self.task = prepared(DOTS, self.loaded, settings)
        problems = self.task.split(12)[1]
        self.evaluator = Evaluator(
            self.task, problems, self.loaded.tokenizer, rollouts=4, max_new_tokens=1, initial_rollouts=4
        )


def test_a_model_whose_eyes_are_shut_answers_as_before(tmp_path):
    small = Small(tmp_path)
    model = small.loaded.model
    # Digits alone, so that every greedy text is an answer.
    digits = small.loaded.tokenizer.convert_tokens_to_ids([*"0123456789"])
    with torch.no_grad():
        model.lm_head.weight[:] = torch.where(
            torch.isin(torch.arange(len(model.lm_head.weight)), torch.tensor(digits))[:, None],
            model.lm_head.weight,
            torch.zeros(()),
        )
        open_eyes = small.evaluator(model, 0)
        model.model.multi_modal_projector.linear_2.weight.zero_()
        shut = small.evaluator(model, 1)
    assert shut["blind_retention"] == 1.0 - _without_answer(small, model)
    assert 0.0 <= open_eyes["blind_retention"] <= 1.0 and "blind_accuracy" in open_eyes
    assert "blind_retention" not in _text_metrics()


def _without_answer(small, model) -> float:
    said = small.evaluator.greedy(
        model, small.evaluator.problems, [p.prompt for p in small.evaluator.problems]
    )
    return sum(answer is None for answer in said) / len(said)


def _text_metrics():
    loaded, task = load_model("addition-weak"), get_task("addition")
    evaluator = Evaluator(task, task.split(4)[1], loaded.tokenizer, rollouts=2, initial_rollouts=2)
    return evaluator(loaded.model, 0)


def test_measure_trains_on_images_and_moves_the_tower(tmp_path):
    folder = small_folder(tmp_path / "model")
    settings = RunSettings(
        learning_rate=1e-2,
        prompts_per_step=4,
        rollouts=4,
        max_steps=2,
        eval_every=1,
        eval_prompts=6,
        dataset_size=8,
        max_new_tokens=1,
    )
    found = measure(folder, DOTS, settings, output_dir=tmp_path / "run", keep_checkpoints=True)
    assert found.trajectory.step.tolist() == [0, 1, 2] and found.trajectory.has("blind_retention")
    before = small_model()[0].state_dict()
    (last,) = sorted((tmp_path / "run").glob("checkpoint-2"))
    after = load_model(str(last)).model.state_dict() if (last / "processor_config.json").exists() else None
    assert after is not None, "a checkpoint is a model that can be loaded"
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert any("vision_tower" in name for name in moved) and any("language_model" in name for name in moved)
    assert found.cost["generated_tokens"] == pytest.approx(2 * 16 + 6 * (64 + 8 + 3 * 4) + 3 * 2 * 6, rel=0.5)
