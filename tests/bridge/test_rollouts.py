"""Sampling: the law of `generate`, whatever is shared between rollouts; statistical tests at a false-alarm
rate of 1e-4, fixed seeds.
"""

import math
from collections import Counter

import pytest
import torch
from scipy.stats import chi2_contingency, chisquare
from tiny import markov_model, random_model

from llm_bridge import load_model
from llm_bridge.sampling.rollouts import end_token_ids, sample, sequence_log_probs
from sharpening import InputError

FALSE_ALARM = 1e-4
RAGGED = ["7+5=", "12+34=", "9+47="]
FEW_SHOT = [f"12+3{tail}" for tail in ("=", "4=", "9=")]  # a common prefix of four tokens, one shared cache
MODELS = ["gpt2", "llama", "addition-uncertain"]


def generator(seed):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module", params=MODELS)
def loaded(request):
    return load_model(request.param) if "-" in request.param else random_model(request.param)


def naive_next(loaded, ids, temperature=1.0):
    """log-probabilities of the next token from a plain forward pass: no padding, no cache, no batch."""
    with torch.no_grad():
        logits = loaded.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].double()
    return (logits / temperature).log_softmax(-1)


def enumerate_law(loaded, prompt, length, temperature=1.0):
    """{completion: probability} of every completion of at most `length` tokens, by walking the tree (rare
    branches in one cell).
    """
    ends, law, tree = end_token_ids(loaded.model, loaded.tokenizer), {}, [((), 0.0)]
    for depth in range(length):
        grown = []
        for tokens, mass in tree:
            for token, score in enumerate(naive_next(loaded, [*prompt, *tokens], temperature).tolist()):
                if token in ends or depth + 1 == length:
                    law[(*tokens, token)] = math.exp(mass + score)
                elif mass + score > math.log(1e-4):
                    grown.append(((*tokens, token), mass + score))
        tree = grown
    return law


def against_law(completions, law):
    """p-value of the chi-square test of draws against a law; outcomes expected fewer than 8 times share a
    cell.
    """
    counts, total = Counter(map(tuple, completions)), len(completions)
    common = {tokens: mass for tokens, mass in law.items() if mass * total >= 8}
    observed = [counts[tokens] for tokens in common]
    expected = [mass * total for mass in common.values()]
    rest = total - sum(expected)
    if rest >= 8:
        observed.append(total - sum(observed))
        expected.append(rest)
    else:
        observed[0] += total - sum(observed)
        expected[0] += rest
    assert len(observed) >= 3
    return chisquare(observed, expected).pvalue


@pytest.mark.parametrize("prompts", [RAGGED, FEW_SHOT], ids=["ragged", "shared-prefix"])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_the_law_of_completions_is_exact(loaded, prompts, temperature):
    drawn = sample(
        loaded.model,
        loaded.tokenizer,
        prompts,
        rollouts=3000,
        max_new_tokens=2,
        temperature=temperature,
        generator=generator(1),
        chunk=7000,
    )
    for prompt, group in zip(drawn.prompt_ids, drawn.token_ids, strict=True):
        assert against_law(group, enumerate_law(loaded, prompt, 2, temperature)) > FALSE_ALARM


def test_the_chi_square_notices_a_wrong_temperature(loaded):
    drawn = sample(
        loaded.model,
        loaded.tokenizer,
        RAGGED,
        rollouts=3000,
        max_new_tokens=2,
        temperature=0.85,
        generator=generator(1),
    )
    values = [
        against_law(group, enumerate_law(loaded, prompt, 2))
        for prompt, group in zip(drawn.prompt_ids, drawn.token_ids, strict=True)
    ]
    assert min(values) < FALSE_ALARM


@pytest.mark.parametrize("prompts", [RAGGED, FEW_SHOT], ids=["ragged", "shared-prefix"])
def test_the_law_is_that_of_generate(loaded, prompts):
    tokenizer, rollouts, length = loaded.tokenizer, 1500, 3
    drawn = sample(
        loaded.model, tokenizer, prompts, rollouts=rollouts, max_new_tokens=length, generator=generator(2)
    )
    batch = tokenizer(prompts, return_tensors="pt", padding=True)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(3)
        out = loaded.model.generate(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            do_sample=True,
            top_k=0,
            top_p=1.0,
            temperature=1.0,
            max_new_tokens=length,
            num_return_sequences=rollouts,
            pad_token_id=tokenizer.pad_token_id,
        )[:, batch["input_ids"].shape[1] :]
    texts = tokenizer.batch_decode(out, skip_special_tokens=True)
    for row, group in enumerate(drawn.texts):
        ours, theirs = Counter(group), Counter(texts[row * rollouts : (row + 1) * rollouts])
        common = [text for text in ours | theirs if ours[text] + theirs[text] >= 16]
        table = [
            [counts[text] for text in common] + [rollouts - sum(counts[text] for text in common)]
            for counts in (ours, theirs)
        ]
        table = [column for column in zip(*table, strict=True) if sum(column)]
        assert len(table) >= 3
        assert chi2_contingency(table).pvalue > FALSE_ALARM


def test_rollouts_of_one_prompt_are_independent():
    """Shared cache rows must not share draws: pairs of neighbouring rollouts follow the product law."""
    loaded = markov_model(
        {
            "=": {"1": 0.5, "2": 0.3, "3": 0.2},
            "1": {"4": 0.5, "5": 0.5},
            "2": {"4": 0.9, "5": 0.1},
            "3": {"5": 1.0},
        }
    )
    drawn = sample(
        loaded.model, loaded.tokenizer, ["1+1=", "="], rollouts=4000, max_new_tokens=3, generator=generator(4)
    )
    kinds = ["14", "15", "24", "25", "35"]
    for group in drawn.texts:
        table = [[0] * 5 for _ in kinds]
        for first, second in zip(group[::2], group[1::2], strict=True):
            table[kinds.index(first)][kinds.index(second)] += 1
        assert chi2_contingency(table).pvalue > FALSE_ALARM
    assert (
        chi2_contingency([[group.count(kind) for kind in kinds] for group in drawn.texts]).pvalue
        > FALSE_ALARM
    )


@pytest.mark.parametrize("prompts", [RAGGED, FEW_SHOT, RAGGED[:1]], ids=["ragged", "shared-prefix", "single"])
def test_token_log_probs_are_those_of_a_plain_forward_pass(loaded, prompts):
    drawn = sample(
        loaded.model,
        loaded.tokenizer,
        prompts,
        rollouts=3,
        max_new_tokens=4,
        temperature=0.7,
        generator=generator(5),
    )
    for prompt, group, scores in zip(drawn.prompt_ids, drawn.token_ids, drawn.token_log_probs, strict=True):
        for tokens, log_probs in zip(group, scores, strict=True):
            expected = [
                naive_next(loaded, [*prompt, *tokens[:i]], 0.7)[token].item()
                for i, token in enumerate(tokens)
            ]
            assert log_probs == pytest.approx(expected, abs=2e-4)
    assert torch.allclose(
        drawn.log_probs, torch.tensor([[sum(s) for s in group] for group in drawn.token_log_probs])
    )


@pytest.mark.parametrize("prompts", [RAGGED, FEW_SHOT], ids=["ragged", "shared-prefix"])
def test_greedy_is_generates_greedy(loaded, prompts):
    drawn = sample(loaded.model, loaded.tokenizer, prompts, rollouts=5, max_new_tokens=6, greedy=True)
    assert [len(group) for group in drawn.token_ids] == [1, 1, 1]
    for prompt, (tokens,) in zip(prompts, drawn.token_ids, strict=True):
        ids = torch.tensor([loaded.tokenizer(prompt)["input_ids"]])
        out = loaded.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=6,
            pad_token_id=loaded.tokenizer.pad_token_id,
        )
        assert tokens == out[0, ids.shape[1] :].tolist()


def test_one_seed_gives_one_set_of_draws_whatever_the_chunk(loaded):
    prompts = [f"{a}+{b}=" for a in (1, 23) for b in (4, 56, 7)]

    def draw(seed, chunk):
        return sample(
            loaded.model,
            loaded.tokenizer,
            prompts,
            rollouts=4,
            max_new_tokens=4,
            generator=generator(seed),
            chunk=chunk,
        )

    whole = draw(6, 512)
    for chunk in (1, 4, 8, 20):
        assert draw(6, chunk).token_ids == whole.token_ids
    assert draw(7, 512).token_ids != whole.token_ids


def test_the_global_random_state_and_the_training_mode_are_left_alone(loaded):
    torch.manual_seed(8)
    before = torch.get_rng_state()
    loaded.model.train()
    try:
        sample(loaded.model, loaded.tokenizer, RAGGED, rollouts=4, max_new_tokens=3, generator=generator(9))
        sample(loaded.model, loaded.tokenizer, RAGGED, rollouts=1, max_new_tokens=3, greedy=True)
        sequence_log_probs(loaded.model, loaded.tokenizer, [[3, 4]], [[5, 6]])
        assert loaded.model.training
    finally:
        loaded.model.eval()
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_is_off_while_a_training_model_is_sampled():
    loaded = random_model("gpt2")
    loaded.model.transformer.drop.p = 0.9
    loaded.model.train()
    drawn = sample(
        loaded.model, loaded.tokenizer, RAGGED, rollouts=2, max_new_tokens=3, generator=generator(10)
    )
    scores = sequence_log_probs(
        loaded.model,
        loaded.tokenizer,
        [p for p in drawn.prompt_ids for _ in range(2)],
        [ids for group in drawn.token_ids for ids in group],
    )
    assert torch.allclose(scores, drawn.log_probs.reshape(-1), atol=1e-4)


class TestEndOfSequence:
    STOPS_SOMETIMES = {"=": {"1": 1.0}, "1": {"1": 0.6, "<eos>": 0.4}}

    def test_the_end_is_kept_and_nothing_follows_it(self):
        loaded = markov_model(self.STOPS_SOMETIMES)
        drawn = sample(
            loaded.model,
            loaded.tokenizer,
            ["2=", "3+4="],
            rollouts=2000,
            max_new_tokens=5,
            generator=generator(11),
        )
        end = loaded.tokenizer.eos_token_id
        lengths = Counter()
        for group, texts in zip(drawn.token_ids, drawn.texts, strict=True):
            for ids, text in zip(group, texts, strict=True):
                assert end not in ids[:-1] and (ids[-1] == end or len(ids) == 5)
                assert text == "1" * (len(ids) - (ids[-1] == end))
                lengths[len(ids), ids[-1] == end] += 1
        law = [0.4, 0.24, 0.144, 0.0864, 0.1296]
        observed = [lengths[2, True], lengths[3, True], lengths[4, True], lengths[5, True], lengths[5, False]]
        assert (
            sum(observed) == 4000 and chisquare(observed, [4000 * mass for mass in law]).pvalue > FALSE_ALARM
        )
        assert drawn.generated_tokens == sum(length * count for (length, _), count in lengths.items())
        assert drawn.mean_length == pytest.approx(drawn.generated_tokens / 4000)

    def test_every_end_of_the_generation_config_ends_a_completion(self):
        loaded = markov_model({"=": {"1": 0.5, "2": 0.5}, "1": {"1": 1.0}, "2": {"2": 1.0}})
        one = loaded.tokenizer.get_vocab()["1"]
        loaded.model.generation_config.eos_token_id = [loaded.tokenizer.eos_token_id, one]
        drawn = sample(
            loaded.model, loaded.tokenizer, ["="], rollouts=50, max_new_tokens=3, generator=generator(12)
        )
        assert set(drawn.texts[0]) == {"1", "222"}

    def test_a_model_without_any_end_runs_to_the_limit(self):
        loaded = random_model("llama")
        loaded.model.generation_config.eos_token_id = None
        loaded.tokenizer.eos_token = None
        drawn = sample(
            loaded.model, loaded.tokenizer, RAGGED, rollouts=5, max_new_tokens=3, generator=generator(13)
        )
        assert {len(ids) for group in drawn.token_ids for ids in group} == {3}


def test_shared_continuations_are_run_once():
    """Two prompts, three sure tokens: 2 × width positions for the prompts, then one position per prompt and
    token.
    """
    loaded = markov_model({"=": {"1": 1.0}, "1": {"2": 1.0}, "2": {"3": 1.0}})
    drawn = sample(
        loaded.model, loaded.tokenizer, ["5=", "6="], rollouts=100, max_new_tokens=3, generator=generator(14)
    )
    assert drawn.forward_tokens == 2 * 2 + 2 * 2
    assert drawn.generated_tokens == 2 * 100 * 3
    shared = sample(
        loaded.model,
        loaded.tokenizer,
        ["1+1=2,5=", "1+1=2,6="],
        rollouts=100,
        max_new_tokens=3,
        generator=generator(14),
    )
    assert shared.forward_tokens == 6 + 2 * 2 + 2 * 2


class TestSequenceLogProbs:
    def pairs(self, loaded):
        prompts = [
            loaded.tokenizer(text)["input_ids"] for text in (RAGGED[0], RAGGED[1], RAGGED[0], FEW_SHOT[0])
        ]
        return prompts, [[5, 6, 7], [4], [9, 1], [3, 3, 3, 3]]

    @pytest.mark.parametrize("chunk", [1, 2, 256])
    @pytest.mark.parametrize("temperature", [1.0, 0.5])
    def test_equals_a_loop_over_pairs(self, loaded, chunk, temperature):
        prompts, completions = self.pairs(loaded)
        scores = sequence_log_probs(
            loaded.model, loaded.tokenizer, prompts, completions, temperature=temperature, chunk=chunk
        )
        expected = [
            sum(
                naive_next(loaded, [*prompt, *tokens[:i]], temperature)[token].item()
                for i, token in enumerate(tokens)
            )
            for prompt, tokens in zip(prompts, completions, strict=True)
        ]
        assert scores.tolist() == pytest.approx(expected, abs=5e-4)

    def test_single_tokens_sum_to_one(self, loaded):
        prompt = loaded.tokenizer(RAGGED[1])["input_ids"]
        size = loaded.model.config.vocab_size
        scores = sequence_log_probs(
            loaded.model,
            loaded.tokenizer,
            [prompt] * size,
            [[token] for token in range(size)],
            temperature=0.5,
        )
        assert scores.exp().sum().item() == pytest.approx(1.0, abs=1e-5)

    def test_scores_what_was_sampled(self, loaded):
        drawn = sample(
            loaded.model,
            loaded.tokenizer,
            FEW_SHOT,
            rollouts=6,
            max_new_tokens=4,
            temperature=1.3,
            generator=generator(15),
        )
        scores = sequence_log_probs(
            loaded.model,
            loaded.tokenizer,
            [p for p in drawn.prompt_ids for _ in range(6)],
            [ids for group in drawn.token_ids for ids in group],
            temperature=1.3,
        )
        assert torch.allclose(scores.reshape(3, 6), drawn.log_probs, atol=5e-4)


@pytest.mark.parametrize(
    "name, value",
    [
        ("rollouts", 0),
        ("max_new_tokens", 0),
        ("chunk", 0),
        ("temperature", 0.0),
        ("temperature", -1.0),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("prompts", []),
        ("prompts", ["", "1"]),
    ],
)
def test_what_cannot_be_drawn_is_refused(name, value):
    loaded = random_model("llama")
    options = {"prompts": RAGGED, "rollouts": 2, "max_new_tokens": 2} | {name: value}
    with pytest.raises(InputError, match=name):
        sample(loaded.model, loaded.tokenizer, **options)
