"""The chance of a collapse that is told without labels: its error over a whole run, what it reads, and what it says."""

import json
import random
from collections import Counter

import numpy as np
import pytest
from cli_helpers import invoke

from llm_bridge.logs.chance import ERROR, chance, chance_over_time, errors, table, told_chance
from llm_bridge.logs.read import judge, run_log
from llm_bridge.logs.run_log import RunLog, Series
from llm_bridge.logs.since_start import FEWEST, is_vote, signs_over_time


def write_run(folder, steps=60, collapses=True, rewards="vote", seed=0):
    """A vote of 8 on 12 prompts that all come at every step: answers turn into one, or agreement grows on the answers
    that the run began with.
    """
    folder.mkdir(parents=True)
    for step in range(1, steps + 1):
        rng = random.Random(1000 * seed + step)
        late = min(1.0, max(0.0, (step - 20) / 25))
        rows = []
        for q in range(12):
            own = 0.6 + 0.3 * step / steps
            answers = [
                7
                if collapses and rng.random() < late
                else q + 20
                if rng.random() < own
                else rng.randrange(100)
                for _ in range(8)
            ]
            top = max(Counter(answers).values()) / 8
            common = Counter(answers).most_common(1)[0][0]
            for answer in answers:
                paid = float(answer == common) if rewards == "vote" else float(answer == q + 20 and q % 2)
                rows.append(
                    {"input": f"p{q}", "output": f"it is {answer}", "score": paid, "step": step, "top": top}
                )
        (folder / f"{step}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def cut(log, step):
    """What the log held at a step."""
    series = {
        name: Series({at: value for at, value in one.values.items() if at <= step}, one.lag, one.prompts)
        for name, one in log.series.items()
    }
    return RunLog(log.source, {name: one for name, one in series.items() if len(one)})


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    made = {
        "collapse": write_run(folder / "collapse"),
        "health": write_run(folder / "health", collapses=False),
        "outside": write_run(folder / "outside", rewards="true"),
    }
    return {name: run_log(path, answer_pattern="last-number") for name, path in made.items()}


class TestError:
    def test_over_a_whole_run_of_any_length_false_alarms_keep_to_the_error(self):
        """Runs and stored runs are alike: scores that wander and jump, 200 looks at each."""
        rng = np.random.default_rng(0)
        walks = rng.normal(size=(3000, 200)).cumsum(1) * 0.1 + rng.standard_t(3, size=(3000, 200))
        alarms = []
        for batch in walks.reshape(60, 50, 200):
            made = {"healthy": batch[:49, FEWEST - 1 :].max(1).tolist()}
            alarms.append(bool((errors(batch[49], made) <= ERROR).any()))
        # 60 runs at 4 %: more than 9 alarms have a chance below .001.
        assert sum(alarms) <= 9

    def test_it_is_not_just_never_raised(self):
        made = {"healthy": list(range(39))}
        assert errors(np.full(10, 100.0), made)[-1] == 1 / 40
        assert errors(np.full(10, 37.5), made)[-1] == 2 / 40

    def test_a_look_tells_what_one_look_at_the_end_would_have_told(self):
        found = np.random.default_rng(1).normal(size=80)
        made = {"healthy": np.random.default_rng(2).normal(size=60).tolist()}
        whole = errors(found, made)
        assert (np.diff(whole) <= 0).all()
        for step in (5, 20, 79):
            assert errors(found[: step + 1], made)[-1] == whole[step]

    def test_signs_read_no_later_step(self, runs):
        for log in (runs["collapse"], runs["outside"]):
            whole = signs_over_time(log)
            for step in (25, 40):
                part = signs_over_time(cut(log, step))
                np.testing.assert_allclose(part.values, whole.values[: len(part.steps)], atol=1e-12)


class TestRuns:
    def test_a_vote_whose_answers_become_one_is_told_to_stop_before_all_are(self, runs):
        found = {finding.name: finding for finding in judge(cut(runs["collapse"], 48))}
        assert found["collapse_chance"].level == "provisional" and 20 < found["collapse_chance"].step < 46
        assert found["stop"].level in ("provisional", "critical")
        assert found["keep_checkpoint"].step <= found["stop"].step

    def test_a_vote_that_agrees_ever_more_on_its_own_answers_is_not(self, runs):
        found = {finding.name: finding for finding in judge(runs["health"])}
        assert "stop" not in found and found["collapse_chance"].level == "info"
        assert found["collapse_chance"].values["chance"] < 0.5

    def test_the_chance_grows_with_the_fall(self, runs):
        curve = chance_over_time(runs["collapse"])
        assert curve.values[10] < 0.4 < 0.9 < curve.values[45]
        assert chance(runs["collapse"]).chance == curve.array[-1]

    def test_with_accuracy_the_test_of_accuracy_speaks(self, runs):
        log = cut(runs["collapse"], 60)
        log.series["accuracy"] = Series({step: 0.5 for step in range(1, 61)})
        assert "collapse_chance" not in {finding.name for finding in judge(log)}

    def test_without_groups_there_is_no_chance(self):
        log = RunLog("metrics", {"reward": Series({step: 0.5 for step in range(50)}, 1)})
        assert chance(log) is None and told_chance(None) is None and chance_over_time(log) is None

    def test_a_vote_is_told_from_a_reward_of_its_own(self, runs):
        assert is_vote(runs["collapse"]) and is_vote(runs["outside"]) is False


class TestWhatToDo:
    def test_a_vote_gets_a_rate_and_a_share_to_verify(self, runs):
        log = cut(runs["collapse"], 60)
        log.series["_learning_rate"] = Series({1: 1e-7, 20: 1e-6}, 1)
        told = {finding.name: finding for finding in judge(log)}["what_to_do"].message
        assert "from 1e-06 to 2e-07" in told and "50% with an exact verifier" in told and "56%" in told

    def test_what_is_not_known_is_said(self, runs):
        told = {finding.name: finding for finding in judge(runs["outside"])}["what_to_do"].message
        assert "I cannot tell" in told and "learning rate is not in the log" in told

    def test_a_healthy_run_is_told_nothing(self, runs):
        assert "what_to_do" not in {finding.name for finding in judge(runs["health"])}

    def test_the_numbers_stand_in_the_json_and_the_report(self, tmp_path):
        folder = write_run(tmp_path / "run", steps=46)
        options = ["--answer-pattern", "last-number", "--json", "-", "--report", tmp_path / "page"]
        done = invoke("monitor", folder, *options)
        found = {record["name"]: record for record in json.loads(done.stdout)}
        assert found["collapse_chance"]["values"]["error"] <= ERROR
        assert "values" not in found["stop"]
        page = (tmp_path / "page" / "report.html").read_text()
        assert "chance of" in page and "Alarm since step" in page


def test_the_shipped_table_is_whole():
    made = table()
    signs = {"lost_answers", "lost_share", "agreement_fallen", "reward_fallen"}
    assert signs & set(made["weights"]) and made["curve"][1] > 0
    assert len(made["healthy"]) >= 1 / ERROR - 1, "with fewer no alarm could ever be raised"
