"""Rewards that compare rephrasings of a question, in simulation: whose votes count, what is drawn together,
and what is refused.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpening import (
    CompoundSymmetric,
    InputError,
    KLProx,
    NaturalGradient,
    Population,
    get_reward,
    simulate,
)

QUESTIONS = np.repeat(np.arange(12), 2)


def population(seed: int, questions=QUESTIONS, **fields) -> Population:
    rng = np.random.default_rng(seed)
    truth = np.repeat(rng.integers(4, size=12), 2)
    return Population.from_logits(
        1.5 * rng.standard_normal((24, 4)), np.eye(4, dtype=bool)[truth], questions=questions, **fields
    )


def elected(prior: Population, wordings: int) -> np.ndarray:
    """The heaviest answer of each question's mean policy, for each of its wordings."""
    mean = prior.probs.reshape(-1, wordings, prior.num_answers).mean(axis=1)
    return np.repeat(mean.argmax(axis=1), wordings)


@given(seed=st.integers(0, 10_000))
def test_every_wording_ends_on_the_answer_that_the_question_elects(seed):
    prior = population(seed)
    ends = simulate(prior, "rephrased-majority", KLProx(1.0), num_steps=60, eval_every=60)
    chosen = elected(prior, 2)
    assert ends["accuracy"][-1] == pytest.approx(np.mean(prior.correct[np.arange(24), chosen]), abs=1e-6)
    assert ends["mode_retention"][-1] == pytest.approx(np.mean(chosen == prior.mode), abs=1e-9)


def test_one_wording_each_is_the_plain_vote():
    alone, plain = population(1, np.arange(24)), population(1, None)
    for method in ("exact", "sampled"):
        run = dict(num_steps=20, eval_every=5, method=method, prompts_per_step=8)
        one, other = (
            simulate(p, r, KLProx(1.0), **run)
            for p, r in ((alone, "rephrased-majority"), (plain, "majority"))
        )
        for name in ("accuracy", "entropy", "mode_retention"):
            np.testing.assert_allclose(one[name], other[name], atol=1e-12)


def test_a_step_holds_whole_questions():
    """Under cross votes a wording whose partner is not in the step earns nothing, so a question drawn apart
    would not move.
    """
    prior = population(3, coupling=CompoundSymmetric(1.0, 0.0))
    moved = simulate(
        prior,
        "rephrased-majority(cross=True)",
        NaturalGradient(0.5, "group"),
        num_steps=200,
        eval_every=200,
        method="sampled",
        prompts_per_step=2,
        rollouts=64,
        dataset_size=12,
    )
    assert moved["train_entropy"][-1] < 0.1 * moved["train_entropy"][0]


def test_sampled_votes_of_many_rollouts_are_the_exact_ones():
    prior = population(4, coupling=CompoundSymmetric(1.0, 0.1))
    run = dict(num_steps=6, eval_every=6, dataset_size=22)
    exact = simulate(
        prior, "rephrased-majority", NaturalGradient(0.2), method="mean_field", prompts_per_step=22, **run
    )
    drawn = simulate(
        prior,
        "rephrased-majority",
        NaturalGradient(0.2),
        method="sampled",
        prompts_per_step=22,
        rollouts=300,
        **run,
    )
    for name in ("train_accuracy", "train_entropy", "entropy"):
        np.testing.assert_allclose(drawn[name], exact[name], atol=0.05)


def test_select_keeps_the_ids_and_counts_wordings():
    prior = population(5)
    assert prior.rephrasings == 2 and population(5, None).rephrasings == 1
    np.testing.assert_array_equal(prior.select(slice(4, 8)).questions, [2, 2, 3, 3])


@pytest.mark.parametrize(
    "questions", [[0, 1] * 12, np.arange(23), np.repeat(np.arange(12), 2) / 2, [0] * 3 + [1] * 21]
)
def test_ids_that_do_not_lie_side_by_side_are_refused(questions):
    with pytest.raises(InputError, match="questions"):
        population(0, np.asarray(questions))


@pytest.mark.parametrize("changed", [{"prompts_per_step": 7}, {"dataset_size": 9}])
def test_half_a_question_is_refused(changed):
    run = dict(num_steps=2, method="sampled", prompts_per_step=8) | changed
    with pytest.raises(InputError, match="rephrasings"):
        simulate(population(0), "rephrased-majority", KLProx(1.0), **run)
    assert simulate(population(0), get_reward("majority"), KLProx(1.0), **run).step[-1] == 2
