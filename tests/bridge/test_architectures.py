"""Sampling, scoring and statistics of many architectures against plain forward passes: sliding windows, distances in
slots, recurrent states and models without a cache change no probability and no greedy token.
"""

import pytest
import torch
from architectures import CONFIGS, DYNAMIC_ROPE, plain_log_probs, random_architecture
from tiny import save

from llm_bridge import load_model
from llm_bridge.sampling.batching import Batching, attention_reach, batching
from llm_bridge.sampling.forward import completion_statistics, next_token_logits
from llm_bridge.sampling.rollouts import sample, sequence_log_probs
from sharpening import InputError

SHARED = [f"12+34=46;{tail}" for tail in ("1=", "71+8*4-9+13=", "5+5=")]  # one prefix, rests of other lengths
RAGGED = ["7+5=", "12+34+9-8*7+1=", "9="]
TEMPERATURE, TOLERANCE = 0.7, 5e-4
LIKE_LLAMA = ("llama", "gpt2", "gpt_neox", "qwen2", "qwen3", "phi", "olmo2", "bloom", "opt")


@pytest.fixture(scope="module", params=CONFIGS)
def loaded(request):
    return random_architecture(request.param)


def draw(loaded, prompts, **options):
    options = {
        "rollouts": 3,
        "temperature": TEMPERATURE,
        "generator": torch.Generator().manual_seed(1),
    } | options
    return sample(loaded.model, loaded.tokenizer, prompts, max_new_tokens=8, **options)


@pytest.mark.parametrize("prompts", [SHARED, RAGGED], ids=["shared-prefix", "ragged"])
def test_log_probs_are_those_of_plain_forward_passes(loaded, prompts):
    """Of the draws, of `sequence_log_probs`, of `completion_statistics` and of the next token's logits."""
    drawn = draw(loaded, prompts)
    heads = [ids for ids in drawn.prompt_ids for _ in range(3)]
    tails = [ids for group in drawn.token_ids for ids in group]
    scores = [scores for group in drawn.token_log_probs for scores in group]
    plain = [plain_log_probs(loaded, *pair, TEMPERATURE) for pair in zip(heads, tails, strict=True)]
    found = [rows.gather(1, torch.tensor(ids)[:, None])[:, 0] for rows, ids in zip(plain, tails, strict=True)]
    for score, expected in zip(scores, found, strict=True):
        assert torch.allclose(torch.tensor(score).double(), expected, atol=TOLERANCE)
    totals = torch.tensor([float(expected.sum()) for expected in found])
    whole = sequence_log_probs(loaded.model, loaded.tokenizer, heads, tails, temperature=TEMPERATURE)
    assert torch.allclose(whole, totals, atol=TOLERANCE)
    statistics = completion_statistics(
        loaded.model, loaded.tokenizer, drawn.prompt_ids, drawn.token_ids, temperature=TEMPERATURE
    )
    assert torch.allclose(statistics.log_prob.sum(2).reshape(-1), totals, atol=TOLERANCE)
    nexts = next_token_logits(loaded.model, loaded.tokenizer, drawn.prompt_ids).double().log_softmax(-1)
    for row, ids in zip(nexts, drawn.prompt_ids, strict=True):
        assert torch.allclose(row, plain_log_probs(loaded, ids, [0])[0], atol=TOLERANCE)


@pytest.mark.parametrize("prompts", [SHARED, RAGGED], ids=["shared-prefix", "ragged"])
def test_greedy_tokens_are_those_of_plain_forward_passes(loaded, prompts):
    drawn = draw(loaded, prompts, greedy=True)
    for prompt, (ids,) in zip(drawn.prompt_ids, drawn.token_ids, strict=True):
        plain = plain_log_probs(loaded, prompt, ids)
        best, chosen = plain.max(1).values, plain.gather(1, torch.tensor(ids)[:, None])[:, 0]
        assert torch.allclose(best, chosen, atol=1e-5)


@pytest.mark.parametrize("name", ["llama", "mistral-window", "jamba", "openai-gpt"])
def test_one_seed_gives_one_set_of_draws_whatever_the_chunk(name):
    loaded = random_architecture(name)
    whole = draw(loaded, SHARED)
    assert draw(loaded, SHARED, chunk=3).token_ids == whole.token_ids


@pytest.mark.parametrize("name", LIKE_LLAMA)
def test_nothing_is_given_up_where_sharing_is_right(name):
    loaded = random_architecture(name)
    assert batching(loaded.model, loaded.tokenizer, [5, 17], 8) == Batching.SHARED


@pytest.mark.parametrize("name", ["mamba", "falcon_mamba", "jamba", "lfm2", "qwen3_next"])
def test_a_recurrent_model_keeps_its_cache(name):
    loaded = random_architecture(name)
    assert batching(loaded.model, loaded.tokenizer, [5, 17], 8) == Batching.EQUAL


def test_what_is_right_is_seen_before_training_too():
    """Weights at the scale of a fresh model, whose contexts hardly matter, betray distances in slots all the same."""
    loaded = random_architecture("mpt", spread=0.02)
    assert batching(loaded.model, loaded.tokenizer, [5, 17], 8) == Batching.LEFT


@pytest.mark.parametrize("size, way", [(30, Batching.SHARED), (31, Batching.EQUAL)])
def test_a_window_counts_where_sequences_outgrow_it(size, way):
    """No short sequence shows a window of 40 slots: 30 + 10 tokens fit, 31 + 10 do not."""
    loaded = random_architecture("mistral-window", sliding_window=40)
    assert attention_reach(loaded.model.config) == 40
    assert batching(loaded.model, loaded.tokenizer, [5, size], 10) == way


def test_a_long_window_is_met_by_long_prompts_only():
    loaded = random_architecture("mistral-window", sliding_window=40)
    drawn = draw(loaded, ["12+34=46;" + "7+8-" * count for count in (1, 9, 14)])
    for prompt, group, scores in zip(drawn.prompt_ids, drawn.token_ids, drawn.token_log_probs, strict=True):
        for ids, score in zip(group, scores, strict=True):
            plain = plain_log_probs(loaded, prompt, ids, TEMPERATURE).gather(1, torch.tensor(ids)[:, None])[
                :, 0
            ]
            assert torch.allclose(torch.tensor(score).double(), plain, atol=TOLERANCE)


def test_a_window_that_no_layer_uses_costs_nothing():
    loaded = random_architecture("qwen2", sliding_window=8, use_sliding_window=False, max_window_layers=1)
    assert batching(loaded.model, loaded.tokenizer, [5, 17], 8) == Batching.SHARED


def test_frequencies_that_change_with_the_length_are_refused_where_they_change():
    loaded = random_architecture("llama", **DYNAMIC_ROPE)
    with pytest.raises(InputError, match="beyond 16 tokens.*rotary"):
        draw(loaded, RAGGED)
    with pytest.raises(InputError, match="beyond 16 tokens.*rotary"):
        sequence_log_probs(loaded.model, loaded.tokenizer, [[5] * 10], [[6] * 8])
    short = sample(loaded.model, loaded.tokenizer, ["7+5=", "9="], rollouts=2, max_new_tokens=12)
    assert len(short.texts) == 2


@pytest.mark.parametrize("name", ["gpt2", "opt", "gptj", "gpt_neo", "ctrl"])
def test_more_tokens_than_a_model_has_positions_for(name):
    """96 positions, 4 + 93 − 1 of which are run: one more token and there is no place for it."""
    loaded = random_architecture(name)
    loaded.model.generation_config.eos_token_id = loaded.tokenizer.eos_token = None
    options = {"rollouts": 1, "greedy": True}
    assert (
        len(sample(loaded.model, loaded.tokenizer, ["7+5="], max_new_tokens=93, **options).token_ids[0][0])
        == 93
    )
    with pytest.raises(InputError, match="up to 97 tokens.*positions for 96"):
        sample(loaded.model, loaded.tokenizer, ["7+5="], max_new_tokens=94, **options)


def test_a_token_without_an_embedding():
    loaded = random_architecture("llama")
    with pytest.raises(InputError, match="token 999.*0 to 2"):
        sample(loaded.model, loaded.tokenizer, [[3, 4, 999]], rollouts=1, max_new_tokens=2)


@pytest.mark.parametrize("name", ["minimax", "roberta"])
def test_a_way_is_looked_at_before_it_is_taken(name):
    """Rows of MiniMax's cache are not where beam search reorders them; RoBERTa counts positions without padding
    tokens, drawn ones included.
    """
    loaded = random_architecture(name)
    for prompts in (SHARED, RAGGED):
        drawn = draw(loaded, prompts)
        for prompt, group, scores in zip(
            drawn.prompt_ids, drawn.token_ids, drawn.token_log_probs, strict=True
        ):
            for ids, score in zip(group, scores, strict=True):
                plain = plain_log_probs(loaded, prompt, ids, TEMPERATURE)
                expected = plain.gather(1, torch.tensor(ids)[:, None])[:, 0]
                assert torch.allclose(torch.tensor(score).double(), expected, atol=TOLERANCE)


def test_both_lengths_of_a_window_are_looked_at():
    """First with padding, then without, in one process: each way is verified when it is first needed."""
    loaded = random_architecture("mistral-window", sliding_window=40)
    ways = [batching(loaded.model, loaded.tokenizer, [5, size], 10) for size in (20, 60, 20)]
    assert ways == [Batching.SHARED, Batching.EQUAL, Batching.SHARED]


@pytest.mark.parametrize(
    "name", ["gpt_neo", "bloom", "mpt", "falcon-alibi", "mamba", "jamba", "gemma3_text", "xlstm"]
)
def test_a_saved_model_is_loaded_and_sampled(name, tmp_path):
    loaded = load_model(save(random_architecture(name), tmp_path))
    assert len(draw(loaded, RAGGED).texts) == 3
