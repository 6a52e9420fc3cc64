"""`sharpening forecast`: probe a model, let the voices predict the run, say which one speaks and why."""

import math

import numpy as np

from llm_bridge.attractors import told as attractor_told
from llm_bridge.calibration.outcome import verdict
from llm_bridge.calibration.survival import load_calibration
from llm_bridge.calibration.voice import SAFE, TRAINED_ON, pilot_voice, probe_features, safe_learning_rate, safe_prompts, sensitivity
from llm_bridge.models import fitting_threads, load_model
from llm_bridge.pilot import run_pilots
from llm_bridge.probe import NOISE, Probe, probe_model
from llm_bridge.progress import NullProgress
from llm_bridge.quiet import quiet_libraries
from llm_bridge.results import ForecastStep, ModelForecast
from llm_bridge.rewards import check_reward
from llm_bridge.settings import RunSettings
from llm_bridge.tasks import spellable
from sharpening.collapse import CRITERIA, collapse_steps
from sharpening.errors import InputError
from sharpening.rewards import get_reward
from sharpening.voices import adam_boost, coupled_trajectory, judge, uncoupled_trajectory

SPEAKER = "pilot"
ROLLOUTS, NOISE_PROMPTS, COARSE_NOISE = 16, 64, np.concatenate([NOISE[:1], NOISE[1::2]])
"""Answers of each prompt in the probe, as in the calibration, and prompts and sizes of the weight noise, which only says where the pilot begins: a
forecast is to cost a twentieth of a run."""

SILENT = "no step of the pilot moved a weight, since in every group all answers earned the same"

CALIBRATED = ("majority", "trajectory-entropy", "self-certainty")
"""Rewards whose runs are in the ground truth."""


@quiet_libraries()
def forecast_model(model: str, task, settings: RunSettings, *, pilots: int = 1, progress=None) -> ModelForecast:
    """What `settings` will do to `model` on `task`, before any training.

    pilots: throwaway copies that are run, with seeds of their own, and averaged. One is noisy; three cost little where the run is long.

    Raises:
        InputError: pilots below 1, or several for a reward without any; bad model or task, as `measure` raises; a verified reward on a task
            without true answers, since the voices know a verifier by its rates of true and false positives alone.
    """
    progress = progress or NullProgress()
    check_reward(settings.reward, task)
    if pilots < 1 or pilots > 1 and settings.reward not in CALIBRATED:
        raise InputError("pilots", pilots, "a forecast runs at least one pilot, and none for a reward that is not calibrated "
                         f"({', '.join(CALIBRATED)} are)", "Leave it at 1")
    if "verdicts" in get_reward(settings.reward).card.needs and not task.labelled:
        raise InputError("reward", settings.reward, "a forecast models its verifier by how often it accepts right and wrong answers, and "
                         f"task {task.name} has no true answers", "Give the data set answers, or train with `sharpening measure`")
    loaded = load_model(model)
    spellable(task, loaded.tokenizer)
    with fitting_threads(loaded):
        probe = probe_model(loaded, task, settings, progress=progress, rollouts=ROLLOUTS, noise_prompts=NOISE_PROMPTS, draws=1, noise=COARSE_NOISE)
        run = []
        if settings.reward in CALIBRATED:
            rate = first_rate(probe, settings, loaded.num_parameters)
            run = run_pilots(loaded, task, settings, pilots, first_rate=rate, cost=probe.cost, progress=progress)
    moved = [pilot for pilot in run if not pilot.silent]
    silent = bool(run) and not moved
    bar = progress.start("voices", 4 if moved else 3)
    voices = {}
    for name, voice in (("uncoupled", uncoupled_voice), ("coupled", coupled_voice), ("radius", radius_voice)):
        voices[name] = voice(probe, settings)
        bar.advance()
    steps = {name: collapse_steps(trajectory) for name, trajectory in voices.items()}
    speaker, why = ("coupled", SILENT) if silent else speaker_for(settings.reward)
    if moved:
        calibration = load_calibration("labelled" if "label_accuracy" in probe.prior else "label-free")
        voices["pilot"], steps["pilot"], dated = pilot_voice(probe, moved, settings, calibration)
        bar.advance()
    else:
        dated = {name: ForecastStep(name, step.step, step.outcome, horizon=step.horizon) for name, step in steps[speaker].items()}
    bar.close()
    told, rows, safe = explain(probe, settings, votes=not moved), [], None
    if silent:
        code, reasons = "no_signal", [f"Nothing to learn from: {SILENT}."]
    elif not moved:
        code, reasons = judge(voices[speaker], steps[speaker], settings.criterion)
    else:
        code, reasons = calibrated_verdict(probe_features(probe, moved, settings), calibration, settings)
        head = spoken_head(calibration, settings, labelled="label_accuracy" in probe.prior)
        rows, safe = sensitivity(probe, moved, settings, head), _finite(safe_learning_rate(probe, moved, settings, head))
        told += advice(rows, safe, safe_prompts(probe, moved, settings, head), settings)
        told += attractor_told(*(pilot.attractor for pilot in moved))
    return ModelForecast(
        model=model, task=task.name, settings=settings, voices=voices, speaker=speaker, why_speaker=why, collapse=dated,
        voices_collapse=steps, verdict=code, reasons=reasons + told, alignment=_alignment(probe),
        coupling=probe.coupling | {"radius": _finite(probe.radius.radius)}, prior=probe.prior, cost=probe.cost.as_dict(),
        sensitivity=rows, safe_learning_rate=safe, pilots=len(moved),
    )


def spoken_head(calibration, settings: RunSettings, *, labelled: bool):
    """The failure time of the criterion asked for; of `mode_retention` where it has none, or needs labels that do not exist."""
    told = settings.criterion in calibration.heads and (labelled or not CRITERIA[settings.criterion].needs_labels)
    return calibration.heads[settings.criterion if told else "mode_retention"]


def calibrated_verdict(told: dict[str, float], calibration, settings: RunSettings) -> tuple[str, list[str]]:
    """The verdict, from the chances that the calibration gives within the budget, and what to do, one sentence each."""
    budget, half = settings.max_steps, calibration.heads["half_life"]
    head = spoken_head(calibration, settings, labelled="label_accuracy" in told)
    met, lost = (one.probability(told, budget) for one in (head, half))
    gain, rises = (calibration.chance(name, told, budget) for name in ("better", "rises"))
    code = verdict(met, lost, gain, rises)
    lines = [
        f"Within {budget} steps: `{head.criterion}` is met with a chance of {met:.0%} (median: step {head.median(told):,.0f}), half of "
        f"what there is to lose is lost with {lost:.0%} (step {half.median(told):,.0f}); the run ends better than it began with {gain:.0%}.",
    ]
    if rises >= 0.5:
        lines.append(peak_told(told, calibration))
    if lost >= 0.5:
        early = max(1, half.interval(told)[0])
        lines.append(f"Stop by step {early:,.0f} (lower end of the {half.level:.0%} interval), and keep a checkpoint before it.")
    if "label_accuracy" in told:
        lines += vote_told(told, calibration, budget, ruined=code in ("collapse", "rise_then_fall"))
    return code, lines


def peak_told(told: dict[str, float], calibration) -> str:
    """Where accuracy peaks before it falls, and with labels how high."""
    rise, half = calibration.rise, calibration.heads["half_life"].median(told)
    low, middle, high = (max(1.0, share * half) for share in (rise.low, rise.when, rise.high))
    told_height = ""
    if "label_accuracy" in told:
        told_height = f" at about {rise.height(told['accuracy'], told['label_accuracy']):.0%}"
    return (f"Accuracy should first rise and peak{told_height} near step {middle:,.0f} ({low:,.0f} to {high:,.0f}), if it falls at all: runs that "
            f"rose and fell peaked at {rise.when:.0%} of their half-life.")


CLEAR = 0.1
"""A vote that is wrong on fewer prompts than this is not what a run dies of."""


def vote_told(told: dict[str, float], calibration, budget: int, *, ruined: bool) -> list[str]:
    """Training on votes against voting without training, and what to verify."""
    vote, accuracy = told["label_accuracy"], told["accuracy"]
    beats = calibration.chance("beats_voting", told, budget)
    lines = [f"Voting without any training is right on {vote:.0%} of the prompts, answers alone on {accuracy:.0%}. Training on votes tends to what "
             f"the vote says (theory U2): at its best evaluation the run is above voting with a chance of {beats:.0%}."]
    if ruined and 1 - vote >= CLEAR:
        lines.append(f"The vote is wrong on {1 - vote:.0%} of the prompts: verify a share q ≥ 1/(1 + J) of the rollouts, J the verifier's TPR − FPR "
                     "(theory X2; `sharpening schedule`).")
    elif ruined:
        lines.append(f"Wrong votes are not the cause, they are {1 - vote:.0%}: what prompts share drifts (theory C1). A smaller learning rate, an "
                     "earlier stop or a verifier helps, better votes do not.")
    return lines


def first_rate(probe: Probe, settings: RunSettings, num_parameters: int) -> float:
    """Where a pilot begins: the learning rate whose first step moves a weight by the retention radius over √(number of weights).

    To first order noise of size s on n weights changes an output by about s √n times its mean derivative, a step of size d that all weights
    take together by up to d n: the two are alike at d = s/√n. A step of Adam moves each weight by the learning rate. One of SGD moves it by
    the learning rate times its gradient, the mean of which is clock / n.
    """
    movement = min(probe.radius.radius, float(probe.radius.noise[-1])) / math.sqrt(num_parameters)
    if settings.optimizer == "adam" or not probe.coupling["clock"]:
        return movement
    return movement * num_parameters / probe.coupling["clock"]


def advice(rows: list[dict], safe: float | None, prompts: float, settings: RunSettings) -> list[str]:
    """The safe learning rate, what other settings would change, and up to how many prompts training is test-time training, one sentence each."""
    lines = [] if safe is None else [f"The chance of collapse is {SAFE:.0%} at a learning rate of {safe:.1e}, all else equal."]
    lines += [f"With {row['setting']}: {row['chance']:.0%}, median step {row['step']:,.0f}." for row in rows[1:]]
    if rows and rows[0]["chance"] > TRAINED_ON:
        held = f"at most {prompts:,.0f} prompts" if prompts >= settings.prompts_per_step else "no number of prompts"
        lines.append(f"As test-time training, on prompts visited again and again, {held} would bring the chance down to {TRAINED_ON:.0%}.")
    return lines


WHY = (
    "it has seen what this model does under this reward's own updates, and its dates are fitted on measured runs; how good they are on families "
    "of models and tasks left out of the fit is told in the page on how a forecast is made"
)


def speaker_for(reward: str) -> tuple[str, str]:
    """The voice that speaks about runs with this reward, and why."""
    if reward in CALIBRATED:
        return SPEAKER, WHY
    if get_reward(reward).card.branch.startswith("intrinsic"):
        return "radius", (
            f"no measured run with {reward} is in the calibration; among the plain voices the retention radius orders majority votes best, and is "
            "taken over untested, without an interval"
        )
    return "coupled", (
        "the retention radius, which speaks about other rewards without a calibration, does not see the reward, and this one looks outside the "
        "model; the coupled mean field does see it, but was not compared with measured runs, so it gives no interval"
    )


def step_size(probe: Probe, settings: RunSettings) -> float:
    """Learning rate on answer logits that goes with the probe's kernel."""
    boost = adam_boost(probe.coupling["gram_ratio"], settings.prompts_per_step) if settings.optimizer == "adam" else 1.0
    return settings.learning_rate * boost


def uncoupled_voice(probe: Probe, settings: RunSettings):
    """Each evaluation prompt trained on its own, visited as often as a data set of its size would be."""
    visits = 1 / (settings.dataset_size or probe.population.num_prompts)
    return uncoupled_trajectory(probe.population, settings.reward, private=probe.coupling["private"], learning_rate=step_size(probe, settings),
                                num_steps=settings.max_steps, visits_per_step=visits, eval_every=settings.eval_every,
                                optimizer=settings.optimizer)


def coupled_voice(probe: Probe, settings: RunSettings):
    """The mean field with the measured kernel."""
    return coupled_trajectory(probe.population, settings.reward, private=probe.coupling["private"], shared=probe.coupling["shared"],
                              learning_rate=step_size(probe, settings), num_steps=settings.max_steps,
                              prompts_per_step=settings.prompts_per_step, eval_every=settings.eval_every, optimizer=settings.optimizer)


def radius_voice(probe: Probe, settings: RunSettings):
    """The plain baseline: the retention curve, its noise read as learning_rate × step."""
    return probe.radius.trajectory(settings.learning_rate, settings.max_steps, settings.eval_every)


def explain(probe: Probe, settings: RunSettings, *, votes: bool = True) -> list[str]:
    """The numbers of the probe that a reader can check, one sentence each; `votes`: also how often votes and answers are right."""
    nats = probe.coupling["clock"] * settings.learning_rate
    lines = [f"One optimizer step moves the objective by about {nats:.2g} nats (learning rate × ‖gradient‖₁)."]
    radius = probe.radius.radius
    if math.isfinite(radius):
        steps = radius / settings.learning_rate
        lines.append(f"Half of the greedy answers survive weight noise of {radius:.2g}, which is {steps:.0f} steps of this learning rate.")
    if votes and "label_accuracy" in probe.prior:
        right, accuracy = probe.prior["label_accuracy"], probe.prior["accuracy"]
        lines.append(f"The majority answer is right on {right:.0%} of the prompts; accuracy is {accuracy:.0%}.")
    return lines


def _alignment(probe: Probe) -> float | None:
    return None if probe.population.correct is None else float(probe.population.alignment)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
