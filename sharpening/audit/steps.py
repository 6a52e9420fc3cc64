"""Exact steps and limits of one policy in NumPy, for the audit: the same formulas as `sharpening.updates`,
one prompt, no compiling.
"""

from __future__ import annotations

import numpy as np

from sharpening.logspace import log_sum

STEP_SIZES = (1.0, 0.1, 10.0, 100.0)
LIMIT_STEP, LIMIT_STEPS = 0.5, 600
ALL, STILL = 1e-6, 1e-12


def advantages(log_probs: np.ndarray, rewards: np.ndarray) -> np.ndarray:
    """r - mean r, both relative to the largest possible reward; 0 for impossible answers."""
    possible = log_probs > -np.inf
    relative = np.where(possible, rewards - rewards[possible].max(), 0.0)
    return np.where(possible, relative - np.exp(log_probs) @ relative, 0.0)


def kl_prox(log_probs: np.ndarray, rewards: np.ndarray, step_size: float) -> np.ndarray:
    """pi' proportional to pi exp(step_size r); also a natural-gradient step, scaled by the standard deviation
    or not.
    """
    moved = log_probs + step_size * advantages(log_probs, rewards)
    return moved - log_sum(moved)


def softmax_gradient(log_probs: np.ndarray, rewards: np.ndarray, step_size: float) -> np.ndarray:
    """z' = z + step_size pi (r - mean r); also a GRPO step, which is one of another size."""
    moved = log_probs + step_size * np.exp(log_probs) * advantages(log_probs, rewards)
    return moved - log_sum(moved)


STEPS = {"KL-prox": kl_prox, "softmax gradient": softmax_gradient}


def limit_share(log_probs: np.ndarray, members: np.ndarray, rewards_at) -> float | None:
    """The mass on `members` (answers,) bool where iterated KL-prox steps of size 1/2 end; None if 600 steps
    do not settle it.

    `rewards_at(now, before)`: the rewards under the policy reached so far, (answers,), and the one before it,
    None at first. Settled: the mass is within 1e-6 of 1, or no probability moves by more than 1e-12, or the
    members' log-odds have not risen by 1 nat, or no longer rise, at the end.
    """
    odds = lambda z: log_sum(z[members]) - log_sum(z[~members])  # noqa: E731
    now, before, start = log_probs, None, odds(log_probs)
    for _ in range(LIMIT_STEPS):
        rewards = rewards_at(now, before)
        if not np.isfinite(rewards[now > -np.inf]).all():
            return None
        before, now = now, kl_prox(now, rewards, LIMIT_STEP)
        if odds(now) > -np.log(ALL) or np.abs(np.exp(now) - np.exp(before)).max() < STILL:
            break
    else:
        if odds(now) > max(odds(before), start + 1):
            return None
    return float(np.exp(log_sum(now[members])))
