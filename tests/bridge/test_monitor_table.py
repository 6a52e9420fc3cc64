"""The study behind the table of docs/monitor.md: its outcomes, its clock, and that the page shows its result."""

import pytest

from studies.monitor_curves import BEGIN, END, PAGE, Case, published, table, watch
from studies.study import load_result


def case(accuracy, **series):
    curve = {10 * i: value for i, value in enumerate(accuracy)}
    return Case("x", "x", {"accuracy": curve, **series}, {}, curve)


@pytest.mark.parametrize(
    "accuracy, outcome",
    [([0.5, 0.6, 0.3], "collapse"), ([0.5, 0.6, 0.5], "slow fall"), ([0.5, 0.6, 0.58], "healthy")],
)
def test_outcomes_are_those_of_accuracy_alone(accuracy, outcome):
    assert case(accuracy).outcome == case(accuracy).without_labels().outcome == outcome
    assert "accuracy" not in case(accuracy).without_labels().series


def test_a_run_is_watched_without_its_future():
    verdict = watch(case([0.5, 0.55, 0.6, 0.6, 0.05, 0.04, 0.03]))
    assert (verdict.alarm, verdict.lead, verdict.kept, verdict.at_end) == (40, 0, 0.0, True)
    verdict = watch(case([0.5, 0.55, 0.6, 0.6, 0.61]))
    assert verdict.alarm is None and verdict.lead is None


def test_the_page_shows_the_stored_result():
    shown = PAGE.read_text().split(BEGIN)[1].split(END)[0].strip()
    assert shown == table(load_result("monitor"))


def test_curves_are_read_and_companions_are_not(tmp_path):
    (tmp_path / "M-1B_MATH_entropy.csv").write_text("step,accuracy\n0,0.5\n10,0.6\n20,0.1\n")
    (tmp_path / "M-1B_MATH_entropy.reward_len.csv").write_text("step,reward\n1,0.5\n2,0.6\n")
    (found,) = published(tmp_path)
    assert found.group == "M-1B" and found.outcome == "collapse"
