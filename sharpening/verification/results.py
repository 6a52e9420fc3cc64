"""What a search for a verification schedule found, as data and in words."""

from __future__ import annotations

import dataclasses
from dataclasses import asdict, dataclass

import numpy as np

from sharpening.collapse import CollapseStep, Outcome
from sharpening.verification.run import ScheduledRun

VERDICTS = ("plan", "not_needed", "no_plan", "useless_verifier", "no_signal")
HARM = 0.03
"""A loss of accuracy from start to end above which a forecast says that a run fell."""


@dataclass(frozen=True)
class VerificationSchedule:
    """One schedule, run: what it does, what it costs and how the run ends.

    `parameter`: of the family (`FAMILIES`); `reward`: text for `get_reward` that trains with it, None for
    certified labels and without verification; `calls`: expected, over the run; `cost`: calls times the cost
    of one; `initial_accuracy`, `accuracy`: at the start and the end;
    `collapse`: of the criterion; `works`: it never collapses, and accuracy ends where it was asked to.
    `monotone`: among all values that were tried, none below one that fails works; `at_bound`: no cheaper
    value of the parameter exists.
    """

    family: str
    parameter: float | None
    rule: str
    reward: str | None
    calls: float
    cost: float
    initial_accuracy: float
    accuracy: float
    collapse: CollapseStep
    works: bool
    monotone: bool = True
    at_bound: bool = False

    def as_dict(self) -> dict:
        """Plain data for JSON."""
        return asdict(self) | {"collapse": self.collapse.as_dict()}


@dataclass(frozen=True)
class ScheduleSearch:
    """What `cheapest_schedule` found.

    `verdict`: one of VERDICTS; `plan`: the cheapest schedule that works, or None; `best`: for each family the
    cheapest that works, or the strongest one where none does, cheapest first; `unverified`: the run without a
    verifier; `theory_share`: q* = 1/(1+J) of X2, None for J <= 0; `theory`: the fewest whole rollouts above
    it, run in the same mean field; `cost_of_all`: verifying every rollout; `runs`: how many mean fields were
    solved.
    """

    verdict: str
    plan: VerificationSchedule | None
    best: tuple[VerificationSchedule, ...]
    unverified: VerificationSchedule
    theory_share: float | None
    theory: VerificationSchedule | None
    youden: float
    cost_of_all: float
    runs: int
    reasons: tuple[str, ...]

    def as_dict(self) -> dict:
        """Plain data for JSON."""
        plain = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for name in ("plan", "unverified", "theory"):
            plain[name] = None if plain[name] is None else plain[name].as_dict()
        return plain | {"best": [one.as_dict() for one in self.best], "reasons": list(self.reasons)}


@dataclass(frozen=True)
class Teller:
    """Says schedules and verdicts in words.

    `cost`: of one call; `rollouts`: of a group; `vote`: what pays for what is not verified; `error`: of the
    sequential tests;
    `safety`: factor on the learning rate, up and down.
    """

    cost: float
    rollouts: int
    vote: str
    error: float
    safety: float = 1.0

    def schedule(
        self,
        family: str,
        parameter: float,
        runs: list[ScheduledRun],
        fates: list[CollapseStep],
        spec: str | None,
        least: float | None,
    ) -> VerificationSchedule:
        """The worst of the runs as a schedule, with the calls of the first; `least`: accuracy at the end for
        it to work, by default HARM below the start.
        """

        def order(i):
            return (np.inf if fates[i].step is None else fates[i].step, runs[i].trajectory["accuracy"][-1])  # noqa: E731

        worst = min(range(len(runs)), key=order)
        accuracy, collapse, calls = runs[worst].trajectory["accuracy"], fates[worst], runs[0].calls
        bar = accuracy[0] - HARM if least is None else least
        works = collapse.outcome is not Outcome.COLLAPSED and bool(accuracy[-1] >= bar)
        ends = (float(accuracy[0]), float(accuracy[-1]))
        return VerificationSchedule(
            family,
            parameter,
            self.rule(family, parameter),
            spec,
            calls,
            calls * self.cost,
            *ends,
            collapse,
            works,
        )

    def rule(self, family: str, parameter: float) -> str:
        """What is verified when, and what is paid otherwise."""
        if family == "uniform":
            number = f"{parameter * self.rollouts:.3g} of {self.rollouts}"
            return (
                f"verify {parameter:.1%} of every prompt's rollouts ({number}) at every step, and pay"
                f" {self.vote} for the others"
            )
        if family == "gated":
            return (
                f"verify every rollout of a prompt while its majority answer has mass below {parameter:.3g},"
                f" then pay {self.vote}"
            )
        if family == "periodic":
            often = "every step" if parameter == 1 else f"one step in {parameter}"
            return f"verify every rollout at {often}, and pay {self.vote} at the others"
        tests = f"by sequential tests at error level {self.error:g}"
        return (
            f"before training, certify one label {tests} for {parameter:.1%} of the prompts, and pay"
            f" {self.vote} on the others"
        )

    def reasons(self, verdict, plan, best, alone, theory, j, everything) -> list[str]:
        """The sentences of a `ScheduleSearch`, whose fields these are."""
        lines = self._reasons(verdict, plan, best, alone, theory, j, everything)
        if self.safety > 1 and verdict != "no_signal":
            lines.append(
                f"Figures are the worst of five learning rates, from {1 / self.safety:.2g} to"
                f" {self.safety:.2g} times the one given."
            )
        return lines

    def _reasons(self, verdict, plan, best, alone, theory, j, everything) -> list[str]:
        step, horizon, name = alone.collapse.step, alone.collapse.horizon, alone.collapse.criterion
        useless = (
            f"J = TPR - FPR = {j:.3g}: a verifier moves the truth's log-odds with the sign of J, so no share"
            " of calls rescues a wrong majority."
        )
        if verdict == "no_signal":
            start = f"{alone.collapse.metric} starts at or below {alone.collapse.threshold:.3g}"
            return [f"`{name}` is met before any training ({start}): nothing can be lost."]
        if verdict == "not_needed":
            lines = [
                f"Without a verifier `{name}` is not met within {horizon} steps: no verification is needed."
                f" {_course(alone)}"
            ]
            return lines + ([] if j > 0 else [useless])
        lines = [f"Without a verifier `{name}` is met at step {step}. {_course(alone)}"]
        if step is None:
            lines = [
                f"Without a verifier `{name}` is not met within {horizon} steps, but accuracy ends below what"
                f" was asked. {_course(alone)}"
            ]
        if verdict == "useless_verifier":
            return [*lines, useless]
        if verdict == "no_plan":
            lines.append("No schedule of this verifier is enough; the strongest of each family:")
            lines += [f"{one.family} ({one.calls:,.0f} calls): {_fate(one)}" for one in best]
        else:
            part = (
                f", {plan.cost / everything:.1%} of what verifying every rollout costs"
                if everything > 0
                else ""
            )
            lines.append(
                f"Cheapest: {plan.rule}. {plan.calls:,.0f} calls, cost {plan.cost:,.4g}{part}."
                f" {_course(plan)}"
            )
            if plan.accuracy < plan.initial_accuracy - HARM:
                lines.append(
                    "That is less than before training: the schedule avoids the criterion, not the harm."
                )
            others = [
                f"{one.family} {one.cost / plan.cost:.2g} times"
                for one in best[1:]
                if one.works and plan.cost > 0
            ]
            lines += [f"Cheapest of the other families, in its cost: {', '.join(others)}."] if others else []
            uneven = ", ".join(one.family for one in best if not one.monotone)
            lines += [f"Not monotone: a dearer value that was tried fails in {uneven}."] if uneven else []
        share = (
            f"Theory X2 (prompts on their own) asks for more than {1 / (1 + j):.1%} of the rollouts,"
            f" {theory.parameter:.1%} in whole rollouts"
        )
        uniform = next((one for one in best if one.family == "uniform" and one.works), None)
        needed = f" The uniform share that works here is {uniform.parameter:.1%}." if uniform else ""
        return [*lines, f"{share}: in the coupled mean field {_fate(theory)}.{needed}"]


def _course(one: VerificationSchedule) -> str:
    return f"Accuracy goes from {one.initial_accuracy:.2f} to {one.accuracy:.2f}."


def _fate(one: VerificationSchedule) -> str:
    step = one.collapse.step
    met = (
        f"`{one.collapse.criterion}` is met at step {step}"
        if step is not None
        else f"`{one.collapse.criterion}` is not met"
    )
    return f"{met}, and accuracy ends at {one.accuracy:.2f}"
