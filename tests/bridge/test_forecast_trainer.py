"""A forecast of a user's own TRL run: through their own class, and nothing of theirs changes."""

import random

import numpy as np
import pytest
import torch
from datasets import Dataset, IterableDataset
from trl import GRPOTrainer
from trl_runs import lora, short, sums, trainer_of, vote

from llm_bridge import forecast_trainer
from llm_bridge.tasks.dataset import dataset_task
from llm_bridge.tasks.prompts import PromptTask
from llm_bridge.training.planned import planned_steps, prompts_per_step
from sharpening import InputError

SMALL = dict(prompts=16, rollouts=8, gradient_prompts=8, tell=lambda sentence: None)


def chat_run(folder):
    return trainer_of(
        folder,
        data=sums(chat=True),
        rewards=[vote(), short],
        peft=lora(lora_dropout=0.1),
        lr_scheduler_type="cosine",
        warmup_steps=2,
    )


def reused_run(folder):
    return trainer_of(
        folder,
        num_iterations=2,
        steps_per_generation=4,
        gradient_accumulation_steps=2,
        per_device_train_batch_size=16,
        beta=0.02,
        top_p=0.9,
        weight_decay=0.1,
        scale_rewards="batch",
        loss_type="dr_grpo",
        mask_truncated_completions=True,
    )


def own_optimizer_run(folder):
    def optimizers(model):
        parameters = list(model.parameters())
        groups = [{"params": parameters[:4], "lr": 1e-3}, {"params": parameters[4:], "lr": 1e-4}]
        return torch.optim.SGD(groups, momentum=0.5), None

    return trainer_of(folder, optimizers=optimizers, data=sums(labelled=False))


def random_states():
    kind, keys, *rest = np.random.get_state()
    return random.getstate(), keys.tolist(), rest, torch.get_rng_state().tolist()


def seen(trainer):
    """What a user could notice of a trainer, beside its weights."""
    model = trainer.model
    return {
        "attributes": {name: id(value) for name, value in vars(trainer).items()},
        "arguments": trainer.args.to_dict(),
        "state": vars(trainer.state) | {"stateful_callbacks": None},
        "logs": {name: len(values) for name, values in trainer._logs.items()},
        "metrics": {mode: dict(found) for mode, found in trainer._metrics.items()},
        "training": [module.training for module in model.modules()],
        "forward": [id(vars(module).get("forward")) for module in model.modules()],
        "hooks": [len(module._forward_hooks) for module in model.modules()],
        "trained": [parameter.requires_grad for parameter in model.parameters()],
        "gradients": [parameter.grad is None for parameter in model.parameters()],
        "callbacks": [id(callback) for callback in trainer.callback_handler.callbacks],
        "rows": trainer.train_dataset.to_list(),
    }


def bits(model):
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("make", [trainer_of, chat_run, reused_run, own_optimizer_run])
def test_a_forecast_leaves_the_trainer_as_it_was_bit_for_bit(make, tmp_path):
    trainer, twin = make(tmp_path / "a"), make(tmp_path / "b")
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    weights, before, states = bits(trainer.model), seen(trainer), random_states()
    found = forecast_trainer(trainer, **SMALL)
    assert random_states() == states
    assert seen(trainer) == before
    assert all(torch.equal(value, weights[name]) for name, value in bits(trainer.model).items())
    assert not list((tmp_path / "a").rglob("*"))
    assert found.verdict and found.pilot_records[0]["displacement"][-1] > 0

    trainer.train()
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    twin.train()
    times = {"step_time", "train_runtime", "train_samples_per_second", "train_steps_per_second"}
    logs = [
        [{name: value for name, value in row.items() if name not in times} for row in one.state.log_history]
        for one in (trainer, twin)
    ]
    assert logs[0] == logs[1]
    expected = bits(twin.model)
    assert all(torch.equal(value, expected[name]) for name, value in bits(trainer.model).items())
    assert any(not torch.equal(value, weights[name]) for name, value in expected.items())


class Counting(GRPOTrainer):
    """A user's own subclass."""

    losses = 0
    rates: list[list[float]] = []

    def _compute_loss(self, model, inputs):
        type(self).losses += 1
        if self.optimizer is not None:
            self.rates.append([group["lr"] for group in self.optimizer.param_groups])
        return super()._compute_loss(model, inputs)


def test_the_pilot_is_the_users_own_class_and_rewards_at_a_growing_rate(tmp_path):
    asked = []

    def own(prompts, completions, answer, trainer_state, **_):
        asked.append((len(completions), answer[0]))
        return [float(text == truth) for text, truth in zip(completions, answer, strict=True)]

    def optimizers(model):
        parameters = list(model.parameters())
        groups = [{"params": parameters[:4], "lr": 1e-3}, {"params": parameters[4:], "lr": 1e-4}]
        return torch.optim.AdamW(groups), None

    Counting.losses, Counting.rates = 0, []
    trainer = trainer_of(tmp_path, kind=Counting, rewards=own, optimizers=optimizers)
    found = forecast_trainer(trainer, **SMALL)
    steps = len(found.pilot_records[0]["displacement"]) - 1
    assert Counting.losses >= steps and len(asked) >= steps
    rates = np.array([pair for pair in Counting.rates if pair[0] not in (1e-3, 1e-4)])
    assert np.all(np.diff(rates[:, 0]) > 0)
    assert rates[:, 0] / rates[:, 1] == pytest.approx(10)
    assert found.settings.reward == "own"
    assert any("the reward own" in reason for reason in found.reasons)


def test_only_the_adapter_is_copied_and_it_is_said_before(tmp_path):
    from llm_bridge.training.twin import twin_model

    trainer, told = chat_run(tmp_path), []
    twin = twin_model(trainer.model)
    pairs = list(zip(trainer.model.parameters(), twin.parameters(), strict=True))
    assert all((mine is theirs) != mine.requires_grad for mine, theirs in pairs)
    forecast_trainer(trainer, **SMALL | {"tell": told.append})
    assert len(told) == 1 and "adapter" in told[0]


class Untouchable:
    """Stands where an engine does; whoever asks it for anything fails."""

    def __getattribute__(self, name):
        raise AssertionError(f"the engine was asked for {name}")


def test_an_engine_of_the_trainers_is_left_alone_and_that_is_said_before(tmp_path):
    trainer, told = trainer_of(tmp_path), []
    trainer.use_vllm, trainer.vllm_mode, trainer.vllm_generation = True, "server", Untouchable()
    before = trainer.vllm_generation
    found = forecast_trainer(trainer, **SMALL | {"tell": told.append})
    assert "copies" in told[0] and "vLLM, on its server; the forecast draws with transformers" in told[1]
    assert told[1] in found.notes and trainer.use_vllm and trainer.vllm_generation is before
    trainer.rollout_func = lambda prompts, trainer: {}
    with pytest.raises(InputError, match="rollout_func"):
        forecast_trainer(trainer, **SMALL)


def test_what_no_calibrated_run_had_is_told_and_widens(tmp_path):
    constant = dict(lr_scheduler_type="constant", max_steps=300)
    plain = forecast_trainer(trainer_of(tmp_path, **constant), **SMALL)
    assert not any("No run of the calibration" in reason for reason in plain.reasons)
    decayed = forecast_trainer(trainer_of(tmp_path, weight_decay=0.01, **constant), **SMALL)
    (sentence,) = [reason for reason in decayed.reasons if "No run of the calibration" in reason]
    assert "weight_decay = 0.01" in sentence and "1.41" in sentence
    assert decayed.calibration["unseen"] == ["weight decay (weight_decay = 0.01)"]
    assert decayed.settings.trl["loss_type"] == "dapo"


def test_answers_are_given_in_three_ways(tmp_path):
    data = sums(labelled=False)
    truth = [str(eval(prompt.rstrip("="))) for prompt in data["prompt"]]
    ways = [
        (data, {"answers": truth}),
        (data.add_column("truth", truth), {"answer_key": "truth"}),
        (data, {"answers": truth, "extract": lambda text: text.strip() or None}),
    ]
    found = [forecast_trainer(trainer_of(tmp_path, data=one), **SMALL, **way) for one, way in ways]
    assert found[0].prior == found[1].prior and found[0].collapse == found[1].collapse
    assert all("accuracy" in one.prior for one in found)
    assert "accuracy" not in forecast_trainer(trainer_of(tmp_path, data=data), **SMALL).prior


ROWS = [
    [{"prompt": "1+1=", "answer": "2"}, {"prompt": "2+2=", "answer": "4"}],
    [{"prompt": "1+1=", "solution": "so #### 2"}, {"prompt": "2+2=", "solution": "4"}],
    [{"prompt": "1+1=", "ground_truth": 2}, {"prompt": "2+2=", "ground_truth": 4}],
    [{"prompt": "1+1=", "label": ["2"]}, {"prompt": "2+2=", "label": ["4"]}],
    [{"prompt": f"{a}+{a}=", "reward_model": {"style": "rule", "ground_truth": f"{2 * a}"}} for a in (1, 2)],
    [{"prompt": "1+1=", "label": True, "solution": "2"}, {"prompt": "2+2=", "label": False, "solution": "4"}],
]


@pytest.mark.parametrize("rows", ROWS)
def test_true_answers_are_where_the_monitor_finds_them(rows):
    """One list of columns for both; a named one may go into an object."""
    task, read = dataset_task(Dataset.from_list(rows), name="rows", max_new_tokens=4)
    watched = PromptTask(rows, extract=lambda text: text.rpartition("####")[2].strip())
    assert [problem.answer for problem in task.problems] == ["2", "4"]
    assert [watched.extract(problem.answer) for problem in watched.problems] == ["2", "4"]
    field = read.rpartition("column ")[2].rstrip(".")
    named, _ = dataset_task(Dataset.from_list(rows), name="rows", answer_key=field, max_new_tokens=4)
    assert [problem.answer for problem in named.problems] == ["2", "4"]


def test_rows_without_true_answers_are_unlabelled_and_some_without_are_refused():
    data = Dataset.from_list([{"prompt": "1+1=", "answer": None}, {"prompt": "2+2=", "answer": None}])
    assert not dataset_task(data, name="rows", max_new_tokens=4)[0].labelled
    data = Dataset.from_list([{"prompt": "1+1=", "solution": "2"}, {"prompt": "2+2=", "solution": None}])
    with pytest.raises(InputError, match="row 1 has no true answer"):
        dataset_task(data, name="rows", max_new_tokens=4)


@pytest.mark.parametrize(
    "changes", [{}, {"num_iterations": 2, "steps_per_generation": 4, "gradient_accumulation_steps": 2}]
)
def test_the_planned_steps_are_those_that_trl_takes(changes, tmp_path):
    drawn = []

    def counted(completions, **_):
        drawn.append(len(completions))
        return short(completions)

    trainer = trainer_of(tmp_path, rewards=counted, max_steps=-1, num_train_epochs=2, **changes)
    planned, each = planned_steps(trainer), prompts_per_step(trainer)
    trainer.train()
    assert trainer.state.global_step == planned
    assert sum(drawn) / 8 == pytest.approx(each * planned)


class NotGRPO:
    state = None


def trained(folder):
    trainer = trainer_of(folder, max_steps=1)
    trainer.train()
    return trainer


def streamed(folder):
    return trainer_of(folder, data=IterableDataset.from_generator(lambda: iter(sums().to_list())))


def plateau(folder):
    trainer = trainer_of(folder)
    trainer.args.lr_scheduler_type = "reduce_lr_on_plateau"
    return trainer


@pytest.mark.parametrize(
    "make, options, argument",
    [
        (lambda folder: NotGRPO(), {}, "trainer"),
        (trained, {}, "trainer"),
        (streamed, {}, "train_dataset"),
        (plateau, {}, "lr_scheduler_type"),
        (trainer_of, {"answer_key": "truth"}, "answer_key"),
        (trainer_of, {"answers": ["1"]}, "answers"),
        (trainer_of, {"answers": ["1"], "answer_key": "answer"}, "answer_key"),
        (trainer_of, {"extract": str, "answer_pattern": "boxed"}, "answer_pattern"),
        (trainer_of, {"pilots": 0}, "pilots"),
        (trainer_of, {"criterion": "nonsense"}, "criterion"),
        (lambda folder: trainer_of(folder, learning_rate=0.0), {}, "learning_rate"),
    ],
)
def test_what_cannot_be_forecast_is_refused_in_one_paragraph(make, options, argument, tmp_path):
    trainer = make(tmp_path)
    with pytest.raises(InputError) as caught:
        forecast_trainer(trainer, **SMALL | options)
    assert caught.value.argument == argument
    assert "\n" not in str(caught.value)
