"""A GGUF file is a model like any other: loaded to plain weights, trained, forecast, saved."""

import pytest
import torch
from gguf_files import tiny_gguf
from transformers import AutoModelForCausalLM

from llm_bridge import RunSettings, forecast_model, get_task, load_model, measure
from llm_bridge.zoo import import_gguf

SETTINGS = dict(prompts_per_step=2, rollouts=4, max_steps=2, eval_every=1, eval_prompts=4, max_new_tokens=2)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return str(tiny_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf"))


def logits(model):
    with torch.no_grad():
        return model(torch.arange(1, 9)[None]).logits


def test_its_weights_are_plain_ones_and_can_be_saved(file, tmp_path):
    model = load_model(file).model
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert all(weight.requires_grad for weight in model.parameters())
    model.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    assert torch.equal(logits(model), logits(again))
    folder = import_gguf(str(file), str(tmp_path / "imported"))
    assert torch.equal(logits(model), logits(load_model(str(folder)).model))


def test_it_is_measured_and_resumed(file, tmp_path):
    settings = RunSettings(**SETTINGS, learning_rate=1e-3)
    found = measure(file, get_task("addition"), settings, output_dir=tmp_path)
    assert found.trajectory.step.tolist() == [0, 1, 2]
    again = measure(file, get_task("addition"), settings, output_dir=tmp_path)
    assert again.trajectory.metrics.keys() == found.trajectory.metrics.keys()


def test_it_is_forecast(file):
    settings = RunSettings(**SETTINGS | {"max_steps": 20}, learning_rate=1e-3)
    assert forecast_model(file, get_task("addition"), settings).verdict
