"""The measuring instrument: TRL's GRPOTrainer with our reward, our rollouts and our monitor. There is no training loop of ours."""

import hashlib
import json
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from transformers import TrainerCallback

from llm_bridge.evaluation import Evaluator, frozen_copy, seeded
from llm_bridge.models import fitting_threads, load_model
from llm_bridge.monitor import STATE_FILE, CollapseMonitor
from llm_bridge.progress import NullProgress
from llm_bridge.quiet import quiet_libraries
from llm_bridge.results import Measurement
from llm_bridge.rewards import check_reward, task_reward
from llm_bridge.rollouts import sample
from llm_bridge.settings import RunSettings
from llm_bridge.tasks import spellable
from llm_bridge.tasks.rephrasing import with_rephrasings
from sharpening.collapse import CRITERIA
from sharpening.errors import InputError
from sharpening.trajectory import Trajectory, write_json


def schedule(task, settings: RunSettings):
    """The prompts of every step, fixed by (task, dataset_size, seed) alone: (training problems in order, evaluation problems).

    A data set is visited in epochs, each a fresh permutation; without one, every prompt is drawn anew from the whole pool. For a reward
    that compares rephrasings a step holds half as many questions, each followed by one rephrasing of it.
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
    return with_rephrasings(task, train, evaluation, settings.seed) if settings.asks_rephrasings else train, evaluation


def watched_criterion(chosen: str, labelled: bool) -> str:
    """The criterion that can stop the run: the chosen one, or `mode_retention` where it needs labels that do not exist."""
    return chosen if labelled or not CRITERIA[chosen].needs_labels else "mode_retention"


def problems_digest(task) -> str:
    """16 hexadecimal digits that change with any prompt or true answer of the task, their order, and how answers are read."""
    told = [getattr(task, "answer_pattern", None), *([problem.prompt, problem.answer] for problem in task.problems)]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


@quiet_libraries()
def measure(model: str, task, settings: RunSettings, *, output_dir: Path, progress=None, stop_on_collapse: bool = False,
            keep_checkpoints: bool = False) -> Measurement:
    """Train `model` on `task` with any registered reward, and measure the curve on fixed prompts.

    Resumes by itself if `output_dir` holds an unfinished run with the same settings, to the same curve; a finished one is read back.
    With `stop_on_collapse` the run ends once `settings.criterion` is met instead of going on to `max_steps`.

    Raises:
        InputError: bad model, task or folder; a task that cannot give what the reward reads; a folder that holds a run with other settings.
    """
    output_dir, progress = Path(output_dir), progress or NullProgress()
    check_reward(settings.reward, task)
    identity = {"model": model, "task": task.name, "problems": problems_digest(task), **settings.as_dict(),
                "stop_on_collapse": stop_on_collapse}
    _check_owner(output_dir, identity)
    if (done := _finished(output_dir)) is not None:
        return Measurement(model, task.name, settings, done["trajectory"], done["cost"])
    train, evaluation = schedule(task, settings)
    loaded = load_model(model)
    spellable(task, loaded.tokenizer)
    reference = frozen_copy(loaded.model)
    reward = run_reward(task, settings, train, reference)
    reward.attach(lambda: loaded.model, loaded.tokenizer)
    _claim(output_dir, identity)
    started, spent = time.monotonic(), _seconds_spent(output_dir)
    evaluator = Evaluator(task, evaluation, loaded.tokenizer, rollouts=settings.rollouts, temperature=settings.temperature,
                          max_new_tokens=settings.max_new_tokens, seed=settings.seed, reference=reference,
                          initial_rollouts=64 if loaded.is_small else 32)
    bar = progress.start(f"training {model} on {task.name}", settings.max_steps)
    monitor = CollapseMonitor(evaluator=evaluator, criterion=watched_criterion(settings.criterion, evaluator.labelled),
                              eval_every=settings.eval_every, stop=stop_on_collapse, strict=True, reference=reference, folder=output_dir,
                              settings=identity)
    trainer, counter = grpo_trainer(loaded, task, settings, train, output_dir, reward)
    guard = _Guard(bar, output_dir, counter, lambda: spent + time.monotonic() - started)
    trainer.add_callback(monitor)
    trainer.add_callback(guard)
    with guard, fitting_threads(loaded):
        checkpoint = _last_whole_checkpoint(output_dir)
        if checkpoint is not None:
            bar.advance(int(checkpoint.name.split("-")[1]))
            counter.restore(int(checkpoint.name.split("-")[1]), loaded.model)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    bar.close()
    seconds = spent + time.monotonic() - started
    cost = {
        "generated_tokens": counter.generated + evaluator.generated_tokens, "forward_tokens": counter.forward + evaluator.forward_tokens,
        "backward_tokens": counter.backward, "seconds": round(seconds, 1),
    }
    if reward.asks_a_verifier:
        cost["verifier_calls"] = counter.calls
    interrupted = guard.interrupted and trainer.state.global_step < settings.max_steps
    if not interrupted:
        monitor.trajectory.save(output_dir / "trajectory.json")
        write_json(output_dir / "cost.json", cost)
        if not keep_checkpoints:
            for folder in output_dir.glob("checkpoint-*"):
                shutil.rmtree(folder)
            for file in output_dir.glob("previous-*.safetensors"):
                file.unlink()
    return Measurement(model, task.name, settings, monitor.trajectory, cost, interrupted)


def run_reward(task, settings, train, reference=None):
    """The reward function of a run; `attach` it to the model before the first call."""
    return task_reward(settings.reward, task, settings.rollouts, lambda row: train[row], temperature=settings.temperature,
                       max_new_tokens=settings.max_new_tokens, seed=settings.seed, reference=reference)


def grpo_trainer(loaded, task, settings, train, output_dir, reward=None, *, saves=True):
    """A GRPOTrainer as `settings` say, and the counter of what its rollouts and its reward cost; `reward` as `run_reward` makes it.

    `counter.heard(step, drawn)`, if set, is told every step's rollouts. saves=False keeps no checkpoints.
    """
    from trl import GRPOConfig, GRPOTrainer

    if reward is None:
        reward = run_reward(task, settings, train, frozen_copy(loaded.model))
        reward.attach(lambda: loaded.model, loaded.tokenizer)
    counter = _Rollouts(task, settings, output_dir, reward)
    config = GRPOConfig(
        output_dir=str(output_dir), max_steps=settings.max_steps, per_device_train_batch_size=settings.prompts_per_step * settings.rollouts,
        num_generations=settings.rollouts, temperature=settings.temperature, learning_rate=settings.learning_rate, beta=settings.beta,
        max_completion_length=settings.max_new_tokens or task.max_new_tokens, lr_scheduler_type="constant", shuffle_dataset=False,
        optim="adamw_torch" if settings.optimizer == "adam" else "sgd", weight_decay=0.0, seed=settings.seed, report_to=[],
        logging_steps=1, logging_strategy="no", disable_tqdm=True, save_strategy="steps" if saves else "no",
        save_steps=settings.eval_every * (1 if loaded.is_small else 4), save_total_limit=2, save_only_model=False,
        use_cpu=not torch.cuda.is_available(), bf16=False, gradient_checkpointing=False, dataloader_pin_memory=False,
    )
    rows = Dataset.from_list([{"prompt": problem.prompt, "row": i} for i, problem in enumerate(train)])
    trainer = GRPOTrainer(
        model=loaded.model, reward_funcs=reward, args=config,
        train_dataset=rows, processing_class=loaded.tokenizer, rollout_func=counter,
    )
    reward.model_of = lambda: trainer.accelerator.unwrap_model(trainer.model)
    # The printer callback would write every log record to standard output, which belongs to --json -.
    from transformers.trainer_callback import PrinterCallback
    trainer.remove_callback(PrinterCallback)
    return trainer, counter


class _Rollouts:
    """TRL's rollout function: `llm_bridge.rollouts.sample`, with a seed from (run seed, step), so that a resumed run draws the same."""

    __name__ = "rollouts"

    def __init__(self, task, settings, output_dir, reward):
        self.settings, self.length, self.reward = settings, settings.max_new_tokens or task.max_new_tokens, reward
        self.path = output_dir / "tokens.json"
        self.history = {0: (0, 0, 0, 0)}
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

    def restore(self, step: int, model):
        """Go back to what had been spent, and to what the reward remembered, at `step`."""
        history = {int(key): value for key, value in json.loads(self.path.read_text()).items()}
        self.history = {key: value for key, value in history.items() if key <= step}
        generated, forward, self.backward, calls = self.history[step]
        self.before, self.drawn, self.run = (generated, forward, calls), 0, 0
        self.reward.signals.restore(self.path.parent, step, model)

    def __call__(self, prompts, trainer):
        group, step = self.settings.rollouts, trainer.state.global_step
        drawn = sample(trainer.accelerator.unwrap_model(trainer.model), trainer.processing_class, prompts[::group], rollouts=group,
                       max_new_tokens=self.length, temperature=self.settings.temperature, generator=seeded(self.settings.seed, 3, step))
        ids = [ids for row in drawn.token_ids for ids in row]
        repeated = [prompt for prompt in drawn.prompt_ids for _ in range(group)]
        positions = sum(len(p) + len(c) for p, c in zip(repeated, ids, strict=True))
        self.drawn += drawn.generated_tokens
        self.run += drawn.forward_tokens + positions
        self.backward += positions
        self.heard(step, drawn)
        return {"prompt_ids": repeated, "completion_ids": ids, "logprobs": None}

    def save(self, step: int):
        """Write down what had been spent after `step`, and what the reward remembers."""
        self.history[step] = (self.generated, self.forward, self.backward, self.calls)
        write_json(self.path, self.history)
        self.reward.signals.save(self.path.parent, step)


class _Guard(TrainerCallback):
    """Shows progress, keeps token counts beside each checkpoint, and turns the first Ctrl-C into a checkpoint and a clean stop."""

    def __init__(self, bar, output_dir, counter, seconds):
        self.bar, self.output_dir, self.counter, self.seconds = bar, output_dir, counter, seconds
        self.interrupted, self.previous = False, None

    def __enter__(self):
        try:
            self.previous = signal.signal(signal.SIGINT, self._ask)
        except ValueError:  # not the main thread: the caller owns the signals
            self.previous = None
        return self

    def __exit__(self, *_):
        if self.previous is not None:
            signal.signal(signal.SIGINT, self.previous)

    def _ask(self, signum, frame):
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True

    def on_step_end(self, args, state, control, **kwargs):
        self.bar.advance()
        if self.interrupted:
            control.should_save = control.should_training_stop = True
        if control.should_save or state.global_step % args.save_steps == 0:
            self.counter.save(state.global_step)
            write_json(self.output_dir / "seconds.json", self.seconds())
        return control


def _check_owner(output_dir: Path, identity: dict):
    """Raise InputError if the folder holds a run with other settings."""
    record = output_dir / "run.json"
    if record.is_file():
        found = json.loads(record.read_text())
        if found != identity:
            differ = sorted(key for key in identity if found.get(key) != identity[key])
            raise InputError("output", str(output_dir), f"it holds a run with other settings ({', '.join(differ)})",
                             "Choose another folder with --output, or remove this one")


def _claim(output_dir: Path, identity: dict):
    """Make the folder this run's own, now that model and task are known to be good, or raise InputError if it cannot be written."""
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        write_json(output_dir / "run.json", identity)
    except OSError as error:
        raise InputError("output", str(output_dir), f"the run folder cannot be written ({error.strerror})", "Choose another with --output") from error


def _finished(output_dir: Path) -> dict | None:
    path, cost = output_dir / "trajectory.json", output_dir / "cost.json"
    return {"trajectory": Trajectory.load(path), "cost": json.loads(cost.read_text())} if path.is_file() and cost.is_file() else None


def _seconds_spent(output_dir: Path) -> float:
    path = output_dir / "seconds.json"
    return json.loads(path.read_text()) if path.is_file() and (output_dir / STATE_FILE).is_file() else 0.0


def _last_whole_checkpoint(output_dir: Path) -> Path | None:
    """The newest checkpoint that was written to its end: `trainer_state.json` is the last file of each."""
    whole = []
    for folder in output_dir.glob("checkpoint-*"):
        try:
            json.loads((folder / "trainer_state.json").read_text())
            whole.append(folder)
        except (OSError, ValueError):
            shutil.rmtree(folder, ignore_errors=True)
    return max(whole, key=lambda folder: int(folder.name.split("-")[1]), default=None)
