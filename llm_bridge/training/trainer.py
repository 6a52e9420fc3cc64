"""TRL's GRPOTrainer as the settings say: prompts of every step, our reward, our rollouts."""

import json
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset

from llm_bridge.models.loading import frozen_copy
from llm_bridge.sampling.rollouts import sample
from llm_bridge.sampling.seeding import seeded
from llm_bridge.tasks.rephrasing import with_rephrasings
from llm_bridge.training.reward_function import task_reward
from llm_bridge.training.settings import RunSettings
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


def run_reward(task, settings, train, reference=None):
    """The reward function of a run; `attach` it to the model before the first call."""
    return task_reward(
        settings.parsed_reward,
        task,
        settings.rollouts,
        lambda row: train[row],
        temperature=settings.temperature,
        max_new_tokens=settings.max_new_tokens,
        seed=settings.seed,
        reference=reference,
        mask_truncated_completions=settings.mask_truncated_completions,
    )


def grpo_trainer(loaded, task, settings, train, output_dir, reward=None, *, saves=True):
    """A GRPOTrainer as `settings` say, and the counter of what its rollouts and its reward cost; `reward` as
    `run_reward` makes it.

    `counter.heard(step, drawn)`, if set, is told every step's rollouts. saves=False keeps no checkpoints.
    """
    from trl import GRPOConfig, GRPOTrainer

    if reward is None:
        reward = run_reward(task, settings, train, frozen_copy(loaded.model))
        reward.attach(lambda: loaded.model, loaded.tokenizer)
    counter = _Rollouts(task, settings, reward, train)
    config = GRPOConfig(
        output_dir=str(output_dir),
        max_steps=settings.max_steps,
        per_device_train_batch_size=settings.prompts_per_step * settings.rollouts,
        num_generations=settings.rollouts,
        temperature=settings.temperature,
        learning_rate=settings.learning_rate,
        beta=settings.beta,
        max_completion_length=settings.max_new_tokens or task.max_new_tokens,
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
    rows = Dataset.from_list([{"prompt": str(problem.prompt), "row": i} for i, problem in enumerate(train)])
    trainer = GRPOTrainer(
        model=loaded.model,
        reward_funcs=reward,
        args=config,
        train_dataset=rows,
        processing_class=loaded.tokenizer,
        rollout_func=counter,
    )
    reward.model_of = lambda: trainer.accelerator.unwrap_model(trainer.model)
    # The printer callback would write every log record to standard output, which belongs to --json -.
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    return trainer, counter


class _Rollouts:
    """TRL's rollout function: `llm_bridge.sampling.rollouts.sample`, with a seed from (run seed, step), so
    that a resumed run draws the same.
    """

    __name__ = "rollouts"

    def __init__(self, task, settings, reward, train=()):
        # A data set keeps of a rendered chat its text alone.
        self.rendered = {str(problem.prompt): problem.prompt for problem in train}
        self.settings, self.length, self.reward = (
            settings,
            settings.max_new_tokens or task.max_new_tokens,
            reward,
        )
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

    def restore(self, folder: Path, step: int, model):
        """Go back to what had been spent, and to what the reward remembered, at `step`."""
        generated, forward, self.backward, calls = json.loads((folder / TOKENS).read_text())
        self.before, self.drawn, self.run = (generated, forward, calls), 0, 0
        self.reward.signals.restore(folder, step, model)

    def __call__(self, prompts, trainer):
        group, step = self.settings.rollouts, trainer.state.global_step
        drawn = sample(
            trainer.accelerator.unwrap_model(trainer.model),
            trainer.processing_class,
            [self.rendered.get(prompt, prompt) for prompt in prompts[::group]],
            rollouts=group,
            max_new_tokens=self.length,
            temperature=self.settings.temperature,
            generator=seeded(self.settings.seed, 3, step),
        )
        ids = [ids for row in drawn.token_ids for ids in row]
        repeated = [prompt for prompt in drawn.prompt_ids for _ in range(group)]
        positions = sum(len(p) + len(c) for p, c in zip(repeated, ids, strict=True))
        self.drawn += drawn.generated_tokens
        self.run += drawn.forward_tokens + positions
        self.backward += positions
        self.heard(step, drawn)
        return {"prompt_ids": repeated, "completion_ids": ids, "logprobs": None}

    def save(self, folder: Path, step: int):
        """Write down what had been spent after `step`, and what the reward remembers."""
        write_json(folder / TOKENS, (self.generated, self.forward, self.backward, self.calls))
        self.reward.signals.save(folder, step)
