"""What sampling and evaluation cost where vocabularies and completions are long: the law of a draw stays what it is,
and nothing is read again for every token.
"""

import math

import numpy as np
import pytest
import torch
from chats import bytes_model
from scipy.stats import chisquare

from llm_bridge import TASKS, get_task, load_model
from llm_bridge.sampling.rollouts import draw
from llm_bridge.sampling.seeding import seeded
from llm_bridge.tasks.prompts import PromptTask
from llm_bridge.training.divergence import deciding_tokens

FALSE_ALARM = 1e-4


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("most", [1, 3_000, 2**24])
def test_draws_follow_each_row_whatever_is_worked_on_at_once(most, temperature):
    rows, vocabulary, draws = 5, 1_000, 40_000
    generator = seeded(1)
    logits = 3 * torch.randn(rows, vocabulary, generator=generator)
    node = torch.randint(rows, (draws,), generator=generator)
    uniforms = torch.rand(draws, generator=generator, dtype=torch.float64)
    tokens, scores = draw(logits, node, uniforms, temperature, most)
    exact = torch.softmax(logits.double() / temperature, -1)
    assert torch.allclose(scores.double(), exact[node, tokens].log(), atol=1e-5)
    for row in range(rows):
        mine, law = tokens[node == row].numpy(), exact[row].numpy()
        common = law * len(mine) >= 8
        counts = np.bincount(mine, minlength=vocabulary)
        observed = [*counts[common], counts[~common].sum()]
        expected = [*(law[common] * len(mine)), law[~common].sum() * len(mine)]
        assert chisquare(observed, np.array(expected) * sum(observed) / sum(expected)).pvalue > FALSE_ALARM


def test_rare_tokens_of_a_large_vocabulary_are_drawn_as_often_as_they_should():
    """In float32 a cumulative sum over 152,000 tokens would lose most of these."""
    vocabulary, rare = 152_000, 1e-9
    logits = torch.full((1, vocabulary), math.log(rare))
    logits[0, 0] = math.log(1 - rare * (vocabulary - 1))
    last = 1 - rare * 10
    tokens, _ = draw(
        logits, torch.zeros(3, dtype=torch.long), torch.tensor([0.0, 0.5, last], dtype=torch.float64)
    )
    assert tokens.tolist()[:2] == [0, 0] and vocabulary - 12 <= tokens[2] <= vocabulary - 8


def test_the_size_of_a_part_changes_no_draw():
    logits, node = torch.randn(7, 50, generator=seeded(2)), torch.tensor([6, 0, 0, 3, 6, 6, 1])
    uniforms = torch.rand(7, generator=seeded(3), dtype=torch.float64)
    whole, parts = (draw(logits, node, uniforms, 1.0, most) for most in (2**24, 60))
    assert torch.equal(whole[0], parts[0]) and torch.equal(whole[1], parts[1])


def deciding(task, tokenizer):
    """(the evaluator's way, the plain way: every prefix in turn)."""

    def plain(tokens):
        for length in range(1, len(tokens)):
            if task.settled(tokenizer.decode(tokens[:length], skip_special_tokens=True)):
                return tuple(tokens[:length])
        return tuple(tokens)

    return lambda tokens: deciding_tokens(task, tokenizer, tokens), plain


@pytest.mark.parametrize("name", [name for name in TASKS if get_task(name).settles])
def test_halving_finds_the_tokens_that_decide(name):
    task, tokenizer = get_task(name), bytes_model().tokenizer
    ours, plain = deciding(task, tokenizer)
    generator = np.random.default_rng(4)
    texts = [
        (task.solution(problem) or "") + tail
        for problem in task.problems[:20]
        for tail in ("", " and", "\n7", ".x")
    ]
    pieces = [*texts, *("".join(generator.choice(list("0123 =+-x.,\n(a"), 12)) for _ in range(60))]
    for text in pieces:
        ids = tokenizer(text)["input_ids"]
        assert ours(ids) == plain(ids), text


def test_long_completions_are_not_read_again_for_every_token():
    class Counted:
        def __init__(self, tokenizer):
            self.tokenizer, self.calls = tokenizer, 0

        def decode(self, *arguments, **options):
            self.calls += 1
            return self.tokenizer.decode(*arguments, **options)

    tokenizer = Counted(load_model("addition-uncertain").tokenizer)
    ids = [5] * 2_000
    assert deciding_tokens(PromptTask(["1+1="]), tokenizer, ids) == tuple(ids) and tokenizer.calls == 0
    assert deciding_tokens(get_task("addition"), tokenizer, ids)
    assert 0 < tokenizer.calls <= math.log2(len(ids)) + 2
