"""Gradients through tokens: objectives that are differentiated themselves, and what TRL's loss types do to
length.
"""

import jax.numpy as jnp
import numpy as np
import pytest

from sharpening import GRPO, Objective, TreeGradient, TreePopulation, TreeShape, simulate_tree
from sharpening.trees.plan import Policies, TreePlan

SHAPE = TreeShape(2, 3)
RNG = np.random.default_rng(6)
LOGITS = RNG.normal(size=(SHAPE.num_nodes, SHAPE.vocab_size))


def moved(update, tree, rewards=None):
    now = jnp.asarray(tree.log_probs)
    return np.asarray(update.move(plan_of(tree), Policies(now, now, None, None, jnp.ones(len(now))), rewards))


def plan_of(tree):
    return TreePlan(tree.shape, None, "exact", 0, 0, 0, tree.num_answers, None, False)


def statistic(name, row, token):
    if name == "self-certainty":
        return -np.mean(np.log(row * len(row)))
    return np.sum(row * np.log(row)) if name == "token-entropy" else np.log(row[token])


def objective(name, tokens, sampling):
    """E over sequences drawn with logits `sampling` of the mean statistic under logits `tokens`, one sequence
    at a time.
    """
    p, s = (np.exp(z) / np.exp(z).sum(axis=1, keepdims=True) for z in (tokens, sampling))
    total = 0.0
    for leaf in range(SHAPE.num_leaves):
        steps = list(
            zip(SHAPE.path[leaf][SHAPE.mask[leaf]], SHAPE.tokens[leaf][SHAPE.mask[leaf]], strict=True)
        )
        total += np.prod([s[node, token] for node, token in steps]) * np.mean(
            [statistic(name, p[node], token) for node, token in steps]
        )
    return total


def slope(function):
    """Central differences in every node logit."""
    found = np.zeros_like(LOGITS)
    for index in np.ndindex(*LOGITS.shape):
        bump = np.zeros_like(LOGITS)
        bump[index] = 1e-5
        found[index] = (function(LOGITS + bump) - function(LOGITS - bump)) / 2e-5
    return found


@pytest.mark.parametrize("name", ["self-certainty", "token-entropy", "trajectory-entropy"])
def test_objectives_are_differentiated_exactly(name):
    tree = TreePopulation.from_logits(SHAPE, LOGITS[None])
    parts = {
        "tokens": slope(lambda z: objective(name, z, LOGITS)),
        "sampling": slope(lambda z: objective(name, LOGITS, z)),
        "both": slope(lambda z: objective(name, z, z)),
    }
    for through, wanted in parts.items():
        np.testing.assert_allclose(
            moved(Objective(name, 1.0, through), tree)[0], wanted, atol=1e-9, err_msg=through
        )
    assert min(np.abs(part).max() for part in parts.values()) > 1e-3


def test_on_one_token_objectives_follow_s7_and_the_rewards_say_nothing():
    """z' = pi - 1/K for KL(uniform || pi), z' = pi (log pi + H) for -H(pi); what acts through sampling is
    exactly 0.
    """
    p = np.array([0.5, 0.3, 0.15, 0.05])
    tree = TreePopulation(TreeShape(4, 1, 0), np.log(p)[None, None])
    np.testing.assert_allclose(moved(Objective("self-certainty"), tree)[0, 0], p - 1 / 4, atol=1e-15)
    np.testing.assert_allclose(
        moved(Objective("token-entropy"), tree)[0, 0], p * (np.log(p) - np.sum(p * np.log(p))), atol=1e-15
    )
    for name in ("self-certainty", "token-entropy"):
        assert np.all(moved(Objective(name, 1.0, "sampling"), tree) == 0)


def test_an_objective_rises_along_its_own_flow():
    tree = TreePopulation.from_logits(SHAPE, LOGITS[None], np.array([[True, False]]))
    run = simulate_tree(tree, None, Objective("token-entropy", 0.5), num_steps=100)
    assert (
        run.settings["reward"] is None
        and np.all(np.diff(run["perplexity"]) < 1e-12)
        and run["perplexity"][-1] < 1.2
    )


def answer_then_length():
    """The first token is the answer, right with probability .4; after it the sequence goes on or ends, alike
    for both answers.
    """
    shape = TreeShape(2, 4)
    logits = np.zeros((1, shape.num_nodes, 3))
    logits[0, 0] = [np.log(0.4), np.log(0.6), -np.inf]
    return TreePopulation.from_logits(shape, logits, np.array([[True, False]]), answers="first")


def length_given(tree, log_probs):
    """Mean length of right and of wrong sequences."""
    after = tree.replace(log_probs=log_probs - np.logaddexp.reduce(log_probs, axis=-1, keepdims=True))
    mass = np.exp(after.leaf_log_probs[0])
    return [np.average(tree.shape.lengths, weights=mass * (tree.answers == a)) for a in (0, 1)]


@pytest.mark.parametrize("loss_type", ["sum", "grpo", "dapo", "dr_grpo"])
def test_only_the_mean_over_each_sequence_biases_length(loss_type):
    """Rewarded for its first token alone, a sequence has no reason to change its length, and with "sum",
    "dapo" and "dr_grpo" no later logit moves, to the last bit. With "grpo" right answers get shorter and
    wrong ones longer: it is the gradient of E[A/T].
    """
    tree = answer_then_length()
    rewards = (tree.answers == 0).astype(float)[None]
    change = moved(TreeGradient(GRPO(1.0), loss_type), tree, rewards)
    right, wrong = np.subtract(
        length_given(tree, tree.log_probs + change), length_given(tree, tree.log_probs)
    )
    if loss_type == "grpo":
        assert right < -0.01 and wrong > 0.01
    else:
        assert np.all(change[:, 1:] == 0) and abs(right) < 1e-12 and abs(wrong) < 1e-12
    assert change[0, 0, 0] > 0.01


def test_the_mean_over_each_sequence_is_the_gradient_of_advantage_over_length():
    tree = TreePopulation.from_logits(SHAPE, LOGITS[None])
    rewards = RNG.normal(size=(1, SHAPE.num_leaves))
    mass = np.exp(tree.leaf_log_probs)
    advantages = (rewards - (mass * rewards).sum()) / (
        np.sqrt((mass * (rewards - (mass * rewards).sum()) ** 2).sum()) + 1e-4
    )

    def value(z):
        return float(
            np.exp(TreePopulation.from_logits(SHAPE, z[None]).leaf_log_probs[0])
            @ (advantages[0] / SHAPE.lengths)
        )

    np.testing.assert_allclose(
        moved(TreeGradient(GRPO(1.0), "grpo"), tree, rewards)[0], slope(value), atol=1e-9
    )
