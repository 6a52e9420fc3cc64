"""A schedule enters time as the sum of its learning rates."""

import math

import numpy as np
import pytest

from llm_bridge import ForecastStep, load_calibration
from llm_bridge.forecast.clock import CONSTANT, Clock
from llm_bridge.forecast.unseen import unseen_told, widened
from sharpening import CollapseStep, Outcome, Trajectory

COSINE = 1e-5 * 0.5 * (1 + np.cos(np.pi * np.arange(100) / 100))


def test_a_constant_rate_is_its_own_time():
    assert Clock.of([3e-4] * 10) == CONSTANT
    assert CONSTANT.step(7.5) == CONSTANT.constant(7.5) == 7.5


@pytest.mark.parametrize("rates", [COSINE, np.linspace(0, 1, 50), np.linspace(1, 0, 50)])
def test_a_step_is_the_first_whose_rates_sum_to_as_much(rates):
    clock = Clock.of(rates)
    for constant in (0.3, 1.0, 2.5, 7.0):
        step = clock.step(constant)
        sums = [sum(rates[:count]) / max(rates) for count in range(len(rates) + 1)]
        assert step == next(count for count, total in enumerate(sums) if total >= constant)
    assert clock.step(sum(rates) / max(rates) + 1) == math.inf
    assert clock.step(clock.constant(len(rates))) == len(rates) or rates[-1] == 0


def test_steps_curves_and_intervals_move_with_the_clock():
    clock = Clock.of(COSINE)
    met = CollapseStep("relative", 30, Outcome.COLLAPSED, 0.1, "reward_accuracy", 50)
    assert clock.collapse(met, 100).step == int(clock.step(30)) > 30
    never = clock.collapse(CollapseStep("relative", 51, Outcome.COLLAPSED, 0.1, "reward_accuracy", 60), 100)
    assert (never.step, never.outcome, never.horizon) == (None, Outcome.CENSORED, 100)
    told = clock.forecast(ForecastStep("relative", 30, Outcome.COLLAPSED, 10, 60, 0.9, 50), 100)
    assert told.low == int(clock.step(10)) and told.high is None and told.horizon == 100
    curve = Trajectory([0, 25, 50], {"accuracy": [1.0, 0.5, 0.0]})
    laid = clock.trajectory(curve, 100, 10)
    assert laid.step[-1] == 100
    at = [clock.constant(step) for step in laid.step]
    assert laid["accuracy"] == pytest.approx(np.maximum(0, 1 - np.array(at) / 50), abs=1e-12)


def test_each_unseen_kind_adds_one_calibrated_variance():
    plain = load_calibration("label-free")
    for kinds in ([], ["a"], ["a", "b", "c"]):
        wide, factor = widened(plain, kinds), math.sqrt(1 + len(kinds))
        for name, head in plain.heads.items():
            assert wide.heads[name].spread == pytest.approx(factor * head.spread)
            assert math.log(wide.heads[name].factors[0]) == pytest.approx(factor * math.log(head.factors[0]))
            assert wide.heads[name].intercept == head.intercept
        assert bool(unseen_told(kinds)) == bool(kinds)
