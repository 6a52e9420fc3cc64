"""Adaptive verification: which prompts, which rollouts, which steps; against the uniform share of theorem X2
(theorems X3, X6).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np

from sharpening.errors import InputError
from sharpening.logspace import log_odds
from sharpening.population import Population
from sharpening.verification.sequential_test import SequentialTest
from sharpening.verification.thresholds import gated_steps, uniform_plan, youden


@dataclass(frozen=True)
class Schedule:
    """One way to spend verifier calls over a run.

    `calls`: expected number; `cost`: in the unit of one call's cost; `right`: share of prompts that end on a
    correct answer (expected, theory of uncoupled prompts); `parameter`: share of rollouts verified for "all"
    and "uniform", the gate for "gated", share of prompts certified for "certified", None for "informed".
    """

    name: str
    calls: float
    cost: float
    right: float
    parameter: float | None

    def as_dict(self) -> dict:
        """Plain data for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class CertifiedPlan:
    """Certify a label per prompt once, by sequential tests of its answers in order of votes; then reward that
    label for ever.

    `calls_per_prompt` and `right`: exact expectations for prompts with `wrong_before` wrong answers more
    popular than the truth (mean over the given ones); `error_bound` = wrong_before * false_accept +
    false_reject bounds the chance that a prompt is not certified right; `calls`, `cost`: over all prompts.
    """

    test: SequentialTest
    num_prompts: int
    calls_per_prompt: float
    right: float
    error_bound: float
    calls: float
    cost: float

    def as_dict(self) -> dict:
        """Plain data for JSON."""
        return asdict(self)


def certified_plan(
    tpr: float, fpr: float, cost: float, wrong_before, *, num_prompts: int, weights=None, error: float = 0.05
) -> CertifiedPlan:
    """Expected calls and errors of certifying one label for each of `num_prompts` prompts, at error level
    `error` a test.

    `wrong_before`: for each kind of prompt, how many wrong answers have more votes than the truth (0:
    aligned; infinity: the truth is never proposed); `weights` their shares. Answers are tested in order until
    one is accepted; a prompt whose truth was rejected, or never proposed, gets no label, and no reward: it
    costs what was called and counts as not right. Raises: InputError as `SequentialTest`, for a negative
    count or cost, or no prompts. Source: theorem X3.

    >>> plan = certified_plan(0.9, 0.1, 1.0, [0, 1], num_prompts=100)
    >>> round(plan.calls_per_prompt, 2), round(plan.right, 4), round(plan.error_bound, 4)
    (3.64, 0.9818, 0.075)
    """
    test = SequentialTest(tpr, fpr, error, error)
    counts = np.asarray(wrong_before, np.float64).reshape(-1)
    if not len(counts) or (counts < 0).any() or np.isnan(counts).any():
        raise InputError(
            "wrong_before",
            wrong_before,
            "it counts wrong answers, 0 or more, for at least one kind of prompt",
        )
    if num_prompts < 1:
        raise InputError("num_prompts", num_prompts, "at least one prompt is certified")
    if not (math.isfinite(cost) and cost >= 0):
        raise InputError("cost", cost, "the cost of one verifier call is a finite number >= 0")
    shares = (
        np.full(len(counts), 1 / len(counts))
        if weights is None
        else np.asarray(weights, np.float64) / np.sum(weights)
    )
    truth, wrong = test.characteristics(True), test.characteristics(False)
    passed = (1 - wrong.accepted) ** counts  # no wrong answer was accepted before the truth
    proposed = np.isfinite(counts)
    calls = (
        wrong.calls * (1 - passed) / wrong.accepted
        if wrong.accepted > 0
        else wrong.calls * np.where(proposed, counts, 0.0)
    )
    calls = calls + np.where(proposed, passed, 0.0) * truth.calls
    right = np.where(proposed, passed, 0.0) * truth.accepted
    bound = float(
        min(
            1.0,
            shares
            @ np.minimum(np.where(proposed, counts, np.inf) * test.false_accept + test.false_reject, 1.0),
        )
    )
    each = float(shares @ calls)
    return CertifiedPlan(
        test, num_prompts, each, float(shares @ right), bound, each * num_prompts, each * num_prompts * cost
    )


def wrong_answers_before(population: Population) -> np.ndarray:
    """How many wrong answers have at least the mass of a prompt's best correct one, (prompts,); infinity
    where none can be reached.
    """
    votable, correct = population.votable, population.correct
    if correct is None:
        raise InputError(
            "correct", None, "the truth's rank needs to know which answers are correct", "Give `correct`"
        )
    best = np.where(correct, votable, -np.inf).max(axis=1, keepdims=True)
    ahead = (~correct & (votable >= best) & (votable > -np.inf)).sum(axis=1)
    return np.where(best[:, 0] > -np.inf, ahead, np.inf)


def compare_schedules(
    population: Population,
    tpr: float,
    fpr: float,
    cost: float = 1.0,
    *,
    prompts_per_step: int = 32,
    rollouts: int = 8,
    num_steps: int = 300,
    beta: float = 1.0,
    gate: float = 0.9,
    error: float = 0.05,
) -> list[Schedule]:
    """Calls, cost and outcome of five plans on a population of prompts with one correct answer each, visited
    equally often.

    "all" verifies every rollout; "uniform" X2's share of every group; "gated" every rollout of a prompt whose
    majority answer has mass below `gate` (X6); "certified" one label a prompt by sequential tests (X3), at
    error level `error`; "informed" knows which prompts are misaligned and verifies those until the truth
    leads: no plan can know that, it is there for scale. Steps are KL-prox steps with `beta`; calls are
    independent given the answer. Raises: InputError for J <= 0, a population without labels or with several
    correct answers, or sizes as in `uniform_plan`. Source: theorem X3.
    """
    if population.correct is None or not (population.correct.sum(axis=1) == 1).all():
        raise InputError(
            "population", "labels", "every prompt has exactly one correct answer", "Give `correct`"
        )
    sizes = dict(prompts_per_step=prompts_per_step, rollouts=rollouts, num_steps=num_steps)
    uniform = uniform_plan(tpr, fpr, cost, **sizes)
    groups, weights = prompts_per_step * num_steps, population.prompt_weights
    visits = groups / population.num_prompts
    odds = _truth_odds(population)
    j, margin = youden(tpr, fpr), population.margin
    reachable = margin > -np.inf
    top = np.exp(population.votable.max(axis=1))
    aligned = margin > 0
    finite = np.where(np.isfinite(odds), odds, 0.0)
    gated = np.where(
        aligned & (top >= gate) | (odds == np.inf), 0.0, gated_steps(finite, gate, tpr, fpr, beta=beta)
    )
    gated = np.where(reachable, gated, visits)
    lost = ~aligned & (top >= gate)
    gated = np.minimum(np.where(lost, 0.0, gated), visits)
    informed = np.minimum(
        np.where(aligned, 0.0, np.floor(beta * np.where(reachable, -margin, 0.0) / j) + 1), visits
    )
    plan = certified_plan(
        tpr,
        fpr,
        cost,
        wrong_answers_before(population),
        num_prompts=population.num_prompts,
        weights=weights,
        error=error,
    )
    share = lambda mask: float(weights @ mask)  # noqa: E731
    each = lambda steps: groups / visits * rollouts * float(weights @ steps)  # noqa: E731
    rows = [
        ("all", groups * rollouts, share(reachable), 1.0),
        ("uniform", uniform.calls, share(reachable), uniform.share),
        ("gated", each(gated), share(reachable & ~lost), float(gate)),
        ("certified", plan.calls, plan.right, 1.0),
        ("informed", each(informed), share(reachable), None),
    ]
    return [
        Schedule(name, float(calls), float(calls * cost), right, parameter)
        for name, calls, right, parameter in rows
    ]


def _truth_odds(population: Population) -> np.ndarray:
    return log_odds(population.log_probs, population.labels)
