"""Logs in the shape of public bug reports, each with the value that is right; every small one is made here as
well, so that it is tested without the shared folder.
"""

import json
from pathlib import Path

import pytest
from cli_helpers import invoke
from log_writers import findings_of, trl_log, verl_log, write_rows, write_trl

from llm_bridge.logs.read import read_file

CASES = next(
    (
        parent / "shared" / "cases"
        for parent in Path(__file__).parents
        if (parent / "shared" / "cases").is_dir()
    ),
    None,
)
HASHES = r"regex:####\s*(.+)"
VOTE = {"label_accuracy": 1.0, "accuracy": 0.75, "majority_ratio": 0.75, "reward_accuracy": 1.0}


@pytest.fixture
def case():
    if CASES is None:
        pytest.skip("the folder shared/cases is not here")
    return lambda name: CASES / name


def assert_vote(log):
    """6 of 8 rollouts of each prompt give the true number, 2 another."""
    for name, value in VOTE.items():
        assert set(log.series[name].values.values()) == {value}, name


class TestRegexAnswersWithThousands:
    def test_shared(self, case):
        assert_vote(verl_log(case("05-verl-regex-comma") / "roll", HASHES))

    def test_here(self, tmp_path):
        for step in (1, 2, 3):
            rows = [
                {
                    "input": f"Problem {p}?",
                    "output": f"...\n#### {1 + (r > 5)},{37 * p:03}",
                    "gts": f"{1000 + 37 * p}",
                }
                for p in range(8)
                for r in range(8)
            ]
            write_rows(tmp_path / f"{step}.jsonl", [row | {"step": step} for row in rows])
        assert_vote(verl_log(tmp_path, HASHES))


def assert_onset(path, step, **options):
    findings = findings_of(path, **options)
    assert findings["stop"].level == "critical" and findings["stop"].step == step
    assert findings["collapse_mode_retention"].step == step
    return findings


class TestHistoryOfWandb:
    """The step is train/global_step, 10 to 300; `_step` counts the calls of wandb.log."""

    def test_shared(self, case):
        assert_onset(case("06a-wandb-history-csv") / "export.csv", 150)

    def test_here(self, tmp_path):
        lines = ["_step,_timestamp,train/global_step,train/reward,train/mode_retention"]
        lines += [
            f"{2 * i},{i}.0,{10 * i + 10},{0.3 + i / 60},{max(0.1, min(1, 1.9 - i / 10))}" for i in range(30)
        ]
        (tmp_path / "export.csv").write_text("\n".join(lines) + "\n")
        assert_onset(tmp_path / "export.csv", 150)


class TestResumedRun:
    @staticmethod
    def assert_healthy(path):
        findings = findings_of(path)
        assert findings["no_collapse"].step == 70 and "stop" not in findings
        assert "Rows go back in step, to 41" in findings["resumed_rows"].message

    def test_shared(self, case):
        self.assert_healthy(case("07-resumed-stale-rows") / "log.jsonl")

    def test_here(self, tmp_path):
        rows = [{"step": s, "mode_retention": 1.0 if s < 71 else 0.2} for s in range(1, 101)]
        rows += [{"step": s, "mode_retention": 0.95} for s in range(41, 71)]
        self.assert_healthy(write_rows(tmp_path / "log.jsonl", rows))


class TestRanks:
    """0.62 on average from step 10 on: no order of ranks makes it a collapse."""

    @staticmethod
    def assert_mean(path):
        values = read_file(path, None).series["mode_retention"].values
        assert values == pytest.approx({s: 0.975 if s < 10 else 0.625 for s in range(1, 41)})
        findings = findings_of(path)
        assert "stop" not in findings and findings["repeated_steps"].step == 1

    def test_shared(self, case, tmp_path):
        path = case("08b-ranks-criterion") / "log.jsonl"
        self.assert_mean(path)
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        self.assert_mean(write_rows(tmp_path / "log.jsonl", rows[::-1]))
        self.assert_mean(write_rows(tmp_path / "log.jsonl", sorted(rows, key=lambda row: row["rank"])))

    @pytest.mark.parametrize("order", [1, -1])
    def test_here(self, tmp_path, order):
        rows = [
            {"step": s, "rank": rank, "mode_retention": value}
            for s in range(1, 41)
            for rank, value in ((0, 1.0 if s < 10 else 0.3), (1, 0.95))
        ]
        self.assert_mean(write_rows(tmp_path / "log.jsonl", rows[::order]))


class TestOneTextForSeveralImages:
    def test_shared(self, case):
        folder = case("10c-verl-same-text-shuffled") / "roll"
        assert "same_prompts" in findings_of(folder, answer_pattern="boxed")
        assert verl_log(folder, "boxed").series["majority_ratio"].values == dict.fromkeys(range(1, 5), 0.75)


class TestColumnsOfLogExtra:
    def test_shared(self, case):
        log = trl_log(case("12-trl-extra-float-column") / "out", "boxed")
        assert set(log.series["reward"].values.values()) == {0.75}
        assert "difficulty, n_words" in log.findings[0].message

    def test_here(self, tmp_path):
        found = {
            "prompt": [f"P{i // 4}" for i in range(40)],
            "completion": [str(i // 4 if i % 4 < 3 else 99) for i in range(40)],
            "acc_reward": [float(i % 4 < 3) for i in range(40)],
            "difficulty": [7.0] * 40,
            "n_words": [121.0] * 40,
        }
        log = trl_log(write_trl(tmp_path, {s: found for s in (1, 2)}))
        assert set(log.series["reward"].values.values()) == {0.75} and log.findings[0].level == "warning"


class TestRewardWeights:
    """TRL trains on 0.85 and writes no weights; 1.75 is the reward of nobody."""

    def test_shared(self, case):
        log = trl_log(case("13-trl-reward-weights") / "out", "boxed")
        assert "reward" not in log.series and "reward_weights" in log.findings[0].message

    def test_here(self, tmp_path):
        found = {
            "prompt": [f"P{i // 4}" for i in range(40)],
            "completion": [str(i // 4 if i % 4 < 3 else 99) for i in range(40)],
            "acc_reward": [float(i % 4 < 3) for i in range(40)],
            "format_reward": [1.0] * 40,
        }
        log = trl_log(write_trl(tmp_path, {1: found}))
        assert "reward" not in log.series and "reward_weights" in log.findings[0].message


class TestOnePromptManyTimes:
    def test_shared(self, case):
        findings = findings_of(case("13d-trl-one-prompt") / "out", answer_pattern="boxed")
        assert (
            findings["group_size"].level == "warning" and "cannot be known" in findings["group_size"].message
        )


class TestCollapsedPolicyWritesTheSameFile:
    def test_shared(self, case):
        findings = assert_onset(case("23a-collapsed-same-files") / "out", 21)
        assert "60 steps from 1 to 60" in findings["input"].message
        assert (
            invoke("monitor", case("23a-collapsed-same-files") / "out", "--fail-on", "critical").exit_code
            == 1
        )


class TestEverythingCutOff:
    @staticmethod
    def assert_said(path):
        finding = findings_of(path)["clipped"]
        assert finding.level == "warning" and "Every completion" in finding.message
        assert "256 tokens" in finding.message and "says nothing about the model" in finding.message

    def test_shared(self, case):
        self.assert_said(case("30-all-clipped") / "trainer_state.json")

    @pytest.mark.parametrize(
        "ratio, mean, longest",
        [
            ("completions/clipped_ratio", "completions/mean_length", "completions/max_length"),
            ("response_length/clip_ratio", "response_length/mean", "response_length/max"),
            ("truncated", "mean_length", "completions/max_length"),
        ],
    )
    def test_here(self, tmp_path, ratio, mean, longest):
        rows = [{"step": s, "reward": 0.0, ratio: 1.0, mean: 256.0, longest: 256.0} for s in range(1, 9)]
        self.assert_said(write_rows(tmp_path / "log.jsonl", rows))

    def test_a_share_is_said_and_whether_such_completions_vote(self, tmp_path):
        rows = [{"step": s, "reward": 0.5, "completions/clipped_ratio": 0.3} for s in range(1, 9)]
        message = findings_of(write_rows(tmp_path / "log.jsonl", rows))["clipped"].message
        assert (
            "30% of the completions" in message
            and "votes with the answer that is read from it" in message
            and "there each votes" in message
        )

    def test_equal_lengths_without_a_ratio(self, tmp_path):
        rows = [
            {"step": s, "completions/mean_length": 256.0, "completions/max_length": 256.0}
            for s in range(1, 9)
        ]
        assert "equally long (256" in findings_of(write_rows(tmp_path / "log.jsonl", rows))["clipped"].message

    def test_nothing_cut_off_is_nothing_to_say(self, tmp_path):
        rows = [{"step": s, "reward": 0.5, "completions/clipped_ratio": 0.0} for s in range(1, 9)]
        assert "clipped" not in findings_of(write_rows(tmp_path / "log.jsonl", rows))


class TestFileLoggerOfVerl:
    """Validation accuracy peaks at step 40 and is gone by 80; the last evaluation before the fall is 40."""

    ACCURACY = {0: 0.53, 20: 0.62, 40: 0.7, 60: 0.5, 80: 0.1, 100: 0.02}

    def assert_peak(self, path):
        findings = findings_of(path)
        assert findings["collapse_accuracy_peak"].step == 40 and findings["stop"].step == 60
        assert findings["keep_checkpoint"].step == 40 and "unknown_keys" not in findings

    def test_shared(self, case):
        self.assert_peak(case("verl_like.jsonl"))

    def test_here(self, tmp_path):
        rows = [
            {
                "step": step,
                "data": {
                    "val-core/MATH-TTT/acc/mean@4": value,
                    "val-core/MATH-TTT/acc/maj@4/mean": value + 0.02,
                    "train/majority_ratio": 0.9,
                },
            }
            for step, value in self.ACCURACY.items()
        ]
        self.assert_peak(write_rows(tmp_path / "log.jsonl", rows))


class TestRewardThatDies:
    @staticmethod
    def assert_said(path):
        findings = findings_of(path)
        assert (
            findings["reward_falls"].level == "warning"
            and "0.88 at step 190" in findings["reward_falls"].message
        )
        assert findings["kl_grows"].step == 220

    def test_shared(self, case):
        self.assert_said(case("openr1.csv"))

    def test_here(self, tmp_path):
        rows = [
            {
                "step": 10 * i,
                "reward": 0.5 + i / 50 if i < 20 else 0.0,
                "kl": 0.001 * i if i < 22 else 2000.0 + i,
            }
            for i in range(40)
        ]
        self.assert_said(write_rows(tmp_path / "log.jsonl", rows))

    def test_a_reward_that_holds(self, tmp_path):
        rows = [{"step": i, "reward": 0.5 + i / 50, "kl": 0.01} for i in range(20)]
        assert not {"reward_falls", "kl_grows"} & set(findings_of(write_rows(tmp_path / "log.jsonl", rows)))
