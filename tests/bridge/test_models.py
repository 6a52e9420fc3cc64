"""Loading models: every shipped one, any folder in Hugging Face format, and every kind of folder that is not
one.
"""

import json
import time

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import random_model, same_weights, save, weights

from llm_bridge import load_model
from llm_bridge.models.loading import check_model_name
from sharpening import InputError


@pytest.fixture
def folder(tmp_path):
    save(random_model("llama"), tmp_path / "model")
    return tmp_path / "model"


def refused(name) -> str:
    started = time.monotonic()
    with pytest.raises(InputError) as caught:
        load_model(str(name))
    assert time.monotonic() - started < 5
    assert str(caught.value).startswith("`model` is ") and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_a_saved_model_comes_back_as_it_was(architecture, tmp_path):
    original = random_model(architecture)
    loaded = load_model(save(original, tmp_path))
    assert same_weights(weights(original.model), weights(loaded.model))
    assert not loaded.model.training and loaded.model.dtype == torch.float32
    assert loaded.num_parameters == sum(p.numel() for p in original.model.parameters())
    assert loaded.tokenizer.padding_side == "left" and loaded.tokenizer.pad_token_id is not None


def test_half_precision_weights_are_loaded_in_single_precision(tmp_path):
    original = random_model("llama")
    original.model.bfloat16()
    loaded = load_model(save(original, tmp_path))
    assert {p.dtype for p in loaded.model.parameters()} == {torch.float32}
    assert all(
        torch.equal(a.float(), b)
        for a, b in zip(original.model.parameters(), loaded.model.parameters(), strict=True)
    )


def test_a_tokenizer_without_padding_pads_with_its_end(folder):
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    del settings["pad_token"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    tokenizer = load_model(str(folder)).tokenizer
    assert tokenizer.pad_token_id == tokenizer.eos_token_id


@pytest.mark.parametrize(
    "name", ["no-such-model", "/no/such/folder", "./nothing", "~/nothing", "a/b/c", "missing.gguf", ""]
)
def test_names_of_nothing(name):
    with pytest.raises(InputError):
        check_model_name(name)
    refused(name)


def test_a_hub_id_that_cannot_be_reached():
    assert "the hub has no such model or cannot be reached" in refused("nobody-at-all/no-model")


def test_a_file_is_not_a_model(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"")
    refused(tmp_path / "model.safetensors")


def test_a_gguf_file_that_is_none(tmp_path):
    (tmp_path / "broken.gguf").write_bytes(b"not a gguf file at all")
    refused(tmp_path / "broken.gguf")


def test_an_empty_folder(tmp_path):
    assert "config.json" in refused(tmp_path)


def test_a_folder_without_weights(folder):
    (folder / "model.safetensors").unlink()
    assert "no safetensors weights" in refused(folder)


def test_pickled_weights_are_not_loaded(folder):
    (folder / "model.safetensors").unlink()
    torch.save(random_model("llama").model.state_dict(), folder / "pytorch_model.bin")
    assert "pickled weights are not loaded" in refused(folder)


def test_pickled_weights_beside_foreign_safetensors_are_not_loaded(folder):
    """An adapter or any other .safetensors file must not open the door to pytorch_model.bin."""
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    torch.save(random_model("llama").model.state_dict(), folder / "pytorch_model.bin")
    refused(folder)


@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty"])
def test_corrupt_weights(folder, damage):
    file = folder / "model.safetensors"
    content = file.read_bytes()
    file.write_bytes(
        {"truncated": content[: len(content) // 2], "garbage": b"\xff" * 4096, "empty": b""}[damage]
    )
    refused(folder)


def test_weights_with_a_hole_are_not_filled_with_random_numbers(folder):
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    assert "model.layers.1.mlp.up_proj.weight" in refused(folder)


def test_weights_of_another_shape(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.0.mlp.up_proj.weight"] = torch.zeros(3, 3)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    refused(folder)


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"model_type": "no_such_architecture"}', '{"model_type": "bert"}']
)
def test_a_config_that_is_no_causal_language_model(folder, content):
    (folder / "config.json").write_text(content)
    refused(folder)


def test_a_folder_without_a_tokenizer(folder):
    for file in folder.glob("tokenizer*"):
        file.unlink()
    refused(folder)


def test_remote_code_does_not_run(folder):
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "auto_map": {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"},
        "model_type": "evil",
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(
        f"open({str(folder / 'ran')!r}, 'w').close()\nclass Config: pass\nclass Model: pass\n"
    )
    refused(folder)
    assert not (folder / "ran").exists()
