"""Populations that meet a theorem's premises, or just miss them: what random populations seldom do."""

from __future__ import annotations

import numpy as np

from sharpening.logspace import log_logistic
from sharpening.population import Population

PROMPTS = 16


def two_answers(rng: np.random.Generator) -> Population:
    """Two answers each, log-odds from near ties to 30 nats, one of them correct."""
    odds = rng.choice([0.1, 1.0, 4.0, 30.0], size=PROMPTS) * rng.standard_normal(PROMPTS)
    correct = np.arange(2) == rng.integers(2, size=PROMPTS)[:, None]
    return Population.from_logits(np.stack([odds, np.zeros(PROMPTS)], axis=1), correct)


def two_camps(rng: np.random.Generator) -> Population:
    """Two answers, both camps' log-odds moderate, and weights that let either camp take all or hold the other."""
    odds = rng.choice([-1.0, 1.0], size=PROMPTS) * rng.uniform(0.2, 1.5, size=PROMPTS)
    weights = np.where(odds > 0, np.exp(rng.uniform(-1.0, 3.0)), 1.0) * rng.uniform(0.9, 1.1, size=PROMPTS)
    logits = np.stack([odds, np.zeros(PROMPTS)], axis=1)
    return Population.from_logits(logits, np.arange(2) == np.zeros((PROMPTS, 1)), weights=weights)


def even_camps(rng: np.random.Generator, num_answers: int = 4) -> Population:
    """Every answer is the mode of as many prompts: no answer leads."""
    logits = 0.5 * rng.standard_normal((PROMPTS, num_answers))
    rows, mode = np.arange(PROMPTS), rng.permutation(PROMPTS) % num_answers
    logits[rows, mode] = logits.max(axis=1) + rng.uniform(0.05, 1.0, size=PROMPTS)
    return Population.from_logits(
        logits, np.arange(num_answers) == rng.integers(num_answers, size=PROMPTS)[:, None]
    )


def few_answers(rng: np.random.Generator, num_answers: int = 4) -> Population:
    """Plain policies over a few answers, so that every group of rollouts can be listed."""
    correct = np.arange(num_answers) == rng.integers(num_answers, size=PROMPTS)[:, None]
    logits = rng.choice([0.3, 2.0]) * rng.standard_normal((PROMPTS, num_answers))
    return Population.from_logits(logits, correct)


def weak_modes(rng: np.random.Generator, num_answers: int = 5) -> Population:
    """Modes below one half, so that other answers together outweigh them."""
    logits = 0.8 * rng.standard_normal((PROMPTS, num_answers))
    logits = np.minimum(logits, np.sort(logits, axis=1)[:, -2:-1] + rng.uniform(0.01, 0.3, size=(PROMPTS, 1)))
    correct = np.arange(num_answers) == rng.integers(num_answers, size=PROMPTS)[:, None]
    return Population.from_logits(logits, correct)


def misaligned(rng: np.random.Generator, num_answers: int = 4) -> Population:
    """The mode is wrong everywhere, and the truth possible."""
    logits = 2.0 * rng.standard_normal((PROMPTS, num_answers))
    order = np.argsort(-logits, axis=1)
    rank = rng.integers(1, num_answers, size=PROMPTS)
    return Population.from_logits(logits, np.arange(num_answers) == order[np.arange(PROMPTS), rank][:, None])


def two_kinds(rng: np.random.Generator, num_answers: int = 5) -> Population:
    """Aligned prompts whose modes lead by more than those of the misaligned ones, with weights that make accuracy
    rise and then fall, only rise, or only fall.

    The mode has log-odds L, the others share the rest evenly. The aligned half has L in m+g..m+g+.2, the other m..m+.2,
    and its weight is e^u times the aligned half's: whether accuracy turns depends on u.
    """
    half = PROMPTS // 2
    low, gap = rng.uniform(-1.0, 1.5), rng.uniform(0.4, 2.5)
    odds = low + 0.2 * rng.random(PROMPTS) + np.where(np.arange(PROMPTS) < half, gap, 0.0)
    log_probs = np.repeat((log_logistic(-odds) - np.log(num_answers - 1))[:, None], num_answers, axis=1)
    log_probs[:, 0] = log_logistic(odds)
    correct = np.arange(num_answers) == np.where(np.arange(PROMPTS) < half, 0, 1)[:, None]
    lost = rng.uniform(-gap, gap) + np.log(num_answers - 1)  # a misaligned prompt has s - c = -1/(K-1)
    weights = np.where(np.arange(PROMPTS) < half, 1.0, np.exp(lost)) * rng.uniform(0.9, 1.1, size=PROMPTS)
    return Population(log_probs, correct, weights)


def rare_answers(rng: np.random.Generator) -> Population:
    """More than a hundred answers, each of which is right about once: no base rate reaches 1 %, or one does."""
    num_answers = 102
    correct = np.arange(num_answers) == rng.permutation(num_answers)[:, None]
    often = rng.integers(0, 3)  # prompts more for answer 0
    correct[:often] = np.arange(num_answers) == 0
    return Population.from_logits(rng.standard_normal((num_answers, num_answers)), correct)
