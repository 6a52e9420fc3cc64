"""Sampled rollouts on a tree: their law, their mean against the exact gradient, and every registered reward
at work.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sharpening import (
    GRPO,
    REWARDS,
    CompoundSymmetric,
    LeafStep,
    NaturalGradient,
    SoftmaxGradient,
    TreeGradient,
    TreePopulation,
    TreeShape,
    get_reward,
    simulate_tree,
)
from sharpening.trees.leaf_rewards import exact_rewards, group_rewards
from sharpening.trees.plan import Policies, TreePlan

SHAPE = TreeShape(2, 3)
RNG = np.random.default_rng(2)
TREE = TreePopulation.from_logits(
    SHAPE, RNG.normal(size=(1, SHAPE.num_nodes, SHAPE.vocab_size)), np.array([[True, False]])
)
NOT_OF_ONE_SEQUENCE = {"self-contrastive", "trajectory-consistency"}


def planned(reward, prompts=1):
    plan = TreePlan(SHAPE, get_reward(reward), "sampled", 0, prompts, 8, 3, 2, True)
    rows = jnp.repeat(jnp.asarray(TREE.log_probs), prompts, axis=0)
    start = jnp.log(jnp.full_like(rows, 1 / 3))
    correct = jnp.repeat(jnp.asarray([[True, False, False]]), prompts, axis=0)
    return (
        plan,
        jnp.asarray(TREE.columns),
        Policies(rows, start, start, correct, jnp.full(prompts, 1 / prompts)),
    )


def test_sampled_sequences_follow_their_law():
    """Chi-square of 40,000 draws over 15 sequences (14 degrees; 42.6 is the 1e-4 quantile)."""
    assert SHAPE.num_leaves == 15
    counts, expected = (
        np.bincount(TREE.sample(0, 40_000)[0], minlength=15),
        40_000 * np.exp(TREE.leaf_log_probs[0]),
    )
    assert np.sum((counts - expected) ** 2 / expected) < 42.6
    assert np.array_equal(TREE.sample(3, 50), TREE.sample(3, 50)) and not np.array_equal(
        TREE.sample(3, 50), TREE.sample(4, 50)
    )


@pytest.mark.parametrize(
    "reward, update",
    [
        ("true", TreeGradient(SoftmaxGradient(), "sum")),
        ("trajectory-entropy", TreeGradient(GRPO(), "grpo")),
        ("probability", TreeGradient(GRPO(), "dapo")),
        ("majority", LeafStep(NaturalGradient(0.1))),
    ],
    ids=str,
)
def test_groups_of_many_rollouts_give_the_exact_move(reward, update):
    """24 groups of 4,000 rollouts: in every node logit the mean is within 5 standard errors, plus 1e-3 for
    the bias O(1/rollouts) of a ratio of means (std, mean length), of the exact move. Two-sided false alarm
    below 6e-7 an entry.
    """
    groups = 24
    plan, columns, now = planned(reward, groups)
    drawn = jnp.asarray(np.concatenate([TREE.sample(seed, 4000) for seed in range(groups)]))
    of_group = jax.jit(
        lambda now, group: update.group_move(plan, now, group, group_rewards(plan, columns, now, 0, group))
    )
    of_all = jax.jit(lambda now: update.move(plan, now, exact_rewards(plan, columns, now, 0)))
    sampled = np.stack([np.asarray(of_group(one(now, g), drawn[g : g + 1]))[0] for g in range(groups)])
    exact = np.asarray(of_all(one(now, 0)))[0]
    error = sampled.std(axis=0, ddof=1) / np.sqrt(groups)
    assert np.all(np.abs(sampled.mean(axis=0) - exact) < 5 * error + 1e-3)
    assert error.max() < 0.01 and np.abs(exact).max() > 0.02


def one(now, g):
    return Policies(*(None if field is None else field[g : g + 1] for field in now))


@pytest.mark.parametrize("name", sorted(REWARDS))
def test_every_registered_reward_acts_on_sequences(name):
    """By `group` on sampled sequences, with all signals made from the tree; and exactly, unless a sequence is
    scored against its group.
    """
    plan, columns, now = planned(name)
    drawn = jnp.asarray(TREE.sample(1, 64))
    sampled = np.asarray(group_rewards(plan, columns, now, 0, drawn))
    assert sampled.shape == (1, 64) and np.isfinite(sampled).all() and np.ptp(sampled) > 0
    if name not in NOT_OF_ONE_SEQUENCE:
        exact = np.asarray(exact_rewards(plan, columns, now, 0))
        assert exact.shape == (1, SHAPE.num_leaves) and np.isfinite(exact).all() and np.ptp(exact) > 0
        if "answers" not in REWARDS[name].card.needs:
            np.testing.assert_allclose(sampled, exact[:, np.asarray(drawn)[0]], rtol=1e-12)


def test_a_sampled_run_with_many_rollouts_follows_the_exact_one():
    """Eight prompts alike, 2,000 rollouts each and a shared part only: noise of order (8 * 2000)^-1/2 a step,
    20 steps of .5.
    """
    tree = TreePopulation(
        SHAPE,
        np.repeat(TREE.log_probs, 8, axis=0),
        np.repeat(TREE.correct, 8, axis=0),
        coupling=CompoundSymmetric(0.0, 1.0),
    )
    run = dict(num_steps=20, eval_every=20, prompts_per_step=8)
    exact = simulate_tree(tree, "probability", SoftmaxGradient(0.5), method="mean_field", **run)
    sampled = simulate_tree(
        tree, "probability", SoftmaxGradient(0.5), method="sampled", rollouts=2000, key=1, **run
    )
    for metric in ("accuracy", "mean_length", "repetition"):
        assert abs(sampled[metric][-1] - exact[metric][-1]) < 5 * 20 * 0.5 / np.sqrt(16_000) / 2, metric
    assert abs(exact["mean_length"][-1] - exact["mean_length"][0]) > 0.01
