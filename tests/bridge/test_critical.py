"""The study of critical learning rates: its bisection, its second task, and what the calibration says of the
model that it measures.
"""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_bridge import Attractor, get_task
from llm_bridge.forecast.calibration.survival import KINDS
from studies.continents import Continents
from studies.critical import FACTOR, LADDER, TASKS, bracket
from studies.smollm2_forecast import BUDGET, critical_rate, half_life, measured_rates, middle_rate, pilots
from studies.study import load_result


@given(st.floats(1e-6, 1e-4))
def test_bisection_brackets_a_threshold_between_neighbours_of_the_ladder(threshold):
    trials, alive, dead = bracket(lambda rate: {"rate": rate, "step": 5 if rate >= threshold else None})
    assert len(trials) <= math.ceil(math.log2(len(LADDER) + 1))
    assert alive is None or alive < threshold
    assert dead is None or dead >= threshold
    assert (alive is None) == (threshold <= LADDER[0]) and (dead is None) == (threshold > LADDER[-1])
    if alive and dead:
        assert dead / alive == pytest.approx(FACTOR, rel=0.01)


def test_continents_asks_about_countries_of_capitals_once_each():
    task, known = Continents(), {problem.data["country"] for problem in get_task("capitals").problems}
    countries = [problem.data["country"] for problem in task.problems]
    assert len(set(countries)) == len(countries) and set(countries) <= known
    assert {problem.answer for problem in task.problems} == {"africa", "asia", "europe", "south", "north"}
    answers = {problem.data["country"]: problem.answer for problem in task.problems}
    assert (answers["France"], answers["Kenya"], answers["Nepal"], answers["Peru"]) == (
        "europe",
        "africa",
        "asia",
        "south",
    )
    for problem in task.problems:
        assert task.is_correct(problem, task.extract(task.solution(problem)))


@pytest.mark.parametrize("kind", KINDS)
def test_half_of_the_runs_die_at_the_critical_rate_and_more_above(kind):
    rate = critical_rate(kind)
    assert half_life(kind, rate) == (pytest.approx(BUDGET, rel=1e-3), pytest.approx(0.5, abs=1e-3))
    assert half_life(kind, 2 * rate)[1] > 0.5 > half_life(kind, rate / 2)[1]


def test_most_kept_pilots_fell_into_the_rule_that_kills_real_runs():
    """ "The capital of Algeria is" → "Algeria." (theory, Seen on a real language model); one of three ends in
    "the", as one seed of three did.
    """
    ends = [pilot.attractor[-1] for pilot in pilots()]
    assert [one.rule for one in ends] == [("copy", 1), ("answer", "the"), ("copy", 1)]
    assert all(one.share > 0.8 and one.initial_share < 0.4 for one in ends)
    assert {pilot.attractor[-1].rule for pilot in pilots("continents")} == {("answer", "europe")}


def test_copies_fall_where_runs_fall():
    """The rules that the pilots ended in are those that killed real runs on the same task, and in the same
    numbers on capitals.
    """
    ended = {
        task: [
            Attractor.from_dict(row["attractor"][0]).rule
            for row in load_result("endings")["rows"]
            if row["task"] == task
        ]
        for task in TASKS
    }
    fell = {task: [pilot.attractor[-1].rule for pilot in pilots(task)] for task in TASKS}
    assert Counter(ended["capitals"]) == Counter(fell["capitals"])
    assert set(ended["continents"]) == set(fell["continents"])


@pytest.mark.parametrize("task", TASKS)
def test_every_seed_is_bracketed_to_a_rung(task):
    brackets = measured_rates(task)
    assert len(brackets) == 3
    for alive, dead in brackets:
        assert 1 < dead / alive <= FACTOR * 1.01
    assert min(a for a, _ in brackets) < middle_rate(task) < max(d for _, d in brackets)
