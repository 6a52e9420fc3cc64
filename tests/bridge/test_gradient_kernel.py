"""From products of gradients to kernels: the low-rank kernel gives them back, and the fitted strengths know
their errors.
"""

import math

import numpy as np
import pytest
from tiny import random_model

from llm_bridge import RunSettings
from llm_bridge.console.progress import NullProgress
from llm_bridge.forecast.gradient_products import GradientProducts, GramEstimate, low_rank_kernel
from llm_bridge.forecast.probe import Cost, measure_gradients
from llm_bridge.tasks.prompts import PromptTask
from sharpening import CompoundSymmetric, InputError, LowRankPlusDiagonal


@pytest.fixture(scope="module")
def truth():
    """A kernel of rank 2 over 20 prompts × 4 answers, and gradients of unequal size, one of them 0."""
    generator = np.random.default_rng(1)
    answer_gradients = generator.standard_normal((20, 4)) * generator.uniform(0.2, 3, (20, 1))
    answer_gradients -= answer_gradients.mean(1, keepdims=True)
    answer_gradients[7] = 0
    return LowRankPlusDiagonal(generator.standard_normal((20, 4, 2)), 0.7), answer_gradients


class TestKernel:
    def kernel_and_gram(self, kernel, answer_gradients):
        flat = np.zeros((len(answer_gradients), answer_gradients.size))
        for row, gradient in enumerate(answer_gradients):
            flat[row, row * gradient.size : (row + 1) * gradient.size] = gradient
        return flat @ kernel.dense() @ flat.T

    def test_gives_back_the_gram_matrix_it_came_from(self, truth):
        """A Gram matrix of rank 2 plus a diagonal: recovered with rank 2, private strength included; not with
        rank 1.
        """
        kernel, answer_gradients = truth
        gram = self.kernel_and_gram(kernel, answer_gradients)
        found = low_rank_kernel(gram, answer_gradients, rank=2)
        assert (
            found.private == pytest.approx(0.7)
            and found.features.shape == (20, 4, 2)
            and not found.features[7].any()
        )
        assert self.kernel_and_gram(found, answer_gradients) == pytest.approx(gram)
        low = low_rank_kernel(gram, answer_gradients, rank=1)
        assert np.abs(self.kernel_and_gram(low, answer_gradients) - gram).max() > 0.05 * np.abs(gram).max()

    def test_moves_each_prompt_along_its_own_gradient_as_the_gram_matrix_says(self, truth):
        """One batch of all prompts: ⟨g_y, change of z_y⟩ = private ‖g_y‖² + mean over the batch of the shared
        part of gram_xy.
        """
        kernel, answer_gradients = truth
        gram = self.kernel_and_gram(kernel, answer_gradients)
        found = low_rank_kernel(gram, answer_gradients, rank=2)
        private, theta = found.mix(answer_gradients)
        moved = np.sum(answer_gradients * np.asarray(found.reach(np.asarray(theta))), 1)
        assert moved == pytest.approx(
            (gram - 0.7 * np.diag(np.sum(answer_gradients**2, 1))).mean(0), abs=1e-5
        )
        assert np.asarray(private) == pytest.approx(0.7 * answer_gradients)

    def test_of_equal_gradients_is_the_compound_symmetric_one(self):
        """Every prompt with the same gradient: one pattern, with the strengths of the compound-symmetric
        fit.
        """
        answer_gradients = np.tile([[1.0, -0.5, -0.5]], (12, 1))
        truth = CompoundSymmetric(private=2.0, shared=0.4)
        gram = (truth.shared + truth.private * np.eye(12)) * (answer_gradients @ answer_gradients.T)
        found = low_rank_kernel(gram, answer_gradients, rank=1)
        assert found.private == pytest.approx(2.0) and found.shared == pytest.approx(0.4)

    def test_of_a_model(self):
        """From measured gradients: positive semi-definite, and closer to the Gram matrix than the
        compound-symmetric fit is.
        """
        task = PromptTask(
            [f"{i % 8}+{i // 8}=" for i in range(24)], None, lambda text: text[:1] or None, max_new_tokens=2
        )
        settings = RunSettings(prompts_per_step=4, rollouts=4)
        products = measure_gradients(
            random_model("llama"), task, list(task.problems), settings, Cost(), NullProgress()
        )
        kernel, fit = products.low_rank(rank=6), products.kernel()
        rows = np.flatnonzero(products.answer_gradients.any(1))
        small = LowRankPlusDiagonal(kernel.features[rows], kernel.private)
        answer_gradients, gram = products.answer_gradients[rows], products.gram[np.ix_(rows, rows)]
        assert kernel.private > 0 and np.isfinite(kernel.features).all()
        fitted = (fit.shared + fit.private * np.eye(len(rows))) * (answer_gradients @ answer_gradients.T)
        assert np.linalg.norm(self.kernel_and_gram(small, answer_gradients) - gram) < np.linalg.norm(
            fitted - gram
        )

    def test_refuses(self):
        with pytest.raises(InputError, match="rank"):
            low_rank_kernel(np.eye(3), np.eye(3), rank=0)
        with pytest.raises(InputError, match="answer_gradients"):
            low_rank_kernel(np.eye(3), np.diag([1.0, 0, 0]))


def test_errors_hold_the_sketch_and_the_jackknife():
    """The same Gram matrix, called exact and called sketched: strengths equal, variances apart by the
    sketch's own.
    """
    generator = np.random.default_rng(0)
    answers, prompts = 3, 10
    answer_gradients = generator.standard_normal((prompts, answers))
    gram = (1 + np.eye(prompts)) * (answer_gradients @ answer_gradients.T)
    exact = GradientProducts(GramEstimate(gram, 1.0, 0.5), answer_gradients, "ab", 2.0).kernel().as_dict()
    found = (
        GradientProducts(GramEstimate(gram, 1.0, 0.5, 400), answer_gradients, "ab", 2.0).kernel().as_dict()
    )
    assert exact["private"] == found["private"] == pytest.approx(2.0) and exact["shared"] == found[
        "shared"
    ] == pytest.approx(2.0)
    spread = {"private": [], "shared": []}
    root = np.linalg.cholesky(gram + 1e-9 * np.eye(prompts))
    for _ in range(400):
        sketched = root @ generator.standard_normal((prompts, 400)) / 20
        one = (
            GradientProducts(GramEstimate(sketched @ sketched.T, 1.0, 0.5), answer_gradients, "ab", 2.0)
            .kernel()
            .as_dict()
        )
        for name in spread:
            spread[name].append(one[name])
    for name, values in spread.items():
        stated = math.sqrt(found[f"{name}_std"] ** 2 - exact[f"{name}_std"] ** 2)
        assert stated / np.std(values) == pytest.approx(1, abs=5 / math.sqrt(2 * 400))
