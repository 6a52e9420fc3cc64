"""A forecast of the run that a TRL trainer has planned: one line in the user's own script.

forecast = llm_bridge.forecast_trainer(trainer, answer_pattern="last-number")
"""

import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from llm_bridge.console.numbers import whole
from llm_bridge.console.progress import NullProgress
from llm_bridge.console.quiet import quiet_libraries
from llm_bridge.forecast.advice import untested
from llm_bridge.forecast.calibration.features import WeightNoise
from llm_bridge.forecast.calibration.survival import CALIBRATED, SHIPPED, load_calibration
from llm_bridge.forecast.calibration.voice import CURVES
from llm_bridge.forecast.clock import Clock
from llm_bridge.forecast.model import COARSE_NOISE, MOST_PILOTS, ROLLOUTS, calibrated, finite
from llm_bridge.forecast.pilot import STEPS
from llm_bridge.forecast.result import ModelForecast
from llm_bridge.forecast.silence import silence_reasons, untold
from llm_bridge.forecast.trainer_pilot import moving_weights, trainer_pilot
from llm_bridge.forecast.trainer_probe import TrainerRun, probe_trainer
from llm_bridge.forecast.unseen import images_kind, unseen_kinds
from llm_bridge.models.chat import Prompt, pictures_of, rendered, shown_messages, with_options
from llm_bridge.models.loading import LoadedModel, fitting_threads
from llm_bridge.models.prompt_ids import prompt_token_ids
from llm_bridge.sampling.cost import Cost
from llm_bridge.tasks.dataset import dataset_task
from llm_bridge.training.evaluation import truncation_note
from llm_bridge.training.planned import planned_rates, planned_steps, trainer_settings
from llm_bridge.training.reward_function import TaskReward
from llm_bridge.training.run_folder import problems_digest
from llm_bridge.training.settings import RunSettings
from llm_bridge.training.trainer import grpo_trainer
from llm_bridge.training.trainer_checks import check_trainer
from llm_bridge.training.twin import (
    bytes_of,
    random_states_kept,
    trained_parameters,
    twin_model,
    twin_trainer,
)
from sharpening.collapse import collapse_steps
from sharpening.errors import InputError
from sharpening.trajectory import Trajectory, evaluation_steps

PROMPTS, GRADIENT_PROMPTS = 64, 32
"""Evaluation prompts that probe and pilot ask, and training prompts whose gradients are taken."""

WHY = (
    "a pilot has seen what this model does under this trainer's own rewards and updates, and its dates are"
    " fitted on measured runs of tiny models; what those runs did not have is listed with the reasons"
)


@quiet_libraries()
def forecast_trainer(
    trainer,
    *,
    answers: Sequence | None = None,
    answer_key: str | None = None,
    answer_pattern: str | None = None,
    extract: Callable[[str], str | None] | None = None,
    criterion: str | None = None,
    pilots: int = 1,
    prompts: int = PROMPTS,
    rollouts: int = ROLLOUTS,
    gradient_prompts: int = GRADIENT_PROMPTS,
    calibration: Path = SHIPPED,
    progress=None,
    tell: Callable[[str], None] | None = None,
) -> ModelForecast:
    """What the run that `trainer`, a TRL GRPOTrainer that has not trained, has planned will do to its model.

    Probe and pilot run through the trainer's own class, rewards, configuration, data set and adapters, on a
    throwaway copy that shares every weight that training does not move: with adapters only theirs are copied.
    Weights, optimizer, state, logs and all random states of the trainer are afterwards what they were before.
    Callbacks do not run; reward functions are called, and what they keep for themselves is not undone.

    answers, extract: as in `CollapseMonitor`: one true answer a row of the training data set, and a function
    that reads an answer from a completion's text; or, in their place, answer_key: the column of the true
    answers (by default one of those that CollapseMonitor reads), and answer_pattern: as of `llm_bridge.get_task`.
    criterion: by default `relative` with true answers, `mode_retention` without. pilots, calibration: as of
    `llm_bridge.forecast_model`. prompts, rollouts, gradient_prompts: how much the probe asks. tell: is given
    sentences on what is about to be copied (by default standard error).

    A schedule of the learning rate enters time as the sum of its rates. What no run of the calibration had is
    listed in the reasons, and widens the intervals by the rule of `llm_bridge.forecast.unseen`.

    Raises:
        sharpening.errors.InputError: no GRPOTrainer, one that has trained, that runs in several processes or shards its weights,
        that calls tools, a data set that is streamed, images that cannot be read, a schedule that cannot be told before
        the run, and answers that do not fit.
    """
    progress, tell = progress or NullProgress(), tell or _on_standard_error
    check_trainer(trainer)
    whole("pilots", pilots, 1, MOST_PILOTS, "Leave it at 1, or use 3")
    for name, value in (("prompts", prompts), ("gradient_prompts", gradient_prompts)):
        whole(name, value, 2)
    whole("rollouts", rollouts, 2)
    task, read = dataset_task(
        trainer.train_dataset,
        name="train_dataset",
        answers=answers,
        answer_key=answer_key,
        answer_pattern=answer_pattern,
        extract=extract,
        max_new_tokens=trainer.max_completion_length,
    )
    criterion = criterion or ("relative" if task.labelled else "mode_retention")
    steps = planned_steps(trainer)
    rates = planned_rates(trainer, steps)
    evaluated, pool, held = _split(trainer, task, prompts)
    settings = trainer_settings(
        trainer,
        rate=max(rates),
        steps=steps,
        prompts=len({problem.prompt for problem in task.problems}),
        criterion=criterion,
        eval_prompts=len(evaluated),
    )
    fitted = load_calibration("labelled" if task.labelled else "label-free", Path(calibration))
    tell(copy_told(trainer.model))
    engine = engine_told(trainer)
    for sentence in engine:
        tell(sentence)
    prompted = trainer.train_dataset["prompt"]

    def of_rows(twin, problems):
        if any(pictures_of(problem.prompt) for problem in problems):
            return [with_images(trainer, problem) for problem in problems]
        asked = [prompted[problem.data["row"]] for problem in problems]
        return [
            replace(problem, data={**problem.data, "asked": own, "prompt_ids": list(map(int, ids))})
            for problem, own, ids in zip(problems, asked, twin._tokenize_prompts(asked)[0], strict=True)
        ]

    seen = _look(
        trainer,
        task,
        settings,
        held,
        of_rows,
        (evaluated, pool[:gradient_prompts]),
        dict(rollouts=rollouts, gradient_prompts=gradient_prompts, noise=COARSE_NOISE),
        pilots,
        progress,
    )
    notes = [read, *engine, *held.notes, *task.notes]
    notes += truncation_note(seen[0].prior.truncated or 0.0, settings, task)
    return _told(trainer, task, settings, Clock.of(rates), fitted, seen, notes, _model_name(trainer))


def forecast_configured(
    name: str, loaded, task, settings: RunSettings, *, pilots: int, calibration: Path, progress
) -> ModelForecast:
    """As `llm_bridge.forecast_model`, for settings whose `config` sets more than its own path can say: through
    the trainer that `sharpening measure` would run.
    """
    train, evaluation = task.split(settings.eval_prompts, settings.dataset_size)
    fitted = load_calibration("labelled" if task.labelled else "label-free", Path(calibration))
    batch = settings.prompts_per_step
    with tempfile.TemporaryDirectory() as folder, random_states_kept():
        # Whole batches, however often TRL visits them.
        rows = [train[place % len(train)] for place in range(max(len(train), batch * STEPS))]
        trainer, _ = grpo_trainer(loaded, task, settings, rows, Path(folder), saves=False)
        steps = settings.max_steps
        rates = planned_rates(trainer, steps)
        evaluated = evaluation[: max(2, min(2 * PROMPTS, len(evaluation)))]
        planned = trainer_settings(
            trainer,
            rate=max(rates),
            steps=steps,
            prompts=settings.dataset_size,
            criterion=settings.criterion,
            eval_prompts=len(evaluated),
        )
        planned = replace(planned, eval_every=settings.eval_every, train_rollouts=settings.train_rollouts)

        def of_task(twin, problems):
            ids = prompt_token_ids(loaded.tokenizer, [problem.prompt for problem in problems])
            places = {problem.prompt: place for place, problem in enumerate(rows)}
            return [
                replace(
                    problem,
                    data={
                        **problem.data,
                        "asked": shown_messages(problem.prompt)
                        if pictures_of(problem.prompt)
                        else str(problem.prompt),
                        "prompt_ids": own,
                        "row": places.get(problem.prompt),
                    },
                )
                for problem, own in zip(problems, ids, strict=True)
            ]

        seen = _look(
            trainer,
            task,
            planned,
            Held(None, []),
            of_task,
            (evaluated, train[:GRADIENT_PROMPTS]),
            dict(rollouts=ROLLOUTS, gradient_prompts=GRADIENT_PROMPTS, noise=COARSE_NOISE),
            pilots,
            progress,
        )
        notes = [*task.notes, *truncation_note(seen[0].prior.truncated or 0.0, settings, task)]
        found = _told(trainer, task, planned, Clock.of(rates), fitted, seen, notes, name)
    return replace(found, settings=settings, trl=planned.trl)


def with_images(trainer, problem):
    """The problem with its prompt as the trainer's processor renders it, and its messages as TRL takes them."""
    options = dict(trainer.chat_template_kwargs or {})
    if trainer.chat_template is not None:
        options["chat_template"] = trainer.chat_template
    if not isinstance(problem.prompt, Prompt):
        raise InputError(
            "train_dataset",
            str(problem.prompt)[:60],
            "some of its prompts hold images and some do not",
            "Forecast a run on prompts of one kind",
        )
    return replace(
        problem,
        prompt=rendered(trainer.processing_class, with_options(problem.prompt, options)),
        data={**problem.data, "asked": shown_messages(problem.prompt)},
    )


def _look(trainer, task, settings, held, known, problems, probing: dict, pilots: int, progress):
    """Probe and pilots on a throwaway copy: (probe, pilots, number of parameters). known: gives problems
    what the data set and the tokenizer make of them; problems: to evaluate, and to take gradients of.
    """
    with random_states_kept(), tempfile.TemporaryDirectory() as folder:
        model = twin_model(trainer.model)
        processor = trainer.processing_class if getattr(trainer, "_is_vlm", False) else None
        loaded = LoadedModel(_model_name(trainer), model, trainer._tokenizer, processor)
        twin = twin_trainer(trainer, model, Path(folder), seed=settings.seed, steps=STEPS, rows=held.rows)
        evaluated, pool = (known(twin, part) for part in problems)
        originals = [parameter.detach() for parameter in trained_parameters(trainer.model)]
        run = TrainerRun(
            twin, trainer.train_dataset, loaded, task, settings, evaluated, pool, originals, Cost(), progress
        )
        with fitting_threads(loaded):
            probe = probe_trainer(run, **probing)
            found = [
                trainer_pilot(run, trainer, probe, number, Path(folder), held.rows)
                for number in range(pilots)
            ]
        noise = WeightNoise.of(probe.radius, moving_weights(loaded.model))
        twin.accelerator.free_memory()
    return probe, found, noise, loaded.num_parameters


def _told(trainer, task, settings, clock, fitted, seen, notes, name: str) -> ModelForecast:
    """The forecast that probe and pilots make."""
    probe, found, noise, num_parameters = seen
    moved = [pilot for pilot in found if not pilot.silent]
    common = dict(
        model=name,
        task=task.name,
        settings=settings,
        speaker="pilot",
        why_speaker=WHY,
        alignment=None if probe.population.correct is None else float(probe.population.alignment),
        coupling=probe.kernel.as_dict() | {"radius": finite(probe.radius.radius)},
        prior=probe.prior.as_dict(),
        cost=probe.cost.as_dict(),
        pilot_records=[pilot.as_dict() for pilot in found],
        weight_noise=noise.as_dict(),
        problems=problems_digest(task),
        notes=notes,
    )
    if not moved:
        return _silent(probe, settings, common, found)
    kinds = unseen_kinds(
        settings, num_parameters=num_parameters, clock=clock, reward_known=_known_reward(trainer)
    )
    kinds += images_kind(task)
    return calibrated(probe, moved, noise, settings, {}, common, fitted, clock=clock, kinds=kinds)


def _on_standard_error(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def copy_told(model) -> str:
    """What a forecast copies, and what stays shared, in one sentence."""
    every, mine = bytes_of(model.parameters()), bytes_of(trained_parameters(model))
    kind = "the adapter's weights" if hasattr(model, "peft_config") else "the weights that training moves"
    if mine == every:
        return (
            f"The forecast copies all weights ({_size(mine)}) and, for the pilot, holds gradients and the"
            " optimizer's state of the copy beside them; everything is dropped at its end."
        )
    return (
        f"The forecast copies {kind} ({_size(mine)}); the other {_size(every - mine)} are shared and stay as"
        " they are."
    )


def engine_told(trainer) -> list[str]:
    """One sentence where the run draws its completions with an engine that the forecast leaves alone, else none."""
    if not trainer.use_vllm:
        return []
    where = "on its server" if trainer.vllm_mode == "server" else "beside the training"
    return [
        f"The run draws its completions with vLLM, {where}; the forecast draws with transformers, from its copy: the same"
        " law, but slower. vLLM serves the trainer's weights, is asked nothing, and keeps them: weights of the copy"
        " would have to be pushed into it and back, and with adapters TRL merges them into the frozen weights and out"
        " again, which does not give back the same bits."
    ]


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count = count / 1000
    return f"{count:,.1f} GB"


class Held:
    """Which rows of the data set the pilot trains on (None: all of them), and sentences on the choice."""

    def __init__(self, rows: list[int] | None, notes: list[str]):
        self.rows, self.notes = rows, notes


def _split(trainer, task, prompts: int) -> tuple[list, list, Held]:
    """Evaluation problems, training problems, and the rows that the pilot may see: the evaluation problems
    are kept from it where enough are left for a batch.
    """
    ordered = task.split(1)
    every = [*ordered[1], *ordered[0]]
    batch = trainer.args.generation_batch_size // trainer.num_generations
    kept = min(prompts, len(every) - batch, len(every) // 2)
    if kept >= 2:
        evaluated, pool = every[:kept], every[kept:]
        hidden = {problem.prompt for problem in evaluated}
        rows = [row for row, text in enumerate(task.texts) if text not in hidden]
        note = (
            f"Answers are watched on {kept} prompts of the training data set, which the pilot does not train"
            " on; the run does."
        )
        return evaluated, pool, Held(rows, [note])
    evaluated = every[: max(2, min(prompts, len(every)))]
    note = (
        f"The data set has {len(every)} prompts and a batch {batch}, so that none could be kept from the"
        " pilot: answers are watched on prompts that it trains on."
    )
    return evaluated, every, Held(None, [note])


def _model_name(trainer) -> str:
    config = trainer.model.config
    return getattr(config, "_name_or_path", "") or type(trainer.model).__name__


def _known_reward(trainer) -> bool:
    """Whether the only reward is one of this package's that runs of the calibration had."""
    if len(trainer.reward_funcs) != 1:
        return False
    (function,) = trainer.reward_funcs
    if isinstance(function, TaskReward):
        return function.reward.spec in CALIBRATED
    return getattr(function, "__module__", None) == TaskReward.__module__


def _silent(probe, settings, common: dict, pilots) -> ModelForecast:
    """Nothing moved: every curve stays where the probe found it, and no step is told."""
    steps = evaluation_steps(settings.max_steps, settings.eval_every)
    start = {name: value for name, value in probe.prior.as_dict().items() if name in CURVES.values()}
    still = {name: np.full(len(steps), value) for name, value in (start | {"mode_retention": 1.0}).items()}
    curve = Trajectory(
        steps, still, floor=probe.radius.floor, source="predicted", settings={"voice": "pilot"}
    )
    found = collapse_steps(curve)
    return ModelForecast(
        **common,
        voices={"pilot": curve},
        voices_collapse={"pilot": found},
        collapse=untold(found, settings.max_steps),
        verdict="no_signal",
        reasons=silence_reasons(pilots, settings),
        advice=untested("no_signal"),
    )
