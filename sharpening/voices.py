"""Forecast a run from a population: predicted trajectories ("voices"), the step of every criterion, a verdict
with reasons.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sharpening.collapse import CollapseStep, Outcome, collapse_steps
from sharpening.coupling import CompoundSymmetric, NoCoupling
from sharpening.errors import InputError
from sharpening.population import Population
from sharpening.simulation.run import simulate
from sharpening.trajectory import Trajectory
from sharpening.trajectory_text import facts_table
from sharpening.updates import GRPO


@dataclass(frozen=True, repr=False)
class Forecast:
    """A predicted trajectory with its collapse steps, and what it says in one word.

    verdict: "improves", "stable", "rise_then_fall", "collapse" or "no_signal"; `reasons` hold the numbers
    behind it.
    """

    trajectory: Trajectory
    collapse: dict[str, CollapseStep]
    verdict: str
    reasons: tuple[str, ...]

    def __repr__(self) -> str:
        facts = "\n".join(f"  {name:<18}{told}" for name, told in self._steps().items())
        return f"{self._heading()}\n{facts}\n{self.trajectory!r}"

    def _repr_html_(self) -> str:
        """The verdict, the step of every criterion and the curves as small tables, for notebooks."""
        return facts_table(self._heading(), self._steps()) + self.trajectory._repr_html_()

    def _heading(self) -> str:
        return f"Forecast: {self.verdict}. {' '.join(self.reasons)}"

    def _steps(self) -> dict[str, str]:
        return {
            name: f"{found.step if found.step is not None else '–':>6}  {found.outcome.value}"
            for name, found in self.collapse.items()
            if found.outcome is not Outcome.UNAVAILABLE
        }


def adam_boost(gram_ratio: float, prompts_per_step: int) -> float:
    """Size of an Adam step on a batch mean, relative to one preconditioned by the per-prompt gradient:
    1/√(1/B + ρ).

    Adam divides the batch mean by its own root mean square, which for B prompts whose gradients have mean
    relative inner product ρ = `gram_ratio` is √((1 + (B−1)ρ)/B) of a single prompt's. Dimensionless. Source:
    theorems C4 and C5.
    """
    shrunk = (1 + (prompts_per_step - 1) * max(gram_ratio, 0.0)) / prompts_per_step
    return 1 / math.sqrt(shrunk)


def uncoupled_trajectory(
    population: Population,
    reward,
    *,
    private: float,
    learning_rate: float,
    num_steps: int,
    visits_per_step: float,
    eval_every: int = 1,
    optimizer: str = "adam",
) -> Trajectory:
    """Every prompt sharpened alone, each visited `visits_per_step` times a step in expectation (He et al.
    2026, Theorem 1; theorem U1–U5).

    With fresh prompts (`visits_per_step=0`) nothing moves: uncoupled theory has no way for training to reach
    an unseen prompt.
    """
    kernel = NoCoupling(max(private * visits_per_step, 0.0))
    return simulate(
        population.replace(coupling=kernel),
        reward,
        GRPO(learning_rate),
        num_steps=num_steps,
        method="exact",
        eval_every=eval_every,
        optimizer=optimizer,
    )


def coupled_trajectory(
    population: Population,
    reward,
    *,
    private: float,
    shared: float,
    learning_rate: float,
    num_steps: int,
    prompts_per_step: int,
    eval_every: int = 1,
    optimizer: str = "adam",
) -> Trajectory:
    """The mean field of theorem C1: fresh prompts move one another through the shared kernel alone."""
    kernel = CompoundSymmetric(private, shared).for_batch(prompts_per_step)
    return simulate(
        population.replace(coupling=kernel),
        reward,
        GRPO(learning_rate),
        num_steps=num_steps,
        method="mean_field",
        prompts_per_step=prompts_per_step,
        eval_every=eval_every,
        optimizer=optimizer,
    )


def forecast(
    population: Population,
    reward="majority",
    *,
    learning_rate: float = 1.0,
    num_steps: int = 300,
    prompts_per_step: int = 32,
    eval_every: int = 1,
    optimizer: str = "sgd",
    criterion: str = "relative",
) -> Forecast:
    """Collapse of a population under its own coupling: mean field, every criterion, a verdict.

    learning_rate: step size on answer logits. Raises: InputError as `simulate` and `collapse_step` do.
    """
    trajectory = simulate(
        population,
        reward,
        GRPO(learning_rate),
        num_steps=num_steps,
        method="mean_field",
        prompts_per_step=prompts_per_step,
        eval_every=eval_every,
        optimizer=optimizer,
    )
    steps = collapse_steps(trajectory)
    verdict, reasons = judge(trajectory, steps, criterion)
    return Forecast(trajectory, steps, verdict, tuple(reasons))


def judge(
    trajectory: Trajectory, steps: dict[str, CollapseStep], criterion: str = "relative"
) -> tuple[str, list[str]]:
    """The verdict on one predicted trajectory and the sentences that justify it.

    With labels a rise is a gain of at least 0.03 in accuracy; without them only "collapse" and "stable" can
    be told apart.
    """
    if criterion not in steps:
        raise InputError(
            "criterion", criterion, f"known criteria are {', '.join(steps)}", "Use criterion 'relative'"
        )
    found = steps[criterion]
    if found.outcome is Outcome.UNAVAILABLE:
        found = steps["mode_retention"]
    reasons = []
    ruined = found.outcome is Outcome.COLLAPSED
    if ruined:
        reasons.append(
            f"`{found.criterion}` is met at step {found.step}: {found.metric} falls to {found.threshold:.3g}."
        )
    elif found.outcome is Outcome.NEVER_STARTED:
        return "no_signal", [
            f"`{found.criterion}` is met before any training: {found.metric} starts at or below"
            f" {found.threshold:.3g}."
        ]
    else:
        reasons.append(f"`{found.criterion}` is not met within {found.horizon} steps.")
    if not trajectory.has("accuracy"):
        return ("collapse" if ruined else "stable"), reasons
    accuracy = trajectory["accuracy"]
    peak = int(accuracy.argmax())
    rises = accuracy[peak] - accuracy[0] >= 0.03
    if rises:
        reasons.append(
            f"Accuracy rises from {accuracy[0]:.2f} to {accuracy[peak]:.2f} at step {trajectory.step[peak]}."
        )
    fell = accuracy[-1] < accuracy[0] - 0.03
    if ruined or fell:
        reasons.append(f"Accuracy ends at {accuracy[-1]:.2f}.")
        return ("rise_then_fall" if rises else "collapse"), reasons
    return ("improves" if rises else "stable"), reasons
