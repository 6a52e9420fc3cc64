"""TRL's GRPOTrainer as the settings say: prompts of every step, our reward, our rollouts."""

import importlib
import json
import os
import sys
from dataclasses import fields as dataclass_fields
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset

from llm_bridge.models.chat import chat_prompt, parts_of, pictures_of
from llm_bridge.models.loading import frozen_copy
from llm_bridge.models.prompt_ids import prompt_token_ids
from llm_bridge.models.vision import joined
from llm_bridge.sampling.memory import part_that_fits
from llm_bridge.sampling.rollouts import sample
from llm_bridge.sampling.seeding import seeded
from llm_bridge.tasks.rephrasing import with_rephrasings
from llm_bridge.training.reward_function import TaskReward, task_reward
from llm_bridge.training.settings import RunSettings
from llm_bridge.training.team import Team
from llm_bridge.training.trl_fields import ADAPTER, BATCH
from sharpening.errors import InputError
from sharpening.rewards import get_reward
from sharpening.trajectory import write_json

TOKENS = "tokens.json"


def schedule(task, settings: RunSettings):
    """The prompts of every step, fixed by (task, dataset_size, seed) alone: (training problems in order,
    evaluation problems).

    A data set is visited in epochs, each a fresh permutation; without one, every prompt is drawn anew from
    the whole pool. For a reward that compares rephrasings a step holds half as many questions, each followed
    by one rephrasing of it.
    """
    pool, evaluation = task.split(settings.eval_prompts, settings.dataset_size)
    rng = np.random.default_rng([settings.seed, 7])
    wordings = 2 if settings.asks_rephrasings else 1
    questions = settings.prompts_per_step // wordings
    needed = settings.max_steps * questions
    if settings.dataset_size is None:
        order = rng.integers(len(pool), size=needed)
    else:
        # Whole steps only: an epoch's remainder would put one prompt twice into a step.
        whole = len(pool) // questions * questions
        epochs = -(-needed // whole)
        order = np.concatenate([rng.permutation(len(pool))[:whole] for _ in range(epochs)])[:needed]
    train = [pool[i] for i in order]
    return with_rephrasings(
        task, train, evaluation, settings.seed
    ) if settings.asks_rephrasings else train, evaluation


def run_reward(task, settings, train, reference=None, seed=None):
    """The reward function of a run; `attach` it to the model before the first call. seed: if not the run's own."""
    return task_reward(
        settings.parsed_reward,
        task,
        settings.rollouts,
        lambda row: train[row],
        temperature=settings.temperature,
        max_new_tokens=settings.max_new_tokens,
        seed=settings.seed if seed is None else seed,
        reference=reference,
        mask_truncated_completions=settings.mask_truncated_completions,
        train_rollouts=settings.train_rollouts,
    )


def grpo_config(loaded, task, settings, output_dir, *, saves=True, processes=1):
    """TRL's configuration of the run: settings by their short names, and `settings.config` as it stands.

    A batch that free memory does not hold at once is learnt from in parts, by gradient accumulation; `processes` share
    it evenly.
    """
    from trl import GRPOConfig

    size = settings.prompts_per_step * settings.rollouts // processes
    length = settings.max_new_tokens or task.max_new_tokens
    given = {name: value for name, value in settings.config.items() if name in _fields(GRPOConfig)}
    batch = {}
    if BATCH[0] not in given:
        part = part_that_fits(loaded.model, size, settings.rollouts, length)
        batch = {BATCH[0]: part, BATCH[1]: size // part}
    plain = dict(
        output_dir=str(output_dir),
        max_steps=settings.max_steps,
        num_generations=settings.rollouts,
        temperature=settings.temperature,
        learning_rate=settings.learning_rate,
        beta=settings.beta,
        max_completion_length=length,
        lr_scheduler_type="constant",
        shuffle_dataset=False,
        optim="adamw_torch" if settings.optimizer == "adam" else "sgd",
        weight_decay=0.0,
        seed=settings.seed,
        report_to=[],
        logging_steps=1,
        logging_strategy="no",
        disable_tqdm=True,
        save_strategy="steps" if saves else "no",
        save_steps=settings.eval_every * (1 if loaded.is_small else 4),
        save_total_limit=None,  # checkpoints.py keeps two, and removes none but the run's own
        mask_truncated_completions=settings.mask_truncated_completions,
        save_only_model=False,
        use_cpu=not torch.cuda.is_available(),
        bf16=False,
        gradient_checkpointing=False,
        dataloader_pin_memory=False,
    )
    try:
        return GRPOConfig(**(plain | batch | given))
    except (ValueError, TypeError, NotImplementedError) as error:
        raise InputError(
            "config",
            ", ".join(given)[:200],
            f"TRL refuses it: {' '.join(str(error).split())[:300]}",
            "Correct the field that it names",
        ) from error


def check_devices() -> None:
    """Raise InputError where several GPUs are visible and no launcher says which is this process's."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count > 1 and "LOCAL_RANK" not in os.environ:
        raise InputError(
            "CUDA_VISIBLE_DEVICES",
            os.environ.get("CUDA_VISIBLE_DEVICES"),
            f"{count} GPUs are visible, and one process uses one",
            f"Set CUDA_VISIBLE_DEVICES=0, or share a measurement among them with accelerate launch --multi_gpu"
            f" --num_processes {count} -m llm_bridge.cli measure ...",
        )


def _fields(kind) -> set[str]:
    return {field.name for field in dataclass_fields(kind)}


def adapter_config(settings):
    """The PeftConfig that `settings.config` describes with ModelConfig's fields; None without `use_peft`."""
    if not settings.config.get("use_peft"):
        return None
    from trl import ModelConfig, get_peft_config

    return get_peft_config(
        ModelConfig(**{name: value for name, value in settings.config.items() if name in ADAPTER})
    )


def reads_reference(spec: str) -> bool:
    """Whether a reward reads a copy of the initial model."""
    return bool({"reference_log_probs", "voters"} & set(get_reward(spec).card.needs))


def more_rewards(loaded, task, settings, train, seed) -> list:
    """The reward functions beside the first one, as `settings.config["reward_funcs"]` names them."""
    found = []
    for name in settings.config.get("reward_funcs", ())[1:]:
        if "." in name:
            found.append(imported_reward(name))
            continue
        reference = frozen_copy(loaded.model) if reads_reference(name) else None
        function = run_reward(task, replace(settings, reward=name, config={}), train, reference, seed)
        function.attach(lambda: loaded.model, loaded.tokenizer)
        found.append(function)
    return found


def imported_reward(path: str):
    """The function at a dotted path, found from the current folder too, as `trl grpo` finds it."""
    module, _, name = path.rpartition(".")
    sys.path.insert(0, os.getcwd())
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InputError(
            "reward",
            path,
            f"it cannot be imported ({error})",
            "Give a name that `sharpening rewards` lists, or the path of a function such as my_rewards.short",
        ) from error
    finally:
        sys.path.remove(os.getcwd())


def grpo_trainer(loaded, task, settings, train, output_dir, reward=None, *, saves=True, team=None):
    """A GRPOTrainer as `settings` say, and the counter of what its rollouts and its reward cost; `reward` as
    `run_reward` makes it.

    `counter.heard(step, drawn)`, if set, is told every step's rollouts. saves=False keeps no checkpoints. team: the
    processes that share the run.
    """
    from trl import GRPOTrainer

    check_devices()
    team = team or Team()
    config = grpo_config(loaded, task, settings, output_dir, saves=saves, processes=team.count)
    if getattr(task, "stop", ()) and not sampled_plainly(config):
        raise InputError(
            "stop",
            ", ".join(map(repr, task.stop)),
            "top_p, top_k and their like are drawn by TRL, which knows no stop strings",
            "Leave --stop out, or sample with top_p = 1 and top_k = 0",
        )
    if reward is None:
        needed = frozen_copy(loaded.model) if reads_reference(settings.reward) else None
        reward = run_reward(task, settings, train, needed)
        reward.attach(lambda: loaded.model, loaded.tokenizer)
    seed = team.seed(settings.seed)
    counter = OwnRollouts(task, settings, reward, train, seed)
    more = more_rewards(loaded, task, settings, train, seed)
    rows = Dataset.from_list([_row(problem, i, bool(more)) for i, problem in enumerate(train)])
    trainer = GRPOTrainer(
        model=loaded.model,
        reward_funcs=[reward, *more],
        args=config,
        train_dataset=rows,
        processing_class=loaded.reader
        if any(pictures_of(problem.prompt) for problem in train)
        else loaded.tokenizer,
        rollout_func=counter,
        peft_config=adapter_config(settings),
    )
    for function in (reward, *more):
        if isinstance(function, TaskReward):
            function.model_of = lambda: trainer.accelerator.unwrap_model(trainer.model)
    # The printer callback would write every log record to standard output, which belongs to --json -.
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    return trainer, counter


def _row(problem, place: int, with_answer: bool) -> dict:
    row = {"prompt": str(problem.prompt), "row": place}
    if pictures_of(problem.prompt):
        row |= {
            "prompt": parts_of(problem.prompt),
            "images": [one.image() for one in problem.prompt.pictures],
        }
    if not with_answer or problem.answer is None:
        return row
    answer = str(problem.data.get("answer", problem.answer))
    return row | {"answer": answer, "solution": answer}


def sampled_plainly(config) -> bool:
    """Whether a run draws every token from the model's own distribution at its temperature."""
    plain = config.top_p in (None, 1.0) and config.top_k in (None, 0, -1) and not config.min_p
    return plain and config.repetition_penalty in (None, 1.0) and not config.generation_kwargs


class OwnRollouts:
    """TRL's rollout function: `llm_bridge.sampling.rollouts.sample`, with a seed from (run seed, step), so
    that a resumed run draws the same.
    """

    __name__ = "rollouts"

    def __init__(self, task, settings, reward, train=(), seed=None):
        # A data set keeps of a rendered chat its text alone.
        self.rendered = {str(problem.prompt): problem.prompt for problem in train}
        self.settings, self.length, self.reward = (
            settings,
            settings.max_new_tokens or task.max_new_tokens,
            reward,
        )
        self.seed = settings.seed if seed is None else seed
        self.drawn = self.run = self.backward = 0
        self.before = (0, 0, 0)
        self.heard = lambda step, drawn: None

    @property
    def generated(self) -> int:
        """Tokens sampled, those of the reward's own completions included."""
        return self.drawn + self.before[0] + self.reward.cost[0]

    @property
    def forward(self) -> int:
        """Positions run through a network, those of the reward included."""
        return self.run + self.before[1] + self.reward.cost[1]

    @property
    def calls(self) -> int:
        """Answers that a verifier was asked about."""
        return self.before[2] + self.reward.verifier_calls

    @property
    def spent(self) -> tuple[int, int, int, int]:
        """Tokens generated, run forward and backward, and answers that a verifier was asked about."""
        return self.generated, self.forward, self.backward, self.calls

    def restore(self, folder: Path, step: int, model, team):
        """Go back to what had been spent, which the first process counts for all, and to what the reward remembered, at
        `step`.
        """
        spent = json.loads((folder / TOKENS).read_text()) if team.first else (0, 0, 0, 0)
        generated, forward, self.backward, calls = spent
        self.before, self.drawn, self.run = (generated, forward, calls), 0, 0
        self.reward.signals.restore(folder, step, model)

    def __call__(self, prompts, trainer):
        group, step = self.settings.rollouts, trainer.state.global_step
        if not sampled_plainly(trainer.args):
            return self._by_trl(prompts, trainer)
        drawn = sample(
            trainer.accelerator.unwrap_model(trainer.model),
            trainer.processing_class,
            [self._asked(prompt) for prompt in prompts[::group]],
            rollouts=group,
            max_new_tokens=self.length,
            temperature=self.settings.temperature,
            generator=seeded(self.seed, 3, step),
        )
        ids = [ids for row in drawn.token_ids for ids in row]
        repeated = [prompt for prompt in drawn.prompt_ids for _ in range(group)]
        positions = sum(len(p) + len(c) for p, c in zip(repeated, ids, strict=True))
        self.drawn += drawn.generated_tokens
        self.run += drawn.forward_tokens + positions
        self.backward += positions
        self.heard(step, drawn)
        return {"prompt_ids": repeated, "completion_ids": ids, "logprobs": None}

    def _asked(self, prompt):
        """The rendered prompt of what TRL hands over: its text, or messages with their images."""
        return self.rendered.get(prompt if isinstance(prompt, str) else str(chat_prompt(prompt)), prompt)

    def _by_trl(self, prompts, trainer):
        """Completions by TRL's own generation, where tokens are not drawn from the model's plain distribution."""
        asked = [self._asked(prompt) for prompt in prompts]
        prompt_ids = prompt_token_ids(trainer.processing_class, asked)
        seen = joined(prompt_ids, trainer.accelerator.unwrap_model(trainer.model))
        ids, _ = trainer._generate_single_turn(prompt_ids, None, seen, self.settings.rollouts)
        positions = sum(len(p) + len(c) for p, c in zip(prompt_ids, ids, strict=True))
        self.drawn += sum(map(len, ids))
        self.run += 2 * positions
        self.backward += positions
        return {"prompt_ids": prompt_ids, "completion_ids": ids, "logprobs": None}

    def save(self, folder: Path, step: int, spent):
        """Write down what all processes had spent after `step`, and what the reward remembers."""
        write_json(folder / TOKENS, spent)
        self.reward.signals.save(folder, step)
