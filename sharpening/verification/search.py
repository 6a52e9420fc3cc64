"""The cheapest verification schedule that keeps a forecast out of collapse: families of one parameter,
searched in the coupled mean field.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from sharpening.collapse import Criterion, Outcome, collapse_step, get_criterion
from sharpening.errors import InputError
from sharpening.population import Population
from sharpening.rewards import Reward
from sharpening.verification.results import HARM, ScheduleSearch, VerificationSchedule
from sharpening.verification.run import FAMILIES, ScheduledRun, reward_spec, run_schedule
from sharpening.verification.thresholds import uniform_plan, verification_cost, youden

GRID, PRECISION, FINEST = 8, 0.02, 1e-3
"""Points of the first sweep; the parameter is then bisected to this relative precision, or to within FINEST
of its range.
"""
AUDIT = (0.95, 0.9, 0.8, 0.65, 0.5)
"""Parts of the parameter found at which it is asked again whether less would do; if so, the search goes on
from there.
"""
NOT_SIMULATED = {"lm_loss", "perplexity", "mean_length", "repetition", "true_reward", "pseudo_reward"}


def cheapest_schedule(
    population: Population,
    *,
    tpr: float,
    fpr: float,
    cost: float = 1.0,
    learning_rate: float,
    num_steps: int = 300,
    prompts_per_step: int = 32,
    rollouts: int = 8,
    criterion: str = "relative",
    reward: Reward | str = "majority",
    dataset_size: int | None = None,
    eval_every: int = 1,
    optimizer: str = "sgd",
    error: float = 0.05,
    least_accuracy: float | None = None,
    safety: float = 1.0,
    families: tuple[str, ...] = tuple(FAMILIES),
) -> ScheduleSearch:
    """The cheapest schedule of a verifier under which training with an intrinsic reward does not collapse
    within `num_steps`.

    Every candidate is run through the mean field of `run_schedule`, whose arguments these are, under the
    population's own coupling. Each family is swept over 8 values of its parameter and bisected to 2 % between
    the cheapest that works and the next below it; then smaller values are tried again, and whether every
    dearer value that was tried works too is reported. A schedule works if the criterion is not met and
    accuracy ends at `least_accuracy` or more; by default at 0.03 below its start, where a forecast says that
    a run fell (0 asks for the criterion alone, which a schedule may avoid by slowing the run down). With
    `safety` above 1 it must work at five learning rates, from 1/safety to safety times the one given, and is
    judged by the worst: large steps can make the outcome hang on a hair. Verdicts: "plan"; "not_needed": the
    run works without a verifier; "no_plan": no schedule works; "useless_verifier": J = tpr - fpr <= 0;
    "no_signal": the criterion is met before training.

    Raises: InputError for rates outside 0..1, a negative cost, a criterion that a simulation cannot evaluate,
    and as `run_schedule`. Source: theorems X2, X3, X6, C1.

    >>> from sharpening.coupling import CompoundSymmetric
    >>> prior = Population.synthetic(0, 64, 10, coupling=CompoundSymmetric(1.0, 1.0))
    >>> found = cheapest_schedule(prior, tpr=0.9, fpr=0.1, learning_rate=4.0, num_steps=100, families=("uniform",))
    >>> found.verdict, found.unverified.collapse.step is not None, found.plan.collapse.step, found.plan.parameter < found.theory_share
    ('plan', True, None, True)
    """
    sizes = dict(prompts_per_step=prompts_per_step, rollouts=rollouts, num_steps=num_steps)
    check_search(
        tpr=tpr,
        fpr=fpr,
        cost=cost,
        criterion=criterion,
        reward=reward,
        least_accuracy=least_accuracy,
        families=families,
        error=error,
        safety=safety,
        **sizes,
    )
    everything, j, rule = verification_cost(1.0, cost, **sizes), youden(tpr, fpr), get_criterion(criterion)
    run: dict[str, Any] = sizes | dict(
        tpr=tpr, fpr=fpr, reward=reward, dataset_size=dataset_size, error=error
    )
    run |= dict(eval_every=eval_every, optimizer=optimizer)
    spec = reward if isinstance(reward, str) else reward.spec
    tried: dict[tuple[str, float], VerificationSchedule] = {}

    rates = [learning_rate] + [learning_rate * safety**power for power in (-1, -0.5, 0.5, 1) if safety > 1]

    def attempt(family: str, parameter: float) -> VerificationSchedule:
        if (family, parameter) not in tried:
            runs = [run_schedule(population, family, parameter, learning_rate=rate, **run) for rate in rates]
            trains = reward_spec(family, parameter, tpr=tpr, fpr=fpr, reward=reward)
            tried[family, parameter] = _worst(runs, rule, least_accuracy, family, parameter, trains, cost)
        return tried[family, parameter]

    alone = dataclasses.replace(attempt("uniform", 0.0), family="none", parameter=None, reward=None)
    theory = attempt("uniform", uniform_plan(tpr, fpr, cost, **sizes).share) if j > 0 else None

    def found(verdict: str, plan=None, best=()) -> ScheduleSearch:
        share, asked = None if theory is None else 1 / (1 + j), (spec, rollouts, error, safety)
        computed = (share, theory, j, everything, len(tried) * len(rates))
        return ScheduleSearch(verdict, plan, tuple(best), alone, *computed, *asked)

    if alone.collapse.outcome is Outcome.NEVER_STARTED:
        return found("no_signal")
    if alone.works:
        return found("not_needed", alone)
    if theory is None:
        return found("useless_verifier")
    best = [_search(functools.partial(attempt, family), family, num_steps) for family in families]
    best.sort(key=lambda one: (not one.works, one.cost, one.calls))
    return found("plan", best[0], best) if best[0].works else found("no_plan", None, best)


def check_search(
    *,
    tpr,
    fpr,
    cost,
    criterion,
    reward,
    least_accuracy=None,
    families=tuple(FAMILIES),
    error=0.05,
    safety=1.0,
    **sizes,
) -> None:
    """InputError for what `cheapest_schedule` would refuse whatever the population."""
    youden(tpr, fpr)
    verification_cost(1.0, cost, **sizes)
    reward_spec("uniform", 0.0, tpr=tpr, fpr=fpr, reward=reward)
    metric = get_criterion(criterion).metric
    if metric in NOT_SIMULATED:
        raise InputError(
            "criterion",
            criterion,
            f"it needs {metric}, which a simulation of answers does not have",
            "Use criterion 'relative'",
        )
    if not families or set(families) - set(FAMILIES):
        raise InputError("families", families, f"they are some of {', '.join(FAMILIES)}")
    if not 1 <= safety < np.inf:
        raise InputError(
            "safety",
            safety,
            "it is a factor >= 1 on the learning rate, up and down",
            "Use 1 for the learning rate alone",
        )
    if not 0 < error <= 0.5:
        raise InputError("error", error, "an error level lies in (0, 1/2]")
    if least_accuracy is not None and not 0 <= least_accuracy <= 1:
        raise InputError("least_accuracy", least_accuracy, "an accuracy lies between 0 and 1")


def assume_labels(population: Population, wrong_modes: float) -> Population:
    """The population with labels made up: the truth is the mode, but on a share `wrong_modes` of the prompts
    it is the runner-up.

    The wrong ones are spread evenly over the prompts ordered by the mass of their mode, since without labels
    nothing says which they are. Raises: InputError for a share outside 0..1, or prompts with no second answer
    to be the truth.
    """
    if not 0 <= wrong_modes <= 1:
        raise InputError("wrong_modes", wrong_modes, "it is a share of the prompts, in 0..1")
    votable, rows = population.votable, np.arange(population.num_prompts)
    order = np.argsort(-votable.max(axis=1), kind="stable")
    wrong = np.zeros(len(rows), bool)
    wrong[order] = np.diff(np.floor(np.arange(len(rows) + 1) * wrong_modes + 0.5)) > 0
    mode, rivals = population.mode, votable.copy()
    rivals[rows, mode] = -np.inf
    if (wrong & (rivals.max(axis=1) == -np.inf)).any():
        raise InputError(
            "wrong_modes",
            wrong_modes,
            "a prompt with one possible answer cannot have a wrong mode",
            "Give labels",
        )
    truth = np.where(wrong, rivals.argmax(axis=1), mode)
    correct = np.arange(population.num_answers) == truth[:, None]
    if population.no_answer is not None:
        correct[:, population.no_answer] = False
    return population.replace(correct=correct)


def _worst(
    runs: list[ScheduledRun],
    criterion: Criterion,
    least: float | None,
    family: str,
    parameter: float,
    reward: str | None,
    cost: float,
) -> VerificationSchedule:
    """The worst of the runs as a schedule, with the calls of the first; `least`: accuracy at the end for it
    to work, by default HARM below the start.
    """
    fates = [collapse_step(one.trajectory, criterion) for one in runs]

    def order(i):
        return (np.inf if fates[i].step is None else fates[i].step, runs[i].trajectory["accuracy"][-1])

    worst = min(range(len(runs)), key=order)
    accuracy, collapse, calls = runs[worst].trajectory["accuracy"], fates[worst], runs[0].calls
    start, end = float(accuracy[0]), float(accuracy[-1])
    works = collapse.outcome is not Outcome.COLLAPSED and end >= (start - HARM if least is None else least)
    return VerificationSchedule(family, parameter, reward, calls, calls * cost, start, end, collapse, works)


def _search(
    attempt: Callable[[float], VerificationSchedule], family: str, num_steps: int
) -> VerificationSchedule:
    """The cheapest schedule of a family that works, or its strongest one."""
    periodic = family == "periodic"
    ladder = [i / GRID for i in range(1, GRID + 1)]
    if periodic:
        ladder = sorted({round(num_steps ** (i / GRID)) for i in range(GRID + 1)}, reverse=True)
    tried = {value: attempt(value) for value in ladder}
    working = [value for value in ladder if tried[value].works]
    if not working:
        return dataclasses.replace(tried[ladder[-1]], at_bound=True)
    high = min(working, key=lambda value: tried[value].calls)
    order = (lambda value: -value) if periodic else (lambda value: value)
    while True:
        cheaper = [value for value in tried if order(value) < order(high) and not tried[value].works]
        low = max(cheaper, key=order) if cheaper else None if periodic else 0.0
        while low is not None and (
            low - high > 1 if periodic else high - low > max(PRECISION * high, FINEST)
        ):
            middle = (low + high) // 2 if periodic else (low + high) / 2
            tried[middle] = attempt(middle)
            low, high = (low, middle) if tried[middle].works else (middle, high)
        below = {
            min(round(high / part), num_steps) if periodic else max(high * part, FINEST)
            for part in AUDIT
            if periodic or high > FINEST
        } - {high}
        tried |= {value: attempt(value) for value in below}
        if not any(tried[value].works for value in below):
            break
        high = min((value for value in below if tried[value].works), key=order)
    in_order = [tried[value].works for value in sorted(tried, reverse=periodic)]
    monotone = in_order == sorted(in_order)
    cheapest = min((value for value in tried if tried[value].works), key=lambda value: tried[value].calls)
    bound = cheapest == num_steps if periodic else cheapest <= FINEST
    return dataclasses.replace(tried[cheapest], monotone=monotone, at_bound=bound)
