"""TRL's completions: which columns are the reward, which rows are a group, and when a file is a repetition."""

import json
import os

import numpy as np
import pytest
from log_writers import findings_of, trl_log, verl_log, write_rows, write_trl

from llm_bridge import get_task

PROMPTS = [f"P{p}" for p in range(10) for _ in range(4)]


def advantages(rewards, size=4, scale=True):
    groups = np.array(rewards, dtype=float).reshape(-1, size)
    centred = groups - groups.mean(1, keepdims=True)
    return (centred / (groups.std(1, ddof=1, keepdims=True) + 1e-4) if scale else centred).ravel().tolist()


def columns(seed=0, **more):
    rng = np.random.default_rng(seed)
    right = rng.random(40) < 0.5
    return {
        "prompt": PROMPTS,
        "completion": [rf"\boxed{{{p if ok else 99}}}" for p, ok in zip(PROMPTS, right, strict=True)],
        "acc": right.astype(float).tolist(),
    } | more


def history(steps, **means):
    return [{"step": step, **means} for step in steps]


class TestRewards:
    def test_one_column_is_the_reward(self, tmp_path):
        found = columns()
        log = trl_log(write_trl(tmp_path, {1: found}))
        assert log.series["reward"].values[1] == pytest.approx(np.mean(found["acc"]))

    @pytest.mark.parametrize("scale", [True, False])
    def test_advantages_tell_rewards_from_other_columns(self, tmp_path, scale):
        rng = np.random.default_rng(1)
        fmt, words = rng.random(40) < 0.7, rng.integers(1, 9, 40).astype(float)
        found = columns(fmt=fmt.astype(float).tolist(), n_words=words.tolist())
        total = np.array(found["acc"]) + fmt
        log = trl_log(write_trl(tmp_path, {1: found | {"advantage": advantages(total, scale=scale)}}))
        assert log.series["reward"].values[1] == pytest.approx(total.mean())
        told = next(finding for finding in log.findings if finding.name == "reward_columns").message
        assert "acc, fmt" in told and "no rewards: n_words" in told

    def test_advantages_of_a_weighted_sum_prove_no_plain_one(self, tmp_path):
        fmt = (np.random.default_rng(1).random(40) < 0.7).astype(float)
        found = columns(fmt=fmt.tolist())
        found["advantage"] = advantages(np.array(found["acc"]) + 0.1 * fmt)
        log = trl_log(write_trl(tmp_path, {1: found}))
        assert "reward" not in log.series and "reward_weights" in log.findings[0].message

    def test_a_constant_reward_has_an_unknown_weight(self, tmp_path):
        """Advantages prove the one that varies, but not what the other adds."""
        found = columns(acc_reward=columns()["acc"], format_reward=[1.0] * 40)
        del found["acc"]
        found["advantage"] = advantages(found["acc_reward"])
        assert "reward" not in trl_log(write_trl(tmp_path, {1: found})).series

    @pytest.mark.parametrize(
        "extra, known",
        [
            ({"difficulty": [7.0] * 40, "n_words": [121.0 + i for i in range(40)]}, True),
            ({"correctness": [float(i % 2) for i in range(40)]}, False),
        ],
    )
    def test_by_name_only_what_can_be_no_reward_is_left_aside(self, tmp_path, extra, known):
        found = columns(**extra)
        found["acc_reward"] = found.pop("acc")
        findings = findings_of(write_trl(tmp_path, {1: found, 2: found | {"acc_reward": [1.0] * 40}}))
        assert findings["reward_columns"].level == "warning"
        assert ("reward" in findings["input"].message) is known

    def test_trainer_state_names_the_rewards(self, tmp_path):
        words = np.random.default_rng(2).integers(1, 5, 40).astype(float).tolist()
        folder = write_trl(tmp_path, {1: columns(reward_like=words)})
        acc = float(np.mean(columns()["acc"]))
        rows = history([1], **{"rewards/acc/mean": acc, "rewards/acc/std": 0.5, "reward": acc})
        log = trl_log(folder, history=rows)
        assert log.series["reward"].values[1] == pytest.approx(acc)
        (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": rows}))
        for path in (tmp_path, tmp_path / "completions", next((tmp_path / "completions").iterdir())):
            assert "trainer_state.json names them" in findings_of(path)["reward_columns"].message

    def test_a_weighted_reward_is_the_one_that_was_logged(self, tmp_path):
        folder = write_trl(tmp_path, {s: columns(s, fmt=[1.0] * 40) for s in (1, 2)})
        rows = history([1, 2], **{"rewards/acc/mean": 0.5, "rewards/fmt/mean": 1.0, "reward": 0.6})
        assert "reward" not in trl_log(folder, history=rows).series
        (folder / "trainer_state.json").write_text(json.dumps({"log_history": rows}))
        findings = findings_of(folder)
        assert "reward_weights" in findings["reward_columns"].message


class TestGroups:
    def test_one_prompt_drawn_often_is_cut_where_advantages_prove_it(self, tmp_path):
        answers = [a for p in range(20) for a in (p, p, p, 53)]
        rewards = [float(a != 53) for a in answers]
        found = {
            "prompt": ["P"] * 80,
            "completion": [str(a) for a in answers],
            "r": rewards,
            "advantage": advantages(rewards),
        }
        log = trl_log(write_trl(tmp_path, {1: found}))
        assert log.series["majority_ratio"].values[1] == 0.75
        assert not [finding for finding in log.findings if finding.name == "group_size"]

    def test_where_nothing_proves_the_size_it_is_said(self, tmp_path):
        found = {"prompt": ["P"] * 32, "completion": [str(i % 5) for i in range(32)], "r": [1.0] * 32}
        findings = findings_of(write_trl(tmp_path, {1: found}))
        assert (
            findings["group_size"].level == "warning" and "cannot be known" in findings["group_size"].message
        )

    def test_advantages_of_ordinary_groups_do_not_cut_them(self, tmp_path):
        rng = np.random.default_rng(3)
        rewards = (rng.random(160) < 0.5).astype(float)
        found = {
            "prompt": [f"P{i // 8}" for i in range(160)],
            "completion": [str(int(r)) for r in rewards],
            "r": rewards.tolist(),
            "advantage": advantages(rewards, 8),
        }
        log = trl_log(write_trl(tmp_path, {1: found}))
        expected = np.maximum(rewards.reshape(-1, 8).mean(1), 1 - rewards.reshape(-1, 8).mean(1)).mean()
        assert log.series["majority_ratio"].values[1] == pytest.approx(expected)

    def test_answers_of_single_completions_are_no_true_answers(self, tmp_path):
        """A column `answer` that holds what each completion said would split groups by their own votes."""
        found = columns()
        found["answer"] = [text[7:-1] for text in found["completion"]]
        log = trl_log(write_trl(tmp_path, {1: found}), "boxed")
        assert "accuracy" not in log.series and log.series["majority_ratio"].values[1] < 1
        assert "labels_unused" in [finding.name for finding in log.findings]


class TestVerlWithoutUid:
    def test_one_text_with_several_true_answers_is_several_problems(self, tmp_path):
        rows = [
            {
                "input": "<image>Find x.",
                "output": rf"\boxed{{{p if r < 6 else 99}}}",
                "gts": str(p),
                "step": s,
            }
            for s in (1, 2)
            for r in range(8)
            for p in range(7)
        ]
        write_rows(tmp_path / "1.jsonl", rows)
        log = verl_log(tmp_path, "boxed")
        assert log.series["majority_ratio"].values == {1: 0.75, 2: 0.75}
        assert log.series["label_accuracy"].values == {1: 1.0, 2: 1.0}
        assert log.series["mode_retention"].values == {1: 1.0, 2: 1.0}
        assert (
            "told apart" in findings_of(tmp_path / "1.jsonl", answer_pattern="boxed")["same_prompts"].message
        )

    def test_a_prompt_drawn_twice_is_said_to_be_cut_by_order(self, tmp_path):
        texts = ["a"] * 8 + ["b"] * 4
        rows = [{"input": text, "output": str(i % 3), "step": 1} for i, text in enumerate(texts)]
        assert "Log uid" in findings_of(write_rows(tmp_path / "1.jsonl", rows))["group_order"].message


class TestTheSameFileAgain:
    @staticmethod
    def file(*answers):
        prompts = [f"P{p}" for p in range(8) for _ in range(4)]
        texts = [answers[i % len(answers)] for i in range(32)]
        return {"prompt": prompts, "completion": texts, "r": [1.0] * 32}

    def test_a_collapsed_policy_is_counted_at_every_step(self, tmp_path):
        healthy = {s: {"prompt": PROMPTS, "completion": PROMPTS, "r": [1.0] * 40} for s in range(1, 21)}
        collapsed = {
            s: {"prompt": PROMPTS, "completion": ["the"] * 40, "r": [1.0] * 40} for s in range(21, 61)
        }
        findings = findings_of(write_trl(tmp_path, healthy | collapsed))
        assert findings["stop"].level == "critical" and findings["stop"].step == 21
        assert "60 steps from 1 to 60" in findings["input"].message and "repeated_rows" not in findings

    def test_a_file_with_varied_answers_is_logged_twice(self, tmp_path):
        folder = write_trl(tmp_path, {s: self.file("a", "b", "c", "a") for s in (1, 2, 3)})
        assert "2 files" in findings_of(folder)["repeated_rows"].message


@pytest.mark.parametrize(
    "pattern, written, truth",
    [
        (r"regex:####\s*(.+)", "#### 1,{:03}", "1{:03}"),
        (r"regex:Answer: (.+)", r"Answer: \frac{{{0}}}{{7}}", r"\dfrac{{{0}}}7"),
        (r"regex:Answer: (.+)", "Answer: {0}.50", "{0}.5"),
        ("last-number", "so 1,{:03}.", "1{:03}"),
        ("boxed", r"\boxed{{1,{:03}}}", "1{:03}"),
    ],
)
def test_monitor_reads_and_compares_as_measure(tmp_path, pattern, written, truth):
    """6 of 8 rollouts give the true number, whose spelling differs; `measure` grades the same texts alike."""
    rows, problems = [], []
    for p in range(3, 9):
        problems.append({"prompt": f"P{p}", "answer": truth.format(p)})
        rows += [
            {
                "input": f"P{p}",
                "output": written.format(p if r < 6 else p + 1),
                "gts": truth.format(p),
                "step": 1,
            }
            for r in range(8)
        ]
    (tmp_path / "roll").mkdir()
    write_rows(tmp_path / "roll" / "1.jsonl", rows)
    task = get_task(write_rows(tmp_path / "t.jsonl", problems), answer_pattern=pattern)
    series = verl_log(tmp_path / "roll", pattern).series
    assert [series[name].values[1] for name in ("accuracy", "label_accuracy", "majority_ratio")] == [
        0.75,
        1,
        0.75,
    ]
    of_prompt = {problem.prompt: problem for problem in task.problems}
    graded = [task.is_correct(of_prompt[row["input"]], task.extract(row["output"])) for row in rows]
    assert np.mean(graded) == series["accuracy"].values[1]


class TestFilesOfAFolder:
    @pytest.fixture
    def folder(self, tmp_path):
        for step in range(1, 6):
            rows = [
                {"input": f"p{i // 4}", "output": str(i % 3), "step": step, "uid": i // 4} for i in range(16)
            ]
            write_rows(tmp_path / f"{step}.jsonl", rows)
        return tmp_path

    def test_files_older_than_one_of_an_earlier_step(self, folder):
        for step in range(1, 6):
            os.utime(folder / f"{step}.jsonl", (1e9, 1e9 + (1000 if step <= 3 else 0)))
        findings = findings_of(folder)
        assert findings["older_files"].step == 3 and "steps 4 to 5" in findings["older_files"].message

    def test_files_in_their_order_or_copied_at_once(self, folder):
        assert "older_files" not in findings_of(folder)
        for step in range(1, 6):
            os.utime(folder / f"{step}.jsonl", (1e9, 1e9 + 100 * step))
        assert not {"older_files", "unread_files"} & set(findings_of(folder))

    def test_files_without_a_step_in_their_name(self, folder):
        (folder / "1_rank0.jsonl").write_text("{}\n")
        assert "1_rank0.jsonl" in findings_of(folder)["unread_files"].message
