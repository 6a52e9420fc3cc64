"""Steps left, as the monitor tells them: from the table of stored runs, and never more than is known."""

import json
import math

import pytest

from llm_bridge.logs.read import judge
from llm_bridge.logs.remaining import EDGES, ORDER, TABLE, bin_of, level_of, remaining
from llm_bridge.logs.run_log import RunLog
from sharpening import CRITERIA


def log_of(values, metric="mode_retention", gap=10, floor=None):
    log = RunLog("x", floor=floor)
    for i, value in enumerate(values):
        log.add(metric, gap * i, value)
    return log


def test_the_table_is_the_one_that_the_study_makes():
    studies = pytest.importorskip("studies.remaining")
    made = studies.result()
    assert json.loads(TABLE.read_text()) == json.loads(json.dumps(made))


@pytest.mark.parametrize("criterion", ORDER)
def test_less_is_left_the_lower_the_level(criterion):
    rows = json.loads(TABLE.read_text())["table"][criterion]
    middles = [math.inf if row[1] is None else row[1] for row in rows]
    assert len(rows) == len(EDGES) + 1 and middles[0] < middles[3] < middles[-1]
    for low, middle, high in rows:
        assert low <= (math.inf if middle is None else middle) <= (math.inf if high is None else high)


def test_levels_are_one_at_the_start_and_nil_at_the_threshold():
    assert level_of("mode_retention", 1.0, 1.0, None) == 1 and level_of("mode_retention", 1.0, 0.5, None) == 0
    assert level_of("excess_kl", 0.0, 2.0, None) == 0 and level_of("excess_kl", 0.0, 0.0, None) == 1
    threshold = CRITERIA["relative"].threshold([0.8], 0.1)
    assert level_of("relative", 0.8, threshold, 0.1) == pytest.approx(0)
    assert bin_of(-1) == 0 and bin_of(2) == len(EDGES)


def test_steps_scale_with_the_run():
    """Ten times as many steps between evaluations, ten times as many left."""
    short, long = remaining(log_of([1.0, 0.9, 0.7])), remaining(log_of([1.0, 0.9, 0.7], gap=100))
    assert long.middle == pytest.approx(10 * short.middle) and long.low == pytest.approx(10 * short.low)


def test_what_is_met_or_was_never_clear_has_nothing_left():
    assert remaining(log_of([1.0, 0.9, 0.4])) is None
    assert remaining(log_of([0.4, 0.45, 0.48])) is None
    assert remaining(log_of([0.7, 0.6], metric="reward_accuracy")) is None
    found = remaining(log_of([0.7, 0.6], metric="reward_accuracy", floor=0.1))
    assert found.criterion == "relative" and found.low <= found.middle <= found.high


def test_it_is_told_as_information():
    findings = {finding.name: finding for finding in judge(log_of([1.0, 0.9, 0.7]))}
    assert (
        findings["remaining_steps"].level == "info" and "steps later" in findings["remaining_steps"].message
    )
    assert "remaining_steps" not in {finding.name for finding in judge(log_of([1.0, 0.9, 0.4, 0.3]))}
