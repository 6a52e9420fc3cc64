"""Rewards against their mean, in exact and in group form, with the cancellation at consensus removed (theory: S5, numerics)."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def relative_rewards(log_probs: jax.Array, rewards: jax.Array) -> jax.Array:
    """Rewards minus their maximum over possible answers, <= 0 there, and 0 for impossible answers; (prompts, answers) -> the
    same.
    """
    possible = log_probs > -jnp.inf
    top = jnp.max(jnp.where(possible, rewards, -jnp.inf), axis=-1, keepdims=True)
    return jnp.where(possible, rewards - top, 0.0)


def exact_advantages(log_probs: jax.Array, rewards: jax.Array) -> jax.Array:
    """Advantage of every answer over the policy's mean reward: A_a = r_a - sum_b pi_b r_b; 0 for impossible answers.

    `log_probs`, `rewards`: (..., answers), nats and reward; returns the same shape, in reward. Both terms are taken relative to
    the maximal reward first: the mean is then a sum over the losers' masses, so it keeps full relative precision when 1 -
    pi(leader) is 1e-300.
    """
    relative = relative_rewards(log_probs, rewards)
    mean = jnp.sum(jnp.exp(log_probs) * relative, axis=-1, keepdims=True)
    return jnp.where(log_probs > -jnp.inf, relative - mean, 0.0)


def exact_std(log_probs: jax.Array, advantages: jax.Array) -> jax.Array:
    """Population standard deviation of the reward under the policy, (..., 1), in reward."""
    return jnp.sqrt(jnp.sum(jnp.exp(log_probs) * advantages**2, axis=-1, keepdims=True))


def divide_by_std(advantages: jax.Array, std: jax.Array, eps: float) -> jax.Array:
    """advantages / (std + eps); where std is 0 there is no signal and the result is 0, also for eps = 0."""
    safe = jnp.where(std > 0, std + eps, 1.0)
    return jnp.where(std > 0, advantages / safe, 0.0)


def group_advantages(rewards: jax.Array, scale: str = "none", eps: float = 1e-4) -> jax.Array:
    """Advantage of each rollout over its group: A_i = r_i - mean(r), divided by (sample std + eps) if scale = "group"; (...,
    rollouts).
    """
    advantages = rewards - jnp.mean(rewards, axis=-1, keepdims=True)
    if scale == "none":
        return advantages
    std = jnp.std(rewards, axis=-1, ddof=1, keepdims=True)
    same = jnp.max(rewards, axis=-1, keepdims=True) == jnp.min(rewards, axis=-1, keepdims=True)
    return divide_by_std(advantages, jnp.where(same, 0.0, std), eps)


def score_direction(log_probs: jax.Array, answers: jax.Array, advantages: jax.Array) -> jax.Array:
    """REINFORCE in logit space: mean over rollouts of A_i (onehot(a_i) - pi); (prompts, rollouts) -> (prompts, answers)."""
    chosen = jax.nn.one_hot(answers, log_probs.shape[-1], dtype=log_probs.dtype)
    mean_chosen = jnp.einsum("...r,...rk->...k", advantages, chosen) / answers.shape[-1]
    return mean_chosen - jnp.mean(advantages, axis=-1, keepdims=True) * jnp.exp(log_probs)


def tabular_direction(num_answers: int, answers: jax.Array, advantages: jax.Array, dtype) -> jax.Array:
    """Mean advantage of the rollouts that gave each answer, 0 for answers that nobody gave; (prompts, rollouts) -> (prompts,
    answers).
    """
    chosen = jax.nn.one_hot(answers, num_answers, dtype=dtype)
    counts = jnp.sum(chosen, axis=-2)
    return jnp.einsum("...r,...rk->...k", advantages, chosen) / jnp.maximum(counts, 1)
