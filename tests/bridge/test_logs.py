"""`read_log` and `sharpening monitor`: every input's shape, what the findings say, and the traps they must
not fall into.
"""

import csv
import itertools
import json
import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cli_helpers import assert_refused, invoke

from llm_bridge import Measurement, RunSettings, read_log
from llm_bridge.logs import LEVELS
from llm_bridge.logs.completions import read_trl, read_verl
from llm_bridge.logs.groups import groups_log
from llm_bridge.logs.names import canonical
from llm_bridge.report.document import measurement_document
from sharpening import InputError, Trajectory, collapse_steps, group_metrics

STEPS = [0, 10, 20, 30, 40, 50, 60]
FALL = {
    "accuracy": [0.40, 0.52, 0.60, 0.45, 0.20, 0.03, 0.02],
    "label_accuracy": [0.50, 0.58, 0.64, 0.46, 0.20, 0.03, 0.02],
    "reward_accuracy": [0.70, 0.74, 0.76, 0.55, 0.25, 0.03, 0.02],
    "majority_ratio": [0.5, 0.7, 0.85, 0.9, 0.95, 0.99, 0.99],
    "mode_retention": [1.0, 0.95, 0.9, 0.6, 0.3, 0.02, 0.02],
    "excess_kl": [0.0, 0.1, 0.2, 0.9, 2.5, 6.0, 8.0],
    "distinct_answers": [60, 62, 61, 40, 15, 2, 1],
}
LABEL_FREE = ("majority_ratio", "mode_retention", "excess_kl", "distinct_answers")


def found(path, **options):
    """Findings by name."""
    findings = read_log(path, **options)
    assert [finding.level for finding in findings] == sorted(
        (f.level for f in findings), key=LEVELS.index, reverse=True
    )
    return {finding.name: finding for finding in findings}


def monitor_file(folder, metrics, steps=STEPS, floor=0.01):
    rows = [
        {"step": step, **{name: values[i] for name, values in metrics.items()}, "_tokens": [1, 2]}
        for i, step in enumerate(steps)
    ]
    path = folder / "collapse_monitor.json"
    path.write_text(json.dumps({"rows": rows, "initial": {}, "floor": floor}))
    return path


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


class TestOurOwnFiles:
    def test_when_to_stop_and_what_to_keep(self, tmp_path):
        """The criteria are those of sharpening.collapse; accuracy peaks at 20, so the onset is 30 and the
        model to keep that of 20.
        """
        path = monitor_file(tmp_path, FALL)
        findings = found(path)
        for name, step in collapse_steps(Trajectory(STEPS, FALL, floor=0.01)).items():
            assert (f"collapse_{name}" in findings) == (step.step is not None)
            assert step.step is None or findings[f"collapse_{name}"].step == step.step
        assert findings["stop"].level == "critical" and findings["stop"].step == 30
        assert (
            findings["keep_checkpoint"].step == 20
            and "0.6, at step 20" in findings["keep_checkpoint"].message
        )
        assert (
            findings["reward_accuracy_falls"].level == "warning"
            and "towards wrong answers" in findings["reward_accuracy_falls"].message
        )
        assert "better than voting" in findings["against_voting"].message

    def test_without_labels(self, tmp_path):
        """mode_retention is at or below one half from step 40 on (and excess_kl above 2), so 30 is the last
        evaluation before.
        """
        findings = found(monitor_file(tmp_path, {name: FALL[name] for name in LABEL_FREE}, floor=None))
        assert findings["collapse_mode_retention"].level == "critical" and findings["stop"].step == 40
        assert findings["keep_checkpoint"].step == 30
        for name in ("accuracy", "reward_accuracy", "relative", "absolute"):
            assert name in findings["missing_metrics"].message
        assert not {"reward_accuracy", "reward_accuracy_falls", "against_voting", "collapse_relative"} & set(
            findings
        )

    def test_three_files_of_one_run_say_the_same(self, tmp_path):
        trajectory = Trajectory(STEPS, FALL, floor=0.01, source="measured")
        trajectory.save(tmp_path / "trajectory.json")
        document = measurement_document(Measurement("m", "t", RunSettings(), trajectory))
        (tmp_path / "out.json").write_text(json.dumps(document))
        (tmp_path / "compared.json").write_text(
            json.dumps({"kind": "comparison", "measurement": document, "forecast": {}})
        )
        monitor_file(tmp_path, FALL)
        told = [
            {name: finding for name, finding in found(tmp_path / name).items() if name != "input"}
            for name in ("collapse_monitor.json", "trajectory.json", "out.json", "compared.json")
        ]
        assert told[0] == told[1] == told[2] == told[3] and "stop" in told[0]
        assert found(tmp_path)["stop"] == told[0]["stop"]

    def test_the_checkpoint_is_named_if_it_is_there(self, tmp_path):
        monitor_file(tmp_path, FALL)
        for step in (15, 30, 45):
            (tmp_path / f"checkpoint-{step}").mkdir()
        assert "checkpoint-15" in found(tmp_path)["keep_checkpoint"].message
        (tmp_path / "checkpoint-15").rmdir()
        assert "save more often" in found(tmp_path)["keep_checkpoint"].message

    def test_a_run_that_corrects_itself_is_no_collapse(self, tmp_path):
        """Retention falls as far as in the collapse above, but accuracy rises: nothing is critical and nobody
        is told to stop.
        """
        metrics = {"accuracy": [0.2, 0.3, 0.5, 0.7, 0.8, 0.85, 0.9], "mode_retention": FALL["mode_retention"]}
        findings = found(monitor_file(tmp_path, metrics))
        assert findings["collapse_mode_retention"].level == "info" and "stop" not in findings
        assert all(finding.level == "info" for finding in findings.values())

    def test_lost_modes_within_the_budget_are_only_a_warning(self, tmp_path):
        metrics = {"mode_retention": FALL["mode_retention"], "excess_kl": [0.0, 0.1, 0.1, 0.2, 0.3, 0.3, 0.3]}
        assert found(monitor_file(tmp_path, metrics))["collapse_mode_retention"].level == "warning"

    def test_one_evaluation_below_the_threshold_is_not_yet_a_collapse(self, tmp_path):
        findings = found(monitor_file(tmp_path, {"mode_retention": [1.0, 0.9, 0.4]}, steps=[0, 5, 10]))
        assert "collapse_mode_retention" not in findings and findings["threshold_mode_retention"].step == 10

    def test_a_steady_run(self, tmp_path):
        findings = found(
            monitor_file(tmp_path, {name: [values[0]] * len(STEPS) for name, values in FALL.items()})
        )
        assert findings["no_collapse"].step == 60 and all(
            finding.level == "info" for finding in findings.values()
        )


def verl_rows(step, answers, truth="7", uid=True):
    """answers[p] are the answers of prompt p, in sentences whose last number is the answer."""
    return [
        {
            "input": f"prompt {p}",
            "output": f"step 1: so it is {answer}",
            "gts": truth,
            "score": float(answer == 7),
            "step": step,
        }
        | ({"uid": f"{step}-{p}"} if uid else {})
        for p, group in enumerate(answers)
        for answer in group
    ]


def verl_folder(folder, steps, **options):
    folder.mkdir(exist_ok=True)
    for step, answers in steps.items():
        write_rows(folder / f"{step}.jsonl", verl_rows(step, answers, **options))
    return folder


HEALTHY = [[7, 7, 7, p, 10 + p] for p in range(12)]
COLLAPSED = [[3, 3, 3, 3, 3]] * 12
VARIED = [[p + 20] * 3 + [p, p + 40] for p in range(12)]


class TestVerl:
    def test_metrics_are_those_of_sharpening(self, tmp_path):
        log = groups_log(
            read_verl(list(verl_folder(tmp_path / "v", {1: HEALTHY, 2: COLLAPSED}).iterdir())),
            "verl",
            "last-number",
        )
        for step, answers in ((1, HEALTHY), (2, COLLAPSED)):
            expected = group_metrics(np.array(answers), np.array(answers) == 7)
            for name in ("majority_ratio", "entropy", "accuracy", "label_accuracy", "reward_accuracy"):
                assert log.series[name].values[step] == pytest.approx(np.mean(expected[name]), abs=1e-12), (
                    name
                )
        assert log.series["distinct_answers"].values == {1: 1, 2: 1} and log.floor == 1.0
        assert log.series["mode_retention"].values == {1: 1.0, 2: 0.0}
        assert log.series["reward"].values[1] == pytest.approx(np.mean(np.array(HEALTHY) == 7))

    @pytest.mark.parametrize("uid", [True, False])
    def test_the_order_of_rows_does_not_matter(self, tmp_path, uid):
        """Groups are found by uid or prompt, never by position: rows shuffled for balance must not mix
        prompts.
        """
        folder = verl_folder(tmp_path / "v", {1: VARIED, 2: HEALTHY, 3: COLLAPSED}, uid=uid)
        before = read_log(folder, answer_pattern="last-number")
        for file in folder.iterdir():
            lines = file.read_text().splitlines()
            random.Random(1).shuffle(lines)
            file.write_text("\n".join(lines) + "\n")
        assert read_log(folder, answer_pattern="last-number") == before

    def test_a_run_that_gives_one_answer_to_everything(self, tmp_path):
        """Score rises as answers narrow: a collapse, critical because accuracy by the log's own labels
        falls.
        """
        steps = {step: VARIED for step in range(1, 6)} | {step: COLLAPSED for step in range(6, 11)}
        folder = verl_folder(tmp_path / "v", steps)
        for file in folder.iterdir():
            rows = [json.loads(line) for line in file.read_text().splitlines()]
            truth = {f"prompt {p}": str(p + 20) for p in range(12)}
            write_rows(
                file,
                [
                    row | {"gts": truth[row["input"]], "score": 0.6 if row["step"] < 6 else 1.0}
                    for row in rows
                ],
            )
        findings = found(folder, answer_pattern="last-number")
        assert (
            findings["answers_narrow"].level == "critical"
            and "too easy" in findings["answers_narrow"].message
        )
        assert findings["collapse_mode_retention"].step == 6 and findings["stop"].step == 6
        assert findings["keep_checkpoint"].step == 4, (
            "the rollouts of step 5 come from the model after 4 updates"
        )

    def test_retention_is_corrected_for_the_noise_of_votes(self, tmp_path):
        """Groups drawn again and again from one law, whose mode wins about half of the votes, keep about all
        of their modes.
        """
        rng = np.random.default_rng(0)
        law = {p: rng.permutation(30)[:4] for p in range(200)}
        steps = {
            s: [rng.choice(law[p], size=8, p=[0.5, 0.2, 0.15, 0.15]) for p in range(200)] for s in range(1, 4)
        }
        series = groups_log(
            read_verl(list(verl_folder(tmp_path / "v", steps).iterdir())), "verl", "last-number"
        ).series["mode_retention"]
        modes = [[np.bincount(group, minlength=99).argmax() for group in steps[step]] for step in (1, 2)]
        raw = np.mean(np.equal(*modes))
        assert series.values[2] > 0.85 and series.values[2] > raw + 0.03

    @pytest.mark.parametrize(
        ("written", "pattern"),
        [
            ("3 tries, so {}. Done", "last-number"),
            ("9 tries, so \\boxed{{{}}} in 7 words", "boxed"),
            ("9 tries, <answer>{}</answer> in 7 words", "answer-tag"),
        ],
    )
    def test_answers_are_read_where_completions_mark_them_or_as_true_answers_are(
        self, tmp_path, written, pattern
    ):
        rows = [
            row | {"output": written.format(row["output"].split()[-1].rstrip(".")), "step": step}
            for step in (1, 2)
            for row in verl_rows(1, HEALTHY)
        ]
        path = write_rows(tmp_path / "a.jsonl", rows)
        natural, given = found(path), found(path, answer_pattern=pattern)
        assert f"read by {pattern}," in natural.pop("answers_read").message and "labels_unused" not in natural
        assert natural == given

    def test_answers_that_cannot_be_read_are_said_to_be_so(self, tmp_path):
        rows = [row | {"gts": "a word"} for step in (1, 2) for row in verl_rows(step, HEALTHY)]
        findings = found(write_rows(tmp_path / "words.jsonl", rows))
        assert (
            findings["labels_unused"].level == "warning" and "accuracy" in findings["missing_metrics"].message
        )
        rows = [
            row | {"output": f"{row['output']} {i}", "gts": "a word"}
            for i, row in enumerate(verl_rows(1, HEALTHY))
        ]
        write_rows(tmp_path / "apart.jsonl", rows)
        findings = found(tmp_path / "apart.jsonl")
        assert (
            "all answers differ" in findings["answer_pattern"].message
            and "majority_ratio" in findings["missing_metrics"].message
        )

    def test_true_zeros_stay_when_the_pattern_was_chosen(self, tmp_path):
        log = groups_log(
            read_verl(list(verl_folder(tmp_path / "v", {1: COLLAPSED}).iterdir())), "verl", "last-number"
        )
        assert log.series["accuracy"].values == {1: 0.0}

    def test_single_rollouts_and_extra_columns_are_reported(self, tmp_path):
        rows = [row | {"extra_info": "x"} for row in verl_rows(1, [[1, 2, 2], [5]])]
        findings = found(write_rows(tmp_path / "1.jsonl", rows), answer_pattern="last-number")
        assert (
            "1 of 2 prompts" in findings["single_rollouts"].message
            and "extra_info" in findings["unknown_keys"].message
        )


@pytest.fixture(scope="module")
def trl_run(tmp_path_factory):
    """A real GRPO run of three steps on a shipped model, with TRL's own logs."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer

    from llm_bridge import built_in_folder, majority_reward

    folder, model = tmp_path_factory.mktemp("trl"), built_in_folder("addition-uncertain")
    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(model),
        processing_class=AutoTokenizer.from_pretrained(model),
        reward_funcs=majority_reward(lambda text: text.strip() or None, num_generations=4),
        train_dataset=Dataset.from_dict({"prompt": [f"{a}+31=" for a in range(20, 28)]}),
        args=GRPOConfig(
            output_dir=str(folder),
            max_steps=3,
            learning_rate=1e-5,
            per_device_train_batch_size=32,
            num_generations=4,
            max_completion_length=4,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to=[],
            disable_tqdm=True,
            logging_steps=1,
            save_steps=3,
            log_completions=True,
            num_completions_to_print=0,
        ),
    )
    trainer.train()
    return folder


class TestTrl:
    def test_groups_and_rewards_of_a_real_run(self, trl_run):
        """The mean majority reward that TRL logged is the share of rollouts with a leading answer that we
        read back, ties shared.
        """
        rollouts = read_trl(list((trl_run / "completions").iterdir()))
        assert {len(group.completions) for group in rollouts.groups} == {4} and len(rollouts.groups) == 24
        assert rollouts.unknown == [] and rollouts.repeated == []
        log = groups_log(rollouts, "TRL", None)
        history = json.loads((trl_run / "checkpoint-3" / "trainer_state.json").read_text())["log_history"]
        logged = {row["step"]: row["reward"] for row in history if "reward" in row}
        assert log.series["reward"].values == pytest.approx(logged) and set(logged) == {1, 2, 3}
        for step in logged:
            texts = [
                [text.strip() for text in group.completions]
                for group in rollouts.groups
                if group.step == step
            ]
            names = {name: i for i, name in enumerate(sorted({text for group in texts for text in group}))}
            expected = group_metrics(np.array([[names[text] for text in group] for group in texts]))
            assert log.series["majority_ratio"].values[step] == pytest.approx(
                np.mean(expected["majority_ratio"])
            )
            assert log.series["tie_rate"].values[step] == pytest.approx(np.mean(expected["tie"]))

    def test_the_output_folder_holds_both_logs(self, trl_run):
        findings = found(trl_run)
        sources = [finding.message for finding in read_log(trl_run) if finding.name == "input"]
        assert "3 files" in sources[0] and "trainer state" in sources[1]
        assert (
            "accuracy" in findings["missing_metrics"].message
            and "consensus" in findings
            and "unknown_keys" not in findings
        )
        alone = [finding for finding in read_log(trl_run / "completions") if finding.name == "input"]
        assert [finding.message for finding in alone] == sources[:1]

    def test_a_step_that_repeats_the_one_before_is_left_out(self, trl_run, tmp_path):
        import pyarrow.parquet as parquet

        table = parquet.read_table(trl_run / "completions" / "completions_00001.parquet")
        parquet.write_table(table, tmp_path / "completions_00001.parquet")
        parquet.write_table(
            table.set_column(0, "step", [[2] * len(table)]), tmp_path / "completions_00002.parquet"
        )
        log = groups_log(read_trl(list(tmp_path.iterdir())), "TRL", None)
        assert log.series["reward"].steps == [1] and "1 files repeat" in log.findings[0].message

    def test_a_prompt_drawn_twice_in_a_step_is_two_groups(self, tmp_path):
        import pyarrow
        import pyarrow.parquet as parquet

        rows = [("a", "1"), ("a", "1"), ("a", "2"), ("a", "2"), ("b", "3"), ("b", "3")]
        columns = {
            "step": [1] * 6,
            "prompt": [p for p, _ in rows],
            "completion": [c for _, c in rows],
            "r": [1.0] * 6,
        }
        table = pyarrow.table(columns | {"advantage": [0.0] * 6})
        parquet.write_table(table, tmp_path / "completions_00001.parquet")
        log = groups_log(read_trl(list(tmp_path.iterdir())), "TRL", None)
        assert log.series["majority_ratio"].values == {1: 1.0} and log.series["distinct_answers"].values == {
            1: 3
        }

    def test_chat_completions_and_an_answer_column(self, tmp_path):
        import pyarrow
        import pyarrow.parquet as parquet

        prompt = [{"role": "user", "content": "2+5?"}]
        completions = [[{"role": "assistant", "content": text}] for text in ("It is 7", "7", "So 9")]
        table = pyarrow.table(
            {
                "step": [1] * 3,
                "prompt": [prompt] * 3,
                "completion": completions,
                "reward": [1.0, 1.0, 0.0],
                "answer": ["7"] * 3,
                "note": ["x"] * 3,
                "advantage": [0.0] * 3,
            }
        )
        parquet.write_table(table, tmp_path / "one.parquet")
        log = groups_log(read_trl([tmp_path / "one.parquet"]), "TRL", "last-number")
        assert log.series["accuracy"].values[1] == pytest.approx(2 / 3) and log.unknown == ["note"]

    def test_a_file_that_is_still_being_written(self, tmp_path):
        (tmp_path / "completions_00001.parquet").write_bytes(b"PAR1")
        with pytest.raises(InputError, match="complete parquet"):
            read_log(tmp_path)


def reward_rows(n=10, **columns):
    return [
        {"step": step} | {name: float(values(step / (n - 1))) for name, values in columns.items()}
        for step in range(n)
    ]


class TestRowsOfMetrics:
    def test_the_published_misdiagnosis(self, tmp_path):
        """Reward .55 to .99 while accuracy goes .45 to .02: critical, and never "the task is too easy"."""
        rows = reward_rows(
            20,
            **{
                "train/ensemble/majority_voting_reward": lambda x: 0.55 + 0.44 * x,
                "val/accuracy": lambda x: 0.45 - 0.43 * x,
                "distinct_answers": lambda x: 30 - 29 * x,
                "frac_reward_zero_std": lambda x: 0.1 + 0.85 * x,
            },
        )
        findings = found(write_rows(tmp_path / "log.jsonl", rows))
        assert (
            findings["answers_narrow"].level == "critical"
            and "not a task that has become too easy" in findings["answers_narrow"].message
        )
        assert "not correctness" in findings["consensus"].message and findings["consensus"].level == "warning"

    def test_without_labels_narrowing_is_a_warning(self, tmp_path):
        rows = reward_rows(reward=lambda x: 0.5 + 0.4 * x, distinct_answers=lambda x: 30 - 25 * x)
        assert found(write_rows(tmp_path / "log.jsonl", rows))["answers_narrow"].level == "warning"
        rows = reward_rows(reward=lambda x: 0.5 + 0.4 * x, distinct_answers=lambda x: 30)
        assert "answers_narrow" not in found(write_rows(tmp_path / "log.jsonl", rows))

    @pytest.mark.parametrize("level", [0.02, 0.3, 5.0])
    def test_a_steady_entropy_is_no_alarm_at_any_value(self, tmp_path, level):
        findings = found(
            write_rows(tmp_path / "log.jsonl", reward_rows(entropy=lambda x: level, reward=lambda x: 0.5))
        )
        assert all(finding.level == "info" for finding in findings.values())

    def test_a_falling_entropy_is_never_critical(self, tmp_path):
        """Every vote that learns loses entropy: alone it is said, with another sign it is a warning."""
        columns = {"entropy": lambda x: 2.0 * (1 - x) + 0.001}
        findings = found(write_rows(tmp_path / "log.jsonl", reward_rows(**columns)))
        assert findings["entropy_falls"].level == "info"
        assert "token_entropy" in findings["entropy_falls"].message
        columns |= {"mean_length": lambda x: 1000 * (1 - 0.6 * x)}
        findings = found(write_rows(tmp_path / "log.jsonl", reward_rows(**columns)))
        assert findings["entropy_falls"].level == "warning"

    def test_trainer_state_with_rewards_only_cannot_tell(self, tmp_path):
        rows = reward_rows(reward=lambda x: 0.5 + x / 2, frac_reward_zero_std=lambda x: x, loss=lambda x: 0.0)
        path = tmp_path / "trainer_state.json"
        path.write_text(json.dumps({"log_history": rows, "global_step": 9}))
        findings = found(path)
        assert (
            "cannot_tell" in findings and "cannot tell success from collapse" in findings["consensus"].message
        )
        assert "stop" not in findings and "unknown_keys" not in findings

    def test_missing_is_missing_and_not_zero(self, tmp_path):
        """Without its gaps accuracy never falls; taken as zero they would be a collapse."""
        rows = [
            {"step": s, "accuracy": None if s % 2 else 0.6, "reward_accuracy": float("nan") if s > 5 else 0.8}
            for s in range(10)
        ]
        findings = found(write_rows(tmp_path / "log.jsonl", rows))
        assert (
            "accuracy in 5" in findings["missing_values"].message
            and "reward_accuracy in 4" in findings["missing_values"].message
        )
        assert all(finding.level == "info" for finding in findings.values())

    def test_a_metric_that_is_zero_because_nobody_wrote_it(self, tmp_path):
        findings = found(
            write_rows(
                tmp_path / "log.jsonl", reward_rows(majority_ratio=lambda x: 0.0, reward=lambda x: 0.5)
            )
        )
        assert (
            findings["placeholder_zeros"].level == "warning"
            and "majority_ratio" in findings["missing_metrics"].message
        )

    def test_unknown_keys_are_reported(self, tmp_path):
        rows = [
            {"step": s, "reward": 0.5, "my_metric": 1, "reward/std": "high", "host": "a"} for s in range(3)
        ]
        message = found(write_rows(tmp_path / "log.jsonl", rows))["unknown_keys"].message
        assert all(key in message for key in ("my_metric", "reward/std", "host"))

    def test_csv_and_verl_file_logger_give_what_jsonl_gives(self, tmp_path):
        rows = reward_rows(**{"reward": lambda x: 0.5 + 0.4 * x, "distinct_answers": lambda x: 30 - 25 * x})
        with open(tmp_path / "log.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        write_rows(tmp_path / "log.jsonl", rows)
        write_rows(tmp_path / "verl.jsonl", [{"step": row.pop("step"), "data": row} for row in rows])
        told = [
            {k: v for k, v in found(tmp_path / name).items() if k != "input"}
            for name in ("log.csv", "log.jsonl", "verl.jsonl")
        ]
        assert told[0] == told[1] == told[2] and "answers_narrow" in told[0]

    def test_a_last_line_that_is_being_written_is_left_out(self, tmp_path):
        path = write_rows(tmp_path / "log.jsonl", reward_rows(reward=lambda x: 0.5))
        path.write_text(path.read_text() + '{"step": 10, "rew')
        assert "Line 11" in found(path)["incomplete_line"].message

    def test_evaluation_comes_before_training_and_entropies_are_kept_apart(self):
        assert canonical(["train/accuracy", "eval/accuracy"])[0] == {"eval/accuracy": "accuracy"}
        assert canonical(["entropy"])[0] == {"entropy": "token_entropy"}
        assert canonical(["entropy", "majority_ratio"])[0]["entropy"] == "entropy"

    @pytest.mark.parametrize(
        "name, content, fragment",
        [
            ("log.jsonl", '{"step": 1}\n{"step": \n{"step": 3}\n', "line 2"),
            ("log.jsonl", '{"step": 1}\n[1]\n', "line 2"),
            ("log.jsonl", "", "no rows"),
            ("log.json", "{", "not valid JSON"),
            ("log.json", '{"a": 1}', "none that is known"),
            ("log.json", '{"schema": 1, "curve": {"step": [0, 1], "accuracy": [1]}}', "1 values of accuracy"),
            ("log.csv", "", "no rows"),
            (
                "1.jsonl",
                '{"input": "x", "output": "y", "step": 1}\n{"input": "x", "step": 1}\n',
                "no field output",
            ),
        ],
    )
    def test_broken_files(self, tmp_path, name, content, fragment):
        (tmp_path / name).write_text(content)
        with pytest.raises(InputError, match=fragment):
            read_log(tmp_path / name)


class TestCommand:
    def test_exit_status_and_json(self, tmp_path):
        path = monitor_file(tmp_path, FALL)
        assert invoke("monitor", path).exit_code == 0
        assert invoke("monitor", path, "--fail-on", "critical").exit_code == 1
        steady = monitor_file(tmp_path, {name: [values[0]] * 7 for name, values in FALL.items()})
        assert invoke("monitor", steady, "--fail-on", "warning").exit_code == 0
        assert invoke("monitor", steady, "--fail-on", "info").exit_code == 1
        records = json.loads(invoke("monitor", tmp_path, "--json", "-").stdout)
        assert all(set(record) == {"name", "level", "step", "message"} for record in records)

    def test_the_table_names_level_step_and_finding(self, tmp_path):
        shown = invoke("monitor", monitor_file(tmp_path, FALL)).stdout
        for word in ("critical", "keep_checkpoint", "30", "Stop at step 30"):
            assert word in shown

    def test_the_answer_pattern_arrives(self, tmp_path):
        folder = verl_folder(tmp_path / "v", {1: HEALTHY, 2: HEALTHY})
        names = [
            record["name"]
            for record in json.loads(
                invoke("monitor", folder, "--answer-pattern", "last-number", "--json", "-").stdout
            )
        ]
        assert "labels_unused" not in names and "against_voting" in names
        assert_refused(invoke("monitor", folder, "--answer-pattern", "vibes"), "vibes", "last-number")

    def test_bad_paths(self, tmp_path):
        assert_refused(invoke("monitor", tmp_path / "none"), "no such file")
        assert_refused(invoke("monitor", tmp_path), "no log that is known")

    def test_no_torch_is_loaded(self, tmp_path):
        code = (
            "import sys; from llm_bridge.logs import read_log;"
            f" read_log({str(monitor_file(tmp_path, FALL))!r}); print('torch' in sys.modules)"
        )
        assert (
            subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, check=True
            ).stdout.strip()
            == "False"
        )


def test_the_documentation_lists_every_finding():
    """Names in the source and in the table of docs/monitor.md are the same."""
    root = Path(__file__).parents[2]
    source = "".join(path.read_text() for path in (root / "llm_bridge" / "logs").glob("*.py"))
    made = {name.replace("{name}", "…") for name in re.findall(r'Finding\(\s*f?"([^"]+)"', source)}
    table = (root / "docs" / "monitor.md").read_text().split("| finding |")[1]
    rows = itertools.takewhile(lambda line: line.startswith("|"), table.splitlines()[1:])
    assert set(re.findall(r"`([a-z_]+…?)`", "".join(line.split("|")[1] for line in rows))) == made
