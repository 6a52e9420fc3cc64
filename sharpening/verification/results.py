"""What a search for a verification schedule found, as plain data."""

from __future__ import annotations

import dataclasses
from dataclasses import asdict, dataclass

from sharpening.collapse import CollapseStep

VERDICTS = ("plan", "not_needed", "no_plan", "useless_verifier", "no_signal")
HARM = 0.03
"""A loss of accuracy from start to end above which a forecast says that a run fell."""


@dataclass(frozen=True)
class VerificationSchedule:
    """One schedule, run: what it does, what it costs and how the run ends.

    `family`: one of FAMILIES, or "none" for the run without a verifier; `parameter`: of the family, None for
    "none"; `reward`: text for `get_reward` that trains with it, None for
    certified labels and without verification; `calls`: expected, over the run; `cost`: calls times the cost
    of one; `initial_accuracy`, `accuracy`: at the start and the end;
    `collapse`: of the criterion; `works`: it never collapses, and accuracy ends where it was asked to.
    `monotone`: among all values that were tried, none below one that fails works; `at_bound`: no cheaper
    value of the parameter exists.
    """

    family: str
    parameter: float | None
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
    solved. What was asked: `intrinsic`, the reward that pays for what is not verified; `rollouts` of a group;
    `error` level of the tests that certify a label; `safety`, factor on the learning rate, up and down.
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
    intrinsic: str
    rollouts: int
    error: float
    safety: float

    def as_dict(self) -> dict:
        """Plain data for JSON."""
        plain = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for name in ("plan", "unverified", "theory"):
            plain[name] = None if plain[name] is None else plain[name].as_dict()
        return plain | {"best": [one.as_dict() for one in self.best]}
