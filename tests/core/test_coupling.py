"""Coupling between prompts: what a batch moves, and reading the kernel off gradients."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpening import CompoundSymmetric, InputError, NoCoupling, fit_compound_symmetric

DIRECTIONS = np.array([[1.0, -1.0, 0.0], [0.5, 0.0, -0.5], [0.0, 2.0, -2.0]])


def test_mix_moves_visited_prompts_alone_and_everyone_by_the_mean():
    dv, du = CompoundSymmetric(2.0, 0.5).mix(DIRECTIONS)
    np.testing.assert_allclose(dv, 2 * DIRECTIONS)
    np.testing.assert_allclose(du, 0.5 * np.array([0.5, 1 / 3, -2.5 / 3]))
    dv, du = CompoundSymmetric(2.0, 0.5).mix(DIRECTIONS, np.array([3.0, 1.0, 0.0]))
    np.testing.assert_allclose(dv, [[2, -2, 0], [1, 0, -1], [0, 0, 0]])
    np.testing.assert_allclose(du, 0.5 * np.array([3.5, -3, -0.5]) / 4)


def test_no_coupling_moves_nothing_shared():
    dv, du = NoCoupling(3.0).mix(DIRECTIONS)
    np.testing.assert_allclose(dv, 3 * DIRECTIONS)
    assert np.all(np.asarray(du) == 0) and NoCoupling().shared == 0


def test_a_batch_mean_objective_divides_the_private_part_by_the_batch():
    """Sum over the batch of K(x', x) g_x / B, for x' in the batch and outside, against the kernel written
    out.
    """
    kernel, batch = CompoundSymmetric(3.0, 0.2), len(DIRECTIONS)
    full = 3.0 * np.eye(batch) + 0.2
    dv, du = kernel.for_batch(batch).mix(DIRECTIONS)
    np.testing.assert_allclose(np.asarray(dv) + np.asarray(du)[None], full @ DIRECTIONS / batch)


@given(st.floats(0.01, 5), st.floats(0.01, 5), st.integers(0, 10**6))
def test_fit_recovers_planted_strengths_exactly_without_noise(private, shared, seed):
    g = np.random.default_rng(seed).standard_normal((12, 5))
    answer_gram = g @ g.T
    fit = fit_compound_symmetric((private * np.eye(12) + shared) * answer_gram, answer_gram)
    np.testing.assert_allclose([fit.coupling.private, fit.coupling.shared], [private, shared], rtol=1e-8)
    assert fit.residual < 1e-8 and fit.private_std < 1e-6 and fit.shared_std < 1e-6


def test_fit_recovers_planted_strengths_from_parameter_gradients_within_its_own_spread():
    """Features phi_x = sqrt(shared) common + sqrt(private) own, gradients sum_a g_xa phi_xa in 3,000
    parameters: <.,.> has the planted kernel up to noise. Twenty draws: |error| < 2 standard errors in at
    least fourteen (false alarm about 1e-3 were the errors Gaussian).
    """
    private, shared, prompts, answers, parameters = 1.0, 0.3, 40, 6, 3000
    hits, estimates = 0, []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        g = rng.standard_normal((prompts, answers))
        common = rng.standard_normal((answers, parameters)) / np.sqrt(parameters)
        own = rng.standard_normal((prompts, answers, parameters)) / np.sqrt(parameters)
        gradients = np.einsum("xa,xap->xp", g, np.sqrt(shared) * common + np.sqrt(private) * own)
        fit = fit_compound_symmetric(gradients @ gradients.T, g @ g.T)
        estimates.append([fit.coupling.private, fit.coupling.shared])
        hits += abs(fit.coupling.shared - shared) < 2 * fit.shared_std
    np.testing.assert_allclose(np.mean(estimates, axis=0), [private, shared], rtol=0.05)
    assert hits >= 14


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_fit_is_the_constrained_least_squares_optimum(seed):
    """No pair on a grid of strengths >= 0 has a smaller squared error, whatever the matrix."""
    rng = np.random.default_rng(seed)
    gram, g = rng.standard_normal((6, 6)), rng.standard_normal((6, 3))
    gram, answer_gram = gram + gram.T, g @ g.T
    fit = fit_compound_symmetric(gram, answer_gram).coupling
    error = lambda p, s: np.sum((gram - (p * np.eye(6) + s) * answer_gram) ** 2)  # noqa: E731
    grid = np.linspace(0, 4, 41)
    assert fit.private >= 0 and fit.shared >= 0
    assert error(fit.private, fit.shared) <= min(error(p, s) for p in grid for s in grid) + 1e-9


def test_bad_matrices_and_strengths_are_refused():
    good = np.eye(3)
    for gram, answer_gram in (
        (good[:2], good),
        (good, np.eye(4)),
        (np.full((3, 3), np.nan), good),
        (good, np.zeros((3, 3))),
        (np.triu(np.ones((3, 3))), good),
    ):
        with pytest.raises(InputError):
            fit_compound_symmetric(gram, answer_gram)
    for make in (
        lambda: CompoundSymmetric(-1.0, 0.0),
        lambda: CompoundSymmetric(1.0, np.inf),
        lambda: NoCoupling(-1.0),
        lambda: NoCoupling().for_batch(0),
    ):
        with pytest.raises(InputError):
            make()
