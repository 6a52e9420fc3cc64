"""Watch a live run: evaluate on fixed prompts, detect collapse, stop in time. One line for any TRL or
transformers trainer.

    trainer.add_callback(CollapseMonitor(prompts=held_out, extract=last_number)) # no labels needed
    trainer.add_callback(CollapseMonitor(prompts=held_out, answers=truth, extract=last_number)) # every metric
"""

import json
import logging
import numbers
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from transformers import TrainerCallback

from llm_bridge.console.numbers import SEEDS, real, truth, whole
from llm_bridge.models.chat import messages_of, rendered, with_options
from llm_bridge.models.loading import frozen_copy
from llm_bridge.tasks.form import raw_text_note
from llm_bridge.tasks.prompts import PromptTask
from llm_bridge.training.evaluation import Evaluator, InitialModel
from llm_bridge.training.settings import TEMPERATURES
from sharpening.collapse import CRITERIA, CollapseStep, Outcome, collapse_step
from sharpening.errors import InputError
from sharpening.trajectory import Trajectory, is_evaluated, write_json

log = logging.getLogger(__name__)
STATE_FILE = "collapse_monitor.json"


def check_sampling(rollouts, temperature, max_new_tokens, seed) -> None:
    """Raise InputError unless votes can be drawn with these numbers."""
    usual = "Use the value of your training configuration"
    if isinstance(rollouts, numbers.Real) and rollouts < 2:
        raise InputError(
            "rollouts", rollouts, "a vote of one rollout always agrees with itself", "Use 8 rollouts"
        )
    whole("rollouts", rollouts, 2, fix=usual)
    for name, value in (("temperature", temperature), ("max_new_tokens", max_new_tokens)):
        if isinstance(value, numbers.Real) and value <= 0:
            raise InputError(name, value, "it must be greater than zero", usual)
    real("temperature", temperature, *TEMPERATURES, fix=usual)
    whole("max_new_tokens", max_new_tokens, 1, fix=usual)
    whole("seed", seed, 0, SEEDS - 1, fix=usual)


class CollapseMonitor(TrainerCallback):
    """Evaluates every `eval_every` steps, and stops the run once `criterion` is met (`stop=True`).

    Parameters:
        prompts, answers, extract: the evaluation set, as the trainer's data set holds it: texts, chats (lists of
            messages, put through the tokenizer's chat template as GRPOTrainer does) or whole rows, whose field
            `answer`, `solution`, `ground_truth`, `label` or `reward_model.ground_truth` is the true answer. Without
            true answers only the label-free metrics and criteria exist.
        evaluator: an Evaluator instead of prompts.
        criterion: any name in `sharpening.collapse.CRITERIA`; by default `relative` with labels and
        `mode_retention` without.
        eval_early: evaluate after steps 1, 2, 3, 5, 8, 12, … first, until those are `eval_every` apart.
        rollouts, temperature, max_new_tokens: as in training, so that votes are as noisy as the run's own.
        mask_truncated_completions: as in TRL's GRPOConfig: completions cut off at `max_new_tokens` do not vote.
        folder: where `collapse_monitor.json` is kept (default: the trainer's output_dir); a resumed run
        continues it.
        strict: raise what goes wrong in an evaluation; otherwise it is logged and the training goes on.

    The curve so far is `trajectory`; `collapsed` is the CollapseStep that ended the run, or None. Every rank
    evaluates the same draws, so every rank stops at the same step. A reference copy of the initial model
    costs its size in memory once; `reference=False` leaves it, and with it `kl` and `excess_kl`, out.
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
        eval_every: int = 10,
        eval_early: bool = False,
        rollouts: int = 8,
        temperature: float = 1.0,
        max_new_tokens: int = 64,
        seed: int = 0,
        mask_truncated_completions: bool = False,
        patience: int = 2,
        stop: bool = True,
        folder: str | os.PathLike | None = None,
        reference=True,
        strict: bool = False,
        settings: dict | None = None,
        on_evaluate: Callable[[int, dict], None] | None = None,
    ):
        if evaluator is None:
            if prompts is None:
                raise _not_one_set(prompts)
            check_sampling(rollouts, temperature, max_new_tokens, seed)
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
                mask_truncated_completions=mask_truncated_completions,
            )
        elif prompts is not None:
            raise _not_one_set(prompts)
        criterion = criterion or ("relative" if evaluator.labelled else "mode_retention")
        if criterion not in CRITERIA:
            raise InputError(
                "criterion",
                criterion,
                f"known criteria are {', '.join(CRITERIA)}",
                "Use mode_retention if there are no labels",
            )
        for name, value in (("eval_every", eval_every), ("patience", patience)):
            whole(name, value, 1, fix=f"Leave {name} out for the default")
        truth("eval_early", eval_early)
        if CRITERIA[criterion].needs_labels and not evaluator.labelled:
            raise InputError(
                "criterion",
                criterion,
                "it needs true answers, and there are none",
                "Pass answers=[...] or use mode_retention",
            )
        if CRITERIA[criterion].metric == "excess_kl" and reference is False:
            raise InputError(
                "reference",
                reference,
                "excess_kl is measured against a copy of the initial model",
                "Leave reference out",
            )
        self.evaluator, self.criterion = evaluator, criterion
        self.eval_every, self.eval_early = eval_every, eval_early
        self.patience, self.stop, self.strict = patience, stop, strict
        self.folder = Path(folder) if folder else None
        self.reference, self.settings = reference, dict(settings or {})
        # Not under its own name: that is a trainer's own event, which a callback hears of too.
        self._on_row = on_evaluate
        self.off = False
        self.rows: list[dict] = []
        self.collapsed: CollapseStep | None = None

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
        # An evaluation says undecided_rate only where it is above zero.
        some = {"undecided_rate": 0.0} if any("undecided_rate" in row for row in self.rows) else {}
        rows = [some | row for row in self.rows]
        names = [
            name for name in rows[0] if name != "step" and name[0] != "_" and all(name in row for row in rows)
        ]
        return Trajectory(
            step=np.array([row["step"] for row in rows]),
            metrics={name: np.array([row[name] for row in rows]) for name in names},
            floor=self.evaluator.floor,
            source="measured",
            settings=self.settings,
        )

    def on_train_begin(self, args, state, control, model=None, processing_class=None, **kwargs):
        self.folder = self.folder or Path(args.output_dir)
        self.main_process = state.is_world_process_zero
        if self.evaluator.tokenizer is None:
            self.evaluator.tokenizer = processing_class
        try:
            self._put_prompts(args)
        except InputError:
            if self.strict:
                raise
            log.exception(
                "the collapse monitor cannot ask its prompts; it is off, and training goes on without it"
            )
            self.off = True
            return
        if state.global_step:
            self._resume(state.global_step)
        else:
            if self.reference is True:
                self.reference = frozen_copy(model)
            self.evaluator.reference = self.reference or None
            self._guarded(model, 0, control)

    def _put_prompts(self, args) -> None:
        """Chats become what the model sees, by the template and the options of the trainer; its stop strings are ours.

        Raises: InputError for chats that the template cannot render.
        """
        evaluator, options = self.evaluator, getattr(args, "chat_template_kwargs", None) or {}
        tokenizer = getattr(evaluator.tokenizer, "tokenizer", evaluator.tokenizer)
        generation = getattr(args, "generation_kwargs", None) or {}
        if evaluator.stop is None and generation.get("stop_strings"):
            stops = generation["stop_strings"]
            evaluator.stop = (stops,) if isinstance(stops, str) else tuple(stops)
        texts = [problem.prompt for problem in evaluator.problems if not messages_of(problem.prompt)]
        for note in raw_text_note(tokenizer, texts) if texts else ():
            log.warning(note)
        evaluator.problems = [
            replace(problem, prompt=rendered(tokenizer, with_options(problem.prompt, options)))
            if messages_of(problem.prompt)
            else problem
            for problem in evaluator.problems
        ]

    def restore(self, step: int) -> bool:
        """Read back the evaluations up to `step` from the folder; whether the run had ended by then.

        Raises: InputError if the file is missing, broken, or does not reach back to the beginning.
        """
        path = self._state_file()
        if not path.is_file():
            raise InputError(
                "folder",
                str(self.folder),
                f"the run resumes at step {step}, but {STATE_FILE} of its beginning is not there",
                "Give the monitor the folder of the first run, or start anew",
            )
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            self.rows = [row for row in data["rows"] if row["step"] <= step]
            self.evaluator.initial = InitialModel.from_dict(data["initial"])
            self.evaluator.generated_tokens, self.evaluator.forward_tokens = self.rows[-1]["_tokens"]
            found = collapse_step(self.trajectory, self.criterion, patience=self.patience)
        except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise InputError(
                "folder",
                str(self.folder),
                f"the run resumes at step {step}, but {STATE_FILE} in it is broken",
                "Put the file back as it was written, or start anew",
            ) from error
        if found.outcome is Outcome.COLLAPSED:
            self.collapsed = found
        return self.stop and self.collapsed is not None

    def _resume(self, step):
        self.restore(step)
        if self.reference is True:
            # The weights are trained ones by now, so the initial model cannot be copied from them.
            log.warning(
                "excess_kl and kl end at the resumed step: pass reference=<the initial model> to continue"
                " them"
            )
            self.reference = None
        self.evaluator.reference = self.reference or None

    def on_step_end(self, args, state, control, model=None, **kwargs):
        due = is_evaluated(state.global_step, self.eval_every, self.eval_early)
        if due or state.global_step == state.max_steps:
            self._guarded(model, state.global_step, control)
        return control

    def _guarded(self, model, step, control):
        if self.off or (step and not self.rows):
            # the initial model could not be evaluated, and it is gone: there is nothing to compare with
            return
        try:
            self._evaluate(model, step, control)
        except Exception:
            if self.strict:
                raise
            log.exception(
                "the collapse monitor could not evaluate step %d; %s",
                step,
                "training goes on" if self.rows else "it is off, and training goes on without it",
            )

    def _evaluate(self, model, step, control):
        row = {"step": step, **self.evaluator(model, step)}
        row["_tokens"] = [self.evaluator.generated_tokens, self.evaluator.forward_tokens]
        self.rows.append(row)
        if self.main_process:
            self._write()
        if self._on_row:
            self._on_row(step, row)
        found = collapse_step(self.trajectory, self.criterion, patience=self.patience)
        if found.outcome is Outcome.COLLAPSED and self.collapsed is None:
            self.collapsed = found
            log.warning("collapse by `%s` at step %d", self.criterion, found.step)
            if self.stop:
                control.should_training_stop = True

    def _write(self):
        path, initial = self._state_file(), self.evaluator.initial
        path.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "rows": self.rows,
            "initial": None if initial is None else initial.as_dict(),
            "floor": self.evaluator.floor,
        }
        write_json(path, state, indent=None)

    def _state_file(self) -> Path:
        assert self.folder is not None, "at the latest a training that begins says where"
        return self.folder / STATE_FILE


def _not_one_set(prompts) -> InputError:
    return InputError(
        "prompts",
        prompts,
        "the monitor needs evaluation prompts",
        "Pass prompts=[...] (or evaluator=..., not both)",
    )
