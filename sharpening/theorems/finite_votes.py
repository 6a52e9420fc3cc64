"""Votes of finitely many rollouts, exactly: every group that can be drawn, its probability, and what the mode
gets of the vote.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from sharpening.rewards import Reward
from sharpening.theorems.base import Assumption
from sharpening.updates import Update

FEW_ANSWERS = 6
SHORT_LIST = Assumption(
    "few answers",
    f"the population has at most {FEW_ANSWERS} answers, so that every group of rollouts can be listed",
    lambda case: case.population.num_answers <= FEW_ANSWERS,
)


@cache
def count_vectors(rollouts: int, num_answers: int) -> tuple[np.ndarray, np.ndarray]:
    """Every way to share `rollouts` among the answers, (ways, answers) counts, and the log of how many orders
    each has, (ways,).
    """
    if num_answers == 1:
        return np.array([[rollouts]]), np.zeros(1)
    parts = [(first, *count_vectors(rollouts - first, num_answers - 1)) for first in range(rollouts + 1)]
    counts = np.concatenate([np.insert(rest, 0, first, axis=1) for first, rest, _ in parts])
    orders = np.concatenate([math.log(math.comb(rollouts, first)) + log_rest for first, _, log_rest in parts])
    return counts, orders


def group_weights(log_probs: np.ndarray, rollouts: int) -> np.ndarray:
    """Probability of every count vector, (prompts, ways): the multinomial law."""
    counts, orders = count_vectors(rollouts, log_probs.shape[1])
    return np.exp(np.maximum(log_probs, -1e6) @ counts.T + orders)


@cache
def listed_groups(rollouts: int, num_answers: int) -> np.ndarray:
    """One group for each of `count_vectors`, (ways, rollouts) answer ids in ascending order."""
    counts, _ = count_vectors(rollouts, num_answers)
    return np.stack([np.repeat(np.arange(num_answers), row) for row in counts])


def group_directions(update: Update, reward: Reward, log_probs: np.ndarray, rollouts: int) -> np.ndarray:
    """The update's direction on one group of every count vector at the policy `log_probs` (answers,), (ways,
    answers).
    """
    answers = listed_groups(rollouts, len(log_probs))
    policies = np.broadcast_to(log_probs, (len(answers), len(log_probs)))
    return np.asarray(update.group_direction(policies, answers, np.asarray(reward.group(answers))))


def log_binomials(rollouts: int) -> np.ndarray:
    """log C(N, n), n = 0..N."""
    return np.array([math.log(math.comb(rollouts, n)) for n in range(rollouts + 1)])


def binomial_law(log_prob: np.ndarray, rollouts: int) -> np.ndarray:
    """P(n of N rollouts give an answer of this log-probability), n = 0..N, (prompts, N+1)."""
    n, log_prob = np.arange(rollouts + 1), np.asarray(log_prob, np.float64)[:, None]
    log_rest = np.log1p(-np.minimum(np.exp(log_prob), 1 - 1e-16))
    return np.exp(log_binomials(rollouts) + n * np.maximum(log_prob, -1e6) + (rollouts - n) * log_rest)


def mode_vote_shares(
    log_probs: np.ndarray, mode: np.ndarray, most: int, no_answer: int | None = None
) -> np.ndarray:
    """E[1[the mode leads]/m] in a vote of N = 1..most rollouts, ties shared, (prompts, most).

    `mode` (prompts,) answer ids. Exact for any number of answers: with T_b the series sum_{j<c} (p_b x)^j/j!
    and U_b its term of order c, the share is N! [x^N] sum_c U_mode e^{p_silent x} integral_0^1 prod_{b !=
    mode} (T_b + y U_b) dy, since 1/(1+n) = integral_0^1 y^n dy shares a lead with n others. All terms are >=
    0, so nothing cancels.
    """
    probs, rows = np.exp(log_probs), np.arange(len(log_probs))
    silent = np.zeros(len(probs)) if no_answer is None else probs[:, no_answer]
    at_mode, rivals = probs[rows, mode], probs.copy()
    rivals[rows, mode] = 0.0
    if no_answer is not None:
        rivals[:, no_answer] = 0.0
    rivals = rivals[:, (rivals > 0).any(axis=0)]
    nodes, weights = np.polynomial.legendre.leggauss(most // 2 + 1)
    nodes, weights = (nodes + 1) / 2, weights / 2
    factorial = np.array([math.factorial(n) for n in range(most + 1)], dtype=np.float64)
    powers = np.arange(most + 1)
    shares = np.zeros((len(probs), most + 1))
    for lead in range(1, most + 1):
        series = np.zeros((len(nodes), len(probs), most + 1))
        series[:, :, lead:] = (silent[:, None] ** powers / factorial)[:, : most + 1 - lead]
        series *= (at_mode**lead / factorial[lead])[:, None]
        for rival in rivals.T:
            grown = series.copy()
            for n in range(1, lead + 1):
                term = rival**n / factorial[n]
                grown[:, :, n:] += (
                    series[:, :, :-n] * (term if n < lead else nodes[:, None] * term)[..., None]
                )
            series = grown
        shares += np.tensordot(weights, series, axes=1) * factorial
    return shares[:, 1:]


def sampled_answers(log_probs: np.ndarray, rollouts: int, seed: int = 0) -> np.ndarray:
    """Answer ids (prompts, rollouts) drawn from the policies, the same for the same seed; impossible answers
    are never drawn.
    """
    levels = np.cumsum(np.exp(log_probs), axis=1)
    uniform = np.random.default_rng(seed).random((len(log_probs), rollouts)) * levels[:, -1:]
    return (uniform[:, :, None] >= levels[:, None, :]).sum(axis=2)
