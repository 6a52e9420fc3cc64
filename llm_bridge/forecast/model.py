"""`sharpening forecast`: probe a model, let the voices predict the run, say which one speaks and why."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from llm_bridge.console.numbers import whole
from llm_bridge.console.progress import NullProgress
from llm_bridge.console.quiet import quiet_libraries
from llm_bridge.forecast.advice import revisited_told, untested, what_to_do
from llm_bridge.forecast.attractors import told as attractor_told
from llm_bridge.forecast.calibration.features import Reading, WeightNoise
from llm_bridge.forecast.calibration.file import check_calibration
from llm_bridge.forecast.calibration.survival import CALIBRATED, SHIPPED, Calibration
from llm_bridge.forecast.calibration.voice import (
    distribution,
    pilot_voice,
    safe_learning_rate,
    safe_prompts,
    sensitivity,
)
from llm_bridge.forecast.clock import CONSTANT, Clock
from llm_bridge.forecast.pilot import PROMPTS, STEPS, run_pilots
from llm_bridge.forecast.probe import GRADIENT_PROMPTS, NOISE, Probe, probe_model
from llm_bridge.forecast.result import ForecastStep, ModelForecast
from llm_bridge.forecast.silence import SILENT, silence_reasons, untold
from llm_bridge.forecast.theory import VOICES, theory_voices
from llm_bridge.forecast.unseen import images_kind, size_kind, unseen_told, votes_kind, widened
from llm_bridge.forecast.words import blind_told, calibrated_verdict, constant_end, explain, spoken_head
from llm_bridge.models.loading import fitting_threads, load_model
from llm_bridge.sampling.engine import check_engine
from llm_bridge.training.evaluation import truncation_note
from llm_bridge.training.planned import config_told
from llm_bridge.training.prepare import prepared
from llm_bridge.training.reward_function import check_reward
from llm_bridge.training.run_folder import problems_digest
from llm_bridge.training.settings import RunSettings
from llm_bridge.training.trainer import grpo_config
from sharpening.collapse import collapse_steps
from sharpening.errors import InputError
from sharpening.rewards import Reward

SPEAKER = "pilot"
ROLLOUTS, NOISE_PROMPTS, COARSE_NOISE = 16, 64, np.concatenate([NOISE[:1], NOISE[1::2]])
"""Answers of each prompt in the probe, as in the calibration, and prompts and sizes of the weight noise,
which only says where the pilot begins: a forecast is to cost a twentieth of a run.
"""

MOST_PILOTS = 100
"""More would cost what the run itself costs."""


@quiet_libraries()
def forecast_model(
    model: str,
    task,
    settings: RunSettings,
    *,
    pilots: int = 1,
    voices: bool = False,
    calibration: Path = SHIPPED,
    engine: str = "transformers",
    progress=None,
) -> ModelForecast:
    """What `settings` will do to `model` on `task`, before any training.

    pilots: throwaway copies that are run, with seeds of their own, and averaged. One is noisy; three cost
    little where the run is long. voices: also ask the voices of theory, for comparison; where a pilot speaks
    they change nothing, and cost up to two fifths of a forecast. calibration: the file that dates what pilots
    see, the shipped one or one that `sharpening calibrate` wrote. engine: "vllm" draws the answers of the unchanged model
    with vLLM, in this process, before anything else, "continuous" with transformers' continuous batching; weight noise,
    gradients and pilots change weights and stay here.

    Raises:
        InputError: a calibration that does not speak about such a run; pilots below 1, or several for a
            reward without any; bad model or task, as `measure` raises; a verified reward on a task without
            true answers, since the voices know a verifier by its rates of true and false positives alone.
    """
    progress = progress or NullProgress()
    _check(task, settings, pilots)
    check_engine(engine, model)
    if engine != "transformers" and settings.config:
        raise InputError(
            "engine",
            engine,
            "a run by TRL's own fields is probed through TRL's own trainer",
            "Leave --engine, or --config and --set, out",
        )
    fitted = None
    if settings.reward in CALIBRATED or Path(calibration) != SHIPPED:
        fitted = check_calibration(Path(calibration), settings.reward, task.labelled)
    loaded = load_model(model)
    task = prepared(task, loaded, settings)
    if settings.config:
        from llm_bridge.forecast.trainer import forecast_configured

        return forecast_configured(
            model, loaded, task, settings, pilots=pilots, calibration=calibration, progress=progress
        )
    if not loaded.is_small:
        progress.say(work_told(task, settings, pilots))
    with fitting_threads(loaded):
        probe = probe_model(
            loaded,
            task,
            settings,
            progress=progress,
            rollouts=ROLLOUTS,
            noise_prompts=NOISE_PROMPTS,
            draws=1,
            noise=COARSE_NOISE,
            engine=engine,
        )
        run = []
        if settings.reward in CALIBRATED:
            rate = first_rate(probe, settings, loaded.num_parameters)
            run = run_pilots(
                loaded, task, settings, pilots, first_rate=rate, cost=probe.cost, progress=progress
            )
    moved = [pilot for pilot in run if not pilot.silent]
    silent = bool(run) and not moved
    speaker, why = ("coupled", SILENT) if silent else speaker_for(settings.parsed_reward, fitted)
    theory = theory_voices(probe, settings, tuple(VOICES) if voices else (speaker,), progress)
    noise = WeightNoise.of(probe.radius, loaded.num_parameters)
    common = dict(
        model=model,
        task=task.name,
        settings=settings,
        speaker=speaker,
        why_speaker=why,
        alignment=None if probe.population.correct is None else float(probe.population.alignment),
        coupling=probe.kernel.as_dict() | {"radius": finite(probe.radius.radius)},
        prior=probe.prior.as_dict(),
        cost=probe.cost.as_dict(),
        pilot_records=[pilot.as_dict() for pilot in run],
        weight_noise=noise.as_dict(),
        problems=problems_digest(task),
        notes=[*task.notes, *truncation_note(probe.prior.truncated or 0.0, settings, task)],
        trl=config_told(grpo_config(loaded, task, settings, ".", saves=False)),
        engine=engine,
    )
    if moved:
        return calibrated(
            probe,
            moved,
            noise,
            settings,
            theory,
            common,
            fitted,
            kinds=size_kind(loaded.num_parameters) + votes_kind(settings) + images_kind(task),
        )
    return _theoretical(probe, settings, theory, common, run if silent else [])


def work_told(task, settings: RunSettings, pilots: int) -> str:
    """What a forecast is going to generate at most, in one sentence."""
    length = settings.max_new_tokens or task.max_new_tokens
    pool, evaluation = task.split(settings.eval_prompts, settings.dataset_size)
    asked, batch = min(PROMPTS, len(evaluation)), settings.prompts_per_step * settings.rollouts
    answers = asked * ROLLOUTS + min(GRADIENT_PROMPTS, len(pool)) * settings.rollouts
    noisy = min(NOISE_PROMPTS, asked) * len(COARSE_NOISE)
    steps = pilots * (STEPS * batch + (STEPS + 1) * asked) if settings.reward in CALIBRATED else 0
    return (
        f"The forecast generates up to {(answers + noisy + steps) * length:,} tokens: {answers:,} answers of the model,"
        f" {noisy:,} under weight noise and {steps:,} in the pilot, whose {pilots * STEPS} steps learn from {batch:,}"
        f" completions each, at most {length} tokens an answer. --prompts-per-step, --eval-prompts, --rollouts and"
        " --max-new-tokens make it less."
    )


def _check(task, settings: RunSettings, pilots: int) -> None:
    """InputError for what no forecast can be made of, as `forecast_model` says."""
    check_reward(settings.parsed_reward, task)
    whole("pilots", pilots, 1, MOST_PILOTS, "Leave it at 1, or use 3")
    if pilots > 1 and settings.reward not in CALIBRATED:
        raise InputError(
            "pilots",
            pilots,
            f"a forecast runs no pilot for a reward that is not calibrated ({', '.join(CALIBRATED)} are)",
            "Leave it at 1",
        )
    if "verdicts" in settings.parsed_reward.card.needs and not task.labelled:
        raise InputError(
            "reward",
            settings.reward,
            "a forecast models its verifier by how often it accepts right and wrong answers, and "
            f"task {task.name} has no true answers",
            "Give the data set answers, or train with `sharpening measure`",
        )


def calibrated(
    probe,
    moved,
    noise: WeightNoise,
    settings,
    theory: dict,
    common: dict,
    calibration,
    *,
    clock=CONSTANT,
    kinds=(),
) -> ModelForecast:
    """The forecast in which the pilots speak, dated by the calibration; clock: the schedule of the learning
    rate, `settings.learning_rate` its highest. kinds: what no run of the shipped calibration had.
    """
    kinds = list(kinds) if calibration.origin.file == "shipped" else []
    calibration, planned = widened(calibration, kinds), at_constant_rate(settings, clock)
    reading = Reading.of(probe.prior, probe.kernel, moved, noise, settings.optimizer)
    curve, steps, dated = pilot_voice(reading, moved[0], planned, calibration)
    fallen = constant_end(moved, probe)
    code, reasons = calibrated_verdict(
        reading, calibration, planned, clock, settings.max_steps, constant=fallen
    )
    head = spoken_head(calibration, planned, labelled=reading.labelled)
    rows = [row | {"step": clock.step(row["step"])} for row in sensitivity(reading, planned, head)]
    safe = finite(safe_learning_rate(reading, planned, head))
    plan = what_to_do(reading, calibration, head, planned, code, safe=safe, clock=clock, constant=fallen)
    told = attractor_told(*(pilot.attractor for pilot in moved)) + blind_told(moved) + unseen_told(kinds)
    told += explain(probe, settings, votes=False)
    told += revisited_told(rows, safe_prompts(reading, planned, head), planned)
    found = {name: collapse_steps(trajectory) for name, trajectory in theory.items()}
    last = settings.max_steps
    return ModelForecast(
        **common,
        voices=theory | {"pilot": clock.trajectory(curve, last, settings.eval_every)},
        voices_collapse=found | {"pilot": {name: clock.collapse(step, last) for name, step in steps.items()}},
        collapse={name: clock.forecast(step, last) for name, step in dated.items()},
        verdict=code,
        reasons=reasons + told,
        advice=plan.lines,
        stop_by=plan.stop_by,
        constant=fallen,
        fates=calibration.fate(reading.at(planned), planned.max_steps),
        distribution=distribution(reading, planned, calibration.heads, clock.step),
        sensitivity=rows,
        safe_learning_rate=safe,
        pilots=len(moved),
        calibration=calibration.origin.as_dict() | ({"unseen": kinds} if kinds else {}),
    )


def at_constant_rate(settings: RunSettings, clock: Clock) -> RunSettings:
    """The run as one at its highest learning rate: fewer steps, on as many prompts in all."""
    if clock.sums is None:
        return settings
    steps = max(1, round(clock.constant(settings.max_steps)))
    visited = settings.max_steps * settings.prompts_per_step
    each = max(1, settings.eval_every * steps // settings.max_steps)
    return replace(settings, max_steps=steps, prompts_per_step=max(1, visited // steps), eval_every=each)


def _theoretical(probe, settings, theory: dict, common: dict, silent: list) -> ModelForecast:
    """The forecast in which a voice of theory speaks, without an interval: no pilot was run, or all were
    silent, and then it has curves but no steps.
    """
    steps = {name: collapse_steps(trajectory) for name, trajectory in theory.items()}
    speaker = common["speaker"]
    if silent:
        code, reasons = "no_signal", silence_reasons(silent, settings)
        told = untold(steps[speaker], settings.max_steps)
    else:
        from sharpening.voices import judge

        code, reasons = judge(theory[speaker], steps[speaker], settings.criterion)
        told = {
            name: ForecastStep(name, step.step, step.outcome, horizon=step.horizon)
            for name, step in steps[speaker].items()
        }
    return ModelForecast(
        **common,
        voices=theory,
        voices_collapse=steps,
        collapse=told,
        verdict=code,
        reasons=reasons + explain(probe, settings),
        advice=untested(code),
    )


def first_rate(probe: Probe, settings: RunSettings, num_parameters: int) -> float:
    """Where a pilot begins: the learning rate whose first step moves a weight by the retention radius over
    √(number of weights).

    To first order noise of size s on n weights changes an output by about s √n times its mean derivative, a
    step of size d that all weights take together by up to d n: the two are alike at d = s/√n. A step of Adam
    moves each weight by the learning rate. One of SGD moves it by the learning rate times its gradient, the
    mean of which is clock / n.
    """
    movement = min(probe.radius.radius, float(probe.radius.noise[-1])) / math.sqrt(num_parameters)
    if settings.optimizer == "adam" or not probe.kernel.clock:
        return movement
    return movement * num_parameters / probe.kernel.clock


WHY = (
    "it has seen what this model does under this reward's own updates, and its dates are fitted on measured"
    " runs; how good they are on families of models and tasks left out of the fit is told in the page on how"
    " a forecast is made"
)
WHY_OWN = (
    "it has seen what this model does under this reward's own updates, and its dates are fitted on the {runs}"
    " measured runs of the calibration {file} of {date}, not on those that the package was judged by; how good"
    " they are on other models and tasks only further runs can tell"
)


def speaker_for(reward: Reward, calibration: Calibration | None = None) -> tuple[str, str]:
    """The voice that speaks about runs with this reward, and why; calibration: what dates them, if not the
    shipped one.
    """
    if reward.spec in CALIBRATED:
        origin = None if calibration is None else calibration.origin
        if origin is None or origin.file == "shipped":
            return SPEAKER, WHY
        return SPEAKER, WHY_OWN.format(**origin.as_dict())
    if reward.card.branch.startswith("intrinsic"):
        return (
            "radius",
            (
                f"no measured run with {reward.spec} is in the calibration; among the plain voices the retention"
                " radius orders majority votes best, and is taken over untested, without an interval"
            ),
        )
    return (
        "coupled",
        (
            "the retention radius, which speaks about other rewards without a calibration, does not see the"
            " reward, and this one looks outside the model; the coupled mean field does see it, but was not"
            " compared with measured runs, so it gives no interval"
        ),
    )


def finite(value: float) -> float | None:
    """The number, None where it is not finite."""
    return value if math.isfinite(value) else None
