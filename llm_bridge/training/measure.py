"""The measuring instrument: TRL's GRPOTrainer with our reward, our rollouts and our monitor. There is no
training loop of ours.
"""

import contextlib
import os
import shutil
import signal
import tempfile
import threading
import time
from pathlib import Path

from transformers import TrainerCallback

from llm_bridge.console.progress import NullProgress
from llm_bridge.console.quiet import quiet_libraries
from llm_bridge.models.loading import fitting_threads, frozen_copy, load_model, load_reader
from llm_bridge.models.names import first_line
from llm_bridge.models.prompt_ids import prompt_token_ids
from llm_bridge.tasks.form import for_tokenizer
from llm_bridge.training.checkpoints import Checkpoints
from llm_bridge.training.evaluation import Evaluator, truncation_note
from llm_bridge.training.measurement import Measurement
from llm_bridge.training.monitor import CollapseMonitor
from llm_bridge.training.monitor_file import STATE_FILE
from llm_bridge.training.planned import config_told
from llm_bridge.training.prepare import check_stop, prepared
from llm_bridge.training.reference import InitialWeights
from llm_bridge.training.reward_function import check_reward
from llm_bridge.training.run_folder import (
    as_seconds,
    check_owner,
    claim,
    finished,
    identity_digest,
    lock,
    read_json,
    run_identity,
    write_results,
)
from llm_bridge.training.settings import RunSettings
from llm_bridge.training.team import Team
from llm_bridge.training.trainer import grpo_trainer, reads_reference, run_reward, schedule
from sharpening.collapse import CRITERIA
from sharpening.errors import InputError
from sharpening.trajectory import write_json

SECONDS = "seconds.json"


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

    Started by a launcher, the processes share the prompts of every step by data parallelism, and the first one writes.
    Resumes by itself if `output_dir` holds an unfinished run of the same model, task and settings, to the
    same curve, from the newest checkpoint that is as it was written; a finished one is read back. With
    `stop_on_collapse` the run ends once `settings.criterion` is met instead of going on to `max_steps`. Only
    what the run wrote is ever removed.

    Raises:
        InputError: bad model, task or folder; a task that cannot give what the reward reads; prompts and
        completions that the model's context does not hold; a folder with other files, with another run, with
        one whose checkpoints are all damaged, or in which another process is measuring; a full disk.
    """
    output_dir, progress = Path(output_dir), progress or NullProgress()
    check_reward(settings.parsed_reward, task)
    check_stop(task, settings)
    team = Team.of(settings)
    task = for_tokenizer(task, load_reader(model))
    identity = run_identity(model, task, settings, stop_on_collapse)
    team.first_does(lambda: check_owner(output_dir, identity))
    if (done := team.first_does(lambda: finished(output_dir))) is not None:
        return Measurement(
            model,
            task.name,
            settings,
            done["trajectory"],
            done["cost"],
            notes=_notes(task, settings, done["trajectory"]),
            trl=done["trajectory"].settings.get("trl", {}),
        )
    train, evaluation = schedule(task, settings)
    loaded = load_model(model)
    prepared(task, loaded, settings, [*train, *evaluation])
    reference = frozen_copy(loaded.model) if reads_reference(settings.reward) else None
    reward = run_reward(task, settings, train, reference, seed=team.seed(settings.seed))
    reward.attach(lambda: loaded.model, loaded.tokenizer)
    with contextlib.ExitStack() as held:

        def take():
            held.enter_context(lock(output_dir))
            claim(output_dir, identity)

        def finish():
            write_results(output_dir, found.trajectory, found.cost)
            if not keep_checkpoints:
                run.checkpoints.remove_all()

        team.first_does(take)
        run = _Run(output_dir, identity, loaded, task, settings, reward, train, team)
        found = run.measure(evaluation, reference, progress, stop_on_collapse)
        if not found.interrupted:
            team.first_does(finish)
    return found


class _Run:
    """One sitting of a run, in a folder that is its own."""

    def __init__(self, output_dir, identity, loaded, task, settings, reward, train, team):
        self.output_dir, self.identity, self.loaded = output_dir, identity, loaded
        self.task, self.settings, self.reward, self.team = task, settings, reward, team
        self.checkpoints = Checkpoints(output_dir, identity_digest(identity))
        self.trainer, self.counter = grpo_trainer(
            loaded, task, settings, train, output_dir, reward, team=team
        )

    def measure(self, evaluation, reference, progress, stop_on_collapse) -> Measurement:
        """Train from the newest whole checkpoint, or from the start, to the end or an interruption."""
        settings, started = self.settings, time.monotonic()
        whole = self.team.first_does(self.checkpoints.last_whole)
        spent = self._seconds_spent(whole)
        evaluator = self._evaluator(evaluation)
        monitor = CollapseMonitor(
            evaluator=evaluator,
            criterion=watched_criterion(settings.criterion, evaluator.labelled),
            eval_every=settings.eval_every,
            eval_early=settings.eval_early,
            stop=stop_on_collapse,
            strict=True,
            reference=self._initial(evaluation) if reference is None else reference,
            folder=self.output_dir,
            tell=lambda sentence: None,
            settings=self.identity | {"trl": self._config()},
        )
        bar = progress.start(f"training {self.loaded.name} on {self.task.name}", settings.max_steps)
        guard = _Guard(
            bar,
            self.output_dir,
            self.checkpoints,
            self.counter,
            lambda: spent + time.monotonic() - started,
            updates_per_generation(self.trainer.args),
            self.team,
        )
        self.trainer.add_callback(monitor)
        self.trainer.add_callback(guard)
        with guard, fitting_threads(self.loaded), self._disk_told(guard):
            ended = False
            if whole is not None:
                step, folder = whole
                seen = self.output_dir / STATE_FILE
                self.team.first_does(lambda: write_json(seen, read_json(folder / STATE_FILE), indent=None))
                self.counter.restore(folder, step, self.loaded.model, self.team)
                bar.advance(step)
                ended = monitor.restore(step)
            if not ended:
                self.trainer.train(resume_from_checkpoint=str(whole[1]) if whole else None)
        bar.close()
        cost = self._cost(evaluator) | {"seconds": round(spent + time.monotonic() - started, 1)}
        return Measurement(
            self.loaded.name,
            self.task.name,
            settings,
            monitor.trajectory,
            cost,
            guard.interrupted and self.trainer.state.global_step < settings.max_steps,
            [*_notes(self.task, settings, monitor.trajectory), *self.checkpoints.told],
            trl=self._config(),
        )

    def _config(self) -> dict:
        """TRL's configuration of the run, as plain data that JSON keeps."""
        return config_told(self.trainer.args)

    def _initial(self, evaluation) -> InitialWeights:
        """The initial model, before any checkpoint is loaded."""
        tokenizer = self.loaded.tokenizer
        text = prompt_token_ids(tokenizer, [evaluation[0].prompt])[0]
        return InitialWeights.of(self.trainer.model, tokenizer, text)

    def _evaluator(self, evaluation):
        settings = self.settings
        return Evaluator(
            self.task,
            evaluation,
            self.loaded.tokenizer,
            rollouts=settings.rollouts,
            temperature=settings.temperature,
            max_new_tokens=settings.max_new_tokens,
            seed=settings.seed,
            initial_rollouts=64 if self.loaded.is_small else 32,
            mask_truncated_completions=settings.mask_truncated_completions,
        )

    def _cost(self, evaluator):
        counter = self.counter
        generated, forward, backward, calls = self.team.sums(
            (
                counter.generated + evaluator.generated_tokens,
                counter.forward + evaluator.forward_tokens,
                counter.backward,
                counter.calls,
            )
        )
        cost = {"generated_tokens": generated, "forward_tokens": forward, "backward_tokens": backward}
        return cost | ({"verifier_calls": calls} if self.reward.asks_a_verifier else {})

    def _seconds_spent(self, whole) -> float:
        """Seconds of earlier sittings: what the folder says, or else what the checkpoint says."""
        if whole is None:
            return 0.0
        told = as_seconds(read_json(self.output_dir / SECONDS))
        return as_seconds(read_json(whole[1] / SECONDS)) or 0.0 if told is None else told

    @contextlib.contextmanager
    def _disk_told(self, guard):
        """A file that cannot be written ends the run with one paragraph; what was begun is removed, the
        checkpoint before stays.
        """
        try:
            yield
        except Exception as error:
            reason = disk_reason(error)
            if reason is None and guard.saving is not None:
                # PyTorch and safetensors do not hand on what the system said.
                reason = unwritable(self.output_dir) or first_line(error)
            if reason is None:
                raise
            if guard.saving is not None and self.team.first:
                self.checkpoints.discard(guard.saving)
            raise InputError(
                "output",
                str(self.output_dir),
                f"the run cannot be written there ({reason})",
                "Free some space and give the same command again: it goes on from its last checkpoint",
            ) from error


def updates_per_generation(args) -> int:
    """Optimizer updates that a TRL run makes from one batch of completions."""
    return max(1, args.steps_per_generation * args.num_iterations // args.gradient_accumulation_steps)


def _notes(task, settings, trajectory) -> list[str]:
    cut_off = trajectory["truncated"][0] if trajectory.has("truncated") else 0.0
    return [*task.notes, *truncation_note(cut_off, settings, task)]


def disk_reason(error: BaseException | None) -> str | None:
    """What the system said where an error came from a file that could not be written; None for others."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.strerror
        error = error.__cause__ or error.__context__
    return None


def unwritable(folder: Path) -> str | None:
    """What the system says to another megabyte in the folder; None if it takes it."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0" * 2**20)
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return error.strerror
    return None


class _Guard(TrainerCallback):
    """Shows progress, completes and seals each checkpoint, and turns the first Ctrl-C or SIGTERM, in any of the
    processes, into a checkpoint and a clean stop.

    updates: optimizer updates that learn from one generation. A checkpoint between them would lose completions that
    were drawn and not yet learnt from, so it waits for the last of them.
    """

    def __init__(self, bar, output_dir, checkpoints, counter, seconds, updates, team):
        self.bar, self.output_dir, self.checkpoints = bar, output_dir, checkpoints
        self.counter, self.seconds, self.updates, self.team = counter, seconds, updates, team
        self.asked: set[int] = set()
        self.interrupted, self.previous, self.saving = False, {}, None
        self.due = False

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():  # elsewhere the caller owns the signals
            self.previous = {kind: signal.signal(kind, self._ask) for kind in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_):
        for kind, handler in self.previous.items():
            signal.signal(kind, signal.SIG_DFL if handler is None else handler)

    def _ask(self, signum, frame):
        # A launcher hands on a Ctrl-C that this process has had already, as SIGTERM.
        if signum in self.asked or (self.asked and self.team.count == 1):
            raise KeyboardInterrupt
        self.asked.add(signum)

    def on_step_end(self, args, state, control, **kwargs):
        self.bar.advance()
        self.interrupted = self.team.any(bool(self.asked))
        self.due = self.due or control.should_save or self.interrupted
        control.should_save = self.due and state.global_step % self.updates == 0
        if self.interrupted and control.should_save:
            control.should_training_stop = True
        if control.should_save:
            self.due = False
            self.saving = state.global_step
            self.team.first_does(lambda: self.checkpoints.begin(state.global_step))
        return control

    def on_save(self, args, state, control, **kwargs):
        # Once all have handed in what they spent, their files are written too.
        spent = self.team.sums(self.counter.spent)
        self.team.first_does(lambda: self._seal(state.global_step, spent))
        self.saving = None
        return control

    def _seal(self, step: int, spent: list[int]) -> None:
        """Beside TRL's files: the evaluations so far, what was spent, and what the reward remembers."""
        folder, seconds = self.output_dir / f"checkpoint-{step}", self.seconds()
        self.counter.save(folder, step, spent)
        shutil.copyfile(self.output_dir / STATE_FILE, folder / STATE_FILE)
        write_json(folder / SECONDS, seconds)
        self.checkpoints.seal(step)
        write_json(self.output_dir / SECONDS, seconds)
