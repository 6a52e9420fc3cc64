"""CollapseMonitor in a user's own GRPO script: it stops a collapsing run, leaves every other run alone, and
survives bad luck.
"""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import load_file
from tiny import same_weights, weights
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from llm_bridge import CollapseMonitor, Evaluator, load_model, majority_reward, read_log
from llm_bridge.console.quiet import quiet_libraries
from llm_bridge.logs.read import run_log
from llm_bridge.logs.run_log import ERRORS
from llm_bridge.models.loading import frozen_copy
from llm_bridge.sampling.rollouts import sequence_log_probs
from llm_bridge.tasks.prompts import PromptTask
from llm_bridge.training.kept import advice, last_good_step
from llm_bridge.training.monitor_file import STATE_FILE
from llm_bridge.training.reference import InitialWeights
from sharpening import InputError, Outcome, Trajectory, collapse_step

PAIRS = [(a, b) for a in range(20, 80, 3) for b in range(20, 80, 3)]
TRAINING, HELD_OUT = [f"{a}+{b}=" for a, b in PAIRS[::2]], PAIRS[1::40]
PROMPTS, TRUTH = [f"{a}+{b}=" for a, b in HELD_OUT], [a + b for a, b in HELD_OUT]


def number(text):
    return text.strip() if text.strip().isdigit() else None


def train(folder, *callbacks, resume=None, **options):
    """A user's script; the trainer after its run."""
    trainer = trainer_of(folder, *callbacks, **options)
    with quiet_libraries():
        trainer.train(resume_from_checkpoint=resume)
    return trainer


def lora_trainer(folder, *callbacks, **options):
    adapter = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear")
    return trainer_of(folder, *callbacks, peft_config=adapter, **({"learning_rate": 2e-2} | options))


def trainer_of(
    folder, *callbacks, steps=6, learning_rate=5e-3, eval_dataset=None, peft_config=None, **options
):
    loaded = load_model("addition-uncertain")
    with quiet_libraries():
        trainer = GRPOTrainer(
            model=loaded.model,
            processing_class=loaded.tokenizer,
            reward_funcs=majority_reward(number, 4),
            train_dataset=Dataset.from_dict({"prompt": TRAINING}),
            eval_dataset=eval_dataset,
            callbacks=list(callbacks),
            peft_config=peft_config,
            args=GRPOConfig(
                output_dir=str(folder),
                max_steps=steps,
                learning_rate=learning_rate,
                per_device_train_batch_size=16,
                num_generations=4,
                max_completion_length=4,
                lr_scheduler_type="constant",
                use_cpu=True,
                bf16=False,
                gradient_checkpointing=False,
                report_to=[],
                disable_tqdm=True,
                **({"save_strategy": "no", "logging_strategy": "no"} | options),
            ),
        )
    return trainer


def monitor(**options):
    return CollapseMonitor(
        **(
            {"prompts": PROMPTS, "extract": number, "max_new_tokens": 4, "eval_every": 1, "rollouts": 4}
            | options
        )
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The weights that the script ends with when nobody watches."""
    return weights(train(tmp_path_factory.mktemp("alone")).model)


class TestStopping:
    def test_without_labels(self, tmp_path):
        watch = monitor()
        trainer = train(tmp_path, watch, steps=30)
        assert watch.criterion == "mode_retention" and watch.collapsed.outcome is Outcome.COLLAPSED
        assert trainer.state.global_step == watch.collapsed.step + 1 < 30
        kept = watch.trajectory["mode_retention"]
        assert (
            kept[0] > 0.7
            and all(value > 0.5 for value in kept[: watch.collapsed.step])
            and max(kept[-2:]) <= 0.5
        )
        assert (
            not {"accuracy", "label_accuracy", "reward_accuracy"} & set(watch.trajectory.metrics)
            and watch.trajectory.floor is None
        )

    def test_with_labels(self, tmp_path):
        watch = monitor(answers=TRUTH, criterion="half_life", eval_every=2)
        trainer = train(tmp_path, watch, steps=40)
        assert {"accuracy", "label_accuracy", "reward_accuracy", "mode_retention", "excess_kl"} <= set(
            watch.trajectory.metrics
        )
        assert (
            watch.collapsed == collapse_step(watch.trajectory, "half_life")
            and trainer.state.global_step == watch.collapsed.step + 2
        )
        assert watch.trajectory["accuracy"][0] > 0.4 and watch.trajectory.floor == 1 / 10
        assert monitor(answers=TRUTH).criterion == "relative"

    def test_by_advice_long_before_a_criterion(self, tmp_path):
        """Where no criterion is named a run ends once the advice on its evaluations is critical."""
        watch = monitor(eval_every=2, rollouts=16)
        trainer = train(tmp_path, watch, steps=60, learning_rate=3e-4, save_strategy="steps", save_steps=2)
        assert watch.advised.name == "stop" and watch.advised.level == "critical"
        assert "mode_mass_falls" in watch.advised.message and watch.kept.is_dir()
        late = monitor(eval_every=2, rollouts=16, criterion="mode_retention")
        assert late.collapse_level is None
        slow = train(tmp_path / "late", late, steps=60, learning_rate=3e-4)
        assert trainer.state.global_step < slow.state.global_step and late.advised is None

    def test_the_level_of_advice_is_checked(self):
        with pytest.raises(InputError, match="collapse_level"):
            monitor(collapse_level="bad")

    def test_stop_false_only_watches(self, tmp_path, alone):
        """With or without the monitor the same weights come out: it draws nothing from the run's
        randomness.
        """
        watch = monitor(stop=False)
        trainer = train(tmp_path, watch)
        assert trainer.state.global_step == 6 and watch.collapsed is not None
        assert watch.trajectory.step.tolist() == list(range(7))
        assert same_weights(weights(trainer.model), alone)

    def test_a_healthy_run_goes_on(self, tmp_path):
        watch = monitor()
        assert train(tmp_path, watch, learning_rate=1e-7).state.global_step == 6
        assert watch.collapsed is None and min(watch.trajectory["mode_retention"]) > 0.6

    def test_patience_waits(self, tmp_path):
        watch = monitor(patience=4, criterion="mode_retention")
        assert train(tmp_path, watch, steps=30).state.global_step == watch.collapsed.step + 3

    def test_the_last_step_is_always_evaluated(self, tmp_path):
        seen = []
        watch = monitor(
            eval_every=4, stop=False, on_evaluate=lambda step, row: seen.append((step, row["step"]))
        )
        train(tmp_path, watch)
        assert seen == [(0, 0), (4, 4), (6, 6)] and watch.trajectory.step.tolist() == [0, 4, 6]

    def test_early_evaluations_come_first(self, tmp_path):
        watch = monitor(eval_every=3, eval_early=True, stop=False)
        train(tmp_path, watch, steps=13)
        assert watch.trajectory.step.tolist() == [0, 1, 2, 3, 5, 8, 9, 12, 13]
        with pytest.raises(InputError, match="eval_early"):
            monitor(eval_early=1)

    def test_a_trainer_that_evaluates_too_leaves_it_alone(self, tmp_path):
        """Trainers tell their callbacks of their own evaluations, by the name of the monitor's option."""
        held_out = Dataset.from_dict({"prompt": TRAINING[:4]})
        seen = []
        watch = monitor(eval_every=4, stop=False, on_evaluate=lambda step, row: seen.append(step))
        options = {"eval_strategy": "steps", "eval_steps": 3, "per_device_eval_batch_size": 4}
        train(tmp_path, watch, eval_dataset=held_out, **options)
        assert seen == [0, 4, 6]
        train(tmp_path, monitor(stop=False), steps=1, eval_dataset=held_out, **options | {"eval_steps": 1})


class TestReference:
    def test_stays_the_initial_model_while_the_run_moves_on(self, tmp_path):
        """Also inside a trainer, which wraps the forward pass of the model that is copied."""
        watch = monitor(stop=False)
        trainer = train(tmp_path, watch)
        pairs = [[5, 6, 13, 7, 8, 16]] * 3, [[4, 5, 1], [6, 7, 1], [8, 1]]
        initial = load_model("addition-uncertain")
        trained = weights(trainer.model)
        with watch.reference.inside(trainer.model) as reference:
            then = sequence_log_probs(reference, initial.tokenizer, *pairs)
        assert same_weights(weights(trainer.model), trained)
        first, last = (
            sequence_log_probs(model, initial.tokenizer, *pairs) for model in (initial.model, trainer.model)
        )
        assert torch.allclose(then, first, atol=1e-5) and not torch.allclose(then, last, atol=0.1)
        assert watch.trajectory["kl"][-1] > 1 > 0.4 > watch.trajectory["kl"][0]
        assert watch.trajectory["excess_kl"][-1] > 0.5

    def test_can_be_left_out(self, tmp_path):
        watch = monitor(reference=False, stop=False)
        train(tmp_path, watch, steps=1)
        assert "mode_retention" in watch.trajectory.metrics and not {"kl", "excess_kl"} & set(
            watch.trajectory.metrics
        )

    def test_of_an_adapter_is_the_model_without_it_and_costs_nothing(self, tmp_path):
        watch = monitor(stop=False)
        trainer = lora_trainer(tmp_path, watch)
        trainer.train()
        assert watch.reference.weights is None and watch.reference.bytes == 0
        assert watch.rows[-1]["kl"] > 2 * watch.rows[0]["kl"]

    def test_of_an_adapter_that_has_been_trained_is_kept(self, tmp_path):
        """Switched off, it would be another model than the one that the run begins with."""
        watch = monitor(stop=False)
        trainer = lora_trainer(tmp_path, watch, learning_rate=1e-7, steps=1)
        with torch.no_grad():
            for name, weight in trainer.model.named_parameters():
                if "lora_B" in name:
                    weight.normal_(std=0.3)
        trained = sum(weight.numel() for weight in trainer.model.parameters() if weight.requires_grad)
        trainer.train()
        assert watch.reference.bytes == 4 * trained and watch.rows[-1]["kl"] < 0.6

    def test_only_what_moves_is_kept(self, tmp_path):
        class Freezes(TrainerCallback):
            def on_train_begin(self, args, state, control, model=None, **kwargs):
                model.get_input_embeddings().weight.requires_grad_(False)

        watch = monitor(stop=False)
        trainer = train(tmp_path, Freezes(), watch, steps=1)
        moving = sum(weight.numel() for weight in trainer.model.parameters() if weight.requires_grad)
        assert watch.reference.bytes == 4 * moving < 4 * trainer.model.num_parameters()

    def test_what_fails_inside_leaves_the_model_as_it_was(self, tmp_path):
        loaded = load_model("addition-uncertain")
        kept = InitialWeights.of(loaded.model, loaded.tokenizer, [5])
        with torch.no_grad():
            for weight in loaded.model.parameters():
                weight.add_(0.01)
        before = weights(loaded.model)
        with pytest.raises(ValueError, match="on purpose"), kept.inside(loaded.model):
            assert not same_weights(weights(loaded.model), before)
            raise ValueError("on purpose")
        assert same_weights(weights(loaded.model), before)


class TestDashboard:
    """What a trainer's log history and every reporting callback hold of the monitor."""

    def test_rows_of_its_own_beside_those_of_the_trainer(self, tmp_path):
        class Tracker(TrainerCallback):
            def __init__(self):
                self.seen = []

            def on_log(self, args, state, control, logs=None, **kwargs):
                self.seen.append((state.global_step, dict(logs)))

        tracker, watch = (
            Tracker(),
            monitor(stop=False, eval_every=2, answers=TRUTH, criterion="mode_retention"),
        )
        # As W&B's and TensorBoard's, it was there first.
        trainer = train(tmp_path / "watched", tracker, watch, logging_strategy="steps", logging_steps=1)
        ours = [row for row in trainer.state.log_history if "collapse/accuracy" in row]
        assert [row["step"] for row in ours] == [0, 2, 4, 6]
        for row, measured in zip(ours, watch.rows, strict=True):
            metrics = {name for name in measured if name != "step" and name[0] != "_"}
            others = {"criterion_met", "failed_evaluations"}
            assert {key.removeprefix("collapse/") for key in row} - {"step", "epoch"} == metrics | others
            assert all(row[f"collapse/{name}"] == measured[name] for name in metrics)
        assert [row["collapse/criterion_met"] for row in ours] == [0, 0, 1, 1]
        assert [step for step, logs in tracker.seen if "collapse/kl" in logs] == [0, 2, 4, 6]
        alone = train(tmp_path / "alone", logging_strategy="steps", logging_steps=1)
        theirs = [row for row in trainer.state.log_history if "loss" in row]

        def untimed(rows):
            return [{key: value for key, value in row.items() if key != "step_time"} for row in rows]

        assert untimed(theirs) == untimed([row for row in alone.state.log_history if "loss" in row])
        assert len(theirs) == 6

    def test_is_read_back_by_the_command(self, tmp_path):
        """`sharpening monitor` knows the names in trainer_state.json, and takes them for evaluations."""
        train(tmp_path, monitor(stop=False, answers=TRUTH), save_strategy="steps", save_steps=3, steps=3)
        path = tmp_path / "checkpoint-3" / "trainer_state.json"
        log = run_log(path)
        assert log.unknown == [] and log.series["accuracy"].steps == [0, 1, 2, 3]
        assert log.series["mode_retention"].lag == 0
        found = {finding.name: finding for finding in read_log(path)}
        assert found["collapse_mode_retention"].step == 1
        assert not {"repeated_steps", "unknown_keys", "missing_values"} & found.keys()


class TestCheckpoints:
    SAVES = {"save_strategy": "steps", "save_steps": 1, "save_total_limit": 1}

    def test_the_one_to_keep_is_named_spared_and_loaded(self, tmp_path, caplog):
        watch = monitor(load_kept_at_end=True, criterion="mode_retention")
        trainer = train(tmp_path, watch, steps=60, learning_rate=5e-4, **self.SAVES)
        kept = watch.kept
        assert kept.is_dir() and f"keep {kept}" in caplog.text
        step = int(kept.name.removeprefix("checkpoint-"))
        assert 0 < step == watch.good < watch.collapsed.step < trainer.state.global_step
        assert trainer.state.best_model_checkpoint == str(kept) and not trainer.args.load_best_model_at_end
        saved = load_model(str(kept)).model.state_dict()
        assert same_weights(
            weights(trainer.model), {name: saved[name] for name in trainer.model.state_dict()}
        )

    def test_an_adapter_is_loaded_too(self, tmp_path):
        watch = monitor(criterion="excess_kl", patience=1, load_kept_at_end=True, stop=False)
        trainer = lora_trainer(tmp_path, watch, learning_rate=8e-3, steps=8, **self.SAVES)
        trainer.train()
        assert watch.collapsed is not None and watch.kept.is_dir()
        kept = load_file(watch.kept / "adapter_model.safetensors")
        mine = get_peft_model_state_dict(trainer.model)
        assert same_weights(dict(mine), kept)

    def test_a_healthy_run_ends_as_it_is(self, tmp_path):
        watch = monitor(load_kept_at_end=True)
        trainer = train(tmp_path, watch, learning_rate=1e-7, steps=3, save_strategy="steps", save_steps=2)
        assert watch.kept.name == "checkpoint-3" and not trainer.args.load_best_model_at_end

    def test_a_choice_of_the_users_own_stays(self, tmp_path):
        options = {"metric_for_best_model": "reward", "save_strategy": "steps", "save_steps": 1}
        watch = monitor(stop=False)
        trainer = train(tmp_path, watch, steps=2, **options)
        assert trainer.state.best_model_checkpoint is None

    def test_without_saving_there_is_none(self, tmp_path, caplog):
        watch = monitor(load_kept_at_end=True)
        train(tmp_path, watch, steps=1)
        assert watch.off and watch.kept is None and "save_strategy is no" in caplog.text
        with pytest.raises(InputError, match="load_kept_at_end"):
            train(tmp_path, monitor(load_kept_at_end=True, strict=True), steps=1)


@pytest.mark.parametrize(
    "criterion, metric, values, good",
    [
        ("mode_retention", "mode_retention", [1, 0.9, 0.9, 0.8], 15),
        # One evaluation is enough to doubt what was saved since, and none to stop.
        ("mode_retention", "mode_retention", [1, 0.9, 0.9, 0.4], 10),
        ("mode_retention", "mode_retention", [1, 0.9, 0.4, 0.9], 15),
        ("mode_retention", "mode_retention", [1, 0.4, 0.3, 0.1], 0),
        ("excess_kl", "excess_kl", [0, 1, 3, 4, 5], 5),
        ("accuracy_peak", "accuracy", [0.3, 0.6, 0.5, 0.1, 0.05], 5),
        # A criterion that waits for the end, and an accuracy that says so long before.
        ("mode_retention", "accuracy", [0.3, 0.6, 0.6, 0.3, 0.1, 0.05], 10),
    ],
)
def test_the_last_good_step(criterion, metric, values, good):
    rows = [{"step": 5 * place, metric: value} for place, value in enumerate(values)]
    curve = Trajectory(np.arange(len(values)) * 5, {metric: np.array(values, dtype=float)}, source="measured")
    advised = advice(rows, curve.floor, Path("collapse_monitor.json"))
    assert last_good_step(advised, curve, criterion) == good


class TestCost:
    @pytest.mark.parametrize("initial_rollouts", [2, 16])
    def test_is_said_before_and_kept(self, tmp_path, initial_rollouts):
        told = []
        watch = monitor(initial_rollouts=initial_rollouts, tell=told.append, stop=False, eval_every=2)
        assert watch.initial_tokens == 10 * (initial_rollouts + 12) * 4
        assert watch.planned_tokens(3) == watch.initial_tokens + 2 * 10 * 4 * 4
        train(tmp_path, watch, steps=3)
        assert len(told) == 1 and f"{watch.initial_tokens:,} tokens" in told[0] and "2 evaluations" in told[0]
        spent = [row["_tokens"][0] for row in watch.rows]
        assert 0.5 * watch.initial_tokens < spent[0] <= watch.initial_tokens
        assert spent[-1] <= watch.planned_tokens(3)
        assert watch.evaluator.initial.draws == initial_rollouts


class TestMisfortune:
    def test_an_extract_that_always_raises_is_logged_and_training_goes_on(self, tmp_path, caplog, alone):
        def broken(text):
            raise KeyError("no such thing")

        watch = monitor(extract=broken)
        with caplog.at_level(logging.ERROR):
            trainer = train(tmp_path, watch)
        assert trainer.state.global_step == 6 and same_weights(weights(trainer.model), alone)
        records = [record for record in caplog.records if record.name == "llm_bridge.training.monitor"]
        assert (
            len(records) == 1
            and "step 0" in records[0].getMessage()
            and "no such thing" in records[0].exc_text
        )
        with pytest.raises(InputError, match="has not been evaluated"):
            _ = watch.trajectory
        assert not (tmp_path / STATE_FILE).exists()

    def test_an_extract_that_raises_once_costs_one_evaluation(self, tmp_path, caplog):
        calls = {"left": None}

        def moody(text):
            if calls["left"] is not None:
                calls["left"] -= 1
                if calls["left"] == 0:
                    raise ValueError("a bad day")
            return number(text)

        watch = monitor(
            extract=moody,
            stop=False,
            on_evaluate=lambda step, row: calls.update(left=5 if step == 2 else None),
        )
        with caplog.at_level(logging.ERROR):
            train(tmp_path, watch)
        assert watch.trajectory.step.tolist() == [0, 1, 2, 4, 5, 6]
        assert [r.getMessage() for r in caplog.records if r.name == "llm_bridge.training.monitor"] == [
            "the collapse monitor could not evaluate step 3; training goes on"
        ]

    def test_strict_raises(self, tmp_path):
        def broken(text):
            raise KeyError("no such thing")

        with pytest.raises(KeyError, match="no such thing"):
            train(tmp_path, monitor(extract=broken, strict=True), steps=1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A watched run with a checkpoint at step 3, and its folder."""
    watch = monitor(stop=False)
    folder = tmp_path_factory.mktemp("whole")
    train(folder, watch, save_strategy="steps", save_steps=3)
    return watch, folder


class TestResume:
    def test_continues_the_same_curve(self, whole):
        """From the checkpoint at step 3, with a reference at hand: the curve of the run that was never
        interrupted.
        """
        first, folder = whole
        again = monitor(stop=False, reference=frozen_copy(load_model("addition-uncertain").model))
        train(folder, again, resume=str(folder / "checkpoint-3"), save_strategy="no")
        curves = [watch.trajectory.curve() for watch in (first, again)]
        for name in ("kl", "excess_kl"):
            # Another model scores them: the same but for rounding.
            assert curves[0].pop(name) == pytest.approx(curves[1].pop(name), abs=1e-5)
        assert curves[0] == curves[1]

    def test_without_a_reference_drops_what_it_cannot_know_and_says_so(self, whole, caplog):
        first, folder = whole
        again = monitor(stop=False)
        train(folder, again, resume=str(folder / "checkpoint-3"))
        assert "pass reference=" in caplog.text
        assert set(first.trajectory.metrics) - set(again.trajectory.metrics) == {"kl", "excess_kl"}
        assert again.trajectory["mode_retention"].tolist() == first.trajectory["mode_retention"].tolist()

    def test_without_its_beginning_it_is_off_and_training_goes_on(self, whole, tmp_path, caplog):
        watch = monitor(folder=tmp_path / "elsewhere")
        resumed = train(tmp_path, watch, resume=str(whole[1] / "checkpoint-3"))
        assert watch.off and resumed.state.global_step == 6 and "is not there" in caplog.text
        with pytest.raises(InputError, match="is not there"):
            again = monitor(folder=tmp_path / "elsewhere", strict=True)
            train(tmp_path, again, resume=str(whole[1] / "checkpoint-3"))

    def test_the_record_is_json_with_every_evaluation(self, whole):
        record = json.loads((whole[1] / STATE_FILE).read_text())
        assert [row["step"] for row in record["rows"]] == list(range(7)) and len(
            record["initial"]["answers"]
        ) == len(PROMPTS)


@pytest.mark.parametrize(
    "options, name",
    [
        ({"prompts": None}, "prompts"),
        ({"prompts": []}, "prompts"),
        ({"prompts": "1+1="}, "prompts"),
        ({"prompts": [["chat"]]}, "prompts"),
        ({"answers": ["1"]}, "answers"),
        ({"answers": [None] + TRUTH[1:]}, "answers"),
        ({"extract": "number"}, "extract"),
        ({"rollouts": 1}, "rollouts"),
        ({"temperature": 0.0}, "temperature"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"eval_every": 0}, "eval_every"),
        ({"eval_every": 2.5}, "eval_every"),
        ({"patience": 0}, "patience"),
        ({"initial_rollouts": 1}, "initial_rollouts"),
        ({"load_kept_at_end": "yes"}, "load_kept_at_end"),
        ({"criterion": "soon"}, "criterion"),
        ({"criterion": "relative"}, "criterion"),
        ({"criterion": "excess_kl", "reference": False}, "reference"),
    ],
)
def test_bad_arguments_are_refused_before_any_training(options, name):
    with pytest.raises(InputError) as caught:
        monitor(**options)
    assert caught.value.argument == name


def test_prompts_and_an_evaluator_are_one_too_many():
    task = PromptTask(PROMPTS)
    evaluator = Evaluator(task, task.problems, None, rollouts=4)
    assert CollapseMonitor(evaluator=evaluator).criterion == "mode_retention"
    with pytest.raises(InputError):
        monitor(evaluator=evaluator)


def test_answers_are_compared_after_the_same_extraction():
    task = PromptTask(
        ["q1", "q2", "q3"], ["so #### 42", 7, "8.0"], extract=lambda text: text.split()[-1] if text else None
    )
    labels = [task.extract("it is 42"), task.extract("7"), task.extract("8")]
    assert [
        task.is_correct(problem, label) for problem, label in zip(task.problems, labels, strict=True)
    ] == [True, True, False]
    assert not task.is_correct(task.problems[0], None) and task.extract("") is None
    counted = PromptTask(["q"], [3], extract=len)
    assert counted.is_correct(counted.problems[0], counted.extract("abc"))


def test_the_errors_of_an_evaluation_are_those_of_its_draws(tmp_path):
    """Of evaluations of a model that hardly moves they say how far the metrics scatter."""
    seen = []
    watch = monitor(answers=TRUTH, rollouts=16, stop=False, on_evaluate=lambda step, row: seen.append(row))
    train(tmp_path, watch, steps=12, learning_rate=1e-9)
    for metric, name in ERRORS.items():
        told = np.mean([row[name] for row in seen])
        scatter = np.std([row[metric] for row in seen], ddof=1)
        assert 0.5 * scatter < told < 2 * scatter
    # They are no metrics: neither a curve nor a dashboard shows them.
    assert not set(ERRORS.values()) & set(watch.trajectory.metrics)


@pytest.mark.thorough
def test_a_kept_checkpoint_that_is_later_than_the_last_good_step_is_told(tmp_path, caplog):
    """With two checkpoints at a time, those before the onset are gone once the fall is believed."""
    from trl_runs import trainer_of

    trainer = trainer_of(
        tmp_path, learning_rate=3e-4, max_steps=60, save_strategy="steps", save_steps=1, save_total_limit=2
    )
    held_out = [f"{a}+{b}=" for a in range(41, 80, 3) for b in range(20, 80, 20)]
    monitor = CollapseMonitor(prompts=held_out, max_new_tokens=4, eval_every=1)
    trainer.add_callback(monitor)
    trainer.train()
    assert monitor.advised is not None and int(monitor.kept.name.split("-")[1]) > monitor.good
    told = f"no checkpoint up to step {monitor.good}, the last good one, is left (save_total_limit)"
    assert told in caplog.text and str(monitor.kept) in caplog.text
