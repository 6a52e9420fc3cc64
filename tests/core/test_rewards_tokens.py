"""Token statistics: what is averaged over what, the statistics of one-token answers, and what is refused."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from reward_oracle import random_case, token_table

from sharpening import InputError, TokenStatistics, get_reward
from sharpening.testing import policies

FIELDS = ("log_prob", "entropy", "uniform_cross_entropy", "gap")


def example(seed=0, **changes):
    case = random_case(seed)
    fields = dict(mask=case.mask, answer_mask=case.answer_mask, vocab_size=5, **token_table(case))
    return TokenStatistics(**fields | changes)


def test_means_and_totals_read_existing_tokens_only():
    """The other positions hold NaN."""
    tokens = example()
    values = tokens.log_prob
    for (i, r), total in np.ndenumerate(tokens.total(values)):
        kept = values[i, r][tokens.mask[i, r]]
        spelled = values[i, r][tokens.mask[i, r] & tokens.answer_mask[i, r]]
        assert total == pytest.approx(sum(kept)) and tokens.mean(values)[i, r] == pytest.approx(
            sum(kept) / len(kept)
        )
        assert tokens.lengths[i, r] == len(kept)
        assert tokens.mean(values, tokens.answer_mask)[i, r] == pytest.approx(
            sum(spelled) / max(len(spelled), 1)
        )
    assert tokens.mean(values, tokens.answer_mask)[0, 0] == 0  # no token spells an answer there


@given(policies(faces=True))
def test_one_token_answers_by_hand(log_probs):
    size = log_probs.shape[1]
    columns = np.tile(np.arange(size), (len(log_probs), 1))
    tokens = TokenStatistics.of_categorical(log_probs, columns)
    assert tokens.vocab_size == size and tokens.mask.shape == (*log_probs.shape, 1) and tokens.mask.all()
    for i, row in enumerate(np.exp(log_probs)):
        possible = [float(z) for z in log_probs[i] if z > -np.inf]
        top = sorted([*row, 0.0])
        expected = dict(
            log_prob=[z if z > -np.inf else min(possible) for z in log_probs[i]],
            entropy=[-sum(math.exp(z) * z for z in possible)] * size,
            uniform_cross_entropy=[-(sum(possible) - 745.0 * (size - len(possible))) / size] * size,
            gap=[top[-1] - top[-2]] * size,
        )
        for name, values in expected.items():
            np.testing.assert_allclose(
                getattr(tokens, name)[i, :, 0], values, rtol=1e-12, atol=1e-12, err_msg=name
            )


@given(policies(2, 5))
def test_gibbs_and_jensen(log_probs):
    """H(uniform, pi) >= log V, with equality for uniform only; 0 <= H(pi, pi) <= log V; 0 <= gap <= 1."""
    tokens = TokenStatistics.of_categorical(log_probs, np.zeros((2, 1), dtype=int))
    assert (tokens.uniform_cross_entropy >= math.log(5) - 1e-9).all()
    assert (tokens.entropy >= 0).all() and (tokens.entropy <= math.log(5) + 1e-9).all()
    assert (tokens.gap >= 0).all() and (tokens.gap <= 1).all()


def test_it_is_a_pytree():
    tokens = example()
    moved = jax.jit(lambda t: jax.tree.map(lambda x: x + 0 if x.dtype != bool else x, t))(tokens)
    assert isinstance(moved, TokenStatistics) and moved.vocab_size == 5
    for name in (*FIELDS, "mask", "answer_mask"):
        np.testing.assert_array_equal(getattr(moved, name), getattr(tokens, name))
    stacked = jax.tree.map(lambda x: jnp.stack([x, x]), tokens)
    entropies = jax.vmap(lambda t: get_reward("token-entropy").group(None, tokens=t))(stacked)
    np.testing.assert_allclose(
        entropies[1], get_reward("token-entropy").group(None, tokens=tokens), rtol=1e-12
    )
    assert jax.tree.structure(example(answer_mask=None)) != jax.tree.structure(tokens)


def test_prompts_can_be_selected():
    chosen = example().select([2, 0])
    np.testing.assert_array_equal(chosen.mask, example().mask[[2, 0]])
    np.testing.assert_array_equal(chosen.gap, example().gap[[2, 0]])
    assert example(answer_mask=None).select(slice(1)).answer_mask is None


@pytest.mark.parametrize("name", [*FIELDS, "answer_mask"])
def test_shapes_must_agree(name):
    with pytest.raises(InputError, match=name):
        example(**{name: np.zeros((3, 6, 5), dtype=bool)})
    with pytest.raises(InputError, match="mask"):
        example(mask=np.ones((3, 6), dtype=bool))
