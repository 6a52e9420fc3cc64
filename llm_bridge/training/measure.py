"""The measuring instrument: TRL's GRPOTrainer with our reward, our rollouts and our monitor. There is no
training loop of ours.
"""

import shutil
import signal
import time
from pathlib import Path

from transformers import TrainerCallback

from llm_bridge.console.progress import NullProgress
from llm_bridge.console.quiet import quiet_libraries
from llm_bridge.models.loading import fitting_threads, frozen_copy, load_model
from llm_bridge.tasks import spellable
from llm_bridge.training.evaluation import Evaluator
from llm_bridge.training.measurement import Measurement
from llm_bridge.training.monitor import CollapseMonitor
from llm_bridge.training.reward_function import check_reward
from llm_bridge.training.run_folder import (
    check_owner,
    claim,
    finished,
    last_whole_checkpoint,
    problems_digest,
    seconds_spent,
)
from llm_bridge.training.settings import RunSettings
from llm_bridge.training.trainer import grpo_trainer, run_reward, schedule
from sharpening.collapse import CRITERIA
from sharpening.trajectory import write_json


def watched_criterion(chosen: str, labelled: bool) -> str:
    """The criterion that can stop the run: the chosen one, or `mode_retention` where it needs labels that do
    not exist.
    """
    return chosen if labelled or not CRITERIA[chosen].needs_labels else "mode_retention"


@quiet_libraries()
def measure(
    model: str,
    task,
    settings: RunSettings,
    *,
    output_dir: Path,
    progress=None,
    stop_on_collapse: bool = False,
    keep_checkpoints: bool = False,
) -> Measurement:
    """Train `model` on `task` with any registered reward, and measure the curve on fixed prompts.

    Resumes by itself if `output_dir` holds an unfinished run with the same settings, to the same curve; a
    finished one is read back. With `stop_on_collapse` the run ends once `settings.criterion` is met instead
    of going on to `max_steps`.

    Raises:
        InputError: bad model, task or folder; a task that cannot give what the reward reads; a folder that
        holds a run with other settings.
    """
    output_dir, progress = Path(output_dir), progress or NullProgress()
    check_reward(settings.reward, task)
    identity = {
        "model": model,
        "task": task.name,
        "problems": problems_digest(task),
        **settings.as_dict(),
        "stop_on_collapse": stop_on_collapse,
    }
    check_owner(output_dir, identity)
    if (done := finished(output_dir)) is not None:
        return Measurement(model, task.name, settings, done["trajectory"], done["cost"])
    train, evaluation = schedule(task, settings)
    loaded = load_model(model)
    spellable(task, loaded.tokenizer)
    reference = frozen_copy(loaded.model)
    reward = run_reward(task, settings, train, reference)
    reward.attach(lambda: loaded.model, loaded.tokenizer)
    claim(output_dir, identity)
    started, spent = time.monotonic(), seconds_spent(output_dir)
    evaluator = Evaluator(
        task,
        evaluation,
        loaded.tokenizer,
        rollouts=settings.rollouts,
        temperature=settings.temperature,
        max_new_tokens=settings.max_new_tokens,
        seed=settings.seed,
        reference=reference,
        initial_rollouts=64 if loaded.is_small else 32,
    )
    bar = progress.start(f"training {model} on {task.name}", settings.max_steps)
    monitor = CollapseMonitor(
        evaluator=evaluator,
        criterion=watched_criterion(settings.criterion, evaluator.labelled),
        eval_every=settings.eval_every,
        stop=stop_on_collapse,
        strict=True,
        reference=reference,
        folder=output_dir,
        settings=identity,
    )
    trainer, counter = grpo_trainer(loaded, task, settings, train, output_dir, reward)
    guard = _Guard(bar, output_dir, counter, lambda: spent + time.monotonic() - started)
    trainer.add_callback(monitor)
    trainer.add_callback(guard)
    with guard, fitting_threads(loaded):
        checkpoint = last_whole_checkpoint(output_dir)
        if checkpoint is not None:
            bar.advance(int(checkpoint.name.split("-")[1]))
            counter.restore(int(checkpoint.name.split("-")[1]), loaded.model)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    bar.close()
    seconds = spent + time.monotonic() - started
    cost = {
        "generated_tokens": counter.generated + evaluator.generated_tokens,
        "forward_tokens": counter.forward + evaluator.forward_tokens,
        "backward_tokens": counter.backward,
        "seconds": round(seconds, 1),
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


class _Guard(TrainerCallback):
    """Shows progress, keeps token counts beside each checkpoint, and turns the first Ctrl-C into a checkpoint
    and a clean stop.
    """

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
