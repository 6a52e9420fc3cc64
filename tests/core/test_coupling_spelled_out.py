"""Kernels between prompts, against loops that spell them out, and fits against non-negative least squares."""

import math

import numpy as np
import pytest
from scipy.optimize import nnls

from sharpening import CompoundSymmetric, InputError, LowRankPlusDiagonal, NoCoupling, fit_compound_symmetric

RNG = np.random.default_rng(5)
FEATURES = RNG.normal(size=(3, 4, 2))  # prompts, answers, rank
DIRECTIONS = RNG.normal(size=(3, 4))
LOW_RANK = LowRankPlusDiagonal(FEATURES, private=0.7)
KERNELS = [NoCoupling(0.7), CompoundSymmetric(0.7, 0.4), LOW_RANK]


def entry(kernel, x, a, y, b):
    """K((x, a), (y, b)), as the docstrings have it."""
    own = kernel.private * (x == y and a == b)
    if isinstance(kernel, LowRankPlusDiagonal):
        return own, sum(kernel.features[x, a, s] * kernel.features[y, b, s] for s in range(2))
    return own, kernel.shared * (a == b)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: type(kernel).__name__)
@pytest.mark.parametrize("weights", [None, [1.0, 0.0, 3.0], [0.0, 0.0, 0.0]])
def test_what_a_step_moves_is_the_kernel_spelled_out(kernel, weights):
    """Own part of each visited prompt, and the weighted mean of what the others share with it."""
    share = np.full(3, 1 / 3) if weights is None else np.array(weights) / max(sum(weights), 1e-300)
    visited = np.ones(3, dtype=bool) if weights is None else np.array(weights) > 0
    own, shared = kernel.mix(DIRECTIONS, None if weights is None else np.array(weights))
    moved = np.broadcast_to(np.asarray(kernel.reach(shared)), (3, 4))
    for x in range(3):
        for a in range(4):
            assert own[x, a] == pytest.approx(kernel.private * DIRECTIONS[x, a] * visited[x])
            wanted = sum(
                share[y] * entry(kernel, x, a, y, b)[1] * DIRECTIONS[y, b] for y in range(3) for b in range(4)
            )
            assert moved[x, a] == pytest.approx(wanted, abs=1e-12)


def test_a_dense_kernel_holds_every_entry():
    pairs = [(x, a) for x in range(3) for a in range(4)]
    found = LOW_RANK.dense()
    assert found.shape == (12, 12)
    for i, one in enumerate(pairs):
        for j, other in enumerate(pairs):
            assert found[i, j] == pytest.approx(sum(entry(LOW_RANK, *one, *other)))


def test_some_prompts_of_a_population_see_their_own_features():
    own, shared = LOW_RANK.mix(DIRECTIONS[:2], None, np.array([2, 0]))
    assert own == pytest.approx(0.7 * DIRECTIONS[:2])
    wanted = (DIRECTIONS[0] @ FEATURES[2] + DIRECTIONS[1] @ FEATURES[0]) / 2
    assert shared == pytest.approx(wanted) and LOW_RANK.rest(4).tolist() == [0.0, 0.0]
    assert LOW_RANK.reach(shared, np.array([1]))[0] == pytest.approx(FEATURES[1] @ wanted)


def test_the_strength_of_a_general_kernel_is_its_largest_eigenvalue():
    shared_part = LOW_RANK.dense() - 0.7 * np.eye(12)
    assert LOW_RANK.shared == pytest.approx(np.linalg.eigvalsh(shared_part)[-1] / 3)
    same = LowRankPlusDiagonal(np.broadcast_to(math.sqrt(0.4) * np.eye(4), (5, 4, 4)).copy())
    assert same.shared == pytest.approx(0.4)


def test_a_temperature_divides_logits_on_both_sides():
    assert CompoundSymmetric(0.9, 0.5).tempered(3.0) == CompoundSymmetric(0.9 / 9, 0.5 / 9)
    assert NoCoupling(0.9).tempered(3.0) == NoCoupling(0.9 / 9)
    assert LOW_RANK.tempered(3.0).dense() == pytest.approx(LOW_RANK.dense() / 9)


def test_ratio_and_batches():
    assert CompoundSymmetric(0.5, 2.0).ratio == 4.0 and CompoundSymmetric(0.0, 2.0).ratio == math.inf
    for kernel in KERNELS:
        assert kernel.for_batch(1).private == 0.7 and kernel.for_batch(4).private == pytest.approx(0.175)
        with pytest.raises(InputError, match="prompts_per_step"):
            kernel.for_batch(0)
    assert LOW_RANK.for_batch(4).features is FEATURES


def test_a_projection_is_gaussian_of_variance_one_over_its_dimensions():
    for dimensions in (1, 9):
        drawn = np.random.default_rng(3).normal(0, 1, (2, dimensions)) / dimensions**0.5
        found = LOW_RANK.project(dimensions, key=3)
        assert found.features == pytest.approx(FEATURES @ drawn) and found.private == 0.7
    with pytest.raises(InputError, match="dimensions"):
        LOW_RANK.project(0)


class TestStrategies:
    ANSWERS = np.array([[0, 2], [1, 0], [2, 1]])

    def test_prompts_share_what_one_strategy_answers(self):
        kernel = LowRankPlusDiagonal.strategies(self.ANSWERS, private=0.3, shared=0.25)
        assert kernel.features.shape == (3, 3, 2) and kernel.private == 0.3
        for x in range(3):
            for a in range(3):
                for s in range(2):
                    assert kernel.features[x, a, s] == (0.5 if self.ANSWERS[x, s] == a else 0.0)

    def test_there_may_be_answers_that_no_strategy_gives(self):
        assert LowRankPlusDiagonal.strategies(self.ANSWERS, num_answers=3).features.shape == (3, 3, 2)
        assert LowRankPlusDiagonal.strategies(self.ANSWERS, num_answers=6).features.shape == (3, 6, 2)

    @pytest.mark.parametrize(
        "answers, options",
        [
            ([0, 1], {}),
            ([[[0, 1]]], {}),
            ([[0.0, 1.0]], {}),
            ([[0, -1], [1, 2]], {}),
            ([[0, 2]], {"num_answers": 2}),
            ([[0, 1], [2, 2]], {}),
            ([[0, 1]], {"shared": -1.0}),
        ],
    )
    def test_what_is_no_table_of_strategies_is_refused(self, answers, options):
        with pytest.raises(InputError):
            LowRankPlusDiagonal.strategies(np.array(answers), **options)


@pytest.mark.parametrize("features", [np.zeros((2, 3)), np.zeros((2, 0, 1)), np.array([[[1.0, np.nan]]])])
def test_features_that_are_none_are_refused(features):
    with pytest.raises(InputError, match="features"):
        LowRankPlusDiagonal(features)


@pytest.mark.parametrize("strength", ["1", None, -1e-9, math.nan, math.inf])
def test_a_strength_is_a_finite_number_of_0_or_more(strength):
    with pytest.raises(InputError, match="private"):
        CompoundSymmetric(strength)


def strengths(gram, answer_gram):
    """Non-negative least squares over all entries, one row each."""
    if len(gram) == 1:  # nothing tells private from shared
        return np.array([max(gram[0, 0] / answer_gram[0, 0], 0.0) if answer_gram[0, 0] else 0.0, 0.0])
    rows, wanted = [], []
    for x in range(len(gram)):
        for y in range(len(gram)):
            rows.append([answer_gram[x, y] * (x == y), answer_gram[x, y]])
            wanted.append(gram[x, y])
    return nnls(np.array(rows), np.array(wanted))[0]


def grams(kind, size, seed):
    """Gram matrices whose free fit is inside, or beyond one of the two limits."""
    rng = np.random.default_rng(seed)
    answers = rng.normal(size=(size, 5))
    inner = answers @ answers.T
    noise = rng.normal(size=(size, size))
    private, shared = {"inside": (1.0, 0.5), "no shared": (1.0, -0.5), "no private": (-0.6, 0.9)}[kind]
    return (shared + private * np.eye(size)) * inner + 0.3 * (noise + noise.T), inner


@pytest.mark.parametrize("kind", ["inside", "no shared", "no private"])
@pytest.mark.parametrize("size", [2, 3, 7])
def test_a_fit_and_its_spread_are_those_of_least_squares_with_one_prompt_left_out(kind, size):
    for seed in range(8):
        gram, inner = grams(kind, size, seed)
        found, wanted = fit_compound_symmetric(gram, inner), strengths(gram, inner)
        assert [found.coupling.private, found.coupling.shared] == pytest.approx(wanted, abs=1e-9)
        kept = [np.delete(np.arange(size), i) for i in range(size)]
        left = np.array([strengths(gram[np.ix_(k, k)], inner[np.ix_(k, k)]) for k in kept])
        spread = [math.sqrt((size - 1) * left[:, j].var()) for j in range(2)]
        assert [found.private_std, found.shared_std] == pytest.approx(spread, abs=1e-7)
        told = (wanted[1] + wanted[0] * np.eye(size)) * inner
        missed = math.sqrt(((gram - told) ** 2).mean()) / math.sqrt((np.diag(gram) ** 2).mean())
        assert found.residual == pytest.approx(missed)


def test_prompts_without_a_gradient_do_not_count():
    """Left with them alone, neither strength is seen."""
    gram, inner = np.diag([3.0, 0.0]), np.diag([2.0, 0.0])
    found = fit_compound_symmetric(gram, inner)
    assert (found.coupling.private, found.coupling.shared) == (1.5, 0.0)
    assert found.private_std == pytest.approx(math.sqrt(0.5 * 2 * 0.75**2)) and found.shared_std == 0.0
    with pytest.raises(InputError, match="zero diagonal"):
        fit_compound_symmetric(gram, np.zeros((2, 2)))


class TestMatrices:
    def test_rounding_may_make_a_matrix_a_little_asymmetric(self):
        for small, refused in ((0.9e-4, False), (1.5e-4, True)):
            self.asks([[1.0, 1.0], [1.0 + small, 2.0]], refused)
        for small, refused in ((0.9e-6, False), (1.5e-6, True)):  # of the largest entry, here a negative one
            self.asks([[100.0, -400.0, 0.0], [-400.0, 100.0, 0.0], [400 * small, 0.0, 1.0]], refused)

    @pytest.mark.parametrize("where", [(0, 0), (1, 1)])
    def test_every_entry_is_finite(self, where):
        matrix = np.eye(2)
        matrix[where] = np.nan
        with pytest.raises(InputError, match="NaN or infinity"):
            fit_compound_symmetric(matrix, np.eye(2))

    def test_at_least_two_prompts_and_one_shape(self):
        self.asks(np.ones((1, 1)), True)
        self.asks(np.ones((2, 3)), True)
        self.asks(np.ones(4), True)
        with pytest.raises(InputError, match="answer_gram"):
            fit_compound_symmetric(np.eye(2), np.eye(3))

    def asks(self, matrix, refused):
        matrix = np.asarray(matrix, dtype=float)
        if refused:
            with pytest.raises(InputError, match="gram"):
                fit_compound_symmetric(matrix, matrix)
        else:
            fit_compound_symmetric(matrix, np.eye(len(matrix)))
