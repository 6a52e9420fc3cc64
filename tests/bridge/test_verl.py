"""verl: rollouts whose uid names the rollout too, and the checkpoint callback that ends a run."""

import json
import random
from types import SimpleNamespace

import pytest

from llm_bridge import read_log
from llm_bridge.logs.completions import read_verl
from llm_bridge.logs.groups import groups_log
from llm_bridge.logs.verl import STOPPED, StopAtCollapse
from sharpening import InputError


class Config(dict):
    """A configuration as verl hands it over: fields by name, and `get`."""

    __getattr__ = dict.__getitem__


def answers_at(step, collapses):
    """(prompt, rollout, answer) of 16 prompts: one answer wins on ever more of them, or each keeps its own."""
    rng, share = random.Random(step), min(1.0, max(0.0, (step - 20) / 20)) if collapses else 0.0
    return [
        (q, r, 7 if rng.random() < share else q + 20 if rng.random() < 0.6 else rng.randrange(100))
        for q in range(16)
        for r in range(8)
    ]


def write_step(folder, step, collapses=True, uid="{step}q{q}_{r}_0"):
    folder.mkdir(exist_ok=True, parents=True)
    rows = [
        {"input": f"prompt {q}", "output": f"so it is {a}", "gts": None, "score": 0.5, "step": step}
        | ({"uid": uid.format(step=step, q=q, r=r)} if uid else {})
        for q, r, a in answers_at(step, collapses)
    ]
    (folder / f"{step}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def config_of(tmp_path, **trainer):
    given = {"rollout_data_dir": str(tmp_path / "roll"), "default_local_dir": str(tmp_path / "ckpt")}
    return Config(trainer=Config(given | trainer))


class TestSessions:
    def series(self, tmp_path, uid):
        folder = tmp_path / "roll"
        for step in range(1, 6):
            write_step(folder, step, uid=uid)
        return groups_log(read_verl(list(folder.iterdir())), "verl", "last-number").series

    def test_a_uid_that_names_the_rollout_gives_the_groups_of_one_that_does_not(self, tmp_path):
        plain = self.series(tmp_path / "a", "{step}q{q}")
        by_session = self.series(tmp_path / "b", "{step}q{q}_{r}_0")
        assert by_session["majority_ratio"].values == plain["majority_ratio"].values
        assert by_session.keys() == plain.keys()

    def test_a_uid_of_a_whole_group_may_end_in_numbers(self, tmp_path):
        assert self.series(tmp_path / "a", "q_{q}_0")["majority_ratio"].values == (
            self.series(tmp_path / "b", None)["majority_ratio"].values
        )

    def test_of_several_outputs_of_a_session_the_last_one_counts(self, tmp_path):
        folder = tmp_path / "roll"
        folder.mkdir()
        rows = [
            {"input": "p", "output": f"{answer}", "score": 0.0, "step": 1, "uid": f"p_{r}_{index}"}
            for r in range(4)
            for index, answer in enumerate([r, 5])
        ]
        (folder / "1.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        log = groups_log(read_verl([folder / "1.jsonl"]), "verl", "last-number")
        assert log.series["majority_ratio"].values == {1: 1.0}


class TestStop:
    def run(self, tmp_path, collapses, **settings):
        """The callback asked at every tenth step, as verl does: the step's own rollouts are written later."""
        callback = StopAtCollapse(config=config_of(tmp_path, **settings))
        trainer = SimpleNamespace(total_training_steps=80)
        for step in range(1, 81):
            if step % 10 == 0:
                (tmp_path / "ckpt" / f"global_step_{step}").mkdir(parents=True)
                callback.on_save(
                    trainer=trainer, global_step=step, checkpoint_dir="", async_save=False, new=1
                )
            if trainer.total_training_steps < 80:
                return step
            write_step(tmp_path / "roll", step, collapses)
        return None

    def test_a_collapse_ends_the_run_at_the_next_checkpoint(self, tmp_path, caplog):
        ended = self.run(tmp_path, True)
        told = json.loads((tmp_path / "ckpt" / STOPPED).read_text())
        assert ended in (30, 40) and told["step"] == ended
        assert {"stop", "keep_checkpoint"} <= {finding["name"] for finding in told["findings"]}
        assert "Keep global_step_20." in caplog.text

    def test_a_run_that_keeps_its_answers_goes_on(self, tmp_path):
        assert self.run(tmp_path, False) is None and not (tmp_path / "ckpt" / STOPPED).exists()

    def test_a_log_that_cannot_be_read_stops_nothing(self, tmp_path, caplog):
        (tmp_path / "roll").mkdir()
        (tmp_path / "roll" / "1.jsonl").write_text("no json\n{}\n")
        trainer = SimpleNamespace(total_training_steps=80)
        StopAtCollapse(config=config_of(tmp_path)).on_save(trainer, 10, "")
        assert trainer.total_training_steps == 80 and "training goes on" in caplog.text

    def test_the_file_logger_is_read_too(self, tmp_path, monkeypatch):
        file = tmp_path / "metrics.jsonl"
        monkeypatch.setenv("VERL_FILE_LOGGER_PATH", str(file))
        accuracy = [0.5, 0.6, 0.62, 0.6, 0.1, 0.05, 0.05]
        file.write_text(
            "".join(
                json.dumps({"step": 10 * i, "data": {"val-core/set/acc/mean@4": value}}) + "\n"
                for i, value in enumerate(accuracy)
            )
        )
        callback = StopAtCollapse(
            config=config_of(tmp_path, rollout_data_dir=None, logger=["console", "file"])
        )
        trainer = SimpleNamespace(total_training_steps=80)
        callback.on_save(trainer, 61, "")
        assert trainer.total_training_steps == 61

    @pytest.mark.parametrize(
        ("changes", "argument"),
        [
            ({"collapse_level": "bad"}, "trainer.collapse_level"),
            ({"rollout_data_dir": None}, "rollout_data_dir"),
        ],
    )
    def test_what_could_never_work_is_refused_before_the_first_step(self, tmp_path, changes, argument):
        with pytest.raises(InputError, match=argument):
            StopAtCollapse(config=config_of(tmp_path, **changes))

    def test_verl_makes_it(self, tmp_path):
        made = pytest.importorskip("verl.trainer.ppo.checkpoint_callback", reason="verl is not installed")
        config = config_of(tmp_path, checkpoint_callback_class="llm_bridge.logs.verl.StopAtCollapse")
        assert isinstance(made.build_checkpoint_callback(config), StopAtCollapse)


def test_the_monitor_reads_the_groups_of_such_rollouts(tmp_path):
    for step in range(1, 41):
        write_step(tmp_path / "roll", step)
    names = {finding.name for finding in read_log(tmp_path / "roll", answer_pattern="last-number")}
    assert "stop" in names and "single_rollouts" not in names
