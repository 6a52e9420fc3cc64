"""Token statistics against a float64 oracle, and the laws that chunks, padding, shift and temperature must
keep.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import random_model

from llm_bridge.sampling.forward import completion_statistics, next_token_logits
from llm_bridge.sampling.rollouts import sample, sequence_log_probs
from llm_bridge.sampling.token_statistics import hidden_statistics, token_statistics
from sharpening import InputError

FIELDS = ("log_prob", "entropy", "uniform_cross_entropy", "gap")


def oracle(logits, token_ids, temperature):
    """The four numbers of each token by loops over float64 NumPy rows; imports nothing of ours."""
    logits, found = (
        np.asarray(logits, dtype=np.float64),
        {name: np.zeros(np.shape(token_ids)) for name in FIELDS},
    )
    for place in np.ndindex(*np.shape(token_ids)):
        row = logits[place] / temperature
        log_probs = row - row.max() - np.log(np.sum(np.exp(row - row.max())))
        top = np.sort(np.exp(log_probs))[::-1]
        found["log_prob"][place] = log_probs[token_ids[place]]
        found["entropy"][place] = -np.sum(np.exp(log_probs) * log_probs)
        found["uniform_cross_entropy"][place] = -log_probs.mean()
        found["gap"][place] = top[0] - (top[1] if len(top) > 1 else 0.0)
    return found


def batch(vocabulary, rows=4, tokens=5, seed=0, scale=4.0, offset=0.0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, tokens + 1, vocabulary, generator=generator) * scale + offset
    return (
        logits,
        torch.randint(vocabulary, (rows, tokens), generator=generator),
        torch.rand(rows, tokens, generator=generator) < 0.7,
    )


def close(found, expected, mask, tolerance):
    for name in FIELDS:
        difference = np.abs(
            np.asarray(getattr(found, name)).reshape(mask.shape) - np.where(mask, expected[name], 0.0)
        )
        assert difference.max() < tolerance, (name, difference.max())


@given(
    vocabulary=st.sampled_from([1, 2, 3, 23, 255, 256, 1023, 1024, 1025, 1300]),
    temperature=st.sampled_from([0.3, 1.0, 1.7]),
    chunk=st.sampled_from([1, 300, 2000, 5000, 2**20]),
    seed=st.integers(0, 10**6),
    offset=st.sampled_from([0.0, 40.0, -40.0]),
)
@settings(max_examples=60, deadline=None)
def test_are_those_of_the_oracle_whatever_the_chunk(vocabulary, temperature, chunk, seed, offset):
    """float32 against float64: 1e-4 nats at logits up to about 60 (half a unit in the last place of 60 is
    2e-6).
    """
    logits, token_ids, mask = batch(vocabulary, seed=seed, offset=offset)
    found = token_statistics(logits, token_ids, mask, rollouts=2, temperature=temperature, chunk=chunk)
    assert found.mask.shape == (2, 2, 5) and found.vocab_size == vocabulary
    assert torch.equal(found.mask.reshape(4, 5), mask)
    close(found, oracle(logits[:, :-1], token_ids.numpy(), temperature), mask.numpy(), 1e-4)


def test_are_those_of_the_oracle_at_the_size_of_a_real_vocabulary():
    """50,257 is no multiple of a block, so the last part of the vocabulary is looked at too: here it holds
    the two largest numbers.
    """
    logits, token_ids, _ = batch(50_257, rows=2, tokens=3)
    logits[0, 0, -1], logits[0, 0, -2] = 60.0, 59.0
    logits[0, 1, 0], logits[0, 1, -1] = 60.0, 59.5
    logits[0, 2, 10], logits[0, 2, 11] = 60.0, 60.0
    found = token_statistics(logits, token_ids, rollouts=1)
    close(found, oracle(logits[:, :-1], token_ids.numpy(), 1.0), np.ones((2, 3), dtype=bool), 1e-4)
    assert found.gap[0, 0, 2] == 0


def test_sign_and_anchor_are_pinned_by_policies_known_by_heart():
    """Uniform: H = H(uniform, π) = log V, gap 0. A quarter and three quarters: by hand."""
    uniform = token_statistics(torch.zeros(1, 2, 7), torch.tensor([[3]]), rollouts=1)
    assert [float(getattr(uniform, name)) for name in FIELDS] == pytest.approx(
        [-np.log(7), np.log(7), np.log(7), 0.0], abs=1e-6
    )
    logits = torch.tensor([[[0.75, 0.25], [9.0, 9.0]]]).log()
    found = token_statistics(logits, torch.tensor([[1]]), rollouts=1)
    entropy = -0.75 * np.log(0.75) - 0.25 * np.log(0.25)
    expected = [np.log(0.25), entropy, -0.5 * (np.log(0.75) + np.log(0.25)), 0.5]
    assert [float(getattr(found, name)) for name in FIELDS] == pytest.approx(expected, abs=1e-6)


class TestShift:
    def test_each_token_is_scored_by_the_logit_before_it_and_the_last_logit_is_not_read(self):
        logits, token_ids, _ = batch(11)
        first = token_statistics(logits, token_ids, rollouts=1)
        logits[:, -1] = torch.nan
        again = token_statistics(logits, token_ids, rollouts=1)
        assert all(torch.equal(getattr(first, name), getattr(again, name)) for name in FIELDS)
        expected = logits[:, :-1].double().log_softmax(-1).gather(2, token_ids[..., None])[..., 0]
        assert torch.allclose(first.log_prob[:, 0].double(), expected, atol=1e-5)

    @pytest.mark.parametrize("tokens", [4, 6])
    def test_as_many_logits_as_tokens_are_refused(self, tokens):
        """The published mistake: one logit too many is scored, or all are shifted by one."""
        logits, _, _ = batch(11)
        with pytest.raises(InputError, match="predicted by the position before it"):
            token_statistics(logits, torch.zeros((4, tokens), dtype=torch.long), rollouts=1)

    def test_the_model_itself_is_read_without_a_shift(self):
        """Against the log-probabilities under which its own sampler drew the tokens."""
        loaded = random_model("llama")
        drawn = sample(
            loaded.model,
            loaded.tokenizer,
            ["12+3=", "4+5="],
            rollouts=3,
            max_new_tokens=5,
            temperature=0.8,
            generator=torch.Generator().manual_seed(1),
        )
        found = completion_statistics(
            loaded.model, loaded.tokenizer, drawn.prompt_ids, drawn.token_ids, temperature=0.8
        )
        for p, group in enumerate(drawn.token_log_probs):
            for r, scores in enumerate(group):
                assert found.log_prob[p, r][found.mask[p, r]].tolist() == pytest.approx(scores, abs=1e-5)


def test_impossible_tokens_count_as_a_finite_number():
    logits = torch.tensor([[[0.0, 0.0, -torch.inf], [0.0, 0.0, 0.0]]])
    found = token_statistics(logits, torch.tensor([[0]]), rollouts=1)
    assert [float(getattr(found, name)) for name in ("log_prob", "entropy", "gap")] == pytest.approx(
        [-np.log(2), np.log(2), 0], abs=1e-6
    )
    assert float(found.uniform_cross_entropy) == pytest.approx((2 * np.log(2) + 745) / 3, abs=1e-3)


def test_half_precision_is_widened_first():
    logits, token_ids, mask = batch(1300)
    half = logits.to(torch.bfloat16)
    found = token_statistics(half, token_ids, mask, rollouts=2)
    close(found, oracle(half[:, :-1].float(), token_ids.numpy(), 1.0), mask.numpy(), 1e-4)


def test_the_logits_are_left_alone_and_no_gradient_is_kept():
    logits, token_ids, mask = batch(1300)
    before = logits.clone()
    found = token_statistics(logits.requires_grad_(), token_ids, mask, rollouts=2, temperature=0.5)
    assert torch.equal(logits, before) and not found.entropy.requires_grad


def test_hidden_states_and_an_output_layer_give_the_same():
    generator = torch.Generator().manual_seed(3)
    head, hidden = torch.nn.Linear(8, 300), torch.randn(4, 6, 8, generator=generator)
    _, token_ids, mask = batch(300)
    whole = token_statistics(head(hidden), token_ids, mask, rollouts=2, temperature=0.7)
    for chunk in (300, 1500, 2**20):
        found = hidden_statistics(hidden, head, token_ids, mask, rollouts=2, temperature=0.7, chunk=chunk)
        assert all(torch.allclose(getattr(found, name), getattr(whole, name), atol=1e-5) for name in FIELDS)


def test_memory_beside_the_logits_does_not_grow_with_them():
    """Peak resident memory of 16 × 71 tokens × 49,152 logits (226 MB) in a process of its own: two chunks,
    not another copy.
    """
    script = Path(__file__).parents[2] / "studies" / "benchmarks" / "token_statistics.py"
    done = subprocess.run(
        [sys.executable, str(script), "--memory", "ours", "--batch", "16"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout) < 40


def test_what_does_not_fit_is_refused():
    logits, token_ids, mask = batch(11)
    for arguments, options, named in [
        ((logits[0], token_ids, mask), {}, "logits"),
        ((logits, token_ids, mask[:, :-1]), {}, "mask"),
        ((logits, token_ids, mask), {"rollouts": 3}, "whole groups"),
        ((logits, token_ids, mask), {"temperature": 0.0}, "temperature"),
    ]:
        with pytest.raises(InputError, match=named):
            token_statistics(*arguments, **{"rollouts": 2, **options})


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
class TestCompletions:
    PROMPTS, GROUPS = ["1+2=", "34+56="], [["3", "12"], ["90", "7,7,7,7"]]

    def ids(self, loaded):
        encode = lambda text: loaded.tokenizer(text)["input_ids"]  # noqa: E731
        return [encode(prompt) for prompt in self.PROMPTS], [
            [encode(text) for text in group] for group in self.GROUPS
        ]

    def test_padding_and_parts_change_nothing(self, architecture):
        """The batch as one, one sequence a forward pass, and each completion alone, unpadded."""
        loaded = random_model(architecture)
        prompts, groups = self.ids(loaded)
        whole = completion_statistics(loaded.model, loaded.tokenizer, prompts, groups, temperature=1.3)
        parts = completion_statistics(
            loaded.model, loaded.tokenizer, prompts, groups, temperature=1.3, logits=1
        )
        assert torch.equal(whole.mask, parts.mask) and whole.mask.sum(2).tolist() == [[1, 2], [2, 7]]
        for p, prompt in enumerate(prompts):
            for r, completion in enumerate(groups[p]):
                alone = completion_statistics(
                    loaded.model, loaded.tokenizer, [prompt], [[completion]], temperature=1.3
                )
                for name in FIELDS:
                    values = getattr(alone, name)[0, 0]
                    for other in (whole, parts):
                        assert torch.allclose(
                            getattr(other, name)[p, r][: len(completion)], values, atol=2e-5
                        ), name

    def test_totals_are_the_log_probabilities_of_the_sequences(self, architecture):
        loaded = random_model(architecture)
        prompts, groups = self.ids(loaded)
        found = completion_statistics(loaded.model, loaded.tokenizer, prompts, groups, temperature=0.7)
        expected = sequence_log_probs(
            loaded.model,
            loaded.tokenizer,
            [p for p in prompts for _ in range(2)],
            sum(groups, []),
            temperature=0.7,
        )
        assert torch.allclose(found.total(found.log_prob).reshape(-1), expected, atol=1e-4)

    def test_the_next_token_is_the_one_after_the_text(self, architecture):
        loaded = random_model(architecture)
        prompts, _ = self.ids(loaded)
        found = next_token_logits(loaded.model, loaded.tokenizer, prompts)
        for row, prompt in zip(found, prompts, strict=True):
            with torch.no_grad():
                assert torch.allclose(
                    row, loaded.model(input_ids=torch.tensor([prompt])).logits[0, -1], atol=1e-4
                )

    def test_the_mode_of_the_model_comes_back(self, architecture):
        loaded = random_model(architecture)
        prompts, groups = self.ids(loaded)
        for training in (True, False):
            loaded.model.train(training)
            completion_statistics(loaded.model, loaded.tokenizer, prompts, groups)
            assert loaded.model.training is training
