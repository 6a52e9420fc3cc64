"""Steps of a coupled population outside `simulate`, one at a time, and the assumptions of part C."""

from __future__ import annotations

from typing import Any

import numpy as np

from sharpening.logspace import normalised
from sharpening.metrics import exact_metrics
from sharpening.population import Population
from sharpening.theorems.assumptions import RESOLUTION
from sharpening.theorems.base import Assumption, Case, Met
from sharpening.trajectory import Trajectory


def fresh_drift(case: Case, update, log_probs: np.ndarray, weights: np.ndarray, coupling) -> np.ndarray:
    """Change of the shared logits (answers,) per unit step: the coupling's mix of the update's exact
    directions.
    """
    rewards = np.asarray(case.reward.exact(log_probs, no_answer=case.population.no_answer))
    return np.asarray(coupling.mix(np.asarray(update.direction(log_probs, rewards)), weights)[1])


def coupled_step(case: Case, update, start, weights, coupling, own, shared):
    """(own, shared) after one exact step in which every prompt is visited; logits are start + own +
    reach(shared).
    """
    log_probs = normalised(start + own + np.asarray(coupling.reach(shared)))
    rewards = np.asarray(case.reward.exact(log_probs, no_answer=case.population.no_answer))
    dv, du = coupling.mix(np.asarray(update.direction(log_probs, rewards)), weights)
    return own + update.step_size * np.asarray(dv), shared + update.step_size * np.asarray(du)


def exact_run(case: Case, population: Population, update, num_steps: int) -> Trajectory:
    """What `simulate(population, case.reward, update, num_steps=...)` gives, exact, in NumPy: accuracy and reward
    accuracy at steps 0..num_steps. Compiled code takes seconds for every new size; this takes milliseconds.
    """
    start, weights = population.log_probs, population.prompt_weights
    coupling: Any = population.coupling
    own, shared, found = np.zeros_like(start), np.asarray(coupling.rest(population.num_answers)), []
    for step in range(num_steps + 1):
        if step:
            own, shared = coupled_step(case, update, start, weights, coupling, own, shared)
        now = normalised(start + own + np.asarray(coupling.reach(shared)))
        found.append(exact_metrics(now, population.correct, start, no_answer=population.no_answer))
    names = ("accuracy", "reward_accuracy")
    curves = {name: np.array([float(weights @ one[name]) for one in found]) for name in names}
    return Trajectory(np.arange(num_steps + 1), curves, population.base_rate_floor)


def mode_shares(log_probs: np.ndarray, no_answer: int | None, weights: np.ndarray) -> np.ndarray:
    """m_a = E[share of a among the leaders of x], (answers,): ties are split."""
    votable = log_probs.copy()
    if no_answer is not None:
        votable[:, no_answer] = -np.inf
    leaders = (votable == votable.max(axis=1, keepdims=True)) & (votable > -np.inf)
    return weights @ (leaders / np.maximum(leaders.sum(axis=1, keepdims=True), 1))


def _at_least_two(case: Case) -> np.ndarray:
    return (case.population.votable > -np.inf).sum(axis=1) >= 2


def _full_support(case: Case) -> Met:
    return (case.population.log_probs > -np.inf).all(axis=1)


def _distinct(case: Case) -> Met:
    ordered = np.sort(np.maximum(case.population.votable, -1e9), axis=1)
    return (np.diff(ordered, axis=1) > RESOLUTION).all(axis=1)


DISTINCT = Assumption(
    "no ties",
    f"no two answers' masses are within {RESOLUTION:g} nats: a pair that ties could come to lead together",
    _distinct,
)
RIVAL = Assumption("a rival", "at least two answers are possible", _at_least_two)
FULL_SUPPORT = Assumption(
    "full support",
    "every answer is possible: the push of a prompt on an answer that it cannot give means nothing",
    _full_support,
)
