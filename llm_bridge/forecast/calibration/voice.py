"""The pilot's voice: the curves that a pilot saw, laid out in the time that calibrated failure times say the
run will take.
"""

import math
from dataclasses import replace

import numpy as np

from llm_bridge.forecast.calibration.features import MOST_PROMPTS, Reading
from llm_bridge.forecast.calibration.survival import LEVEL, FailureTime
from llm_bridge.forecast.result import ForecastStep
from llm_bridge.training.settings import RATES
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
    points: dict[float, float] = {}
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
        first, last = max(1, math.floor(low)), math.ceil(high)
        dated[name] = ForecastStep(
            name,
            step,
            steps[name].outcome,
            first if first <= settings.max_steps else None,
            last if last <= settings.max_steps else None,
            LEVEL,
            settings.max_steps,
        )
    plain = {
        name: ForecastStep(name, step.step, step.outcome, horizon=step.horizon)
        for name, step in steps.items()
    }
    return trajectory, steps, plain | dated


QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BUDGETS = (0.25, 0.5, 1, 2, 4)
"""Shares of the budget at whose ends a distribution is told."""


def distribution(reading: Reading, settings, heads: dict[str, FailureTime], step_of=float) -> dict[str, dict]:
    """criterion to P(T ≤ step): `median`, `spread` (of the log-logistic law) and `slope` (of the log median in
    the log learning rate), `quantiles` (chance to step), `chances` (step, chance) around the budget.

    step_of: steps at the highest learning rate to steps of the run, inf beyond its schedule; chances there are
    left out.
    """
    told, found = reading.at(settings), {}
    budgets = sorted({max(1, round(share * settings.max_steps)) for share in BUDGETS})
    for name, head in heads.items():
        found[name] = {
            "median": step_of(head.median(told)),
            "spread": head.spread_at(told),
            "slope": slope(reading, settings, head),
            "quantiles": {f"{chance:g}": step_of(head.quantile(told, chance)) for chance in QUANTILES},
            "chances": [
                {"step": step_of(budget), "chance": head.probability(told, budget)}
                for budget in budgets
                if math.isfinite(step_of(budget))
            ],
        }
    return found


def slope(reading: Reading, settings, head: FailureTime) -> float:
    """d log median / d log learning rate: −1 where weights drift, −2 where they diffuse (theorem C8)."""
    faster = reading.at(settings, settings.learning_rate * math.e)
    return head.log_median(faster) - head.log_median(reading.at(settings))


def safe_learning_rate(reading: Reading, settings, head: FailureTime, chance: float = SAFE) -> float:
    """The largest learning rate at which the criterion is met within max_steps with this chance at most, all
    else equal; inf where a larger rate would not be worse, 0 where none is that safe.
    """

    def too_likely(log_rate: float) -> bool:
        told = reading.at(settings, math.exp(log_rate))
        return head.probability(told, settings.max_steps) > chance

    if slope(reading, settings, head) >= 0:
        return math.inf
    return math.exp(
        _first(too_likely, math.log(settings.learning_rate), FARTHEST_RATE, *map(math.log, RATES))
    )


FARTHEST_RATE = 25.0
"""No safe rate is looked for farther from the one asked for, in log."""


def _first(too_far, start: float, reach: float, lowest: float, highest: float) -> float:
    """Where `too_far` begins to hold, by bisection within reach of start; −inf where it holds everywhere, inf
    where nowhere.
    """
    low, high = max(start - reach, lowest), min(start + reach, highest)
    if too_far(low):
        return -math.inf
    if not too_far(high):
        return math.inf
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (low, middle) if too_far(middle) else (middle, high)
    return low


def safe_prompts(reading: Reading, settings, head: FailureTime) -> float:
    """The most prompts, visited again and again, at which the criterion is met within max_steps with chance
    TRAINED_ON at most, all else equal; inf where more would not be worse, 0 where none are that safe.
    """

    def too_likely(log_prompts: float) -> bool:
        told = reading.at(settings) | {"log_prompts": log_prompts}
        return head.probability(told, settings.max_steps) > TRAINED_ON

    top = math.log(MOST_PROMPTS)
    return math.exp(_first(too_likely, top, top, 0.0, top))


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
