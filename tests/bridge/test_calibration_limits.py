"""Calibrations at their limits: far tails, shifted features, features that never vary, two fates alone, the edge of what was
fitted.
"""

import math
from dataclasses import replace

import numpy as np
import pytest

from llm_bridge import FailureTime, RunSettings, load_calibration
from llm_bridge.forecast.calibration.features import MEANINGS
from llm_bridge.forecast.calibration.fit import chance, fates
from llm_bridge.forecast.calibration.likelihood import fit_log_logistic, objective
from llm_bridge.forecast.calibration.survival import way
from studies.fitting import StudyGroup

HALF = FailureTime("half_life", math.log(400), {"log_steps": 1.0}, 0.5, 20)


def group(number, told, end, best):
    """One run of 400 steps for every end, all from accuracy 0."""
    return StudyGroup(
        prior=f"prior {number}", architecture="llama", task="addition", label=str(number), settings=RunSettings(),
        features=told, steps={}, horizon=400, start=[0.0] * len(end), end=list(end), best=list(best),
        peak=[0] * len(end), at=(tuple(range(401)),) * len(end),
    )  # fmt: skip


def groups(number=40):
    """Runs that end .4 better or stay, by chance and by `agreement`."""
    rng, found = np.random.default_rng(2), []
    for i in range(number):
        told = {name: rng.normal() for name in MEANINGS}
        end = [0.4 if rng.random() < 1 / (1 + math.exp(-2 * told["agreement"])) else 0.0 for _ in range(3)]
        found.append(group(i, told, end, end))
    return found


class TestLikelihood:
    @pytest.mark.parametrize("side", [-1, 1])
    def test_both_tails_keep_their_digits(self, side):
        """P(50 < z < 55) is e^-50 - e^-55, though F is 1 at both; and the mirror image."""
        low, high = sorted((side * 50.0, side * 55.0))
        value, slopes = objective(
            np.array([0.0, 0.0]), np.zeros((1, 0)), np.array([low]), np.array([high]), np.ones(1)
        )
        assert value == pytest.approx(50 - math.log1p(-math.exp(-5)), rel=1e-12)
        assert slopes[0] == pytest.approx(-side, rel=1e-6)

    def test_where_a_feature_has_its_zero_does_not_matter(self):
        """Degrees for kelvins: the same weights, and another intercept."""
        rng = np.random.default_rng(0)
        table, scale = rng.normal(size=(60, 2)), np.array([1.0, 0.1])
        steps = np.exp(3 + table @ [0.8, -0.5] + 0.3 * rng.logistic(size=60))
        one, spread = fit_log_logistic(table * scale, 0.9 * steps, 1.1 * steps)
        moved, again = fit_log_logistic(table * scale + 30.0, 0.9 * steps, 1.1 * steps)
        assert moved[1:] == pytest.approx(one[1:], rel=1e-4) and again == pytest.approx(spread, rel=1e-4)
        assert moved[0] == pytest.approx(one[0] - 30 * one[1:].sum(), abs=1e-2)


class TestFarSteps:
    def test_a_quantile_far_beyond_any_run_is_still_a_number(self):
        wide = FailureTime("half_life", 0.0, {}, 100.0, 1)
        assert wide.quantile({}, 1 - 1e-9) == math.exp(600) and wide.quantile({}, 1e-9) == math.exp(-600)


class TestEnds:
    @pytest.mark.parametrize("spread", [0.0, 0.5])
    def test_a_feature_counts_if_it_varies_however_little_and_weighs_nothing_if_not(self, spread):
        read = [
            replace(
                one,
                features=one.features | {"agreement": 3.0 + spread * math.tanh(one.features["agreement"])},
            )
            for one in groups()
        ]
        weight = chance(read, HALF, "better", "label-free").weights["agreement"]
        assert weight > 1 if spread else weight == 0.0

    def test_two_fates_alone_are_the_logistic_of_one(self):
        """The one that was met more often where `agreement` is high, and the other 1 minus that."""
        found = fates(groups(), HALF, "label-free")
        told = dict.fromkeys(MEANINGS, 0.0) | {"log_lives": 0.0}
        low, high = (found.of(told | {"agreement": at}) for at in (-3.0, 3.0))
        assert len(found.of(told)) >= 2 and sum(low.values()) == pytest.approx(1)
        met = sorted(name for name, value in high.items() if value > 0)
        assert len(met) == 2 and sum(high[name] for name in met) == pytest.approx(1)
        better = max(met, key=lambda name: high[name] - low[name])
        single = chance(groups(), HALF, "better", "label-free")
        for at in (-1.0, 0.0, 2.0):
            assert found.of(told | {"agreement": at})[better] == pytest.approx(
                single.of(told | {"agreement": at}), abs=0.02
            )

    def test_the_fitted_run_that_went_least_far_is_spoken_of(self):
        told = dict.fromkeys(MEANINGS, 0.5)
        shipped = load_calibration("label-free")
        at_the_edge = replace(shipped, fates=replace(shipped.fates, shortest_way=way(told, 100)))
        assert at_the_edge.moves(told, 100) and not at_the_edge.moves(told, 99)
