"""Watch a live run: evaluate on fixed prompts, detect collapse, stop in time. One line for any TRL or
transformers trainer, in one process or in many.

    trainer.add_callback(CollapseMonitor(prompts=held_out, extract=last_number)) # no labels needed
    trainer.add_callback(CollapseMonitor(prompts=held_out, answers=truth, extract=last_number)) # every metric
"""

import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import TrainerCallback

from llm_bridge.logs.finding import Finding
from llm_bridge.models.chat import pictures_of
from llm_bridge.models.prompt_ids import prompt_token_ids
from llm_bridge.tasks.prompts import PromptTask
from llm_bridge.training.dashboard import logged, report
from llm_bridge.training.evaluation import Evaluator
from llm_bridge.training.initial import InitialModel
from llm_bridge.training.joint import Failure, evaluated, together
from llm_bridge.training.kept import (
    advice,
    check_load_at_end,
    is_pinned_here,
    kept_step,
    last_good_step,
    pin,
    reached,
)
from llm_bridge.training.monitor_checks import (
    DEFAULT_LEVEL,
    check_level,
    check_sampling,
    check_watching,
    not_one_set,
)
from llm_bridge.training.monitor_file import STATE_FILE, Kept, curve_of, read_kept, write_kept
from llm_bridge.training.monitor_prompts import put_prompts
from llm_bridge.training.ranks import Attempt, from_first, in_step, sharding, share
from llm_bridge.training.reference import InitialWeights
from sharpening.collapse import CollapseStep, Outcome, collapse_step
from sharpening.errors import InputError
from sharpening.trajectory import Trajectory, is_evaluated

log = logging.getLogger(__name__)


@dataclass
class _Judged:
    """What the evaluations so far say: the collapse if it is found, the advice to stop if it is grave enough, the last good
    step and the checkpoint to keep.
    """

    found: CollapseStep
    advised: Finding | None
    good: int
    kept: int | None


@dataclass
class _Decision:
    """What the first process makes of an evaluation, for all of them: the new row, the initial model where it is the
    first one, and what the run looks like now.
    """

    row: dict
    initial: InitialModel | None
    judged: _Judged


class CollapseMonitor(TrainerCallback):
    """Evaluates every `eval_every` steps, and stops the run once `criterion` is met or the evaluations so far advise to
    stop (`stop=True`).

    Parameters:
        prompts, answers, extract: the evaluation set, as the trainer's data set holds it: texts, chats (lists of
            messages, put through the tokenizer's chat template as GRPOTrainer does) or whole rows, whose field
            `answer`, `solution`, `ground_truth`, `label` or `reward_model.ground_truth` is the true answer. Without
            true answers only the label-free metrics and criteria exist.
        evaluator: an Evaluator instead of prompts.
        criterion: any name in `sharpening.collapse.CRITERIA`; by default `relative` with labels and
        `mode_retention` without.
        collapse_level: the level ("provisional", which one evaluation may show, or "critical") from which the advice that
        `sharpening monitor` gives on these evaluations ends the run, most often that accuracy, or without labels
        `mode_mass`, falls by a test with a stated error; usually long before a criterion is met. None: the criterion
        alone. By default critical where no criterion is named.
        eval_early: evaluate after steps 1, 2, 3, 5, 8, 12, … first, until those are `eval_every` apart.
        rollouts, temperature, max_new_tokens: as in training, so that votes are as noisy as the run's own.
        initial_rollouts: completions of each prompt by the initial model, from which its majority answers are taken.
        mask_truncated_completions: as in TRL's GRPOConfig: completions cut off at `max_new_tokens` do not vote.
        load_kept_at_end: as `load_best_model_at_end`: a run that met the criterion ends with the weights of the
        checkpoint to keep.
        folder: where `collapse_monitor.json` is kept (default: the trainer's output_dir); a resumed run
        continues it.
        reference: True keeps the initial model: of an adapter that changes nothing yet nothing at all, since it is
        switched off, else the weights that training moves, on the CPU. A model takes its place. False leaves it,
        and with it `kl` and `excess_kl`, out.
        strict: raise what goes wrong, in every process; otherwise it is logged and the training goes on.
        tell: is given the sentence on what the evaluations will cost (by default standard error).

    The curve so far is `trajectory`; `collapsed` is the CollapseStep of the criterion once it is met, `advised` the
    Finding that says to stop once it is grave enough, each None until then; `kept` the
    checkpoint to keep; `failures` the evaluations that failed. Of several processes each evaluates its share of the
    prompts, and the first decides for all, so that all stop at the same step.
    """

    def __init__(
        self,
        prompts: Sequence | None = None,
        answers: Sequence | str | None = None,
        extract: Callable | None = None,
        *,
        evaluator: Evaluator | None = None,
        tokenizer=None,
        criterion: str | None = None,
        collapse_level: str | None = DEFAULT_LEVEL,
        eval_every: int = 10,
        eval_early: bool = False,
        rollouts: int = 8,
        initial_rollouts: int = 64,
        temperature: float = 1.0,
        max_new_tokens: int = 64,
        seed: int = 0,
        mask_truncated_completions: bool = False,
        patience: int = 2,
        stop: bool = True,
        load_kept_at_end: bool = False,
        folder: str | os.PathLike | None = None,
        reference=True,
        strict: bool = False,
        settings: dict | None = None,
        on_evaluate: Callable[[int, dict], None] | None = None,
        tell: Callable[[str], None] | None = None,
    ):
        if evaluator is None:
            if prompts is None:
                raise not_one_set(prompts)
            check_sampling(rollouts, temperature, max_new_tokens, seed, initial_rollouts)
            task = PromptTask(
                prompts if isinstance(prompts, str) else list(prompts), answers, extract, max_new_tokens
            )
            evaluator = Evaluator(
                task,
                task.problems,
                tokenizer,
                rollouts=rollouts,
                temperature=temperature,
                seed=seed,
                initial_rollouts=initial_rollouts,
                mask_truncated_completions=mask_truncated_completions,
            )
        elif prompts is not None:
            raise not_one_set(prompts)
        if collapse_level == DEFAULT_LEVEL:
            collapse_level = "critical" if criterion is None else None
        criterion = criterion or ("relative" if evaluator.labelled else "mode_retention")
        check_watching(
            criterion,
            evaluator.labelled,
            reference,
            eval_every=eval_every,
            patience=patience,
            eval_early=eval_early,
            load_kept_at_end=load_kept_at_end,
        )
        check_level(collapse_level)
        self.evaluator, self.criterion, self.collapse_level = evaluator, criterion, collapse_level
        self.eval_every, self.eval_early = eval_every, eval_early
        self.patience, self.stop, self.strict = patience, stop, strict
        self.load_kept_at_end = load_kept_at_end
        self.folder = Path(folder) if folder else None
        self.reference, self.settings = reference, dict(settings or {})
        self.tell = tell or _on_standard_error
        # Not under its own name: that is a trainer's own event, which a callback hears of too.
        self._on_row = on_evaluate
        self.off = False
        self.rows: list[dict] = []
        self.failures: list[Failure] = []
        self.collapsed: CollapseStep | None = None
        self.advised: Finding | None = None
        self.good: int | None = None
        self._kept: int | None = None
        self._output_dir: Path | None = None

    @property
    def trajectory(self) -> Trajectory:
        """The measured curve so far; a metric that is not finite at every evaluation is left out."""
        if not self.rows:
            raise InputError(
                "trajectory",
                None,
                "the initial model has not been evaluated",
                "Start the training first; if it ran, see its log",
            )
        return curve_of(self.rows, self.evaluator.floor, self.settings)

    @property
    def kept(self) -> Path | None:
        """The checkpoint to keep: the newest that is no later than the last evaluation before anything went wrong;
        None where none was saved.
        """
        if self._kept is None or self._output_dir is None:
            return None
        return self._output_dir / f"checkpoint-{self._kept}"

    @property
    def initial_tokens(self) -> int:
        """Tokens that are generated before the first step, all processes together, at the most."""
        evaluator = self.evaluator
        each = evaluator.initial_rollouts + 3 * evaluator.rollouts
        return len(evaluator.problems) * each * evaluator.max_new_tokens

    @property
    def evaluation_tokens(self) -> int:
        """Tokens that one later evaluation generates, at the most. About as many are scored by the initial model."""
        evaluator = self.evaluator
        # Two greedy answers of prompts with images: seen, and grey.
        greedy = 2 * sum(bool(pictures_of(problem.prompt)) for problem in evaluator.problems)
        return (len(evaluator.problems) * evaluator.rollouts + greedy) * evaluator.max_new_tokens

    def planned_tokens(self, steps: int) -> int:
        """Tokens that are generated over a run of so many steps, at the most."""
        later = sum(self._due(step, steps) for step in range(1, steps + 1))
        return self.initial_tokens + later * self.evaluation_tokens

    def on_train_begin(self, args, state, control, model=None, processing_class=None, **kwargs):
        self._output_dir = Path(args.output_dir)
        self.folder = self.folder or self._output_dir
        self.first_process = share()[0] == 0
        read = from_first(
            Attempt.of(self._read, state.global_step)
            if self.first_process and state.global_step
            else Attempt()
        )
        with in_step(model):
            ready = Attempt.of(self._prepare, args, state, model, processing_class, read)
        failures = together(state.global_step, ready.error)
        if failures:
            self.off = True
            goes_on = "it is off, and training goes on without it"
            self._failed(failures, ready.error, "could not begin", goes_on)
            return
        self._pin(args, state)
        if not state.global_step:
            self._evaluate(args, state, control, model)

    def _prepare(self, args, state, model, processing_class, read: Attempt) -> None:
        """All that has to be ready before the first evaluation.

        Raises: InputError for prompts that the template cannot render, a resumed run whose beginning is not there, a
        reference that cannot be kept, and a checkpoint that could not be loaded at the end.
        """
        if self.evaluator.tokenizer is None:
            self.evaluator.tokenizer = processing_class
        put_prompts(self.evaluator, args)
        if self.load_kept_at_end:
            check_load_at_end(args, sharding(model))
        if state.global_step:
            if read.error is not None:
                raise read.error
            self._take(read.value)
            if self.reference is True:
                # The weights are trained ones by now, so the initial model cannot be taken from them.
                log.warning(
                    "excess_kl and kl end at the resumed step: pass reference=<the initial model> to continue"
                    " them"
                )
                self.reference = None
        elif self.reference is True:
            tokenizer = self.evaluator.tokenizer
            text = prompt_token_ids(tokenizer, [self.evaluator.problems[0].prompt])[0]
            self.reference = InitialWeights.of(model, tokenizer, text)
        self.evaluator.reference = self.reference or None
        if self.first_process:
            self.tell(self._cost_told(state))

    def _cost_told(self, state) -> str:
        evaluator, steps = self.evaluator, range(state.global_step + 1, state.max_steps + 1)
        count = len(evaluator.problems)
        later = sum(self._due(step, state.max_steps) for step in steps)
        before = (
            ""
            if state.global_step
            else f" {evaluator.initial_rollouts} + {3 * evaluator.rollouts} completions of each before the first"
            f" step ({self.initial_tokens:,} tokens at the most), then"
        )
        return (
            f"The collapse monitor asks {count} prompts:{before} {evaluator.rollouts} of each at {later} evaluations"
            f" ({later * self.evaluation_tokens:,} tokens at the most)."
        )

    def restore(self, step: int) -> bool:
        """Read back the evaluations up to `step` from the folder; whether the run had ended by then.

        Raises: InputError if the file is missing, broken, or does not reach back to the beginning.
        """
        self._take(self._read(step))
        return self.stop and self._is_over

    def _read(self, step: int) -> tuple[Kept, _Judged]:
        """What the file in the folder holds up to `step`, and what it says of the run."""
        path = self._state_file()
        kept = read_kept(path, step)
        return kept, self._judged(kept.rows, self._output_dir or path.parent, None)

    def _judged(self, rows: list[dict], output_dir: Path, kept: int | None) -> _Judged:
        curve = curve_of(rows, self.evaluator.floor, self.settings)
        advised = advice(rows, curve.floor, self._state_file())
        good = last_good_step(advised, curve, self.criterion)
        found = collapse_step(curve, self.criterion, patience=self.patience)
        return _Judged(found, reached(advised, self.collapse_level), good, kept_step(output_dir, good, kept))

    def _take(self, read: tuple[Kept, _Judged]) -> None:
        kept, judged = read
        self.rows, self.good, self._kept = kept.rows, judged.good, judged.kept
        self.evaluator.initial = kept.initial
        spent = kept.spent if share()[0] == 0 else (0, 0)
        self.evaluator.generated_tokens, self.evaluator.forward_tokens = spent
        self.advised = judged.advised
        if judged.found.outcome is Outcome.COLLAPSED:
            self.collapsed = judged.found

    def on_step_end(self, args, state, control, model=None, **kwargs):
        if self._due(state.global_step, state.max_steps):
            self._evaluate(args, state, control, model)
        return control

    def on_save(self, args, state, control, **kwargs):
        if not self.off and self.good is not None and state.global_step <= self.good:
            self._kept = state.global_step
            self._pin(args, state)
        return control

    def on_train_end(self, args, state, control, **kwargs):
        if self._loads:
            args.load_best_model_at_end = False
        return control

    _loads = False

    def _due(self, step: int, last: int) -> bool:
        return is_evaluated(step, self.eval_every, self.eval_early) or step == last

    def _evaluate(self, args, state, control, model) -> None:
        step = state.global_step
        if self.off or (step and not self.rows):
            # the initial model could not be evaluated, and it is gone: there is nothing to compare with
            return
        what = f"could not evaluate step {step}"
        goes_on = "training goes on" if self.rows else "it is off, and training goes on without it"
        decision, failures, own = evaluated(self.evaluator, model, step, self._decide)
        self._failed(failures, own, what, goes_on)
        told = Attempt.of(self._apply, decision, args, state, control)
        self._failed(together(step, told.error), told.error, what, "training goes on")

    def _decide(self, row: dict, initial: InitialModel | None) -> _Decision:
        assert self._output_dir is not None, "a training that begins says where"
        return _Decision(row, initial, self._judged([*self.rows, row], self._output_dir, self._kept))

    def _apply(self, decision: _Decision | None, args, state, control) -> None:
        """In every process: keep the row, stop if it is time, write and report."""
        if decision is None:
            if self.rows:
                report(args, state, control, logged({}, False, None, len(self.failures)))
            return
        self.rows.append(decision.row)
        judged = decision.judged
        self.good, self._kept = judged.good, judged.kept
        if decision.initial is not None:
            self.evaluator.initial = decision.initial
        found = judged.found
        met = found.outcome is Outcome.COLLAPSED
        if met and self.collapsed is None:
            self.collapsed = found
            if self.first_process:
                log.warning("collapse by `%s` at step %d; %s", self.criterion, found.step, self._keep_told())
        if judged.advised is not None and self.advised is None:
            self.advised = judged.advised
            if self.first_process:
                log.warning("%s %s", judged.advised.message, self._keep_told())
        control.should_training_stop = control.should_training_stop or (self.stop and self._is_over)
        self._pin(args, state)
        if self.first_process:
            write_kept(self._state_file(), self.rows, self.evaluator.initial, self.evaluator.floor)
        report(args, state, control, logged(decision.row, met, self._kept, len(self.failures)))
        if self._on_row:
            self._on_row(decision.row["step"], decision.row)

    @property
    def _is_over(self) -> bool:
        return self.collapsed is not None or self.advised is not None

    def _pin(self, args, state) -> None:
        """Let the trainer spare the checkpoint to keep, and load it at the end if that is wanted."""
        if self.kept is None or not is_pinned_here(args):
            return
        pin(state, self.kept)
        if self.load_kept_at_end and self._is_over:
            args.load_best_model_at_end = self._loads = True

    def _keep_told(self) -> str:
        if self._kept is not None and self.good is not None and self._kept > self.good:
            return (
                f"no checkpoint up to step {self.good}, the last good one, is left (save_total_limit): of what is there keep"
                f" {self.kept}"
            )
        if self.kept is not None:
            return f"keep {self.kept}"
        return f"no checkpoint was saved up to step {self.good}, the last good one"

    def _failed(self, failures: list[Failure], own: Exception | None, what: str, goes_on: str) -> None:
        """Note failures, in every process the same; strict: raise, in this process its own exception.

        Raises: the exception of this process, or RuntimeError with what another one said.
        """
        if not failures:
            return
        self.failures += failures
        first = failures[0]
        if self.strict:
            raise own or RuntimeError(f"the collapse monitor of process {first.rank}: {first.message}")
        if own is None and not self.first_process:
            return
        if share()[1] > 1:
            what += f" (process {first.rank}: {first.message})"
        log.error("the collapse monitor %s; %s", what, goes_on, exc_info=own)

    def _state_file(self) -> Path:
        assert self.folder is not None, "at the latest a training that begins says where"
        return self.folder / STATE_FILE


def _on_standard_error(sentence: str) -> None:
    print(sentence, file=sys.stderr)
