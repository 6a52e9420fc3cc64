"""Rewards of finished sequences, so that every registered reward acts on a tree without knowing that there
are trees.

A reward that reads tokens is `group` on the statistics of all leaves, each leaf one rollout. A reward that
reads answers is `exact` on the masses of the answers, and every leaf gets its answer's reward. Sampled
rollouts are `group`, as on a transformer.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from sharpening.errors import InputError
from sharpening.metrics import NO_ANSWER
from sharpening.rewards import Reward, asking
from sharpening.simulation.blame import watch_rewards
from sharpening.trees.passes import leaf_log_probs
from sharpening.trees.plan import Policies, TreePlan
from sharpening.trees.statistics import answer_log_masses, answers_after_prefixes, leaf_statistics

OF_THE_SEQUENCE = {"tokens", "reference_log_probs", "previous_log_probs", "states"}


def reads_sequences(reward: Reward) -> bool:
    """True if the reward looks at sequences, False if it looks at their answers only."""
    return bool(OF_THE_SEQUENCE & set(reward.card.needs))


def check_of_one_sequence(plan: TreePlan, columns: jax.Array, now: Policies) -> None:
    """InputError if the reward of a sequence depends on the other rollouts of its group: then it has no exact
    form over leaves.

    Tried on 32 pairs of leaves that share their first, under the first prompt's policy.
    """
    rng, count = np.random.default_rng(0), 32
    policies = jax.tree.map(lambda field: jnp.repeat(field[:1], count, axis=0), now)
    first = rng.integers(plan.shape.num_leaves, size=(count, 1))
    pairs = [
        jnp.asarray(np.hstack([first, rng.integers(plan.shape.num_leaves, size=(count, 1))]))
        for _ in range(2)
    ]
    one, two = (
        np.asarray(group_rewards(plan, columns, policies, jnp.zeros((), jnp.int32), drawn))[:, 0]
        for drawn in pairs
    )
    if not np.allclose(one, two, rtol=1e-9, atol=1e-12):
        rule = (
            f"{plan.reward.name!r} compares a sequence with the others of its group: it has no exact form"
            " over sequences"
        )
        raise InputError("method", plan.method, rule, 'Use method="sampled"')


def exact_rewards(plan: TreePlan, columns: jax.Array, now: Policies, step: jax.Array) -> jax.Array:
    """r of every leaf under infinitely many rollouts, (prompts, leaves), finite for impossible leaves too."""
    leaves = leaf_log_probs(plan.shape, now.log_probs)
    if reads_sequences(plan.reward):
        drawn = jnp.broadcast_to(jnp.arange(plan.shape.num_leaves)[None], leaves.shape)
        return group_rewards(plan, columns, now, step, drawn)

    def masses(policies):
        return answer_log_masses(leaf_log_probs(plan.shape, policies), columns, plan.num_columns)  # noqa: E731

    signals = _wanted(
        plan.reward,
        reference_log_probs=lambda: masses(now.initial),
        previous_log_probs=lambda: masses(now.previous),
        step=lambda: step,
    )
    signals = {name.removesuffix("_log_probs"): value for name, value in signals.items()}
    of_answers = asking.exact_rewards(
        plan.reward,
        answer_log_masses(leaves, columns, plan.num_columns),
        now.correct,
        no_answer=plan.no_answer,
        **signals,
    )
    of_leaves = jnp.asarray(of_answers, leaves.dtype)[:, columns]
    return jnp.where(jnp.isfinite(of_leaves) | (leaves > -jnp.inf), of_leaves, 0.0)


def group_rewards(
    plan: TreePlan, columns: jax.Array, now: Policies, step: jax.Array, drawn: jax.Array
) -> jax.Array:
    """r of sampled sequences, (prompts, rollouts), from their leaf indices `drawn` (prompts, rollouts)
    int.
    """
    shape, reward = plan.shape, plan.reward
    leaves = leaf_log_probs(shape, now.log_probs)
    answers = columns if plan.no_answer is None else jnp.where(columns == plan.no_answer, NO_ANSWER, columns)
    is_correct = None if now.correct is None else jnp.take_along_axis(now.correct[:, columns], drawn, axis=1)
    signals = _wanted(
        reward,
        tokens=lambda: jax.tree.map(lambda field: _rows(field, drawn), leaf_statistics(shape, now.log_probs)),
        reference_log_probs=lambda: _rows(_possible(shape, now.initial), drawn),
        previous_log_probs=lambda: (
            None if now.previous is None else _rows(_possible(shape, now.previous), drawn)
        ),
        states=lambda: _rows(
            answers_after_prefixes(shape, leaves, columns, plan.num_columns, plan.no_answer), drawn
        ),
        step=lambda: step,
    )
    found = asking.group_rewards(reward, answers[drawn], is_correct, **signals)
    return jnp.asarray(found, leaves.dtype)


def loud(plan: TreePlan, now: Policies, step: jax.Array, rewards: jax.Array, moves: jax.Array) -> jax.Array:
    """The moves of the node logits, NaN for a prompt whose rewards are not finite: a step on sequences would
    keep its policies as they are. Reports such steps where the plan says so.
    """
    if plan.watch:
        watch_rewards(rewards, now.log_probs, None, step)
    sound = jnp.isfinite(rewards).all(axis=1).reshape(-1, *[1] * (moves.ndim - 1))
    return jnp.where(sound, moves, jnp.nan)


def _wanted(reward: Reward, **signals: Callable) -> dict:
    """The signals that the reward's card lists."""
    return {name: make() for name, make in signals.items() if name in reward.card.needs}


def _rows(values: jax.Array, drawn: jax.Array) -> jax.Array:
    """values[p, drawn[p, r]]: (prompts, leaves, ...) -> (prompts, rollouts, ...)."""
    return values[jnp.arange(len(values))[:, None], drawn]


def _possible(shape, log_probs: jax.Array) -> jax.Array:
    """Leaf log-probabilities with a finite number, the least of the row, for impossible leaves."""
    leaves = leaf_log_probs(shape, log_probs)
    possible = leaves > -jnp.inf
    least = jnp.min(jnp.where(possible, leaves, 0.0), axis=1, keepdims=True)
    return jnp.where(possible, leaves, least)
