"""Collapse criteria: from a Trajectory to the step at which the model is gone, or the reason why there is
none.

A criterion holds only if it stays so for `patience` evaluations; the collapse step is the first of them. A
run that ends before that is censored at its last step: a statistic over runs must treat it so, neither as
missing nor as collapsed there.

How we depart from He et al. 2026: theirs (`absolute`) has no patience and compares with 1 % whatever the base
rate; the default here (`relative`) compares with the base rate of the commonest true answer.
"""

import enum
from dataclasses import dataclass

import numpy as np

from sharpening.errors import InputError
from sharpening.trajectory import METRICS, Trajectory


class Outcome(enum.Enum):
    """How a run ended under one criterion."""

    COLLAPSED = "collapsed"
    CENSORED = "censored"
    NEVER_STARTED = "never_started"
    UNAVAILABLE = "unavailable"

    @property
    def sentence(self) -> str:
        """One sentence for a reader who has not seen the documentation."""
        return {
            Outcome.COLLAPSED: "The run met the criterion and stayed there.",
            Outcome.CENSORED: "The run ended before the criterion was met: it may collapse later.",
            Outcome.NEVER_STARTED: (
                "The initial model already meets the criterion, so there was nothing to lose."
            ),
            Outcome.UNAVAILABLE: (
                "The criterion cannot be evaluated: its metric, or the base rate it needs, was not recorded."
            ),
        }[self]


@dataclass(frozen=True)
class CollapseStep:
    """The answer of one criterion: step (optimizer updates, None unless collapsed), outcome, and what was
    compared.
    """

    criterion: str
    step: int | None
    outcome: Outcome
    threshold: float | None
    metric: str
    horizon: int

    def as_dict(self) -> dict:
        """Plain data for JSON."""
        return {
            "step": self.step,
            "outcome": self.outcome.value,
            "threshold": self.threshold,
            "metric": self.metric,
            "horizon": self.horizon,
        }


@dataclass(frozen=True)
class Criterion:
    """One way to say "collapsed": which metric, compared how, with what.

    kind: "below" (<= or, if strict, < amount), "above" (> amount), "above_initial" (> initial + amount),
    "towards_floor" (<= floor + amount * (initial - floor)), "peak" (accuracy later stays < (1 - amount) * its
    maximum).
    """

    name: str
    metric: str
    kind: str
    amount: float
    meaning: str
    strict: bool = False

    @property
    def needs_labels(self) -> bool:
        return METRICS[self.metric].needs_labels

    @property
    def needs_floor(self) -> bool:
        return self.kind == "towards_floor"

    def threshold(self, values: np.ndarray, floor: float | None) -> float:
        """The value that the metric is compared with, in the metric's unit."""
        match self.kind:
            case "below" | "above":
                return self.amount
            case "above_initial":
                return float(values[0]) + self.amount
            case "towards_floor":
                if floor is None:
                    raise InputError(
                        "floor", None, f"criterion {self.name!r} is relative to a floor", "Give the base rate"
                    )
                return floor + self.amount * (float(values[0]) - floor)
            case "peak":
                return (1 - self.amount) * float(np.max(values))
        raise InputError(
            "kind", self.kind, "known kinds are below, above, above_initial, towards_floor and peak"
        )

    def holds(self, values: np.ndarray, threshold: float) -> np.ndarray:
        """(n,) bool: at which evaluations the comparison holds."""
        if self.kind in ("above", "above_initial"):
            return values > threshold
        return values < threshold if self.strict or self.kind == "peak" else values <= threshold


CRITERIA: dict[str, Criterion] = {
    criterion.name: criterion
    for criterion in (
        Criterion(
            "absolute",
            "reward_accuracy",
            "below",
            0.01,
            "first step with reward_accuracy < 0.01 (He et al. 2026)",
            strict=True,
        ),
        Criterion(
            "relative",
            "reward_accuracy",
            "towards_floor",
            0.05,
            "first step with reward_accuracy <= floor + 0.05 (initial - floor)",
        ),
        Criterion(
            "half_life",
            "reward_accuracy",
            "towards_floor",
            0.5,
            "first step with reward_accuracy <= floor + 0.5 (initial - floor)",
        ),
        Criterion(
            "loss_spike",
            "lm_loss",
            "above_initial",
            0.5,
            "first step with held-out LM loss more than 0.5 nats per token above its initial value",
        ),
        Criterion(
            "accuracy_peak",
            "accuracy",
            "peak",
            0.5,
            "step of maximal accuracy, if accuracy later stays below half of that maximum",
        ),
        Criterion(
            "mode_retention",
            "mode_retention",
            "below",
            0.5,
            "first step with mode_retention <= 0.5 (no labels needed)",
        ),
        Criterion(
            "mode_retention_5",
            "mode_retention",
            "below",
            0.05,
            "first step with mode_retention <= 0.05 (no labels needed)",
        ),
        Criterion(
            "excess_kl",
            "excess_kl",
            "above",
            2.0,
            "first step with excess_kl above 2 nats (no labels needed)",
        ),
    )
}


def get_criterion(criterion: str | Criterion) -> Criterion:
    """The criterion of that name; a Criterion of your own passes through (dataclasses.replace changes an
    amount).

    Raises: InputError naming the known criteria.
    """
    if isinstance(criterion, Criterion):
        return criterion
    if criterion not in CRITERIA:
        raise InputError(
            "criterion", criterion, f"known criteria are {', '.join(CRITERIA)}", "Use criterion 'relative'"
        )
    return CRITERIA[criterion]


def _first_run(holds: np.ndarray, patience: int) -> int | None:
    """Index of the first of `patience` consecutive True values, None if there are none."""
    length = 0
    for index, value in enumerate(holds):
        length = length + 1 if value else 0
        if length == patience:
            return index - patience + 1
    return None


def _check_trajectory(value: object) -> None:
    if not isinstance(value, Trajectory):
        fix = "Use what simulate returns, or Trajectory(step, metrics)"
        raise InputError("trajectory", value, "it is a sharpening.Trajectory", fix)


def collapse_step(
    trajectory: Trajectory,
    criterion: str | Criterion = "relative",
    *,
    patience: int = 2,
    floor: float | None = None,
) -> CollapseStep:
    """The step at which the criterion first holds for `patience` evaluations in a row, in optimizer updates.

    `floor` (share) overrides trajectory.floor. UNAVAILABLE if the metric, or a floor it needs, is missing;
    NEVER_STARTED if it holds at step 0 (for accuracy_peak: if accuracy is never above 0); CENSORED if the run
    ends first. For accuracy_peak the step is that of the first maximum of accuracy over the whole run. The
    number is as coarse as the evaluations.

    Raises: InputError for an unknown criterion, patience < 1, or a NaN in the metric.
    Source: He et al. 2026 (`absolute`); the others are defined in this file.
    """
    _check_trajectory(trajectory)
    rule = get_criterion(criterion)
    if not isinstance(patience, (int, np.integer)) or isinstance(patience, bool) or patience < 1:
        raise InputError(
            "patience", patience, "it counts evaluations, so it is an integer of at least 1", "Use patience=2"
        )
    floor = trajectory.floor if floor is None else floor

    def result(outcome, step=None, threshold=None):
        return CollapseStep(rule.name, step, outcome, threshold, rule.metric, trajectory.horizon)

    if not trajectory.has(rule.metric) or (rule.needs_floor and floor is None):
        return result(Outcome.UNAVAILABLE)
    values = trajectory[rule.metric]
    if np.any(np.isnan(values)):
        raise InputError(
            f"metrics[{rule.metric}]",
            values.tolist(),
            "a collapse step needs a value at every evaluation",
            "Drop the evaluations without one",
        )
    threshold = rule.threshold(values, floor)
    holds = rule.holds(values, threshold)
    if rule.kind == "peak":
        peak = int(np.argmax(values))
        if values[peak] <= 0:
            return result(Outcome.NEVER_STARTED, threshold=threshold)
        fell = _first_run(holds[peak:], patience) is not None
        return (
            result(Outcome.COLLAPSED, int(trajectory.step[peak]), threshold)
            if fell
            else result(Outcome.CENSORED, threshold=threshold)
        )
    if holds[0]:
        return result(Outcome.NEVER_STARTED, threshold=threshold)
    index = _first_run(holds, patience)
    return (
        result(Outcome.CENSORED, threshold=threshold)
        if index is None
        else result(Outcome.COLLAPSED, int(trajectory.step[index]), threshold)
    )


def collapse_steps(
    trajectory: Trajectory, *, patience: int = 2, floor: float | None = None
) -> dict[str, CollapseStep]:
    """`collapse_step` for every registered criterion, by name."""
    return {name: collapse_step(trajectory, name, patience=patience, floor=floor) for name in CRITERIA}
