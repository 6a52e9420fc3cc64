"""Closed forms of the theorems of one prompt against SciPy's integrator and distributions, counting and
simulation.
"""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from sharpening import GRPO, NO_ANSWER, InputError, NaturalGradient, SoftmaxGradient
from sharpening.theorems.numerics import flow, relative_entropy
from sharpening.theorems.s6_four_speeds import (
    consensus_time,
    finite_time,
    inverse_square,
    inverse_time,
    logistic,
)
from sharpening.theorems.s7a_self_certainty import first_exit, self_certainty_direction
from sharpening.theorems.s7b_token_entropy import token_entropy_direction
from sharpening.theorems.s11_budget_test import alarm_rate, at_budget, budget_test, clopper_pearson
from sharpening.theorems.s16_pass_at_k import crossing, pass_at_k

SPEEDS = [
    (NaturalGradient(), logistic, lambda p: p * (1 - p)),
    (NaturalGradient(1.0, "group", 0.0), finite_time, lambda p: np.sqrt(np.maximum(p * (1 - p), 0.0))),
    (SoftmaxGradient(), inverse_time, lambda p: 2 * (p * (1 - p)) ** 2),
    (GRPO(1.0, "group", 0.0), inverse_square, lambda p: 2 * np.maximum(p * (1 - p), 0.0) ** 1.5),
]


class TestFourSpeeds:
    @pytest.mark.parametrize("update, solution, speed", SPEEDS)
    def test_agrees_with_dop853(self, update, solution, speed):
        for start, time in ((0.6, 1.0), (0.6, 1.7), (0.95, 0.3), (0.1, 4.0)):
            odds = np.log(start / (1 - start))
            time = min(time, 0.95 * consensus_time(odds)) if solution is finite_time else time
            run = solve_ivp(
                lambda _, p: speed(p), (0, time), [start], method="DOP853", rtol=1e-12, atol=1e-13
            )
            assert 1 / (1 + np.exp(-solution(odds, time))) == pytest.approx(run.y[0, -1], abs=1e-8)

    @pytest.mark.parametrize("update, solution, speed", SPEEDS)
    @given(odds=st.floats(-5, 300), one=st.floats(0, 3), two=st.floats(0, 3))
    def test_solutions_are_semigroups_and_rise(self, update, solution, speed, odds, one, two):
        both, in_turn = solution(odds, one + two), solution(solution(odds, one), two)
        near_the_end = solution is finite_time and one + two > consensus_time(odds) - 1e-4
        assert near_the_end or both == pytest.approx(in_turn, rel=1e-6, abs=1e-6)
        assert solution(odds, one) >= odds - 1e-9 * max(1.0, abs(odds)) and solution(
            odds, 0.0
        ) == pytest.approx(odds, rel=1e-9, abs=1e-9)

    @pytest.mark.parametrize("update, solution, speed", SPEEDS)
    def test_a_discrete_step_leaves_the_flow_at_second_order(self, update, solution, speed):
        start = np.log([[0.7, 0.3]])
        odds = start[0, 0] - start[0, 1]
        errors = []
        for size in (0.02, 0.01, 0.005):
            after = start + size * np.asarray(update.direction(start, np.array([[1.0, 0.0]])))
            errors.append(abs(after[0, 0] - after[0, 1] - solution(odds, size)))
        assert solution is logistic or np.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.1) == np.log2(
            errors[1] / errors[2]
        )
        assert solution is not logistic or max(errors) < 1e-14

    @given(odds=st.floats(-5, 600), factor=st.floats(1, 1e9))
    def test_at_and_beyond_consensus_the_mass_is_one_exactly(self, odds, factor):
        end = consensus_time(odds)
        assert end == pytest.approx(np.pi - 2 * np.arcsin(np.sqrt(1 / (1 + np.exp(-odds)))), abs=1e-7)
        assert finite_time(odds, end) == np.inf == finite_time(odds, factor * end)
        assert np.isfinite(finite_time(odds, end * (1 - 1e-9)))

    def test_steps_arrive_at_the_consensus_time(self):
        """Euler steps of the normalised natural gradient reach 1 - p = 1e-4 within 1 % of the closed form's
        time.
        """
        size, now, steps = 2e-3, np.log([[0.6, 0.4]]), 0
        update = NaturalGradient(size, "group", 0.0)
        while now[0, 1] > np.log(1e-4) and steps < 2000:
            now, steps = np.asarray(update.step(now, np.array([[1.0, 0.0]]))), steps + 1
        wanted = consensus_time(np.log(1.5)) - consensus_time(np.log(9999.0))
        assert steps * size == pytest.approx(wanted, rel=0.01)


class TestObjectives:
    def test_flows_end_at_the_mode_and_share_a_tie(self):
        policies = np.log([[0.5, 0.3, 0.2], [0.4, 0.4, 0.2]])
        for direction, time, left in (
            (self_certainty_direction, 60.0, 1e-12),
            (token_entropy_direction, 400.0, 2e-3),
        ):
            end = np.exp(flow(direction, policies, time, 2000))
            assert end[0, 0] > 1 - left and end[1, :2] == pytest.approx([0.5, 0.5], abs=left)

    def test_token_entropy_is_slower_by_far(self):
        """1 - p ~ e^-t for self-certainty, 1/(2 t log t) for token entropy."""
        start = np.log([[0.7, 0.3]])
        fast, slow = (
            np.exp(flow(one, start, 30.0, 2000))[0, 1]
            for one in (self_certainty_direction, token_entropy_direction)
        )
        assert fast < 1e-12 and slow > 1e-3
        tails = [
            np.exp(flow(token_entropy_direction, start, time, 4000))[0, 1] * 2 * time * np.log(time)
            for time in (1e3, 3e3)
        ]
        assert 0.6 < tails[0] < tails[1] < 1.4

    def test_the_natural_flow_leaves_the_simplex_at_its_time(self):
        start = np.log([[0.5, 0.3, 0.2]])
        exit_time = first_exit(start)[0]
        masses = lambda time: 1 / 3 + (np.exp(start) - 1 / 3) * np.exp(time)  # noqa: E731
        assert masses(exit_time).min() == pytest.approx(0.0, abs=1e-12) and masses(0.99 * exit_time).min() > 0


class TestBudget:
    @given(st.integers(1, 30), st.floats(1e-3, 0.3), st.data())
    def test_bounds_are_scipys(self, trials, level, data):
        k = data.draw(st.integers(0, trials))
        lower, upper = clopper_pearson(np.array([k]), trials, level)
        assert lower[0] == pytest.approx(
            scipy.stats.beta.ppf(level, k, trials - k + 1) if k else 0.0, abs=1e-9
        )
        assert upper[0] == pytest.approx(
            scipy.stats.beta.ppf(1 - level, k + 1, trials - k) if k < trials else 1.0, abs=1e-9
        )

    def test_alarm_rate_counts_what_the_test_does(self):
        """The exact rate against 4,000 simulated tests with the answers fixed by dominant first quarters."""
        start, now = np.array([0.7, 0.06, 0.12, 0.12]), np.array([0.1, 0.87, 0.02, 0.01])
        told = np.log([[start[1], start[0], start[2] + start[3]]])
        rate = alarm_rate(np.log([now[1]]), told, np.array([False]), rollouts=60)[0]
        rng = np.random.default_rng(5)
        draw = lambda law: rng.choice(4, size=(4000, 80), p=law)  # noqa: E731
        found = budget_test(draw(start), draw(now)).exceeds.mean()
        assert 0.05 < rate < 0.95 and abs(found - rate) < 4 * np.sqrt(rate * (1 - rate) / 4000)

    def test_false_alarms_and_power(self):
        """At the level .05, 1,000 prompts: no alarm on a sharpened policy; power against an answer of mass
        .02 that took over.
        """
        start = np.array([0.4, 0.02, *[0.58 / 6] * 6])
        sharpened = np.array([0.9, *[0.1 / 7] * 7])
        taken = np.array([0.03, 0.95, *[0.02 / 6] * 6])
        rng = np.random.default_rng(0)
        draw = lambda law, count: rng.choice(8, size=(1000, count), p=law)  # noqa: E731
        assert budget_test(draw(start, 64), draw(sharpened, 64)).exceeds.mean() <= 0.05
        power = [budget_test(draw(start, n), draw(taken, n)).exceeds.mean() for n in (32, 64, 128)]
        assert power[0] <= power[1] <= power[2] and power[2] > 0.9

    def test_the_boundary_is_where_it_is_said_to_be(self):
        start = np.log([[0.5, 0.3, 0.2]])
        budget = -np.log([0.5])
        assert relative_entropy(at_budget(start, np.array([2]), budget), start) == pytest.approx(
            budget, abs=1e-9
        )

    def test_silence_is_an_answer_that_can_take_over_but_not_a_mode(self):
        initial = np.tile([0, 0, 0, 1], (1, 32))
        silent = np.full((1, 128), NO_ANSWER)
        assert budget_test(initial, silent).exceeds.all()
        assert (
            np.isinf(budget_test(silent, silent).budget_at_most).all()
            and not budget_test(silent, silent).exceeds.any()
        )

    def test_bad_input(self):
        good = np.zeros((2, 8), int)
        for initial, current, level in (
            (good[:1], good, 0.05),
            (good[:, :3], good, 0.05),
            (good[0], good, 0.05),
            (good, good, 1.0),
        ):
            with pytest.raises(InputError):
                budget_test(initial, current, level)


class TestPassAtK:
    @given(st.integers(0, 10**6), st.floats(0.0, 0.999))
    def test_the_crossing_by_counting(self, seed, alpha):
        right = np.random.default_rng(seed).dirichlet(np.ones(2), size=6)[:, 0]
        weights = np.full(6, 1 / 6)
        counted = next(
            (k for k in range(1, 5000) if weights @ (1 - (1 - right) ** k) > alpha + 1e-12), np.inf
        )
        found = crossing(np.log1p(-right), weights, alpha)
        assert found == counted or (counted == np.inf and found >= 5000)
        assert pass_at_k(np.log1p(-right), 3) == pytest.approx(1 - (1 - right) ** 3)
