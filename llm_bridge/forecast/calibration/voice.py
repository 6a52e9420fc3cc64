"""The pilot's voice: the curves that a pilot saw, laid out in the time that calibrated failure times say the
run will take.
"""

import math
from dataclasses import replace

import numpy as np

from llm_bridge.forecast.calibration.features import OF_RATE, Reading
from llm_bridge.forecast.calibration.survival import FailureTime
from llm_bridge.forecast.result import ForecastStep
from sharpening.collapse import CRITERIA, CollapseStep, Outcome, collapse_steps
from sharpening.trajectory import Trajectory, evaluation_steps

CURVES = {
    "retention": "mode_retention",
    "accuracy": "accuracy",
    "label_accuracy": "label_accuracy",
    "reward_accuracy": "reward_accuracy",
    "majority_ratio": "majority_ratio",
    "entropy": "entropy",
}
SAFE = 0.05
"""A learning rate is called safe if the chance of collapse within the budget is at most this."""

TRAINED_ON = 0.2
"""A data set is called safe for training on the very prompts one wants answered (test-time training) if the
chance is at most this.
"""


def anchors(pilot, medians: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
    """log displacement and log step of every criterion that the pilot met and the calibration dates, by
    displacement.
    """
    points = {}
    for name, median in medians.items():
        curve = {
            "mode_retention": "retention",
            "half_life": "reward_accuracy",
            "relative": "reward_accuracy",
        }.get(name)
        if curve not in pilot.metrics:
            continue
        reached = pilot.reach(curve, CRITERIA[name].threshold(pilot.metrics[curve], pilot.floor))
        if math.isfinite(reached):
            points.setdefault(math.log(reached), math.log(median))
    ordered = sorted(points.items())
    return np.array([at for at, _ in ordered]), np.array([when for _, when in ordered])


def pilot_trajectory(pilot, medians: dict[str, float], settings) -> Trajectory:
    """The pilot's curves at the run's evaluation steps.

    Time is a power of displacement, log t = a + γ log S, through the criteria that the pilot met (`anchors`;
    γ between 1/3 and 3, and 1 where there is only one). Without any, a learning rate's step moves by the
    learning rate. Beyond the pilot's last step its last values stay.
    """
    steps = evaluation_steps(settings.max_steps, settings.eval_every)
    at, when = anchors(pilot, medians)
    power, offset = 1.0, -math.log(settings.learning_rate)
    if len(at):
        power = float(np.clip(np.polyfit(at, when, 1)[0], 1 / 3, 3)) if len(at) > 1 else 1.0
        offset = float(np.mean(when - power * at))
    moved = np.exp((np.log(np.maximum(steps, 1e-9)) - offset) / power)
    metrics = {
        name: np.interp(moved, pilot.displacement[: len(pilot.metrics[source])], pilot.metrics[source])
        for source, name in CURVES.items()
        if source in pilot.metrics
    }
    return Trajectory(steps, metrics, floor=pilot.floor, source="predicted", settings={"voice": "pilot"})


def with_rise(trajectory: Trajectory, peak: float, height: float, end: float) -> Trajectory:
    """Accuracy through (peak step, height) and on in a line to where it is at step `end`, which the pilot was
    too fast to see.
    """
    steps, accuracy = trajectory.step, trajectory["accuracy"]
    line = np.interp(
        steps, [0, peak, max(end, peak + 1)], [accuracy[0], height, np.interp(end, steps, accuracy)]
    )
    return replace(
        trajectory, metrics=dict(trajectory.metrics) | {"accuracy": np.where(steps < end, line, accuracy)}
    )


def pilot_voice(
    reading: Reading, pilot, settings, calibration
) -> tuple[Trajectory, dict[str, CollapseStep], dict[str, ForecastStep]]:
    """(curves, step of every criterion, the same with intervals); criteria without a failure time are read
    off the curves, without interval.

    The curves are that pilot's, in the time that all those in the reading tell.
    Where a rise is likelier than not, accuracy rises to the calibration's peak first.
    """
    told, heads = reading.at(settings), calibration.heads
    medians = {name: head.median(told) for name, head in heads.items()}
    trajectory = pilot_trajectory(pilot, medians, settings)
    if reading.labelled and calibration.chance("rises", told, settings.max_steps) >= 0.5:
        half, rise = medians["half_life"], calibration.rise
        height = rise.height(float(trajectory["accuracy"][0]), told["label_accuracy"])
        trajectory = with_rise(trajectory, rise.when * half, height, half)
    steps = collapse_steps(trajectory)
    dated = {}
    for name, head in heads.items():
        if (
            steps[name].outcome in (Outcome.NEVER_STARTED, Outcome.UNAVAILABLE)
            and CRITERIA[name].needs_labels
        ):
            continue
        within = medians[name] <= settings.max_steps
        step = max(1, round(medians[name])) if within else None
        steps[name] = CollapseStep(
            name,
            step,
            Outcome.COLLAPSED if within else Outcome.CENSORED,
            steps[name].threshold,
            CRITERIA[name].metric,
            settings.max_steps,
        )
        low, high = head.interval(told)
        low = max(1, math.floor(min(low, medians[name])))
        high = math.ceil(max(high, medians[name])) if high < math.inf else math.inf
        dated[name] = ForecastStep(
            name,
            step,
            steps[name].outcome,
            low if low <= settings.max_steps else None,
            high if high <= settings.max_steps else None,
            head.level,
            settings.max_steps,
        )
    plain = {
        name: ForecastStep(name, step.step, step.outcome, horizon=step.horizon)
        for name, step in steps.items()
    }
    return trajectory, steps, plain | dated


def safe_learning_rate(reading: Reading, settings, head: FailureTime, chance: float = SAFE) -> float:
    """The largest learning rate at which the criterion is met within max_steps with this chance at most, all
    else equal.

    log T is linear in the log learning rate, so it has a closed form; inf where a larger rate would not be
    worse.
    """
    slope = -sum(head.weights.get(name, 0.0) for name in OF_RATE)
    if slope >= 0:
        return math.inf
    missing = head.median_for(chance, settings.max_steps) / head.median(reading.at(settings))
    return settings.learning_rate * missing ** (1 / slope)


def safe_prompts(reading: Reading, settings, head: FailureTime) -> float:
    """The most prompts, visited again and again, at which the criterion is met within max_steps with chance
    TRAINED_ON at most, all else equal.

    log T is linear in the log number of prompts: closed form; inf where more would not be worse, possibly
    below 1.
    """
    slope = -head.weights.get("log_prompts", 0.0)
    if slope <= 0:
        return math.inf
    told = reading.at(settings)
    return math.exp(
        told["log_prompts"]
        + math.log(head.median(told) / head.median_for(TRAINED_ON, settings.max_steps)) / slope
    )


def sensitivity(reading: Reading, settings, head: FailureTime) -> list[dict]:
    """What some settings would change: learning rate halved and doubled, 128, 1,000 or ever fresh prompts;
    median step, chance within budget.
    """
    changes = {
        "as asked": {},
        "half the learning rate": {"learning_rate": settings.learning_rate / 2},
        "twice the learning rate": {"learning_rate": settings.learning_rate * 2},
        "128 prompts": {"dataset_size": 128},
        "1,000 prompts": {"dataset_size": 1000},
        "fresh prompts": {"dataset_size": None},
    }
    rows = []
    for name, change in changes.items():
        size = change.get("dataset_size")
        if size is not None and size < settings.prompts_per_step:
            continue
        told = reading.at(replace(settings, **change))
        rows.append(
            {"setting": name, "step": head.median(told), "chance": head.probability(told, settings.max_steps)}
        )
    return rows
