"""The test for falling accuracy: its error over whole runs, its power, and what must not change it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_bridge.logs.falls import ERROR, answers_of, falls, falls_of_known, noise_of
from llm_bridge.training.initial import error_of_mean

RUNS = 400
# Binomial: chance that 400 runs at the promised rate show more false alarms than this is below 1e-4.
MOST = 38


def alarms(make, runs=RUNS, **options):
    generator = np.random.default_rng(0)
    return sum(any(falls(make(generator), **options)) for _ in range(runs))


class TestErrorOverAWholeRun:
    """Asked after every evaluation, at a margin of 0, where a flat run is the worst that the null allows."""

    @pytest.mark.parametrize("length", [12, 40, 100])
    def test_normal_noise_of_unknown_size(self, length):
        assert alarms(lambda g: 0.5 + 0.02 * g.normal(size=length), margin=0.0) <= MOST

    @pytest.mark.parametrize("prompts, chance", [(30, 0.1), (30, 0.5), (200, 0.5), (1000, 0.8)])
    @pytest.mark.parametrize("known", [True, False])
    def test_binomial_noise(self, prompts, chance, known):
        assert (
            alarms(
                lambda g: g.binomial(prompts, chance, size=40) / prompts,
                margin=0.0,
                answers=prompts if known else None,
            )
            <= MOST
        )

    def test_a_run_that_rises(self):
        def rises(g):
            return 0.6 - 0.3 * np.exp(-np.arange(40) / 8) + 0.02 * g.normal(size=40)

        assert alarms(rises, margin=0.0) <= MOST

    def test_a_fall_of_the_margin_is_still_the_null(self):
        assert alarms(lambda g: np.repeat([0.6, 0.58], 20) + 0.02 * g.normal(size=40)) <= MOST

    def test_what_is_counted_can_be_an_alarm(self):
        assert alarms(lambda g: np.linspace(0.6, 0.3, 40) + 0.02 * g.normal(size=40), margin=0.0) == RUNS

    def test_the_promise(self):
        assert ERROR == 0.05


class TestPower:
    def test_a_slow_fall_of_a_fifth(self):
        """.62 to .50 over ten evaluations, after ten at the top, with a standard error of .01."""
        curve = np.concatenate([np.full(10, 0.62), np.linspace(0.62, 0.5, 10)])
        assert alarms(lambda g: curve + 0.01 * g.normal(size=20), runs=100) >= 80

    def test_a_dead_evaluation_is_believed_at_once(self):
        curve = np.array([0.52, 0.57, 0.62, 0.6, 0.59, 0.04])
        assert falls(curve)[-1] is not None and not any(falls(curve[:-1]))

    def test_few_answers_are_no_evidence(self):
        assert not any(falls(np.array([4, 7, 5, 6, 3, 1, 4, 5]) / 30))


curves = st.lists(st.integers(0, 1000), min_size=2, max_size=30).map(lambda xs: np.array(xs) / 1000)


class TestLaws:
    @given(curves)
    @settings(max_examples=60, deadline=None)
    def test_what_was_said_is_not_changed_by_what_comes(self, values):
        """The alarm at an evaluation needs no later one (with a stated number of answers)."""
        whole = falls(values, answers=200)
        for end in range(2, len(values)):
            assert falls(values[:end], answers=200) == whole[:end]

    @given(curves)
    @settings(max_examples=60, deadline=None)
    def test_a_run_that_never_falls_is_never_named(self, values):
        assert not any(falls(np.sort(values)))

    @given(curves, st.floats(0.01, 0.2))
    @settings(max_examples=60, deadline=None)
    def test_a_level_added_to_all_changes_nothing(self, values, level):
        half = values / 2
        before = [f is not None for f in falls(half, answers=500)]
        after = [f is not None for f in falls(half + level, answers=500)]
        close = [f is not None for f in falls(half, answers=500, margin=0.02 + 1e-9)]
        assert after == before or before != close

    @given(st.integers(5, 99), st.data())
    @settings(max_examples=60, deadline=None)
    def test_the_number_of_answers_is_read_from_the_values(self, answers, data):
        counts = data.draw(st.lists(st.integers(0, answers), min_size=8, max_size=20))
        found = answers_of(np.round(np.array(counts) / answers, 4))
        assert found <= answers or len(set(counts)) <= 2

    def test_a_steady_trend_is_no_noise(self):
        trend = np.linspace(0.2, 0.8, 30)
        noisy = trend + 0.02 * np.random.default_rng(1).normal(size=30)
        assert noise_of(trend) == 0.005 and 0.01 < noise_of(noisy) < 0.04


class TestKnownErrors:
    """The test of values whose standard errors are known, such as means of draws on the same prompts."""

    @staticmethod
    def draws(generator, chances, rollouts=8):
        """(values, errors): shares of hits of fixed prompts, as `mode_mass` is measured."""
        hits = generator.binomial(rollouts, chances)
        masses = [[hit / rollouts for hit in row] for row in hits]
        return hits.mean(1) / rollouts, np.array([error_of_mean(row, rollouts) for row in masses])

    @pytest.mark.parametrize("low, high", [(0.0, 0.3), (0.3, 0.9), (0.9, 1.0)])
    def test_false_alarms_over_whole_runs(self, low, high):
        generator = np.random.default_rng(0)
        count = 0
        for _ in range(RUNS // 4):
            chances = np.tile(generator.uniform(low, high, size=64), (20, 1))
            count += any(falls_of_known(*self.draws(generator, chances), margin=0.0))
        assert count <= MOST // 4 + 3

    def test_it_sees_sooner_than_the_bound_of_a_share(self):
        generator = np.random.default_rng(1)
        chances = generator.uniform(0.0, 0.5, size=64)
        curve = np.concatenate([np.ones(3), np.linspace(0.9, 0.3, 9)])
        known, bound = 0, 0
        for _ in range(40):
            values, errors = self.draws(generator, curve[:, None] * chances)
            known += sum(fall is not None for fall in falls_of_known(values, errors))
            bound += sum(fall is not None for fall in falls(values, answers=512))
        assert known > 1.2 * bound > 0

    def test_a_wide_error_hides_what_a_narrow_one_shows(self):
        values = np.array([0.5, 0.5, 0.3, 0.3])
        assert any(falls_of_known(values, np.full(4, 0.01)))
        assert not any(falls_of_known(values, np.full(4, 0.1)))

    def test_few_draws_that_agree_are_no_certainty(self):
        assert error_of_mean([1.0] * 64, 8) > 0.005
        assert error_of_mean([1.0] * 64, 800) < 0.001
        assert error_of_mean([0.5] * 64, 8) == pytest.approx(0.5 / np.sqrt(8 * 64), rel=0.01)
