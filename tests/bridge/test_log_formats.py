"""Logs as trainers and trackers write them: the same run, whatever tool wrote it, ends in the same findings."""

import csv
import json
import sys

import numpy as np
import pytest
from cli_helpers import assert_refused, invoke

from llm_bridge import read_log
from llm_bridge.logs.read import run_log
from llm_bridge.logs.run_log import RunLog
from sharpening import InputError

ACCURACY = [0.52, 0.57, 0.62, 0.61, 0.3, 0.05, 0.04]
REWARD = [0.2, 0.35, 0.5, 0.6, 0.9, 0.99, 0.999]
LENGTH = [1200.0, 1100.0, 900.0, 800.0, 600.0, 500.0, 510.0]
STEPS = [10, 20, 30, 40, 50, 60, 70]


def verl_line(index, numpy_style):
    def number(value):
        return f"np.float64({value})" if numpy_style else f"{value:.4f}"

    return (
        f"step:{STEPS[index]} - global_seqlen/min:10 - val-core/math_dapo/acc/mean@1:{number(ACCURACY[index])}"
        f" - critic/score/mean:{number(REWARD[index])} - response_length/mean:{number(LENGTH[index])}"
        f" - actor/entropy:{number(0.3)} - some/new_key:1.5\n"
    )


def series(log: RunLog, name):
    return [round(value, 3) for value in log.series[name].array]


class TestVerlConsole:
    @pytest.mark.parametrize("numpy_style", [True, False])
    @pytest.mark.parametrize("prefix", ["", "(TaskRunner pid=1234) ", "\x1b[36m(main_task pid=7)\x1b[0m "])
    def test_lines_among_others(self, tmp_path, numpy_style, prefix):
        path = tmp_path / "train.log"
        noise = "INFO 11-28 vllm: step: 4 - nothing\nTraining Progress:  10%|█ | 10/100 [00:10<01:30]\n"
        path.write_text("".join(noise + prefix + verl_line(i, numpy_style) for i in range(7)))
        log = run_log(path)
        assert log.series["accuracy"].steps == STEPS and series(log, "accuracy") == ACCURACY
        assert series(log, "reward") == [round(value, 3) for value in REWARD]
        assert log.series["reward"].lag == 1 and log.series["accuracy"].lag == 0
        assert "some/new_key" in log.unknown
        findings = {finding.name: finding for finding in read_log(path)}
        assert findings["stop"].level == "critical" and "some/new_key" in findings["unknown_keys"].message

    def test_a_line_that_is_being_written_is_left_out(self, tmp_path):
        path = tmp_path / "train.log"
        path.write_text("".join(verl_line(i, False) for i in range(6)) + verl_line(6, False)[:60])
        assert run_log(path).series["accuracy"].steps == STEPS[:-1]


class TestTrlConsole:
    def write(self, path, style, bars=True):
        text = ""
        for i in range(7):
            value = {"loss": 0.0, "reward": REWARD[i], "completions/mean_length": LENGTH[i], "kl": "nan"}
            told = "{" + ", ".join(style.format(k, v) for k, v in value.items()) + "}"
            text += (f"\r {i}%|█  | {STEPS[i]}/700 [00:10<01:30, 1.2s/it]" if bars else "") + f" {told}\n"
        path.write_text(text + "{'train_runtime': 12.0, 'train_loss': 0.1}\n")
        return path

    @pytest.mark.parametrize("style", ["'{}': {}", "'{}': '{}'"])
    def test_dictionaries_take_the_step_of_the_bar(self, tmp_path, style):
        log = run_log(self.write(tmp_path / "out.txt", style))
        assert log.series["reward"].steps == STEPS and series(log, "mean_length") == LENGTH

    def test_without_bars_they_are_counted_and_it_is_said(self, tmp_path):
        path = self.write(tmp_path / "out.txt", "'{}': {}", bars=False)
        assert run_log(path).series["reward"].steps == list(range(7))
        assert "no_step" in {finding.name for finding in read_log(path)}

    def test_a_console_without_metrics_is_refused(self, tmp_path):
        path = tmp_path / "out.log"
        path.write_text("Loading checkpoint shards\n{'a': }\nTraceback\n" * 5)
        assert_refused(invoke("monitor", path), "no line of it holds metrics")

    def test_text_of_a_log_is_not_executed_and_long_lines_take_no_time(self, tmp_path):
        path = tmp_path / "out.log"
        bad = "{'reward': __import__('os').system('touch " + str(tmp_path / "x") + "')}\n"
        path.write_text(bad + "{'" * 100_000 + "\n" + "step:1 - a" * 50_000 + "\n" + verl_line(0, True))
        assert run_log(path).series["accuracy"].steps == [10]
        assert not (tmp_path / "x").exists()


class TestKeys:
    @pytest.mark.parametrize(
        "key, name",
        [
            ("val-core/openai/gsm8k/reward/mean@1", "accuracy"),
            ("val-core/AIME24/acc/mean@32", "accuracy"),
            ("val-core/AIME24/acc/maj@32/mean", "label_accuracy"),
            ("val/test_score/math", "accuracy"),
            ("eval/eval_math_pass1", "accuracy"),
            ("critic/rewards/mean", "reward"),
            ("train/majority_ratio", "majority_ratio"),
            ("train/ensemble/majority_voting_reward", "pseudo_reward"),
            ("response_length/clip_ratio", "truncated"),
            ("actor/kl_loss", "token_kl"),
            ("train/response_length", "mean_length"),
            ("train/kl", "token_kl"),
            ("actor/entropy", "token_entropy"),
        ],
    )
    def test_names_of_trainers(self, tmp_path, key, name):
        path = tmp_path / "log.jsonl"
        path.write_text("".join(json.dumps({"step": i, key: 0.5}) + "\n" for i in range(4)))
        assert name in run_log(path).series

    def test_percent_is_said_and_a_score_is_no_accuracy(self, tmp_path):
        path = tmp_path / "log.jsonl"

        def told(values):
            path.write_text(
                "".join(json.dumps({"step": i, "accuracy": v}) + "\n" for i, v in enumerate(values))
            )
            return run_log(path), {finding.name: finding.message for finding in read_log(path)}

        log, findings = told([100 * value for value in ACCURACY])
        assert series(log, "accuracy") == ACCURACY and "divided by 100" in findings["percent"]
        log, findings = told([-0.8, -0.2, 0.1])
        assert "accuracy" not in log.series and "no share" in findings["percent"]


class TestMap:
    @pytest.fixture
    def path(self, tmp_path):
        path = tmp_path / "own.csv"
        with open(path, "w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["it", "my acc", "vote", "len"])
            rows.writerows(zip(STEPS, ACCURACY, REWARD, LENGTH, strict=True))
        return path

    def test_columns_of_any_name(self, path):
        names = ("step=it", "accuracy=my acc", "pseudo_reward=vote", "mean_length=len")
        done = invoke("monitor", path, "--json", "-", *(part for name in names for part in ("--map", name)))
        findings = {record["name"]: record for record in json.loads(done.stdout)}
        assert findings["stop"]["level"] == "critical" and findings["stop"]["step"] == 50
        assert "unknown_keys" not in findings

    @pytest.mark.parametrize(
        "given, told",
        [
            ("accuracy", "NAME=COLUMN"),
            ("speed=my acc", "known names are"),
            ("accuracy=nothing", "no such column"),
            ("accuracy=my acc --map accuracy=vote", "once"),
        ],
    )
    def test_a_wrong_map_is_refused(self, path, given, told):
        parts = given.split(" --map ")
        assert_refused(invoke("monitor", path, *(x for part in parts for x in ("--map", part))), told)


class TestTrackers:
    def test_tensorboard(self, tmp_path):
        pytest.importorskip("tensorboard")
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        folder = tmp_path / "runs" / "Nov28"
        writer = EventFileWriter(str(folder))
        for i, step in enumerate(STEPS):
            for tag, values in (("eval/accuracy", ACCURACY), ("train/reward", REWARD), ("own/key", LENGTH)):
                value = Summary.Value(tag=tag, simple_value=float(values[i]))
                writer.add_event(Event(step=step, summary=Summary(value=[value])))
        writer.close()
        for place in (tmp_path, folder, next(folder.iterdir())):
            log = run_log(place)
            assert series(log, "accuracy") == ACCURACY and log.series["reward"].steps == STEPS
            assert log.unknown == ["own/key"]
        (tmp_path / "runs" / "Nov29").mkdir()
        (tmp_path / "runs" / "Nov29" / next(folder.iterdir()).name).write_bytes(b"")
        with pytest.raises(InputError, match="2 runs"):
            run_log(tmp_path)

    def test_without_the_library_it_is_named(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "tensorboard", None)
        path = tmp_path / "events.out.tfevents.1.host"
        path.write_bytes(b"")
        assert_refused(invoke("monitor", path), "pip install tensorboard")

    def test_the_folder_of_an_offline_run_of_wandb(self, tmp_path):
        pytest.importorskip("wandb")
        import wandb

        run = wandb.init(mode="offline", dir=tmp_path, settings=wandb.Settings(console="off", silent=True))
        for i, step in enumerate(STEPS):
            wandb.log({"train/global_step": step, "eval/accuracy": ACCURACY[i], "own": {"key": 1.0}})
        run.finish()
        wandb.teardown()  # the service writes the file, some of it after finish() has returned
        folder = next((tmp_path / "wandb").glob("offline-run-*"))
        log = run_log(folder)
        assert log.series["accuracy"].steps == STEPS and series(log, "accuracy") == ACCURACY

    def test_its_copy_of_the_console_will_do(self, tmp_path):
        (tmp_path / "files").mkdir()
        (tmp_path / "files" / "output.log").write_text("".join(verl_line(i, True) for i in range(7)))
        assert series(run_log(tmp_path), "accuracy") == ACCURACY


def test_the_same_run_in_every_shape(tmp_path):
    rows = [
        {"step": s, "val-core/m/acc/mean@1": a, "critic/score/mean": r, "response_length/mean": n}
        for s, a, r, n in zip(STEPS, ACCURACY, REWARD, LENGTH, strict=True)
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "b.json").write_text(json.dumps(rows))
    (tmp_path / "c.csv").write_text(
        "\n".join([",".join(rows[0]), *(",".join(map(str, r.values())) for r in rows), ""])
    )
    (tmp_path / "d.log").write_text(
        "".join(
            "step:"
            + " - ".join([str(row["step"]), *(f"{k}:{v}" for k, v in row.items() if k != "step")])
            + "\n"
            for row in rows
        )
    )
    told = [
        [(f.name, f.level, f.step, f.message) for f in read_log(tmp_path / name) if f.name != "input"]
        for name in ("a.jsonl", "b.json", "c.csv", "d.log")
    ]
    assert told[0] == told[1] == told[2] == told[3] and np.any([name == "stop" for name, *_ in told[0]])
