"""Runs of one prompt or a few that figures need: policies from masses or log-odds, and their steps."""

from __future__ import annotations

import numpy as np

from sharpening.logspace import log_logistic
from sharpening.population import Population
from sharpening.rewards import get_reward
from sharpening.theorems.base import Case
from sharpening.theorems.finite_votes import listed_groups
from sharpening.theorems.numerics import path

TWELVE = 12


def policy(*masses: float) -> np.ndarray:
    """log of one policy's masses, (1, answers)."""
    with np.errstate(divide="ignore"):
        return np.log([masses])


def logit(mass) -> np.ndarray:
    """Log-odds of a mass, nats."""
    return np.log(mass) - np.log1p(-np.asarray(mass, np.float64))


def two_answers(odds) -> np.ndarray:
    """log policies over two answers, the first at these log-odds, (prompts, 2)."""
    return np.stack([log_logistic(odds), log_logistic(-np.asarray(odds))], axis=1)


def walk(update, start: np.ndarray, num_steps: int, reward="majority", **labels) -> np.ndarray:
    """log policies before the first and after every step, (steps + 1, prompts, answers)."""
    reward = get_reward(reward) if isinstance(reward, str) else reward
    return np.stack([start, *path(update, reward, start, num_steps, **labels)])


def majority_direction(update):
    """log policies -> the update's exact direction under the majority reward."""
    reward = get_reward("majority")
    return lambda log_probs: np.asarray(update.direction(log_probs, np.asarray(reward.exact(log_probs))))


def case_of(population: Population, step_size: float = 1.0) -> Case:
    """A check's case with the majority reward, all prompts included."""
    return Case(population, step_size, get_reward("majority"), np.ones(population.num_prompts, bool))


def sampled_walks(update, odds: np.ndarray, *, rollouts: int, at, seed: int = 0, reward=None) -> np.ndarray:
    """Log-odds of the first of two answers from `odds` (runs,) after each number of sampled steps in `at`,
    (at, runs).

    `reward`: answers (runs, rollouts) -> rewards; the majority vote by default. Runs within e^-40 of a vertex
    stay there.
    """
    reward = get_reward("majority").group if reward is None else reward
    now, draw, seen = np.array(odds, np.float64), np.random.default_rng(seed), []
    for step in range(1, max(at) + 1):
        policies = two_answers(now)
        answers = (draw.random((len(now), rollouts)) >= np.exp(policies[:, :1])).astype(int)
        moved = np.asarray(update.group_direction(policies, answers, np.asarray(reward(answers), np.float64)))
        now = np.clip(now + update.step_size * (moved[:, 0] - moved[:, 1]), -40.0, 40.0)
        if step in at:
            seen.append(now)
    return np.array(seen)


def listed_directions(update, num_answers: int, rollouts: int) -> np.ndarray:
    """The update's direction on one majority-rewarded group of every count vector, (ways, answers), at the
    uniform policy.

    A group of N is given as one of TWELVE in which every rollout stands TWELVE/N times: the same shares, so
    the same direction of updates that do not divide by a standard deviation, and one shape for all N that
    divide TWELVE.
    """
    groups = np.repeat(listed_groups(rollouts, num_answers), TWELVE // rollouts, axis=1)
    ways = len(groups)
    filled = np.concatenate([groups, np.zeros((len(listed_groups(TWELVE, num_answers)) - ways, TWELVE), int)])
    uniform = np.full((len(filled), num_answers), -np.log(num_answers))
    return np.asarray(
        update.group_direction(uniform, filled, np.asarray(get_reward("majority").group(filled)))
    )[:ways]
