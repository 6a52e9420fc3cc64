"""Laws of the collapse criteria, against a slow oracle that restates the table in plain loops."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sharpening import (
    CRITERIA,
    METRICS,
    Criterion,
    InputError,
    Outcome,
    Trajectory,
    collapse_step,
    collapse_steps,
)

SCALE = {"reward_accuracy": 1.0, "lm_loss": 1.5, "accuracy": 1.0, "mode_retention": 1.0, "excess_kl": 4.0}
WITHOUT_PEAK = sorted(set(CRITERIA) - {"accuracy_peak"})


def trajectory(metric, values, *, step=None, floor=0.1):
    step = range(0, 15 * len(values), 15) if step is None else step
    return Trajectory(np.array(step, dtype=int), {metric: np.array(values, float)}, floor)


@st.composite
def runs(draw, name=None, max_size=9):
    """(criterion name, values on a coarse grid that holds every threshold, floor, patience)."""
    name = draw(st.sampled_from(sorted(CRITERIA))) if name is None else name
    grid = st.sampled_from([0.0, 0.005, 0.01, 0.05, 0.1, 0.2, 0.25, 0.4, 0.5, 0.55, 0.8, 1.0])
    values = draw(st.lists(grid, min_size=1, max_size=max_size))
    return (
        name,
        [value * SCALE[CRITERIA[name].metric] for value in values],
        draw(st.sampled_from([0.0, 0.1, 0.3])),
        draw(st.integers(1, 4)),
    )


def oracle(name, values, floor, patience):
    """(outcome, index of the collapse step) as the table says it."""
    first = values[0]

    def bad(value):
        return {
            "absolute": lambda: value < 0.01,
            "relative": lambda: value <= floor + 0.05 * (first - floor),
            "half_life": lambda: value <= floor + 0.5 * (first - floor),
            "loss_spike": lambda: value > first + 0.5,
            "accuracy_peak": lambda: value < 0.5 * max(values),
            "mode_retention": lambda: value <= 0.5,
            "mode_retention_5": lambda: value <= 0.05,
            "excess_kl": lambda: value > 2,
        }[name]()

    start = values.index(max(values)) if name == "accuracy_peak" else 0
    if name == "accuracy_peak" and max(values) == 0 or name != "accuracy_peak" and bad(first):
        return Outcome.NEVER_STARTED, None
    for i in range(start, len(values) - patience + 1):
        if all(bad(values[j]) for j in range(i, i + patience)):
            return Outcome.COLLAPSED, start if name == "accuracy_peak" else i
    return Outcome.CENSORED, None


@given(runs())
def test_every_criterion_is_what_the_table_says(run):
    name, values, floor, patience = run
    path = trajectory(CRITERIA[name].metric, values, floor=floor)
    found = collapse_step(path, name, patience=patience)
    outcome, index = oracle(name, values, floor, patience)
    assert (found.outcome, found.step) == (outcome, None if index is None else 15 * index)
    assert (found.criterion, found.metric, found.horizon) == (
        name,
        CRITERIA[name].metric,
        15 * (len(values) - 1),
    )


@given(runs(), st.lists(st.integers(1, 40), min_size=9, max_size=9))
def test_the_clock_does_not_matter(run, gaps):
    """Stretching time monotonically maps the collapse step along and changes no outcome."""
    name, values, floor, patience = run
    step = np.cumsum([0, *gaps])[: len(values)]
    even = collapse_step(trajectory(CRITERIA[name].metric, values, floor=floor), name, patience=patience)
    stretched = collapse_step(
        trajectory(CRITERIA[name].metric, values, floor=floor, step=step), name, patience=patience
    )
    assert stretched.outcome is even.outcome and stretched.threshold == even.threshold
    assert stretched.step == (None if even.step is None else step[even.step // 15])


@given(runs(), st.sampled_from([0.25, 0.5, 2.0]))
def test_relative_criteria_do_not_see_the_scale(run, factor):
    """Scaling values and floor together changes nothing; powers of two are exact in floating point."""
    _, values, floor, patience = run
    values = [value / max(1.0, max(values)) for value in values]
    for name in ("relative", "half_life", "accuracy_peak"):
        metric = CRITERIA[name].metric
        scaled = trajectory(metric, [factor * value for value in values])
        one = collapse_step(trajectory(metric, values), name, patience=patience, floor=floor)
        two = collapse_step(scaled, name, patience=patience, floor=factor * floor)
        assert (one.outcome, one.step) == (two.outcome, two.step)


@given(runs())
def test_threshold_criteria_are_invariant_under_monotone_maps(run):
    """Only the order of values and threshold counts: x -> x**3 with the amount mapped along gives the same
    step.
    """
    _, values, floor, patience = run
    for kind in ("below", "above"):
        rule = Criterion("mine", "mode_retention", kind, 0.25, "for this test")
        one = collapse_step(trajectory("mode_retention", values), rule, patience=patience)
        mapped = replace(rule, amount=0.25**3)
        two = collapse_step(
            trajectory("mode_retention", [value**3 for value in values]), mapped, patience=patience
        )
        assert (one.outcome, one.step) == (two.outcome, two.step)


@given(runs(), st.integers(1, 3))
def test_patience_only_delays(run, more):
    name, values, floor, patience = run
    path = trajectory(CRITERIA[name].metric, values, floor=floor)
    hasty, patient = (collapse_step(path, name, patience=p) for p in (patience, patience + more))
    assert hasty.threshold == patient.threshold
    if patient.outcome is Outcome.COLLAPSED:
        assert hasty.outcome is Outcome.COLLAPSED and hasty.step <= patient.step
    if hasty.outcome is not Outcome.COLLAPSED:
        assert patient.outcome is hasty.outcome


@given(
    st.sampled_from(WITHOUT_PEAK).flatmap(lambda name: runs(name)),
    st.lists(st.sampled_from([0.0, 0.5, 1.0]), max_size=4),
)
def test_a_longer_run_never_takes_a_collapse_back(run, later):
    """Also the law of censoring: a run cut before the patience is met is censored at its last step."""
    name, values, floor, patience = run
    metric = CRITERIA[name].metric
    before = collapse_step(trajectory(metric, values, floor=floor), name, patience=patience)
    after = collapse_step(trajectory(metric, values + later, floor=floor), name, patience=patience)
    if before.outcome is not Outcome.CENSORED:
        assert (after.outcome, after.step) == (before.outcome, before.step)
    if before.outcome is Outcome.COLLAPSED:
        cut = before.step // 15 + patience - 1
        short = collapse_step(trajectory(metric, values[:cut], floor=floor), name, patience=patience)
        assert short.outcome is Outcome.CENSORED and short.step is None and short.horizon == 15 * (cut - 1)


@given(runs())
def test_the_stricter_criterion_fires_no_sooner(run):
    _, values, floor, patience = run
    values = [min(value, 1.0) for value in values]
    for loose, strict, metric in (
        ("half_life", "relative", "reward_accuracy"),
        ("mode_retention", "mode_retention_5", "mode_retention"),
    ):
        path = trajectory(metric, values, floor=floor)
        early, late = (
            collapse_step(path, loose, patience=patience),
            collapse_step(path, strict, patience=patience),
        )
        if late.outcome is Outcome.COLLAPSED and early.outcome is not Outcome.NEVER_STARTED:
            assert early.outcome is Outcome.COLLAPSED and early.step <= late.step


def test_a_dip_shorter_than_the_patience_is_no_collapse():
    values = [0.9, 0.0, 0.9, 0.0, 0.0, 0.9]
    path = trajectory("reward_accuracy", values)
    assert [collapse_step(path, "relative", patience=p).step for p in (1, 2, 3)] == [15, 45, None]
    assert collapse_step(path).step == 45 and collapse_step(path, patience=3).outcome is Outcome.CENSORED


def test_the_literal_one_percent_may_never_fire_where_the_relative_rule_does():
    """Theory C3: the floor is a base rate, not 0."""
    path = trajectory("reward_accuracy", [0.9, 0.5, 0.1, 0.1, 0.1], floor=0.1)
    found = collapse_steps(path)
    assert (
        found["absolute"].outcome is Outcome.CENSORED
        and found["relative"].step == 30
        and found["half_life"].step == 15
    )


def test_accuracy_peak_is_the_first_maximum_and_needs_a_lasting_fall():
    path = [0.4, 0.6, 0.6, 0.2, 0.5, 0.29, 0.1]
    found = collapse_step(trajectory("accuracy", path), "accuracy_peak")
    assert (found.step, found.outcome, found.threshold) == (15, Outcome.COLLAPSED, 0.3)
    assert collapse_step(trajectory("accuracy", path[:6]), "accuracy_peak").outcome is Outcome.CENSORED
    assert (
        collapse_step(trajectory("accuracy", [0.4, 0.1, 0.1, 0.9]), "accuracy_peak").outcome
        is Outcome.CENSORED
    )
    assert (
        collapse_step(trajectory("accuracy", [0.0, 0.0, 0.0]), "accuracy_peak").outcome
        is Outcome.NEVER_STARTED
    )


def test_without_labels_only_the_label_free_criteria_speak():
    step = np.arange(3)
    blind = Trajectory(
        step,
        {
            "mode_retention": np.array([1, 0.4, 0.01]),
            "excess_kl": np.array([0.0, 3.0, 5.0]),
            "entropy": np.ones(3),
        },
    )
    found = collapse_steps(blind)
    assert set(found) == set(CRITERIA)
    for name, rule in CRITERIA.items():
        assert (found[name].outcome is Outcome.UNAVAILABLE) == (
            rule.needs_labels or rule.metric == "lm_loss"
        ), name
    assert (
        found["mode_retention"].step == found["excess_kl"].step == 1
        and found["mode_retention_5"].outcome is Outcome.CENSORED
    )
    no_floor = Trajectory(step, {"reward_accuracy": np.array([0.9, 0.0, 0.0])})
    found = collapse_steps(no_floor)
    assert (
        found["relative"].outcome is found["half_life"].outcome is Outcome.UNAVAILABLE
        and found["absolute"].step == 1
    )
    assert collapse_steps(no_floor, floor=0.0)["relative"].step == 1


def test_amounts_can_be_changed():
    path = trajectory("lm_loss", [3.0, 3.7, 3.7])
    assert collapse_step(path, "loss_spike").step == 15
    assert collapse_step(path, replace(CRITERIA["loss_spike"], amount=1.0)).outcome is Outcome.CENSORED


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"criterion": "no-such"}, "relative, half_life"),
        ({"patience": 0}, "patience"),
        ({"patience": 1.5}, "patience"),
        ({"patience": True}, "patience"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(arguments, named):
    with pytest.raises(InputError, match=named):
        collapse_step(trajectory("reward_accuracy", [1.0, 0.0]), **arguments)


@given(runs(), st.integers(0, 8))
def test_a_gap_in_the_metric_is_refused(run, where):
    name, values, _, _ = run
    assume(where < len(values))
    values[where] = float("nan")
    with pytest.raises(InputError, match=CRITERIA[name].metric):
        collapse_step(trajectory(CRITERIA[name].metric, values), name)


def test_outcomes_speak_and_results_are_plain_data():
    assert {outcome.value for outcome in Outcome} == {"collapsed", "censored", "never_started", "unavailable"}
    assert len({outcome.sentence for outcome in Outcome}) == 4 and all(
        outcome.sentence.endswith(".") for outcome in Outcome
    )
    assert all(rule.metric in METRICS and rule.name == name for name, rule in CRITERIA.items())
    data = collapse_step(trajectory("excess_kl", [0.0, 2.5, 2.5]), "excess_kl").as_dict()
    assert data == {
        "step": 15,
        "outcome": "collapsed",
        "threshold": 2.0,
        "metric": "excess_kl",
        "horizon": 30,
    }
    assert type(data["step"]) is int
