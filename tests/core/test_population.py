"""Populations: estimation from samples, the numbers read off them, what they refuse."""

import math
from itertools import pairwise

import jax
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sharpening import CompoundSymmetric, InputError, Population, exact_metrics, summarize
from sharpening.testing import answer_groups, populations

THREE = Population(
    np.log([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3]]), np.array([[True, False, False], [False, False, True]])
)


def test_numbers_by_hand():
    np.testing.assert_allclose(THREE.margin, [np.log(0.5 / 0.3), np.log(0.3 / 0.6)])
    assert THREE.mode.tolist() == [0, 1]
    np.testing.assert_allclose([THREE.accuracy, THREE.alignment, THREE.base_rate_floor], [0.4, 0.5, 0.5])
    np.testing.assert_allclose(THREE.entropy[0], -(0.5 * np.log(0.5) + 0.3 * np.log(0.3) + 0.2 * np.log(0.2)))
    np.testing.assert_allclose(THREE.kl_budget, [-np.log(0.5), -np.log(0.6)])
    weighted = THREE.replace(weights=np.array([3.0, 1.0]))
    np.testing.assert_allclose(
        [weighted.accuracy, weighted.alignment, weighted.base_rate_floor], [0.45, 0.75, 0.75]
    )


def test_no_answer_never_leads_whatever_its_mass():
    silent = Population(np.log([[0.2, 0.1, 0.7]]), np.array([[True, False, False]]), no_answer=-1)
    assert silent.no_answer == 2 and silent.mode.tolist() == [0] and silent.alignment == 1
    np.testing.assert_allclose(silent.margin, [np.log(2)])
    np.testing.assert_allclose(silent.kl_budget, [-np.log(0.2)])
    with pytest.raises(InputError, match="no_answer"):
        Population(np.log([[0.2, 0.8]]), np.array([[False, True]]), no_answer=1)


def test_a_tie_is_shared():
    tied = Population(np.log([[0.4, 0.4, 0.2]]), np.array([[False, True, False]]))
    assert (
        tied.alignment == 0.5
        and tied.leaders.tolist() == [[True, True, False]]
        and tied.margin.tolist() == [0.0]
    )


@given(populations())
def test_summaries_agree_with_the_metrics_of_the_population_vote(population):
    metrics = summarize(
        exact_metrics(population.log_probs, population.correct, no_answer=population.no_answer),
        population.prompt_weights,
    )
    np.testing.assert_allclose(population.accuracy, metrics["accuracy"], atol=1e-12)
    np.testing.assert_allclose(population.alignment, metrics["label_accuracy"], atol=1e-12)
    np.testing.assert_allclose(population.prompt_weights @ population.entropy, metrics["entropy"], atol=1e-12)


@given(populations())
def test_margin_is_positive_exactly_where_every_leader_is_correct(population):
    correct_leaders = (population.leaders & population.correct).sum(axis=1)
    wins = (correct_leaders > 0) & (correct_leaders == population.leaders.sum(axis=1))
    assert np.array_equal(population.margin > 0, wins)


@given(answer_groups(num_answers=4))
def test_samples_give_the_plug_in_estimate_plus_pooled_pseudocounts(answers):
    population = Population.from_samples(answers, 4, pseudocount=0.5)
    columns = 5 if (answers == -1).any() else 4
    assert population.num_answers == columns and population.no_answer == (4 if columns == 5 else None)
    counts = np.array([[np.sum(row == (a if a < 4 else -1)) for a in range(columns)] for row in answers])
    prior = (counts.sum(0) + 1) / (answers.size + columns)
    expected = (counts + 0.5 * prior) / (answers.shape[1] + 0.5)
    np.testing.assert_allclose(population.probs, expected, rtol=1e-9)
    np.testing.assert_allclose(
        Population.from_samples(answers, 4, pseudocount=0).probs, counts / answers.shape[1], atol=1e-12
    )


def test_many_samples_recover_the_policy_and_its_accuracy():
    rng = np.random.default_rng(0)
    truth = np.array([1, 0])
    probs = np.array([[0.1, 0.6, 0.3], [0.2, 0.7, 0.1]])
    answers = np.stack([rng.choice(3, 20_000, p=p) for p in probs])
    population = Population.from_samples(answers, 3, truth)
    np.testing.assert_allclose(population.probs, probs, atol=0.02)
    np.testing.assert_allclose(population.accuracy, 0.4, atol=0.02)
    assert population.alignment == 0.5


@pytest.mark.parametrize(
    "strength, alignment, accuracy", [(1.6, 0.33, 0.19), (2.0, 0.42, 0.25), (2.8, 0.64, 0.41)]
)
def test_synthetic_priors_have_the_strength_they_promise(strength, alignment, accuracy):
    prior = Population.synthetic(7, 4000, 50, strength=strength)
    np.testing.assert_allclose([prior.alignment, prior.accuracy], [alignment, accuracy], atol=0.03)
    counts = prior.correct.sum(axis=0)
    assert (
        prior.correct.sum(axis=1).max() == 1 and np.sum((counts - 80) ** 2 / 80) < 100
    )  # chi-square, 49 degrees: p about 2e-5


def test_sharpness_scales_margins_and_leaves_alignment():
    soft, sharp = (Population.synthetic(1, 300, 10, sharpness=s) for s in (1.0, 2.5))
    np.testing.assert_allclose(sharp.margin, 2.5 * soft.margin)
    assert sharp.alignment == soft.alignment


@given(
    st.integers(0, 2**31),
    st.integers(1, 60),
    st.integers(2, 9),
    st.lists(st.floats(0, 1), min_size=2, max_size=5),
)
@example(3, 40, 5, [0.0, 0.0125, 0.5, 1.0])
def test_the_dial_of_alignment_moves_truth_only_and_one_way(seed, num_prompts, num_answers, dials):
    plain = Population.synthetic(seed, num_prompts, num_answers)
    priors = [Population.synthetic(seed, num_prompts, num_answers, alignment=dial) for dial in sorted(dials)]
    aligned = [prior.correct[np.arange(num_prompts), prior.mode] for prior in priors]
    for dial, prior, now in zip(sorted(dials), priors, aligned, strict=True):
        np.testing.assert_array_equal(prior.log_probs, plain.log_probs)
        assert abs(prior.alignment - dial) <= 0.5 / num_prompts + 1e-12 and prior.correct.sum() == num_prompts
        kept = ~now & (plain.correct.argmax(axis=1) != plain.mode)
        np.testing.assert_array_equal(prior.correct[kept], plain.correct[kept])
    for (lower, before), (higher, after) in pairwise(zip(priors, aligned, strict=True)):
        assert np.all(after >= before) and higher.accuracy >= lower.accuracy - 1e-12
    for end in (0, 1):
        prior = Population.synthetic(seed, num_prompts, num_answers, alignment=end)
        assert np.all(prior.correct[np.arange(num_prompts), prior.mode] == bool(end))


def test_alignment_does_not_depend_on_confidence():
    """4,000 prompts: the aligned half is as sure of itself as the other, to four standard errors."""
    prior = Population.synthetic(5, 4000, 20, alignment=0.5)
    right = prior.correct[np.arange(4000), prior.mode]
    sure = prior.probs.max(axis=1)
    gap = sure[right].mean() - sure[~right].mean()
    assert abs(gap) < 4 * sure.std() * np.sqrt(1 / right.sum() + 1 / (~right).sum())


@pytest.mark.parametrize("dial", [-0.1, 1.1, float("nan"), "half"])
def test_a_dial_outside_its_range_is_refused(dial):
    with pytest.raises(InputError) as caught:
        Population.synthetic(0, 5, alignment=dial)
    assert caught.value.argument == "alignment"


def test_synthetic_takes_jax_keys_and_seeds_and_is_reproducible():
    key = jax.random.key(3)
    assert np.array_equal(
        Population.synthetic(key, 5, 4).log_probs, Population.synthetic(key, 5, 4).log_probs
    )
    assert not np.array_equal(
        Population.synthetic(0, 5, 4).log_probs, Population.synthetic(1, 5, 4).log_probs
    )
    coupled = Population.synthetic(0, 5, 4, coupling=CompoundSymmetric(1.0, 0.5))
    assert coupled.coupling.shared == 0.5 and coupled.select(slice(2, None)).num_prompts == 3


BAD = {
    "log_probs: shape": lambda: Population(np.zeros(3)),
    "log_probs: not normalised": lambda: Population(np.zeros((1, 2))),
    "log_probs: NaN": lambda: Population(np.array([[np.nan, 0.0]])),
    "log_probs: empty row": lambda: Population(np.full((1, 2), -np.inf)),
    "correct: dtype": lambda: Population(np.log([[0.5, 0.5]]), np.array([[1, 0]])),
    "weights: sum": lambda: THREE.replace(weights=np.zeros(2)),
    "answer_names: length": lambda: THREE.replace(answer_names=("a",)),
    "no_answer: range": lambda: THREE.replace(no_answer=3),
    "answers: range": lambda: Population.from_samples(np.array([[0, 5]]), 3),
    "truth: range": lambda: Population.from_samples(np.array([[0, 1]]), 3, np.array([3])),
    "counts: negative": lambda: Population.from_counts(np.array([[-1.0, 2.0]])),
    "counts: empty prompt": lambda: Population.from_counts(np.zeros((1, 2)), pseudocount=0),
    "pseudocount: negative": lambda: Population.from_counts(np.ones((1, 2)), pseudocount=-1),
    "correct: no labels": lambda: THREE.replace(correct=None).accuracy,
    "num_prompts: none": lambda: Population.synthetic(0, 0, 5),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_by_name(case):
    with pytest.raises(InputError) as caught:
        BAD[case]()
    assert case.split(":")[0] in caught.value.argument


def test_a_float32_prior_is_normalised_in_float64():
    """A float32 log-softmax is off by 1e-7, which a theorem's 1e-9 would see; what is exact is left alone."""
    logits = np.random.default_rng(0).standard_normal((64, 40)).astype(np.float32) * 3
    shifted = logits - logits.max(axis=1, keepdims=True)
    coarse = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True, dtype=np.float32))
    assert coarse.dtype == np.float32
    population = Population(coarse)
    assert np.abs(np.log(population.probs.sum(axis=1))).max() < 1e-14
    assert np.abs(population.log_probs - coarse).max() < 1e-6
    np.testing.assert_array_equal(population.replace().log_probs, population.log_probs)
    exact = Population.from_logits(logits).log_probs
    np.testing.assert_array_equal(Population(exact).log_probs, exact)
    with pytest.raises(ValueError, match="1e-06"):
        Population(coarse + 2e-6)


def test_a_float32_prior_keeps_every_theorem_true():
    from sharpening import VerdictStatus, list_theorems

    logits = np.random.default_rng(1).standard_normal((8, 5)).astype(np.float32) * 2
    coarse = (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)
    population = Population(coarse, np.arange(5) == np.arange(8)[:, None] % 5)
    for theorem in list_theorems():
        verdict = theorem.check(population, step_size=0.5)
        assert verdict.status in (VerdictStatus.HOLDS, VerdictStatus.VIOLATED), (theorem.name, verdict)


@given(st.integers(1, 5).flatmap(lambda k: arrays(np.float64, (3, k), elements=st.floats(1e-6, 1))))
def test_probabilities_come_back(weights):
    probs = weights / weights.sum(axis=1, keepdims=True)
    assert np.allclose(Population.from_probs(probs).probs, probs, rtol=1e-12, atol=0)


@pytest.mark.parametrize("bad", [[[0.5, 0.6]], [[-0.1, 1.1]], [[math.nan, 1.0]], [0.5, 0.5], [[3, 1]], [[]]])
def test_what_is_no_distribution_is_refused(bad):
    with pytest.raises(InputError, match="probs"):
        Population.from_probs(bad)


def test_a_population_is_shown_in_one_line():
    shown = repr(Population.synthetic(0, 1024, 50))
    assert "1,024 prompts, 50 answers" in shown and "accuracy" in shown and "\n" not in shown
