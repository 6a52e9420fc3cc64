"""The conditions that theorems need, each defined once."""

from __future__ import annotations

import numpy as np

from sharpening.theorems.base import Assumption, Case, Met

RESOLUTION = 1e-9
LONGEST = 1e5


def comonotone_rows(log_probs: np.ndarray, rewards: np.ndarray) -> np.ndarray:
    """Per prompt: is the reward a nondecreasing function of the mass, over possible answers? (prompts,)
    bool.
    """
    order = np.lexsort((rewards, log_probs), axis=1)
    masses, ordered = np.take_along_axis(log_probs, order, axis=1), np.take_along_axis(rewards, order, axis=1)
    possible = masses[:, :-1] > -np.inf
    gap, rise = masses[:, 1:] > masses[:, :-1], ordered[:, 1:] - ordered[:, :-1]
    return np.all(np.where(possible, np.where(gap, rise >= 0, rise == 0), True), axis=1)


def _one_leader(case: Case) -> np.ndarray:
    return case.population.leaders.sum(axis=1) == 1


def _resolved(case: Case) -> np.ndarray:
    population = case.population
    votable, leaders = population.votable, population.leaders
    with np.errstate(invalid="ignore"):
        gap = votable.max(axis=1) - np.where(leaders, -np.inf, votable).max(axis=1)
    return ~(gap <= RESOLUTION)


def _uncoupled(case: Case) -> bool:
    coupling = case.population.coupling
    return coupling.shared == 0 and coupling.private > RESOLUTION


def _misaligned(case: Case) -> Met:
    population = case.population
    return ~(population.leaders & population.labels).any(axis=1)


def _heard(case: Case) -> Met:
    population = case.population
    if population.no_answer is None:
        return True
    return population.votable.max(axis=1) >= population.log_probs[:, population.no_answer]


def _resolved_step(case: Case) -> bool:
    return case.step_size <= LONGEST


HEARD_MODE = Assumption("heard mode", "giving no answer has at most the mass of the mode", _heard)
RESOLVED_STEP = Assumption(
    "resolved step",
    f"the step size is at most {LONGEST:g} nats: float64 keeps log-odds of that size to {RESOLUTION:g}",
    _resolved_step,
)
UNIQUE_MODE = Assumption(
    "unique mode", "one answer has strictly more mass than every other that may win the vote", _one_leader
)
RESOLVED_MODE = Assumption(
    "resolved mode",
    f"the leaders tie exactly or lead by more than {RESOLUTION:g} nats, which float64 keeps apart",
    _resolved,
)
HAS_LEADER = Assumption(
    "an answer",
    "some answer other than no answer is possible",
    lambda case: case.population.leaders.any(axis=1),
)
LABELLED = Assumption(
    "labels",
    "the population says which answers are correct",
    lambda case: case.population.correct is not None,
)
WEIGHTED = Assumption(
    "weight", "the prompt has weight in the population", lambda case: case.population.prompt_weights > 0
)
UNCOUPLED = Assumption(
    "uncoupled prompts",
    f"a step on one prompt moves no other, and moves its own by more than {RESOLUTION:g} of its direction",
    _uncoupled,
)
ONE_CORRECT = Assumption(
    "one correct answer",
    "the prompt has exactly one correct answer",
    lambda case: case.population.labels.sum(axis=1) == 1,
)
MISALIGNED = Assumption("misaligned", "no leading answer is correct", _misaligned)
CORRECT_POSSIBLE = Assumption(
    "reachable truth",
    "a correct answer has mass",
    lambda case: (case.population.labels & (case.population.log_probs > -np.inf)).any(axis=1),
)
COMONOTONE = Assumption(
    "comonotone reward",
    "the reward is a nondecreasing function of the answer's mass",
    lambda case: comonotone_rows(case.population.log_probs, case.rewards()),
)
