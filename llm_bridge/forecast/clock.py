"""Time of a run with a schedule: steps at its highest learning rate that sum to as much.

A schedule enters time as the sum of its learning rates, until a better law is known: what a run at the
constant rate η meets after t steps, a run with rates η_k meets at the first step T with Σ_{k<T} η_k ≥ η t.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from llm_bridge.forecast.result import ForecastStep
from sharpening.collapse import CollapseStep, Outcome
from sharpening.trajectory import Trajectory, evaluation_steps


@dataclass(frozen=True)
class Clock:
    """sums (steps + 1,): Σ of the learning rates over the highest one, 0 first; None for a constant rate."""

    sums: np.ndarray | None = None

    @classmethod
    def of(cls, rates) -> "Clock":
        """rates (steps,): the learning rate of every step of the run; their highest must be positive."""
        rates = np.asarray(rates, dtype=float)
        if np.all(rates == rates[0]):
            return cls()
        return cls(np.concatenate([[0.0], np.cumsum(rates / rates.max())]))

    def constant(self, step: float) -> float:
        """Steps at the highest rate that `step` steps of the run are worth."""
        if self.sums is None:
            return float(step)
        return float(np.interp(step, np.arange(len(self.sums)), self.sums))

    def step(self, constant: float) -> float:
        """The step of the run that so many steps at the highest rate are worth; inf where the schedule never
        gets so far.
        """
        if self.sums is None:
            return float(constant)
        if constant > self.sums[-1] * (1 + 1e-12):
            return math.inf
        return float(np.searchsorted(self.sums, constant * (1 - 1e-12)))

    def told(self, constant: float) -> str:
        """That step in words."""
        step = self.step(constant)
        return f"step {step:,.0f}" if math.isfinite(step) else "beyond this schedule"

    def trajectory(self, found: Trajectory, max_steps: int, eval_every: int) -> Trajectory:
        """Curves over steps at the highest rate, laid out over the steps of the run."""
        if self.sums is None:
            return found
        steps = evaluation_steps(max_steps, eval_every)
        at = [self.constant(step) for step in steps]
        metrics = {name: np.interp(at, found.step, values) for name, values in found.metrics.items()}
        return replace(found, step=steps, metrics=metrics)

    def collapse(self, found: CollapseStep, max_steps: int) -> CollapseStep:
        """A criterion's step at the highest rate as a step of the run."""
        if self.sums is None:
            return found
        step, outcome = self._within(found, max_steps)
        return replace(found, step=step, outcome=outcome, horizon=max_steps)

    def forecast(self, found: ForecastStep, max_steps: int) -> ForecastStep:
        """The same for a step with an interval."""
        if self.sums is None:
            return found
        step, outcome = self._within(found, max_steps)
        low, high = (
            None if end is None or not math.isfinite(self.step(end)) else max(1, int(self.step(end)))
            for end in (found.low, found.high)
        )
        return replace(found, step=step, outcome=outcome, low=low, high=high, horizon=max_steps)

    def _within(self, found, max_steps: int) -> tuple[int | None, Outcome]:
        if found.outcome is not Outcome.COLLAPSED:
            return found.step, found.outcome
        step = self.step(found.step)
        if step > max_steps:
            return None, Outcome.CENSORED
        return max(1, int(step)), found.outcome


CONSTANT = Clock()
"""The clock of a run without a schedule."""
