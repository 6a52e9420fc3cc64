"""Failure times: their algebra, and a fit on censored data that finds the law it was drawn from."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_bridge import (
    Calibration,
    Chance,
    FailureTime,
    Kernel,
    Pilot,
    Prior,
    Rise,
    RunSettings,
    load_calibration,
)
from llm_bridge.forecast.advice import untested, what_to_do
from llm_bridge.forecast.calibration.enough import (
    EVENTS,
    LEAST_RUNS,
    chance_shortage,
    failure_shortage,
    rise_shortage,
)
from llm_bridge.forecast.calibration.features import (
    CONFIDENT,
    FATE,
    LABEL_FREE,
    LABEL_FREE_RELATIVE,
    LABELLED_HALF_LIFE,
    LABELLED_RELATIVE,
    LENGTHS,
    MEANINGS,
    MIDDLE_RATIO,
    MOST_PROMPTS,
    NEED_LABELS,
    OUTCOME,
    Reading,
    WeightNoise,
)
from llm_bridge.forecast.calibration.fit import calibrated, chance, fit, rise
from llm_bridge.forecast.calibration.outcome import verdict
from llm_bridge.forecast.calibration.own import fit_parts
from llm_bridge.forecast.calibration.survival import ALSO_DATED, DATED, KINDS, SHIPPED, lives
from llm_bridge.forecast.calibration.voice import (
    SAFE,
    TRAINED_ON,
    pilot_trajectory,
    safe_learning_rate,
    safe_prompts,
    sensitivity,
    with_rise,
)
from llm_bridge.forecast.words import calibrated_verdict
from llm_bridge.report.words import VERDICTS
from sharpening import InputError
from studies.fitting import StudyGroup, doubly_left_out, measured_before
from studies.judging import auroc, averaged, censored_spearman, compared, median_of

HEAD = FailureTime(
    "relative",
    1.0,
    {"log_steps": 1.1, "log_late_steps": 0.3, "majority_ratio": 0.8, "log_prompts": -0.2},
    0.5,
    100,
)
PRIOR = Prior(
    accuracy=0.5,
    label_accuracy=0.8,
    reward_accuracy=0.9,
    majority_ratio=0.6,
    entropy=1.0,
    tie=0.0,
    no_answer=0.0,
)
KERNEL = Kernel(cosine=0.2)
NOISE = WeightNoise((0.0, 0.001, 0.01, 0.1), (1.0, 0.95, 0.4, 0.0), 10_000)


def pilot(scale: float = 1.0) -> Pilot:
    moved = np.concatenate([[0.0], np.geomspace(1e-4, 3e-2, 14)])
    broken = 1 / (1 + (moved / (0.005 * scale)) ** 2)
    metrics = {
        "retention": broken,
        "reward_accuracy": 0.05 + 0.9 * broken[:-1] ** 0.5,
        "accuracy": 0.6 * broken[:-1],
    }
    return Pilot(moved, metrics, 0.02)


RISE = Rise(0.3, 0.1, 0.6, 0.9, 0.5, 20)


def group(
    number, told, steps, *, horizon=400, start=(0.0,), end=None, best=None, peak=None, at=None
) -> StudyGroup:
    """A prior's group for every three numbers; what is not told of the curve is flat."""
    start = list(start) * (len(end) if end else 1)
    return StudyGroup(
        prior=f"prior {number // 3}",
        architecture="llama",
        task="addition",
        label=str(number),
        settings=RunSettings(),
        features=told,
        steps=steps,
        horizon=horizon,
        start=start,
        end=list(end or start),
        best=list(best or start),
        peak=list(peak or [0] * len(start)),
        at=at or (tuple(range(horizon + 1)),) * max(len(start), *map(len, steps.values()), 1),
    )


READING = Reading.of(PRIOR, KERNEL, [pilot()], NOISE, "adam")


def features(prior, kernel, one, settings, noise=NOISE) -> dict[str, float]:
    """What one pilot says of a run with these settings."""
    return Reading.of(prior, kernel, [one], noise, settings.optimizer).at(settings)


class TestFeatures:
    def test_every_name_has_a_meaning_and_a_value(self):
        told = features(PRIOR, KERNEL, pilot(), RunSettings())
        assert set(told) | {"log_lives"} == set(MEANINGS)
        assert set(LABELLED_HALF_LIFE).union(
            LABELLED_RELATIVE, LABEL_FREE, LABEL_FREE_RELATIVE, *FATE.values(), *OUTCOME.values()
        ) == set(MEANINGS)
        unlabelled = replace(PRIOR, accuracy=None, label_accuracy=None, reward_accuracy=None)
        assert set(features(unlabelled, KERNEL, pilot(), RunSettings())) == set(told) - set(NEED_LABELS)
        assert not set(NEED_LABELS) & {
            *LABEL_FREE,
            *LABEL_FREE_RELATIVE,
            *FATE["label-free"],
            *OUTCOME["label-free"],
        }

    def test_they_scale_as_their_names_say(self):
        base, faster = (
            features(PRIOR, KERNEL, pilot(), RunSettings(learning_rate=rate)) for rate in (1e-4, 1e-3)
        )
        for name, value in base.items():
            per_rate = (name in LENGTHS) + (name in CONFIDENT) * (PRIOR.majority_ratio - MIDDLE_RATIO)
            assert value - faster[name] == pytest.approx(per_rate * math.log(10))

    @given(st.floats(1e-3, 1e3))
    def test_they_are_pure_numbers(self, unit):
        """A model whose weights, and with them the learning rate, are measured in another unit has the same
        features.
        """
        one, moved = pilot(), pilot()
        moved = Pilot(unit * one.displacement, one.metrics, one.floor)
        noise = replace(NOISE, noise=tuple(unit * size for size in NOISE.noise))
        here, there = (
            features(PRIOR, KERNEL, p, RunSettings(learning_rate=1e-3 * scale), by)
            for p, scale, by in ((one, 1, NOISE), (moved, unit, noise))
        )
        assert there == pytest.approx(here)

    def test_steps_are_the_mean_of_three_lengths_over_the_rate(self):
        """A pilot whose answers all break at one place and whose reward accuracy never does, and weights that all
        answers survive to one noise.
        """
        way = np.concatenate([[0.0], np.geomspace(1e-4, 1e-1, 2000)])
        sharp = Pilot(way, {"retention": (way < 0.01).astype(float), "reward_accuracy": np.ones(2000)}, 0.02)
        noise = WeightNoise((0.0, 0.0499, 0.05), (1.0, 1.0, 0.0), 2500)
        told = features(PRIOR, KERNEL, sharp, RunSettings(learning_rate=1e-4), noise)
        lengths = [0.01, 0.1, 0.05 / math.sqrt(2500)]
        assert told["log_steps"] == pytest.approx(np.mean(np.log(lengths)) - math.log(1e-4), abs=0.02)
        assert told["log_free_steps"] == pytest.approx(
            np.mean(np.log(lengths[::2])) - math.log(1e-4), abs=0.02
        )
        assert told["log_late_steps"] == pytest.approx(
            np.mean(np.log(lengths[:2])) - math.log(1e-4), abs=0.02
        )

    def test_a_step_of_sgd_moves_a_weight_by_its_gradient(self):
        """With a mean gradient of 1 a weight both optimizers are alike; with 1/100, SGD needs a rate a hundred times
        larger.
        """
        adam, alike, small = (
            NOISE.log_length(optimizer, clock)
            for optimizer, clock in (("adam", 5.0), ("sgd", 10_000.0), ("sgd", 100.0))
        )
        assert alike == pytest.approx(adam) and small == pytest.approx(adam + math.log(100))

    def test_a_data_set_counts_up_to_the_largest_that_was_fitted(self):
        """Whatever the budget: when a run dies does not depend on when it would have been stopped."""

        def prompts(size, steps=10):
            settings = RunSettings(dataset_size=size, max_steps=steps, prompts_per_step=32)
            return features(PRIOR, KERNEL, pilot(), settings)["log_prompts"]

        assert prompts(64) == pytest.approx(math.log(64)) and prompts(5000) == prompts(5000, 400)
        assert prompts(None) == prompts(None, 4000) == prompts(10**6) == pytest.approx(math.log(MOST_PROMPTS))


class TestFailureTime:
    @given(st.floats(-2, 8), st.floats(0, 4), st.floats(0.01, 0.99))
    def test_chances_and_quantiles_are_those_of_a_log_logistic(self, steps, ratio, chance):
        told = {"log_steps": steps, "majority_ratio": ratio, "log_late_steps": -1.0, "log_prompts": 5.0}
        middle = HEAD.median(told)
        assert HEAD.probability(told, middle) == pytest.approx(0.5)
        wanted = middle * (chance / (1 - chance)) ** HEAD.spread
        assert HEAD.quantile(told, chance) == pytest.approx(wanted)
        assert HEAD.probability(told, wanted) == pytest.approx(chance)
        factors = [(1 / 19) ** 0.5, 19**0.5]
        assert HEAD.factors == pytest.approx(factors)
        assert HEAD.interval(told) == pytest.approx([factor * middle for factor in factors])

    @given(st.floats(-30, 30), st.floats(0, 10))
    def test_what_is_unlike_everything_fitted_is_known_less(self, steps, doubt):
        """The variance of a logistic law is π²/3 s²: the log median's own, beyond what is typical, adds to it."""
        one = FailureTime("relative", 1.0, {"log_steps": 1.5}, 0.5, 10, ((0.0, 0.0), (0.0, doubt)), 0.2)
        extra = max(0.0, steps**2 * doubt - 0.2)
        assert one.spread_at({"log_steps": steps}) == pytest.approx(math.sqrt(0.25 + 3 / math.pi**2 * extra))
        low, high = one.interval({"log_steps": steps})
        assert low <= one.median({"log_steps": steps}) <= high

    def test_plain_data_and_back(self):
        one = replace(HEAD, doubt=tuple((0.1,) * 5 for _ in range(5)), typical=0.3)
        for head in (HEAD, one):
            assert FailureTime.from_dict(json.loads(json.dumps(head.as_dict(), allow_nan=False))) == head


class TestLikelihood:
    """Interval-censored, by numbers that can be computed otherwise."""

    def test_theobjective_is_the_probability_of_what_is_known(self):
        from scipy.stats import logistic

        from llm_bridge.forecast.calibration.likelihood import RIDGE, objective

        features = np.array([[0.5], [-1.0], [2.0]])
        low, high = np.array([-math.inf, 1.0, 3.0]), np.array([2.0, 2.5, math.inf])
        share = np.array([0.2, 0.3, 0.5])
        value, slope = objective(np.array([1.2, 0.7, -0.3]), features, low, high, share)
        law = logistic(1.2 + 0.7 * features[:, 0], math.exp(-0.3))
        wanted = -share @ np.log(law.cdf(high) - law.cdf(low)) + RIDGE / 2 * 0.49
        assert value == pytest.approx(wanted)
        for i in range(3):
            step = np.eye(3)[i] * 1e-6
            above, below = (
                objective(np.array([1.2, 0.7, -0.3]) + s, features, low, high, share)[0]
                for s in (step, -step)
            )
            assert slope[i] == pytest.approx((above - below) / 2e-6, abs=1e-6)

    def test_a_run_that_counts_twice_is_two_runs(self):
        from llm_bridge.forecast.calibration.likelihood import fit_log_logistic, fit_spread

        rng = np.random.default_rng(1)
        features, low = rng.normal(size=(60, 2)), np.exp(rng.normal(3, 1, 60))
        high, counts = np.where(rng.random(60) < 0.3, np.inf, low * 1.5), rng.integers(1, 4, 60)
        again = [np.repeat(one, counts, axis=0) for one in (features, low, high)]
        (told, spread), (wanted, wide) = (
            fit_log_logistic(features, low, high, counts * 0.1),
            fit_log_logistic(*again),
        )
        assert told == pytest.approx(wanted, rel=1e-4) and spread == pytest.approx(wide, rel=1e-4)
        assert told != pytest.approx(fit_log_logistic(features, low, high)[0], rel=1e-2)
        medians = rng.normal(3, 1, 60)
        wanted = fit_spread(np.repeat(medians, counts), *again[1:])
        assert fit_spread(medians, low, high, counts) == pytest.approx(wanted, rel=1e-4)

    def test_every_prior_counts_alike(self):
        """A prior's runs given ten times change nothing about the fit."""
        rng = np.random.default_rng(2)
        groups = [
            group(i, {"log_steps": x}, {"relative": [math.exp(3 + x + (i % 5))]})
            for i, x in enumerate(rng.normal(size=12))
        ]
        again = [*groups, *(replace(one, label=f"again {i}") for i in range(9) for one in groups[:3])]
        assert fit(again, "relative", ("log_steps",))[0] == pytest.approx(
            fit(groups, "relative", ("log_steps",))[0], rel=1e-5
        )

    def test_the_weight_of_the_number_of_prompts_is_told_within_priors(self):
        """Steps fall as prompts^-0.3 within each prior; the priors of one study, all with many prompts, live longer."""
        rng, groups = np.random.default_rng(3), []
        for i in range(40):
            second = i >= 20
            for prompts in (8.0,) if second else (4.0, 6.0, 8.0):
                for rate in (-1.0, 0.0, 1.0):
                    log_steps = 6 - rate - 0.3 * prompts + (2.0 if second else 0.0) + 0.1 * rng.normal()
                    features = {"log_steps": -rate + 0.1 * rng.normal(), "log_prompts": prompts}
                    step = float(np.ceil(np.exp(log_steps)))
                    told = {
                        "label": f"{i} {prompts} {rate}",
                        "features": features,
                        "steps": {"relative": [step]},
                    }
                    groups.append(replace(group(i, features, {"relative": [step]}), **told))
        _, weights, _ = fit(groups, "relative", ("log_steps", "log_prompts"))
        assert weights["log_prompts"] == pytest.approx(-0.3, abs=0.05)
        # The ridge shrinks it: between the two studies nothing explains a factor of e².
        assert weights["log_steps"] == pytest.approx(1, abs=0.15)

    def test_a_coarse_grid_of_evaluations_does_not_bend_the_slope(self):
        """Steps from a law of slope −2, looked at every 40 steps: half are met at the first look. The intervals give
        the slope back, and the looks taken for exact steps do not.
        """
        from llm_bridge.forecast.calibration.likelihood import fit_log_logistic

        rng = np.random.default_rng(0)
        rate = rng.uniform(-1, 1, 400)
        steps = np.exp(3.7 - 2 * rate + 0.3 * rng.logistic(size=400))
        high = np.ceil(steps / 40) * 40
        assert np.mean(high == 40) > 0.4
        (_, slope), spread = fit_log_logistic(rate[:, None], high - 40, high)
        assert slope == pytest.approx(-2, abs=0.15) and spread == pytest.approx(0.3, abs=0.06)
        (_, exact), _ = fit_log_logistic(rate[:, None], high * 0.999, high)
        assert exact > -1.5


class TestOutcome:
    def test_ends_are_told_apart_by_the_law_they_were_drawn_from(self):
        """A run of 400 steps ends better with logit 2 + 3 log(half-life/400) + agreement."""
        rng, groups = np.random.default_rng(0), []
        half = replace(HEAD, criterion="half_life", weights={"log_steps": 1.0}, intercept=math.log(400))
        for i in range(200):
            told = {name: rng.normal() for name in MEANINGS}
            logit = 2 + 3 * told["log_steps"] + told["agreement"]
            end = [0.1 if rng.random() < 1 / (1 + math.exp(-logit)) else -0.1 for _ in range(3)]
            groups.append(group(i, told, {}, end=end))
        found = chance(groups, half, "better", "label-free")
        assert found.weights["log_lives"] == pytest.approx(3, abs=0.6) and found.weights[
            "agreement"
        ] == pytest.approx(1, abs=0.4)
        assert found.intercept == pytest.approx(2, abs=0.5)
        assert Chance(**json.loads(json.dumps(found.as_dict()))) == found
        told = groups[0].features
        calibration = Calibration({"half_life": half}, {"better": found}, RISE)
        assert calibration.chance("better", told, 400) == pytest.approx(
            found.of(told | {"log_lives": told["log_steps"]})
        )
        assert lives(half, told, 100) == pytest.approx(told["log_steps"] + math.log(4))

    def test_several_pilots_weigh_no_more_than_one(self):
        """The same groups read twice: the ridge, the number of runs and the rise are those of one reading."""
        rng = np.random.default_rng(1)
        groups = []
        for i in range(40):
            told = {name: rng.normal() for name in MEANINGS} | {"label_accuracy": 0.9}
            groups.append(
                group(
                    i,
                    told,
                    {"half_life": [100.0] * 3},
                    end=[rng.normal() for _ in range(3)],
                    best=[0.5] * 3,
                    peak=[10 * i] * 3,
                )
            )
        half = replace(HEAD, criterion="half_life")
        once, twice = (chance(read, half, "better", "label-free") for read in (groups, groups * 2))
        assert twice.runs == once.runs == 120 and twice.weights == pytest.approx(
            once.weights, rel=1e-3, abs=1e-4
        )
        assert rise(groups * 2) == rise(groups)

    def test_a_rise_is_where_runs_that_rose_and_fell_peaked(self):
        told = dict.fromkeys(MEANINGS, 0.0) | {"label_accuracy": 0.8}
        fell = [
            group(i, told, {"half_life": [100.0]}, start=[0.4], best=[0.6], peak=[10 * (i % 5 + 1)])
            for i in range(25)
        ]
        flat = [
            group(i, told, {"half_life": [100.0]}, start=[0.4], best=[0.41], peak=[90]) for i in range(25, 50)
        ]
        held = [
            group(i, told, {"half_life": [math.inf]}, start=[0.4], best=[0.6], peak=[390])
            for i in range(50, 75)
        ]
        found = rise(fell + flat + held)
        assert (found.when, found.headroom, found.runs) == (pytest.approx(0.3), pytest.approx(0.5), 25)
        assert found.low == pytest.approx(0.1, abs=0.01) and found.high == pytest.approx(0.5, abs=0.01)
        assert found.height(0.4, 0.8) == pytest.approx(0.6) and found.height(0.9, 0.7) == 0.9

    @given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
    def test_a_verdict_follows_the_chances(self, collapse, half, better_end, rises):
        code = verdict(collapse, half, better_end, rises)
        assert code in VERDICTS
        if better_end < 0.5:
            assert (code in ("collapse", "rise_then_fall")) == (max(collapse, half) >= 0.5)
            assert (code == "rise_then_fall") == (max(collapse, half) >= 0.5 and rises >= 0.5)
        if max(collapse, half) < 0.5:
            assert (code == "improves") == (better_end >= 0.5)


class TestHardlyMoving:
    """Far below the half-life nothing was measured, and in the limit of no step at all a run stays as it is."""

    CALIBRATION = load_calibration("labelled")

    @given(st.floats(1e-9, 1e-2))
    def test_no_chance_is_told_beyond_the_fitted_runs(self, rate):
        settings = RunSettings(learning_rate=rate, max_steps=20)
        told = READING.at(settings)
        moves = math.log(20) - told["log_free_steps"] >= self.CALIBRATION.fates.shortest_way
        assert self.CALIBRATION.moves(told, 20) == moves == bool(self.CALIBRATION.fate(told, 20))
        code, lines = calibrated_verdict(READING, self.CALIBRATION, settings)
        said = " ".join(lines)
        assert ("hardly moves" in said) != moves
        assert ("ends better" in said) == ("above voting" in said) == moves
        if not moves:
            assert code != "improves", "it cannot be told that it improves"

    def test_the_shortest_way_is_that_of_the_fitted_runs(self):
        ways = [
            math.log(g.horizon) - g.features["log_free_steps"] for read in measured_before() for g in read
        ]
        assert self.CALIBRATION.fates.shortest_way == pytest.approx(min(ways))

    def test_both_happen(self):
        told = {rate: READING.at(RunSettings(learning_rate=rate)) for rate in (1e-7, 1e-3)}
        assert [self.CALIBRATION.moves(one, 400) for one in told.values()] == [False, True]


class TestAdvice:
    """What to do follows the chances: stop before the interval begins, or go on."""

    CALIBRATION = load_calibration("labelled")

    def advised(self, rate, safe=None, reading=READING, steps=300, constant=None):
        settings = RunSettings(learning_rate=rate, max_steps=steps)
        code, _ = calibrated_verdict(reading, self.CALIBRATION, settings, constant=constant)
        head = self.CALIBRATION.heads["relative"]
        plan = what_to_do(reading, self.CALIBRATION, head, settings, code, safe=safe, constant=constant)
        return plan, code, [self.CALIBRATION.heads[name] for name in ("relative", "half_life")], settings

    @given(st.floats(1e-7, 1e-1))
    def test_a_run_is_stopped_where_loss_is_likelier_than_not_and_before_the_interval(self, rate):
        plan, _, heads, settings = self.advised(rate)
        told = READING.at(settings)
        likely = [head for head in heads if head.probability(told, 300) >= 0.5]
        assert (plan.stop_by is not None) == bool(likely) and plan.lines
        if likely:
            assert plan.stop_by <= max(1, min(head.interval(told)[0] for head in likely))
            first = plan.lines[0]
            assert ("Do not train" in first) == (plan.stop_by <= 1) != (f"step {plan.stop_by:,}" in first)

    def test_a_safe_rate_is_named_only_where_it_is_smaller_and_something_is_at_risk(self):
        def named(rate, safe):
            return any("learning rate of 1.0e-06" in line for line in self.advised(rate, safe)[0].lines)

        assert named(1e-2, 1e-6) and not named(1e-2, None) and not named(1e-7, 1e-6)
        assert not any("0.0e+00" in line for line in self.advised(1e-2, 0.0)[0].lines)

    def test_wrong_votes_ask_for_a_verifier_and_constants_for_another_measure(self):
        wrong = replace(READING, facts=READING.facts | {"label_accuracy": 0.5})
        lines = [self.advised(1e-2, reading=reading)[0].lines for reading in (READING, wrong)]
        assert [any("Verify" in line for line in found) for found in lines] == [
            1 - READING.facts["label_accuracy"] >= 0.1,
            True,
        ]
        told = self.advised(1e-2, constant={"answer": "7", "copies": 1, "of": 1})[0].lines
        assert any("distinct answers" in line for line in told)

    def test_without_a_calibration_no_date_is_leant_on(self):
        assert "no interval" in untested("collapse")[0] and "Measure" in untested("no_signal")[0]


class TestJudging:
    def test_figures_are_medians_over_pilots_and_averages_have_mean_features(self):
        read = [
            [group(i, {"log_steps": float(i + shift)}, {"relative": [float(i + 1)]}) for i in range(4)]
            for shift in (0, 1, 5)
        ]
        assert [one.features["log_steps"] for one in averaged(read)] == [2.0, 3.0, 4.0, 5.0]
        told = median_of(
            [{"spearman": 0.5, "groups": 4}, {"spearman": 0.9, "groups": 4}, {"spearman": 0.8, "groups": 4}]
        )
        assert told == {"spearman": 0.8, "groups": 4, "each_spearman": [0.5, 0.9, 0.8]}

    def test_a_factor_is_symmetric_and_leaves_out_what_did_not_collapse(self):
        found = [group(i, {}, {"relative": [step]}) for i, step in enumerate((100.0, 100.0, math.inf))]
        told = compared([50.0, 300.0, 1000.0], found, "relative")
        assert told["median_factor"] == pytest.approx(2.5), "2 and 3"


class TestShipped:
    @pytest.mark.parametrize(
        ("kind", "criterion"), [("labelled", "relative"), ("label-free", "mode_retention")]
    )
    def test_the_committed_coefficients_are_the_fit_of_the_committed_runs(self, kind, criterion):
        """The same six digits with the packages that the file names; other versions may round otherwise."""
        chosen = [g for read in measured_before() for g in read]
        head = load_calibration(kind).heads[criterion]
        wanted = calibrated(chosen, criterion, kind, doubly_left_out)
        assert (wanted.intercept, wanted.spread) == pytest.approx((head.intercept, head.spread), rel=1e-4)
        assert wanted.weights == pytest.approx(head.weights, rel=1e-4)
        np.testing.assert_allclose(wanted.doubt, head.doubt, rtol=1e-3, atol=1e-6)

    def test_peaks_too(self):
        chosen = [g for read in measured_before() for g in read]
        found, told = rise(chosen), load_calibration("labelled").rise
        assert found.as_dict() == pytest.approx(told.as_dict(), rel=1e-5)


class TestFile:
    """A calibration file is checked on load: what it does not hold, or should not, is told in one paragraph."""

    @staticmethod
    def changed(tmp_path, change):
        told = json.loads(SHIPPED.read_text())
        change(told)
        file = tmp_path / "mine.json"
        file.write_text(json.dumps(told))
        return file

    def test_a_copy_of_the_shipped_one_says_the_same_under_its_own_name(self, tmp_path):
        file = self.changed(tmp_path, lambda told: told.update(note="keys that are not known may stand"))
        for kind in KINDS:
            mine, shipped = load_calibration(kind, file), load_calibration(kind)
            assert (mine.heads, mine.chances, mine.rise) == (shipped.heads, shipped.chances, shipped.rise)
            assert mine.fates == shipped.fates
            assert (shipped.origin.file, mine.origin.file) == ("shipped", str(file))
            assert set(mine.heads) == {*DATED, *ALSO_DATED} and set(mine.chances) == set(KINDS[kind])

    def test_one_that_does_not_date_a_loss_spike_is_read_too(self, tmp_path):
        def forget(told):
            for kind in KINDS:
                del told["heads"][kind]["loss_spike"]

        assert set(load_calibration("labelled", self.changed(tmp_path, forget)).heads) == set(DATED)

    @pytest.mark.parametrize(
        ("place", "value", "fragment"),
        [
            ("heads.labelled.relative.intercept", "3.0", "heads.labelled.relative.intercept"),
            ("heads.labelled.relative.intercept", math.nan, "heads.labelled.relative.intercept"),
            ("heads.labelled.relative.intercept", True, "heads.labelled.relative.intercept"),
            ("heads.labelled.relative.spread", 0.0, "spread"),
            ("heads.labelled.relative.spread", -1.0, "spread"),
            ("heads.labelled.relative.typical", -0.1, "typical"),
            ("heads.labelled.relative.doubt", [[0.1]], "3 rows of 3 numbers"),
            ("heads.labelled.relative.low", 0.4, "low"),
            ("fates.labelled.weights", {"dies": {}}, "the same fates"),
            ("fates.labelled.weights.dies.log_steps", 1.0, "fates weigh log_steps"),
            ("fates.labelled.intercepts.thrives", 1.0, "fates.labelled.intercepts"),
            ("heads.labelled.relative.criterion", "half_life", "says that it is of half_life"),
            ("heads.labelled.relative.extra", 1, "extra"),
            ("heads.labelled.relative", None, "heads.labelled.relative"),
            ("heads.labelled.nonsense", "same", "nonsense"),
            ("heads.label-free.relative.weights", {"accuracy": 1.0}, "accuracy"),
            ("heads.label-free.relative.weights", {"log_speed": 1.0}, "log_speed"),
            ("heads.labelled.relative.weights.log_late_steps", 1e300, "log_late_steps"),
            ("chances.labelled.better.weights.log_speed", 1.0, "log_speed"),
            ("chances.labelled", {}, "better"),
            ("rise.when", 7.0, "between low and high"),
            ("rise", None, "rise"),
            ("runs", 0, "runs"),
            ("date", None, "date"),
            ("heads", {}, "heads"),
        ],
    )
    def test_a_broken_one_is_refused_by_the_place_that_is_broken(self, tmp_path, place, value, fragment):
        def change(told):
            *way, last = place.split(".")
            for name in way:
                told = told[name]
            told[last] = told["relative"] if value == "same" else value

        file = self.changed(tmp_path, change)
        with pytest.raises(InputError) as caught:
            load_calibration("labelled", file)
        assert caught.value.argument == "calibration" and str(file) in str(caught.value)
        assert fragment in str(caught.value) and "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        "text", ["", "{", "[]", "3", "null", '"text"', "{}", '{"schema": 1}', "[" * 100_000]
    )
    def test_what_is_no_calibration_at_all_is_refused(self, tmp_path, text):
        file = tmp_path / "mine.json"
        file.write_text(text)
        with pytest.raises(InputError, match="sharpening calibrate"):
            load_calibration("labelled", file)

    @pytest.mark.parametrize("name", ["", "missing.json"])
    def test_a_file_that_cannot_be_read_is_refused(self, tmp_path, name):
        with pytest.raises(InputError, match="cannot be read"):
            load_calibration("labelled", tmp_path / name)

    def test_a_file_of_the_first_format_must_be_fitted_anew(self, tmp_path):
        def change(told):
            del told["format"], told["fates"]
            for head in told["heads"]["labelled"].values():
                head.update(low=0.3, high=3.0, level=0.9)

        with pytest.raises(InputError, match="format 1, and this version reads 2") as caught:
            load_calibration("labelled", self.changed(tmp_path, change))
        assert "Fit it again" in str(caught.value)

    def test_one_kind_alone_will_do_and_the_other_is_refused(self, tmp_path):
        def change(told):
            del told["heads"]["label-free"], told["chances"]["label-free"]

        file = self.changed(tmp_path, change)
        assert load_calibration("labelled", file).heads == load_calibration("labelled").heads
        with pytest.raises(InputError, match="fit for labelled tasks alone"):
            load_calibration("label-free", file)


class TestVoice:
    def test_curves_break_where_the_calibration_says(self):
        settings = RunSettings(max_steps=400, eval_every=1)
        for wanted in (40.0, 150.0):
            curve = pilot_trajectory(pilot(), {"mode_retention": wanted}, settings)
            assert np.argmax(curve["mode_retention"] <= 0.5) == pytest.approx(wanted, rel=0.15)

    def test_two_dated_criteria_are_both_met_in_time(self):
        settings = RunSettings(max_steps=600, eval_every=1)
        curve = pilot_trajectory(pilot(), {"mode_retention": 60.0, "half_life": 200.0}, settings)
        assert np.argmax(curve["mode_retention"] <= 0.5) == pytest.approx(60, rel=0.2)
        assert np.argmax(
            curve["reward_accuracy"] <= 0.02 + 0.5 * (curve["reward_accuracy"][0] - 0.02)
        ) == pytest.approx(200, rel=0.2)

    def test_a_rise_that_the_pilot_was_too_fast_to_see_is_drawn_in(self):
        settings = RunSettings(max_steps=400, eval_every=5)
        flat = pilot_trajectory(pilot(), {"mode_retention": 200.0, "half_life": 250.0}, settings)
        risen = with_rise(flat, 60.0, 0.8, 250.0)
        assert risen.step[np.argmax(risen["accuracy"])] == 60 and risen["accuracy"].max() == pytest.approx(
            0.8
        )
        late = risen.step >= 250
        np.testing.assert_array_equal(risen["accuracy"][late], flat["accuracy"][late])
        np.testing.assert_array_equal(risen["mode_retention"], flat["mode_retention"])
        assert (np.diff(risen["accuracy"][(risen.step >= 60) & (risen.step < 250)]) < 0).all()

    @given(st.floats(1e-6, 1e-2), st.integers(10, 5000))
    def test_the_safe_learning_rate_has_just_the_chance_allowed(self, rate, budget):
        settings = RunSettings(learning_rate=rate, max_steps=budget)
        safe = safe_learning_rate(READING, settings, HEAD)
        told = features(PRIOR, KERNEL, pilot(), replace(settings, learning_rate=safe))
        assert HEAD.probability(told, budget) == pytest.approx(SAFE, abs=1e-9)

    @given(st.floats(1e-5, 1e-2), st.integers(100, 5000))
    def test_the_safe_number_of_prompts_has_just_the_chance_allowed(self, rate, budget):
        """Even where it is no whole number; 0 where one prompt is too likely, inf where all are safe."""
        settings = RunSettings(learning_rate=rate, max_steps=budget)
        found = safe_prompts(READING, settings, HEAD)

        def chance(prompts):
            told = features(PRIOR, KERNEL, pilot(), settings) | {"log_prompts": math.log(prompts)}
            return HEAD.probability(told, budget)

        if found == 0:
            assert chance(1) > TRAINED_ON
        elif found == math.inf:
            assert chance(MOST_PROMPTS) <= TRAINED_ON
        else:
            assert chance(found) == pytest.approx(TRAINED_ON, abs=1e-6)
        assert safe_prompts(READING, settings, replace(HEAD, intercept=99.0)) == math.inf

    def test_sensitivity_says_what_a_changed_setting_would_do(self):
        rows = {row["setting"]: row for row in sensitivity(READING, RunSettings(), HEAD)}
        # 1.1 + 0.3: two features speak of the rate
        assert rows["half the learning rate"]["step"] == pytest.approx(2**1.4 * rows["as asked"]["step"])
        assert rows["128 prompts"]["step"] > rows["fresh prompts"]["step"]
        assert rows["twice the learning rate"]["chance"] > rows["as asked"]["chance"]


NOISY = 0.3 * math.sqrt(3) / math.pi
"""A logistic law of this scale has the standard deviation .3."""


def drawn(seed: int, count: int = 60, horizon: int = 400) -> list[StudyGroup]:
    """Groups of three seeds from log T = 5.5 + 1.5 x − 0.7 y + .3 noise, looked at every 5 steps to the horizon."""
    rng, found = np.random.default_rng(seed), []
    for i in range(count):
        told = {name: rng.normal() for name in MEANINGS}
        centre = 5.5 + 1.5 * told["log_late_free_steps"] - 0.7 * told["majority_ratio"]
        steps = [5 * math.ceil(step / 5) for step in np.exp(centre + NOISY * rng.logistic(size=3))]
        steps = [float(step) if step <= horizon else math.inf for step in steps]
        looks = (tuple(range(0, horizon + 1, 5)),) * 3
        found.append(group(i, told, {"relative": steps}, horizon=horizon, start=[0.0] * 3, at=looks))
    return found


class TestFit:
    def test_it_finds_the_law_through_censoring(self):
        """Standard errors are about 0.3/√180; the ridge penalty pulls a little towards 0."""
        groups, names = drawn(0), LABEL_FREE_RELATIVE
        assert 0.2 < np.mean([math.isinf(step) for group in groups for step in group.steps["relative"]]) < 0.6
        _, weights, spread = fit(groups, "relative", names)
        assert weights["log_late_free_steps"] == pytest.approx(1.5, abs=0.2) and weights[
            "majority_ratio"
        ] == pytest.approx(-0.7, abs=0.15)
        assert (
            max(abs(weights[name]) for name in names if name not in ("log_late_free_steps", "majority_ratio"))
            < 0.15
        )
        assert spread == pytest.approx(NOISY, abs=0.1)

    def test_intervals_hold_what_they_promise_on_fresh_priors(self):
        head = calibrated(drawn(1), "relative", "label-free")
        held = [
            head.interval(g.features)[0] <= s <= head.interval(g.features)[1]
            if math.isfinite(s)
            else head.interval(g.features)[1] > g.horizon
            for g in drawn(2)
            for s in g.steps["relative"]
        ]
        assert 0.8 < np.mean(held) < 0.98

    def test_a_run_that_ended_early_is_censored_where_it_ended(self):
        """Runs of the law below that stopped at step 100 or 200, unless they met the criterion before."""
        groups, names = [], LABEL_FREE_RELATIVE
        for number, one in enumerate(drawn(3)):
            end = 100 if number % 2 else 200
            steps = [step if step <= end else math.inf for step in one.steps["relative"]]
            groups.append(replace(one, steps={"relative": steps}, at=(tuple(range(end + 1)),) * 3))
        _, weights, spread = fit(groups, "relative", names)
        assert weights["log_late_free_steps"] == pytest.approx(1.5, abs=0.25) and spread == pytest.approx(
            NOISY, abs=0.15
        )
        whole = (tuple(range(401)),) * 3
        forgotten = fit([replace(one, at=whole) for one in groups], "relative", names)
        assert abs(forgotten[1]["log_late_free_steps"] - 1.5) > abs(weights["log_late_free_steps"] - 1.5)

    def test_a_seed_of_which_nothing_can_be_told_is_left_out(self):
        groups = drawn(4, 9)
        unknown = [
            replace(
                one, steps={"relative": [*one.steps["relative"], math.nan]}, end=[0.0] * 4, at=one.at[:1] * 4
            )
            for one in groups
        ]
        with_it, without = (calibrated(found, "relative", "label-free") for found in (unknown, groups))
        assert with_it == without and with_it.runs == 27

    def test_ranks_treat_what_lies_beyond_the_horizon_as_one(self):
        assert censored_spearman([1, 2, 500, 900], [3, 4, math.inf, math.inf], [400] * 4) == pytest.approx(1)
        assert censored_spearman([2, 1, 900, 500], [3, 4, math.inf, math.inf], [400] * 4) < 1

    @given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=20))
    def test_auroc_against_all_pairs(self, cases):
        scores, truth = zip(*cases, strict=True)
        good, bad = [s for s, t in cases if t], [s for s, t in cases if not t]
        if not good or not bad:
            assert math.isnan(auroc(scores, truth))
        else:
            wins = np.mean([(g > b) + 0.5 * (g == b) for g in good for b in bad])
            assert auroc(scores, truth) == pytest.approx(wins)


class TestEnough:
    """The least that a fit takes, and what is said where there is less."""

    @pytest.mark.parametrize("copies", [1, 3])
    def test_enough_is_enough_however_many_pilots_read_it(self, copies):
        assert failure_shortage(drawn(0) * copies, "relative", "label-free") is None

    @pytest.mark.parametrize(
        ("change", "fragment"),
        [
            (lambda found: found[:6], "18 runs can tell it, and 20 are needed"),
            (lambda found: found[:6] * 4, "18 runs can tell it"),
            (
                lambda found: [
                    replace(one, steps={"relative": [20.0] * 10}, at=one.at[:1] * 10) for one in found[:4]
                ],
                "4 models or settings, and 5",
            ),
            (lambda found: [replace(one, features=found[0].features) for one in found], "no feature"),
            (
                lambda found: [replace(one, steps={"relative": [math.inf] * 3}) for one in found],
                "0 of 180 runs met it, and 15 are needed",
            ),
            (
                lambda found: [replace(one, steps={"relative": [10.0] * 3}) for one in found],
                "did so at step 10",
            ),
            (
                lambda found: [
                    replace(one, steps={"relative": [10.0, 20.0, 30.0] if i < 30 else [math.inf] * 3})
                    for i, one in enumerate(replace(one, prior=str(i // 30)) for i, one in enumerate(found))
                ],
                "without 0 0 runs met it",
            ),
            (lambda found: [replace(one, steps={"relative": [math.nan] * 3}) for one in found], "0 runs"),
        ],
    )
    def test_less_is_told(self, change, fragment):
        assert fragment in failure_shortage(change(drawn(0)), "relative", "label-free")

    def test_a_chance_needs_both_ends(self):
        told = [g.features for g in drawn(0)]
        ends = lambda good: [  # noqa: E731
            group(i, one, {"half_life": [50.0] * 3}, end=[0.1 if i < good else -0.1] * 3)
            for i, one in enumerate(told)
        ]
        assert chance_shortage(ends(30), "better", "label-free") is None
        assert chance_shortage(ends(EVENTS), "better", "label-free") is None
        assert "12 of 180 runs did so, and 15 are needed" in chance_shortage(ends(4), "better", "label-free")
        assert "6 of 180 runs did not" in chance_shortage(ends(58), "better", "label-free")
        assert "0 runs can tell it" in chance_shortage(
            [replace(one, start=[], end=[], best=[], peak=[]) for one in ends(30)], "better", "label-free"
        )

    def test_a_peak_needs_runs_that_rose_and_fell(self):
        told = dict.fromkeys(MEANINGS, 0.0) | {"label_accuracy": 0.8}
        risen = lambda count, half: [  # noqa: E731
            group(i, told, {"half_life": [half]}, start=[0.4], best=[0.6], peak=[10]) for i in range(count)
        ]
        assert rise_shortage(risen(EVENTS, 100.0)) is None
        assert "4 runs rose and lost half of it" in rise_shortage(risen(EVENTS - 1, 100.0))
        assert "0 runs rose and lost half of it" in rise_shortage(risen(30, math.inf))

    def test_where_priors_are_few_settings_are_left_out(self):
        """All of one model: the fit is the same, and the interval is that of settings left out in turn."""
        one = [
            replace(found, prior="mine", steps=dict.fromkeys(DATED, [math.nan] * 3) | found.steps)
            for found in drawn(5, 8, 100_000)
        ]
        parts = {part.place: part for part in fit_parts([one])}
        alone = [replace(found, prior=found.label) for found in one]
        assert parts["label-free.relative"].part == calibrated(alone, "relative", "label-free")
        assert parts["label-free.relative"].runs == 24 >= LEAST_RUNS
        assert parts["label-free.half_life"].short == "0 runs can tell it, and 20 are needed"
        assert parts["label-free.better"].part is None and "24 runs" in parts["label-free.better"].short
