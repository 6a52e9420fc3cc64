"""The runs that the monitor is judged by: what is drawn, how an outcome is read, and that a run is made once."""

import dataclasses
import json
import random

import pytest

from llm_bridge import get_task
from llm_bridge.logs.read import run_log
from llm_bridge.logs.run_log import RunLog, Series
from studies import live_judging
from studies.monitor_chance import Seen
from studies.monitor_judging import PAGE, rows, table, until, watch
from studies.monitor_judging import RESULT as JUDGED
from studies.monitored import (
    EVERY,
    LEFT_OUT,
    LEFT_OUT_REWARDS,
    PARTS,
    RESULT,
    STRANGERS,
    problems_of,
    specs,
    strangers,
    train,
)
from studies.monitored_live import WATCHED, watched_problems
from studies.study import RESULTS


def seen(*accuracy, every=EVERY, log=None):
    """A run with these accuracies, every EVERY steps."""
    record = {"accuracy": {str(every * i): value for i, value in enumerate(accuracy)}}
    known = {"label": "", "part": "judge", "kind": "vote", "model": "", "reward": "majority"}
    return Seen(record | known, log or RunLog("none"))


class TestSpecs:
    def test_parts_are_alike_and_the_last_one_holds_models_and_rewards_of_its_own(self):
        found = specs()
        parts = {part: [spec for spec in found if spec.part == part] for part in PARTS}
        assert len({len(some) for some in parts.values()}) == 1 and len(
            {spec.label for spec in found}
        ) == len(found)
        early = parts["look"] + parts["calibrate"]
        assert not {spec.model for spec in early} & set(LEFT_OUT)
        assert not {spec.reward for spec in early} & set(LEFT_OUT_REWARDS)
        assert {spec.model for spec in parts["judge"]} > set(LEFT_OUT)
        assert {spec.reward for spec in parts["judge"]} > set(LEFT_OUT_REWARDS)

    def test_they_are_the_same_whenever_they_are_asked_for(self):
        random.seed(5)
        assert specs() == specs()


class TestOutcome:
    @pytest.mark.parametrize(
        ("accuracy", "outcome"),
        [
            ((0.6, 0.8, 0.8, 0.4, 0.3), "collapse"),
            ((0.6, 0.8, 0.8, 0.7, 0.6), "slow fall"),
            ((0.6, 0.8, 0.8, 0.79, 0.8), "healthy"),
            ((0.2, 0.22, 0.2, 0.19, 0.18), "healthy"),
            ((0.02, 0.05, 0.05, 0.01, 0.0), "nothing to lose"),
        ],
    )
    def test_it_is_read_from_the_last_two_evaluations(self, accuracy, outcome):
        assert seen(*accuracy).outcome == outcome

    def test_half_is_that_of_the_gain_or_of_the_way_down(self):
        assert seen(0.6, 0.8, 0.75, 0.69, 0.2).half == 3 * EVERY
        assert seen(0.8, 0.8, 0.75, 0.45, 0.2).half == 3 * EVERY
        assert seen(0.6, 0.7, 0.8).half is None


class TestWatch:
    def run(self):
        """Agreement that falls to nothing in a vote, from step 40 on."""
        steps = range(1, 101)
        share = {step: 0.9 if step < 40 else max(0.2, 0.9 - 0.04 * (step - 40)) for step in steps}
        log = RunLog("made", {name: Series(dict(share), 1) for name in ("reward", "majority_ratio")})
        log.series["token_entropy"] = Series({step: 0.2 + 2 * (0.9 - share[step]) for step in steps}, 1)
        return seen(*([0.6] * 8 + [0.55, 0.5, 0.4, 0.3, 0.2] + [0.1] * 8), log=log)

    def test_a_look_knows_nothing_of_what_comes_later(self):
        log = until(self.run().log, 30)
        assert max(log.series["reward"].steps) == 30 and min(log.series["reward"].steps) == 1

    def test_an_alarm_is_dated_and_what_it_was_worth_is_told(self):
        found = watch(self.run())
        assert found["outcome"] == "collapse" and 40 < found["alarm"] < 60
        assert found["lead"] == found["half"] - found["alarm"] and found["kept"] <= 0.03
        assert len(found["chance"]) == 20

    def test_tables_count_by_outcome(self):
        one = watch(self.run())
        quiet = one | {"alarm": None, "early": False, "lead": None, "kept": None}
        assert rows([one, quiet])["collapse"]["runs"] == 2 and rows([one, quiet])["collapse"]["told"] == 1


def test_a_run_is_what_a_user_has_of_it_and_is_made_once(tmp_path):
    spec = next(spec for spec in specs() if spec.model == "addition-weak" and spec.kind == "vote")
    spec = dataclasses.replace(spec, steps=2)
    record = train(spec, tmp_path)
    own = tmp_path / spec.label
    assert sorted(path.name for path in (own / "trl").iterdir()) == ["completions", "trainer_state.json"]
    log = run_log(own / "trl")
    assert {"reward", "majority_ratio", "mean_length"} <= set(log.series) and "accuracy" not in log.series
    stamp = (own / RESULT).stat().st_mtime_ns
    assert train(spec, tmp_path) == record == json.loads((own / RESULT).read_text())
    assert (own / RESULT).stat().st_mtime_ns == stamp


def test_the_page_shows_the_table_of_the_committed_result():
    result = json.loads(JUDGED.read_text())
    assert result["as_frozen"] and table(result) in PAGE.read_text()
    assert len(result["runs"]) == sum(row["runs"] for row in result["tables"]["all"].values())


def test_the_page_shows_the_committed_table_of_the_callback_too():
    result = json.loads((RESULTS / "monitored_live.json").read_text())
    assert live_judging.table(result) in PAGE.read_text()
    judged = [one for one in result["runs"]["stops"] if one["part"] in ("judge", STRANGERS)]
    fallen = [one for one in judged if one["outcome"] == "collapse"]
    told = sum(one["alarm"] is not None for one in fallen)
    assert f"{told} of {len(fallen)} collapses are told" in PAGE.read_text()


def test_strangers_are_in_no_other_part_and_watched_prompts_are_nobody_elses():
    others = {spec.model for spec in specs()}
    assert len(strangers()) == 96 and not others & {spec.model for spec in strangers()}
    spec = next(spec for spec in specs() if spec.model == "addition-weak")
    task = get_task("addition")
    train_set, held_out = problems_of(task, spec)
    watched = {problem.prompt for problem in watched_problems(task, spec)}
    assert len(watched) == WATCHED
    assert not watched & {problem.prompt for problem in (*train_set, *held_out)}
