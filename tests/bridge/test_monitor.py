"""CollapseMonitor in a user's own GRPO script: it stops a collapsing run, leaves every other run alone, and
survives bad luck.
"""

import json
import logging

import pytest
import torch
from datasets import Dataset
from tiny import same_weights, weights
from trl import GRPOConfig, GRPOTrainer

from llm_bridge import CollapseMonitor, Evaluator, load_model, majority_reward
from llm_bridge.console.quiet import quiet_libraries
from llm_bridge.models.loading import frozen_copy
from llm_bridge.sampling.rollouts import sequence_log_probs
from llm_bridge.tasks.prompts import PromptTask
from llm_bridge.training.monitor import STATE_FILE
from sharpening import InputError, Outcome, collapse_step

PAIRS = [(a, b) for a in range(20, 80, 3) for b in range(20, 80, 3)]
TRAINING, HELD_OUT = [f"{a}+{b}=" for a, b in PAIRS[::2]], PAIRS[1::40]
PROMPTS, TRUTH = [f"{a}+{b}=" for a, b in HELD_OUT], [a + b for a, b in HELD_OUT]


def number(text):
    return text.strip() if text.strip().isdigit() else None


def train(folder, *callbacks, steps=6, learning_rate=5e-3, resume=None, eval_dataset=None, **options):
    """A user's script; the trainer after its run."""
    loaded = load_model("addition-uncertain")
    with quiet_libraries():
        trainer = GRPOTrainer(
            model=loaded.model,
            processing_class=loaded.tokenizer,
            reward_funcs=majority_reward(number, 4),
            train_dataset=Dataset.from_dict({"prompt": TRAINING}),
            eval_dataset=eval_dataset,
            callbacks=list(callbacks),
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
                logging_strategy="no",
                **({"save_strategy": "no"} | options),
            ),
        )
        trainer.train(resume_from_checkpoint=resume)
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
        watch = monitor(patience=4)
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
        scores = [
            sequence_log_probs(model, initial.tokenizer, *pairs)
            for model in (watch.reference, initial.model, trainer.model)
        ]
        assert torch.allclose(scores[0], scores[1], atol=1e-5) and not torch.allclose(
            scores[0], scores[2], atol=0.1
        )
        assert watch.trajectory["kl"][-1] > 1 > 0.4 > watch.trajectory["kl"][0]
        assert watch.trajectory["excess_kl"][-1] > 0.5

    def test_can_be_left_out(self, tmp_path):
        watch = monitor(reference=False, stop=False)
        train(tmp_path, watch, steps=1)
        assert "mode_retention" in watch.trajectory.metrics and not {"kl", "excess_kl"} & set(
            watch.trajectory.metrics
        )


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
        assert again.trajectory.curve() == first.trajectory.curve()

    def test_without_a_reference_drops_what_it_cannot_know_and_says_so(self, whole, caplog):
        first, folder = whole
        again = monitor(stop=False)
        train(folder, again, resume=str(folder / "checkpoint-3"))
        assert "pass reference=" in caplog.text
        assert set(first.trajectory.metrics) - set(again.trajectory.metrics) == {"kl", "excess_kl"}
        assert again.trajectory["mode_retention"].tolist() == first.trajectory["mode_retention"].tolist()

    def test_without_its_beginning_is_refused(self, whole, tmp_path):
        with pytest.raises(InputError, match="is not there"):
            train(tmp_path, monitor(folder=tmp_path / "elsewhere"), resume=str(whole[1] / "checkpoint-3"))

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
