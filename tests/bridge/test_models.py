"""Loading models: every shipped one, any folder in Hugging Face format, and every kind of folder that is not
one.
"""

import json
import math
import shutil
import time

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import random_model, same_weights, save, weights
from transformers import BertConfig, BertLMHeadModel

from llm_bridge import load_model
from llm_bridge.models.loading import check_model_name
from llm_bridge.sampling.rollouts import sample
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


def edit(folder, **changes):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def edit_tokenizer(folder, *without, **changes):
    file = folder / "tokenizer_config.json"
    settings = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({name: value for name, value in settings.items() if name not in without}))


class TestAdapters:
    @pytest.mark.parametrize("file", ["adapter_config.json", "adapter_model.safetensors"])
    def test_beside_base_weights(self, folder, file):
        (folder / file).write_bytes((folder / "config.json").read_bytes())
        assert f"adapter lies beside the weights ({file})" in refused(folder)

    def test_alone(self, folder):
        for file in ("config.json", "model.safetensors"):
            (folder / file).rename(folder / f"adapter_{file.removesuffix('.safetensors')}")
        assert "holds an adapter (adapter_config.json) and no model" in refused(folder)


class TestConfigs:
    @pytest.mark.parametrize(
        "name, value",
        [
            ("num_hidden_layers", -1),
            ("num_hidden_layers", 0),
            ("num_hidden_layers", "2"),
            ("num_hidden_layers", 2.5),
            ("num_attention_heads", 0),
            ("num_key_value_heads", -2),
            ("hidden_size", True),
            ("vocab_size", -25),
            ("rms_norm_eps", math.nan),
            ("rms_norm_eps", math.inf),
        ],
    )
    def test_a_number_that_counts_nothing(self, folder, name, value):
        edit(folder, **{name: value})
        assert name in refused(folder)

    @pytest.mark.parametrize(
        "changes",
        [
            {"num_attention_heads": 3},
            {"vocab_size": 10**9},
            {"hidden_size": 64},
            {"hidden_act": "no-such-thing"},
            {"rms_norm_eps": -1e9},
            {"rope_parameters": {"rope_type": "no-such-thing"}},
            {"rope_parameters": {"rope_type": "default", "rope_theta": 0.0}},
            {"rope_parameters": {"rope_type": "default", "rope_theta": -5.0}},
            {"tie_word_embeddings": "maybe?", "num_attention_heads": 10**6},
        ],
    )
    def test_other_values_that_do_not_go_together(self, folder, changes):
        edit(folder, **changes)
        refused(folder)

    def test_fewer_layers_than_weights(self, folder):
        edit(folder, num_hidden_layers=1)
        assert "describes a smaller model" in refused(folder)

    @pytest.mark.parametrize("text", ["{", "", "[1]", "nonsense", "[" * 10**5, "\x00"])
    def test_no_json(self, folder, text):
        (folder / "config.json").write_text(text)
        assert "config.json is not" in refused(folder)

    @pytest.mark.parametrize(
        "settings, told",
        [
            ({"quant_method": "bitsandbytes"}, "bitsandbytes"),
            ("int4", "int4"),
            ([1], "[1]"),
            ({"bits": 4}, "None"),
        ],
    )
    def test_quantised_weights(self, folder, settings, told):
        edit(folder, quantization_config=settings)
        assert f"quantised ({told})" in refused(folder)

    def test_an_end_that_is_no_id(self, folder):
        (folder / "generation_config.json").write_text('{"eos_token_id": "<eos>"}')
        assert "eos_token_id = '<eos>'" in refused(folder)

    def test_an_encoder_decoder(self, folder):
        edit(folder, is_encoder_decoder=True)
        assert "encoder-decoder" in refused(folder)

    def test_a_language_model_that_looks_ahead(self, folder, tmp_path):
        config = BertConfig(
            vocab_size=25, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48
        )
        BertLMHeadModel(config).save_pretrained(tmp_path / "bert")
        for file in folder.glob("tokenizer*"):
            shutil.copy(file, tmp_path / "bert")
        assert "depends on the tokens after it" in refused(tmp_path / "bert")

    def test_code_that_comes_with_the_weights(self, folder):
        edit(folder, auto_map={"AutoConfig": "x.C", "AutoModelForCausalLM": "x.M"}, model_type="own")
        assert "code that comes with the weights" in refused(folder)


class TestWeights:
    def test_a_folder_in_the_place_of_weights(self, folder):
        (folder / "model.safetensors").unlink()
        (folder / "model.safetensors").mkdir()
        assert "model.safetensors cannot be read" in refused(folder)

    def shards(self, folder):
        load_model(str(folder)).model.save_pretrained(folder, max_shard_size="20KB")
        (folder / "model.safetensors").unlink(missing_ok=True)
        return sorted(folder.glob("model-*.safetensors"))

    def test_shards_come_back_as_one_model(self, folder):
        whole = weights(load_model(str(folder)).model)
        assert len(self.shards(folder)) > 2
        assert same_weights(whole, weights(load_model(str(folder)).model))

    def test_a_missing_shard(self, folder):
        shard = self.shards(folder)[1]
        shard.unlink()
        assert f"lacks {shard.name}" in refused(folder)

    def test_a_shard_cut_off(self, folder):
        shard = self.shards(folder)[1]
        shard.write_bytes(shard.read_bytes()[:-1])
        assert shard.name in refused(folder)

    @pytest.mark.parametrize("index", [None, "{", "{}", '{"weight_map": {}}', '{"weight_map": {"a": 3}}'])
    def test_shards_without_an_index(self, folder, index):
        self.shards(folder)
        file = folder / "model.safetensors.index.json"
        file.unlink() if index is None else file.write_text(index)
        assert file.name in refused(folder)

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_numbers_that_are_none(self, folder, value):
        tensors = load_file(folder / "model.safetensors")
        tensors["model.layers.1.mlp.up_proj.weight"][3, 5] = value
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        assert "model.layers.1.mlp.up_proj.weight hold NaN or infinity" in refused(folder)

    def test_numbers_so_large_that_probabilities_are_none(self, folder):
        tensors = load_file(folder / "model.safetensors")
        tensors["model.layers.1.mlp.down_proj.weight"] *= (
            3e38 / tensors["model.layers.1.mlp.down_proj.weight"].abs().max()
        )
        tensors["model.layers.1.mlp.up_proj.weight"] *= 1e30
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        assert "computes no probabilities" in refused(folder)


class TestTokenizers:
    def test_none_there(self, folder):
        for file in folder.glob("tokenizer*"):
            file.unlink()
        assert "its tokenizer could not be loaded (none is there)" in refused(folder)

    @pytest.mark.parametrize("text", ["{", "[]", "[" * 10**5, ""])
    @pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json"])
    def test_files_that_hold_none(self, folder, file, text):
        (folder / file).write_text(text)
        assert "its tokenizer could not be loaded" in refused(folder)

    def test_more_tokens_than_embeddings(self, folder):
        model = random_model("llama").model
        model.resize_token_embeddings(20)
        model.save_pretrained(folder)
        assert "knows 25 tokens, and the model has embeddings for 20" in refused(folder)

    def test_a_padding_token_without_an_embedding(self, folder):
        tokenizer = load_model(str(folder)).tokenizer
        tokenizer.add_special_tokens({"pad_token": "<more>"})
        tokenizer.save_pretrained(folder)
        assert "pad_token has the id 25" in refused(folder)

    def test_other_added_tokens_are_refused_where_a_prompt_holds_them(self, folder):
        tokenizer = load_model(str(folder)).tokenizer
        tokenizer.add_tokens(["<image>"])
        tokenizer.save_pretrained(folder)
        loaded = load_model(str(folder))
        options = {"rollouts": 1, "max_new_tokens": 2}
        assert sample(loaded.model, loaded.tokenizer, ["1+1="], **options).texts
        with pytest.raises(InputError, match="prompts.*token 25"):
            sample(loaded.model, loaded.tokenizer, ["1+<image>="], **options)

    def test_neither_an_end_nor_padding(self, folder):
        edit_tokenizer(folder, "pad_token", "eos_token")
        end = load_model(str(folder))
        assert end.tokenizer.pad_token_id == end.tokenizer.eos_token_id == end.model.config.eos_token_id
        edit(folder, eos_token_id=None)
        (folder / "generation_config.json").unlink()
        assert "neither a padding nor an end-of-sequence token" in refused(folder)

    def test_an_end_but_no_padding_and_no_prompt_too_short(self, folder):
        edit_tokenizer(folder, "pad_token")
        loaded = load_model(str(folder))
        with pytest.raises(InputError, match="holds no token"):
            sample(loaded.model, loaded.tokenizer, [""], rollouts=1, max_new_tokens=2)
