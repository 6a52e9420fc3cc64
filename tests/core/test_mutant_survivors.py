"""Tests that errors planted by `make mutants` asked for: each would pass unnoticed without the one here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sharpening import InputError, exact_metrics, group_metrics, vote

ANSWERS = np.array([[0, 0, 1, 2], [1, 1, 1, 0]])
CORRECT = ANSWERS == 1
LOG_PROBS = np.log([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]])


class TestMetrics:
    def test_numpy_labels_follow_a_jax_neighbour(self):
        """Whatever comes first: one foreign array makes all of them foreign."""
        for answers, correct in ((jnp.asarray(ANSWERS), CORRECT), (ANSWERS, jnp.asarray(CORRECT))):
            assert all(
                isinstance(value, jax.Array)
                for value in group_metrics(answers, correct, ANSWERS[:, 0]).values()
            )
        assert all(isinstance(value, np.ndarray) for value in group_metrics(ANSWERS, CORRECT).values())

    def test_checks_of_values_wait_until_values_are_known(self):
        traced = jax.jit(lambda answers, correct: group_metrics(answers, correct))(ANSWERS, CORRECT)
        assert traced["reward_accuracy"] == pytest.approx(group_metrics(ANSWERS, CORRECT)["reward_accuracy"])
        exact = jax.jit(lambda z: exact_metrics(z, np.eye(3, dtype=bool)[[0, 1]], z))(LOG_PROBS)
        assert exact["accuracy"] == pytest.approx([0.6, 0.2])

    def test_a_group_too_large_for_one_block_is_counted_all_the_same(self):
        many = np.zeros((2, 4100), dtype=np.int64)
        many[1, ::2] = 1
        found = vote(many)
        assert found.counts[:, 0].tolist() == [4100, 2050] and found.num_leaders.tolist() == [1, 2]

    def test_a_silent_group_has_no_leader_in_any_library(self):
        silent = np.full((2, 3), -1)
        assert vote(silent).num_leaders.tolist() == [0, 0] and vote(
            jnp.asarray(silent)
        ).num_leaders.tolist() == [0, 0]

    def test_a_silent_group_divides_by_nothing(self):
        with np.errstate(all="raise"):
            assert vote(np.full((1, 4), -1)).num_leaders.tolist() == [0]

    @pytest.mark.parametrize("shape", [(3,), (3, 1), (2, 1, 1)])
    def test_initial_modes_of_a_wrong_shape_are_refused(self, shape):
        with pytest.raises(InputError, match="initial_modes"):
            group_metrics(ANSWERS, CORRECT, np.zeros(shape, dtype=int))

    @pytest.mark.parametrize("total", [0.5, 0.9985, 1.0015, 2.0])
    def test_one_row_that_is_not_normalised_is_enough(self, total):
        rows = LOG_PROBS.copy()
        rows[1] += np.log(total)
        with pytest.raises(InputError, match="sum to 1"):
            exact_metrics(rows)
