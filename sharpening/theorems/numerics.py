"""Exact steps and what is read off policies in float64, shared by the theorems."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sharpening.logspace import log_sum, normalised
from sharpening.rewards import Reward
from sharpening.rewards.asking import exact_rewards
from sharpening.updates.base import ExactStep


def log_tails(log_probs: np.ndarray) -> np.ndarray:
    """log of the sum of the k smallest masses, k = 1..answers-1, (prompts, answers-1), nats.

    pi' majorizes pi exactly if none of them grows.
    """
    ordered = np.sort(log_probs, axis=1)
    tails = [log_sum(ordered[:, :k]) for k in range(1, log_probs.shape[1])]
    return np.stack(tails, axis=1) if tails else np.zeros((len(log_probs), 0))


def beyond(log_probs: np.ndarray, least: float) -> float:
    """A shift in nats that takes any possible answer to consensus, at least `least`: masses go down to any depth."""
    possible = log_probs[log_probs > -np.inf]
    return max(least, 100.0 - 2.0 * float(possible.min(initial=0.0)))


def take_step(
    update: ExactStep, reward: Reward, log_probs: np.ndarray, *, correct=None, reference=None, no_answer=None
) -> np.ndarray:
    """One exact step of `update` on `reward`, (prompts, answers), nats."""
    rewards = np.asarray(exact_rewards(reward, log_probs, correct, no_answer=no_answer))
    return np.asarray(update.step(log_probs, rewards, reference))


def path(
    update: ExactStep, reward: Reward, log_probs: np.ndarray, num_steps: int, **labels
) -> Iterator[np.ndarray]:
    """The policies after step 1, 2, ..., num_steps; `reference` is the initial policy."""
    now = log_probs
    for _ in range(num_steps):
        now = take_step(update, reward, now, reference=log_probs, **labels)
        yield now


def relative_entropy(log_probs: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """KL(pi || reference), (prompts,), nats; +infinity where pi has mass and the reference has none."""
    present = log_probs > -np.inf
    with np.errstate(invalid="ignore"):
        terms = np.where(present, np.exp(log_probs) * (log_probs - reference), 0.0)
    return np.maximum(terms.sum(axis=-1), 0.0)


def flow(direction, log_probs: np.ndarray, time: float | np.ndarray, steps: int = 32) -> np.ndarray:
    """The policies at `time` (a number, or (prompts,)) of dz/dt = direction(log_probs): classical Runge-Kutta
    of fourth order, for smooth directions far from their end.

    Beside `sharpening.simulation.flow`, which follows the reward and the update of a run to its end, stiff or
    not: a theorem has a direction of its own in NumPy, on populations of every size, and JAX compiles the
    adaptive integrator anew for each direction and size, for many seconds. S7a's checks take 2 ms each here, and
    err by 5e-9 or less where they ask for 1e-6 (there: 2e-11).
    """
    step = np.reshape(np.asarray(time, np.float64) / steps, (-1, 1))
    possible, now = log_probs > -np.inf, log_probs
    slope = lambda shift: np.where(possible, direction(normalised(now + shift)), 0.0)  # noqa: E731
    for _ in range(steps):
        first = slope(0.0)
        second = slope(step / 2 * first)
        third = slope(step / 2 * second)
        fourth = slope(step * third)
        now = normalised(now + step / 6 * (first + 2 * second + 2 * third + fourth))
    return now
