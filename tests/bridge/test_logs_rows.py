"""Rows of metrics: which step a row has, and what becomes of rows that repeat a step or go back."""

import csv
import random

import pytest
from log_writers import findings_of, write_rows

from llm_bridge.logs.names import canonical
from llm_bridge.logs.read import read_file, run_log
from llm_bridge.logs.recorder import Recorder
from llm_bridge.logs.run_log import RunLog
from sharpening import InputError


def write_csv(path, header, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def fall(step, onset):
    return 1.0 if step < onset else 0.3


class TestSteps:
    def test_optimizer_steps_before_counts_of_log_calls(self, tmp_path):
        rows = [[2 * i, 10 * (i + 1), fall(i, 14)] for i in range(30)]
        path = write_csv(tmp_path / "w.csv", ["_step", "train/global_step", "train/mode_retention"], rows)
        findings = findings_of(path)
        assert findings["stop"].step == 150 and "log_calls" not in findings

    @pytest.mark.parametrize("column", ["_step", "Step"])
    def test_counts_of_log_calls_are_said_to_be_so(self, tmp_path, column):
        path = write_csv(tmp_path / "w.csv", [column, "reward"], [[i, 0.5] for i in range(5)])
        assert "no optimizer step" in findings_of(path)["log_calls"].message

    @pytest.mark.parametrize("axis", ["Step", "train/global_step"])
    def test_a_chart_of_one_run(self, tmp_path, axis):
        """The extremes that W&B adds are not the metric; `_step` as a metric is not the axis."""
        name = "lunar - sun-3 - train/mode_retention"
        header = [
            axis,
            "lunar - sun-3 - _step",
            "lunar - sun-3 - _step__MIN",
            name,
            f"{name}__MIN",
            f"{name}__MAX",
        ]
        rows = [[10 * i, i, i, fall(i, 5), 0.0, 1.0] for i in range(10)]
        findings = findings_of(write_csv(tmp_path / "panel.csv", header, rows))
        assert findings["stop"].step == 50 and ("log_calls" in findings) == (axis == "Step")
        assert "unknown_keys" not in findings

    def test_a_chart_of_several_runs_is_refused(self, tmp_path):
        header = ["Step", *(f"{run} - reward{end}" for run in ("a", "b") for end in ("", "__MIN", "__MAX"))]
        with pytest.raises(InputError, match=r"2 runs of a W&B chart \(a, b\)"):
            findings_of(write_csv(tmp_path / "panel.csv", header, [[1] + [0.5] * 6]))

    def test_rows_without_a_step_are_counted_with_what_they_lost(self, tmp_path):
        rows = [{"global_step": s, "reward": 0.5} for s in range(6)] + [{"_step": 9, "mode_retention": 0.1}]
        message = findings_of(write_rows(tmp_path / "log.jsonl", rows))["missing_values"].message
        assert "step in 1 of 7" in message and "mode_retention were lost" in message

    @pytest.mark.parametrize("step", [1.5, -1, "x", True, None, 1e300, [1], {"a": {"b": 1}}])
    def test_what_is_no_step_is_no_step(self, tmp_path, step):
        rows = [{"step": s, "reward": 0.5} for s in range(4)] + [{"step": step, "reward": 100.0}]
        log = read_file(write_rows(tmp_path / "log.jsonl", rows), None)
        assert log.series["reward"].values == dict.fromkeys(range(4), 0.5)

    def test_the_order_of_columns_decides_nothing(self):
        keys = ["train/accuracy", "val-core/B/acc/mean@4", "val-core/A/acc/mean@4", "accuracy"]
        assert canonical(keys)[0] == canonical(keys[::-1])[0] == {"val-core/A/acc/mean@4": "accuracy"}
        assert sorted(canonical(keys)[2]) == ["accuracy", "train/accuracy", "val-core/B/acc/mean@4"]


def retention(path):
    return read_file(path, None).series["mode_retention"].values


class TestRepeatedSteps:
    def test_a_resumed_run_replaces_what_it_wrote_before(self, tmp_path):
        """Steps past its end are stale too, and so are those of a metric that was logged more rarely."""
        first = [{"step": s, "mode_retention": fall(s, 71), "reward": 0.1} for s in range(1, 101)]
        first += [{"step": 60, "eval/accuracy": 0.1}]
        again = [{"step": s, "mode_retention": 0.95, "reward": 0.6} for s in range(41, 71)]
        again += [{"step": 60, "eval/accuracy": 0.9}]
        findings = findings_of(path := write_rows(tmp_path / "log.jsonl", first + again))
        assert "stop" not in findings and findings["no_collapse"].step == 70
        assert findings["resumed_rows"].step == 41 and "were left out" in findings["resumed_rows"].message
        log = read_file(path, None)
        assert log.series["accuracy"].values == {60: 0.9} and log.series["reward"].values[40] == 0.1

    def test_resumed_twice(self, tmp_path):
        rows = (
            [(s, 1.0) for s in range(1, 51)]
            + [(s, 0.9) for s in range(31, 61)]
            + [(s, 0.8) for s in range(21, 71)]
        )
        values = retention(
            write_rows(tmp_path / "l.jsonl", [{"step": s, "mode_retention": v} for s, v in rows])
        )
        assert values == {s: 1.0 if s < 21 else 0.8 for s in range(1, 71)}

    def test_a_resumed_run_that_logs_at_other_steps(self, tmp_path):
        rows = [(s, 0.1) for s in range(10, 101, 10)] + [(s, 0.9) for s in range(45, 90, 10)]
        values = retention(
            write_rows(tmp_path / "l.jsonl", [{"step": s, "mode_retention": v} for s, v in rows])
        )
        assert values == {10: 0.1, 20: 0.1, 30: 0.1, 40: 0.1, 45: 0.9, 55: 0.9, 65: 0.9, 75: 0.9, 85: 0.9}

    @pytest.mark.parametrize("named", [True, False])
    @pytest.mark.parametrize("order", ["interleaved", "reversed", "one after the other", "shuffled"])
    def test_the_order_of_ranks_decides_nothing(self, tmp_path, named, order):
        ranks = {0: 0.3, 1: 0.95, 2: 1.0}
        rows = [
            {"step": s, "mode_retention": 1.0 if s < 10 else value} | ({"rank": rank} if named else {})
            for s in range(1, 41)
            for rank, value in ranks.items()
        ]
        if order == "reversed":
            rows = [row for s in range(40) for row in rows[3 * s : 3 * s + 3][::-1]]
        elif order == "one after the other":
            rows = [row for rank in (2, 0, 1) for row in rows[rank::3]]
        elif order == "shuffled":
            random.Random(0).shuffle(rows)
        path = write_rows(tmp_path / "log.jsonl", rows)
        assert retention(path) == pytest.approx({s: 1.0 if s < 10 else 0.75 for s in range(1, 41)})
        findings = findings_of(path)
        assert "stop" not in findings and "mean" in findings["repeated_steps"].message
        assert findings["repeated_steps"].level == ("info" if named else "warning")

    def test_ranks_that_resumed(self, tmp_path):
        rows = [{"step": s, "rank": r, "mode_retention": 0.1} for s in range(1, 31) for r in (0, 1)]
        rows += [
            {"step": s, "rank": r, "mode_retention": 0.8 + r / 10} for s in range(11, 21) for r in (0, 1)
        ]
        values = retention(write_rows(tmp_path / "log.jsonl", rows))
        assert values == pytest.approx({s: 0.1 if s < 11 else 0.85 for s in range(1, 21)})

    def test_rows_in_any_order_are_sorted(self, tmp_path):
        rows = [{"step": s, "mode_retention": fall(s, 30)} for s in range(60)]
        for arranged in (
            rows[::-1],
            rows[30:] + rows[:30],
            random.Random(1).sample(rows, 60),
            rows[::2] + rows[1::2],
        ):
            findings = findings_of(write_rows(tmp_path / "log.jsonl", arranged))
            assert findings["stop"].step == 30 and not {"resumed_rows", "repeated_steps"} & set(findings)

    @pytest.mark.parametrize("order", [[3, 1, 4, 2], [1, 2, 4, 3], [4, 3, 2, 1], [2, 1]])
    def test_few_rows_in_any_order_are_sorted_too(self, tmp_path, order):
        rows = [{"step": s, "mode_retention": s / 10} for s in order]
        assert retention(write_rows(tmp_path / "l.jsonl", rows)) == {s: s / 10 for s in sorted(order)}

    def test_metrics_written_apart_or_late_are_no_repetition(self, tmp_path):
        rows = [{"step": s, "reward": 0.5} for s in range(1, 21)]
        rows += [{"step": s, "eval/accuracy": 0.5} for s in (10, 20)]
        log = read_file(write_rows(tmp_path / "log.jsonl", rows), None)
        assert len(log.series["reward"]) == 20 and log.findings == []

    def test_several_runs_in_one_file_are_refused(self, tmp_path):
        rows = [
            {"step": s, "run_id": run, "reward": v} for run, v in (("a", 0.1), ("b", 0.9)) for s in range(9)
        ]
        with pytest.raises(InputError, match="2 runs"):
            findings_of(write_rows(tmp_path / "log.jsonl", rows))


def test_a_very_long_log_is_thinned_and_says_so(monkeypatch):
    monkeypatch.setattr("llm_bridge.logs.recorder.MOST_VALUES", 1000)
    recorder, log = Recorder(), RunLog("x")
    for step in range(1, 5001):
        recorder.add(step, step, "reward", float(step))
    recorder.fill(log)
    values = log.series["reward"].values
    assert 250 <= len(values) <= 1000 and all(values[step] == step for step in values) and 1 in values
    assert "multiples of 8" in log.findings[0].message and log.findings[0].name == "thinned"


class TestParquet:
    def test_rows_of_metrics_are_read_as_those_of_a_csv(self, tmp_path):
        import pyarrow
        import pyarrow.parquet as parquet

        rows = {
            "it": list(range(0, 70, 10)),
            "my acc": [0.5, 0.6, 0.62, 0.6, 0.1, 0.05, 0.05],
            "note": list("abcdefg"),
        }
        parquet.write_table(pyarrow.table(rows), tmp_path / "run.parquet")
        (tmp_path / "run.csv").write_text(
            "".join(",".join(map(str, row)) + "\n" for row in [list(rows), *zip(*rows.values(), strict=True)])
        )
        renames = {"it": "step", "my acc": "accuracy"}
        found, same = (run_log(tmp_path / f"run.{kind}", renames=renames) for kind in ("parquet", "csv"))
        assert found.series["accuracy"].values == same.series["accuracy"].values
        assert found.unknown == same.unknown == ["note"]
