"""Rewards against their mean, in exact and in group form, with the cancellation at consensus removed (theorem
N3).
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

from sharpening.arrays import array_module
from sharpening.updates.policy import Policy, row_max, row_sum


def relative_rewards(
    log_probs: Shaped[Any, "*batch answers"], rewards: Shaped[Any, "*batch answers"], full: bool = False
) -> Shaped[Any, "*batch answers"]:
    """Rewards minus their maximum over possible answers, <= 0 there, and 0 for impossible answers; (prompts,
    answers) -> the same. `full`: all are possible.
    """
    if full:
        return rewards - row_max(rewards)
    xp = array_module(log_probs, rewards)
    possible = log_probs > -xp.inf
    return xp.where(possible, rewards - row_max(xp.where(possible, rewards, -xp.inf)), 0.0)


def policy_advantages(
    policy: Policy, rewards: Shaped[Any, "*batch answers"]
) -> Shaped[Any, "*batch answers"]:
    """Advantage of every answer over the policy's mean reward: A_a = r_a - sum_b pi_b r_b; 0 for impossible
    answers.

    `rewards`: (..., answers); returns the same shape, in reward. Both terms are taken relative to the maximal
    reward first: the mean is then a sum over the losers' masses, so it keeps full relative precision when 1 -
    pi(leader) is 1e-300.
    """
    relative = relative_rewards(policy.log_probs, rewards, policy.full)
    advantages = relative - row_sum(policy.probs * relative)
    xp = array_module(policy.log_probs, advantages)
    return advantages if policy.full else xp.where(policy.log_probs > -xp.inf, advantages, 0.0)


def policy_std(policy: Policy, advantages: Shaped[Any, "*batch answers"]) -> Shaped[Any, "*batch 1"]:
    """Population standard deviation of the reward under the policy, (..., 1), in reward."""
    squares = row_sum(policy.probs * advantages * advantages)
    return array_module(squares).sqrt(squares)


def exact_advantages(
    log_probs: Shaped[Any, "*batch answers"], rewards: Shaped[Any, "*batch answers"]
) -> Shaped[Any, "*batch answers"]:
    """`policy_advantages` of the policy with these log-probabilities (..., answers), nats."""
    return policy_advantages(Policy.of(log_probs), rewards)


def exact_std(
    log_probs: Shaped[Any, "*batch answers"], advantages: Shaped[Any, "*batch answers"]
) -> Shaped[Any, "*batch 1"]:
    """`policy_std` of the policy with these log-probabilities (..., answers), nats."""
    return policy_std(Policy.of(log_probs), advantages)


def divide_by_std(
    advantages: Shaped[Any, "*batch answers"], std: Shaped[Any, "*batch #answers"], eps: float
) -> Shaped[Any, "*batch answers"]:
    """advantages / (std + eps); where std is 0 there is no signal and the result is 0, also for eps = 0."""
    xp = array_module(advantages, std)
    return advantages * xp.where(std > 0, 1.0 / xp.where(std > 0, std + eps, 1.0), 0.0)


def group_advantages(
    rewards: Shaped[Any, "*batch rollouts"], scale: str = "none", eps: float = 1e-4
) -> Shaped[Any, "*batch rollouts"]:
    """Advantage of each rollout over its group: A_i = r_i - mean(r), divided by (sample std + eps) if scale =
    "group"; (..., rollouts).
    """
    xp = array_module(rewards)
    advantages = rewards - xp.mean(rewards, axis=-1, keepdims=True)
    if scale == "none":
        return advantages
    std = xp.std(rewards, axis=-1, ddof=1, keepdims=True)
    same = xp.max(rewards, axis=-1, keepdims=True) == xp.min(rewards, axis=-1, keepdims=True)
    return divide_by_std(advantages, xp.where(same, 0.0, std), eps)


def answer_sums(
    num_answers: int, answers: Shaped[Any, "prompts rollouts"], values: Shaped[Any, "prompts rollouts"]
) -> Shaped[Any, "prompts {num_answers}"]:
    """Sum of `values` over the rollouts that gave each answer; (prompts, rollouts) -> (prompts, answers).
    Negative ids count for none.
    """
    xp = array_module(answers, values)
    columns = xp.where(answers < 0, num_answers, answers)
    rows = xp.arange(len(answers), dtype=columns.dtype)[:, None]
    if xp is np:
        sums = np.zeros((len(answers), num_answers + 1), values.dtype)
        np.add.at(sums, (rows, np.minimum(columns, num_answers)), values)
        return sums[:, :-1]
    return jnp.zeros((len(answers), num_answers), values.dtype).at[rows, columns].add(values, mode="drop")


def score_direction(
    probs: Shaped[Any, "prompts answers"],
    answers: Shaped[Any, "prompts rollouts"],
    advantages: Shaped[Any, "prompts rollouts"],
) -> Shaped[Any, "prompts answers"]:
    """REINFORCE in logit space: mean over rollouts of A_i (onehot(a_i) - pi); (prompts, rollouts) ->
    (prompts, answers).
    """
    chosen = answer_sums(probs.shape[-1], answers, advantages / answers.shape[-1])
    return chosen - array_module(advantages).mean(advantages, axis=-1, keepdims=True) * probs


def tabular_direction(
    num_answers: int, answers: Shaped[Any, "prompts rollouts"], advantages: Shaped[Any, "prompts rollouts"]
) -> Shaped[Any, "prompts {num_answers}"]:
    """Mean advantage of the rollouts that gave each answer, 0 for answers that nobody gave; (prompts,
    rollouts) -> (prompts, answers).
    """
    xp = array_module(answers, advantages)
    counts = answer_sums(num_answers, answers, xp.ones_like(advantages))
    return answer_sums(num_answers, answers, advantages) / xp.maximum(counts, 1)
