"""A tree is a flat policy over its sequences: golden equality with `simulate`, and the natural gradient on
both sides.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpening import (
    GRPO,
    CompoundSymmetric,
    InputError,
    KLProx,
    LeafStep,
    NaturalGradient,
    Population,
    TreeGradient,
    TreePopulation,
    TreeShape,
    by_last_tokens,
    simulate,
    simulate_tree,
    train_tree,
)
from sharpening.testing import policies
from sharpening.trees.passes import edge_values, leaf_log_probs
from sharpening.trees.plan import Policies, TreePlan

FLAT = Population.synthetic(3, 12, 5, strength=1.0, coupling=CompoundSymmetric(0.7, 0.5))
SILENT = FLAT.replace(correct=FLAT.correct & (np.arange(5) < 4), no_answer=4)
SHAPE = TreeShape(2, 3)
BRAKED = "hybrid-weighted(intrinsic=kl-previous, external=true)"


def one_level(population):
    silent = population.no_answer is not None
    shape = TreeShape(5 - silent, 1, int(silent))
    correct = population.correct[:, : 5 - silent]
    return TreePopulation(shape, population.log_probs[:, None], correct, coupling=population.coupling)


def same_curves(flat, tree):
    assert set(flat.metrics) < set(tree.metrics)
    for name in flat.metrics:
        np.testing.assert_allclose(tree[name], flat[name], rtol=1e-11, atol=1e-11, err_msg=name)
    assert tree.floor == flat.floor


@pytest.mark.parametrize(
    "reward, update, settings",
    [
        pytest.param(
            BRAKED,
            KLProx(2.0, "initial"),
            dict(method="mean_field", dataset_size=5, prompts_per_step=5),
            marks=pytest.mark.thorough,
        ),
        ("majority", GRPO(0.8), dict(method="sampled", dataset_size=7, prompts_per_step=4, key=5)),
    ],
    ids=["mean field, previous and initial policy", "sampled"],
)
def test_a_tree_of_one_level_is_the_flat_simulation(reward, update, settings):
    run = dict(num_steps=12, eval_every=3) | settings
    same_curves(
        simulate(SILENT, reward, update, **run), simulate_tree(one_level(SILENT), reward, update, **run)
    )


@pytest.mark.parametrize("loss_type", ["grpo", "dapo", "dr_grpo"])
def test_on_one_level_every_loss_type_is_the_flat_gradient(loss_type):
    plan, now = planned(one_level(FLAT))
    rewards = np.asarray(FLAT.correct, dtype=float)
    moved = np.asarray(TreeGradient(GRPO(0.8), loss_type).move(plan, now, rewards))[:, 0]
    np.testing.assert_allclose(
        moved, 0.8 * np.asarray(GRPO(0.8).direction(FLAT.log_probs, rewards)), atol=1e-15
    )


def planned(tree):
    """The static part and the policies of a tree, for calling an update by itself."""
    plan = TreePlan(tree.shape, None, "exact", 0, 0, 0, tree.num_answers, None, False)
    now = jnp.asarray(tree.log_probs)
    return plan, Policies(now, now, None, None, jnp.asarray(tree.prompt_weights))


def random_tree(seed, prompts=3, shape=SHAPE, scale=1.5, **fields):
    rng = np.random.default_rng(seed)
    logits = scale * rng.normal(size=(prompts, shape.num_nodes, shape.vocab_size))
    truth = rng.integers(shape.num_content, size=prompts)
    return TreePopulation.from_logits(shape, logits, np.arange(shape.num_content) == truth[:, None], **fields)


def test_what_reads_answers_only_does_not_see_the_tree():
    """On sequences, KL-prox and natural gradient with a reward of the answer move answers as if there were no
    tokens, whatever the depth, and keep the law of the sequence given its answer: length and repetition
    cannot collapse, they go to E_0[. | answer].
    """
    tree, update = random_tree(0), NaturalGradient(0.5, "group")
    run = dict(num_steps=30, eval_every=10)
    curves, after = train_tree(tree, "majority", update, **run)
    same_curves(simulate(tree.over_answers(), "majority", update, **run), curves)
    masses = np.stack(
        [[np.logaddexp.reduce(row[tree.columns == a]) for a in range(3)] for row in tree.leaf_log_probs]
    )
    moved = after.over_answers().log_probs - masses
    np.testing.assert_allclose(after.leaf_log_probs - tree.leaf_log_probs, moved[:, tree.columns], atol=1e-9)
    given = np.array(
        [
            [np.average(tree.shape.lengths, weights=np.exp(row) * (tree.columns == a)) for a in range(3)]
            for row in tree.leaf_log_probs
        ]
    )
    np.testing.assert_allclose(
        curves["mean_length"],
        [curve_length(answers, given) for answers in history(tree, update, run)],
        rtol=1e-9,
    )


def history(tree, update, run):
    """Answer masses at the evaluations, from the flat update alone."""
    log_probs, found = tree.over_answers().log_probs, []
    for step in range(run["num_steps"] + 1):
        if step % run["eval_every"] == 0:
            found.append(np.exp(log_probs))
        leads = (np.arange(3) == log_probs[:, :2].argmax(axis=1)[:, None]).astype(float)
        log_probs = np.asarray(update.step(log_probs, leads))
    return found


def curve_length(answers, given):
    return float(np.mean((answers * given).sum(axis=1)))


def test_kl_prox_on_sequences_is_the_flat_one_for_any_reward():
    """pi'(y) proportional to pi(y) exp(r(y)/beta), in NumPy on the leaves alone."""
    tree, rewards = random_tree(1), np.random.default_rng(0).normal(size=(3, SHAPE.num_leaves))
    moved = tree.log_probs + np.asarray(LeafStep(KLProx(0.2)).move(*planned(tree), rewards))
    leaves = tree.leaf_log_probs + rewards / 0.2
    leaves = leaves - np.logaddexp.reduce(leaves, axis=1, keepdims=True)
    np.testing.assert_allclose(TreePopulation(SHAPE, moved).leaf_log_probs, leaves, atol=1e-12)


def test_for_small_steps_it_is_the_natural_gradient_in_the_node_logits():
    """Q(n, v) - V(n) along a sequence telescopes to r(y) - V(root): the two agree to first order, and differ
    by O(step^2).
    """
    tree = random_tree(2)
    plan, now = planned(tree)
    rewards = np.random.default_rng(3).normal(size=(3, SHAPE.num_leaves))
    q = np.asarray(edge_values(SHAPE, tree.log_probs, rewards))
    gaps = []
    for step in (0.1, 0.05, 0.025):
        on_leaves = np.asarray(LeafStep(NaturalGradient(step)).move(plan, now, rewards))
        one, two = (
            np.asarray(leaf_log_probs(SHAPE, jax.nn.log_softmax(tree.log_probs + move, axis=-1)))
            for move in (on_leaves, step * q)
        )
        gaps.append(np.abs(one - two).max())
        assert np.abs(one - tree.leaf_log_probs).max() > 10 * gaps[-1]
    slopes = np.log2(np.array(gaps[:-1]) / gaps[1:])
    assert np.all(np.abs(slopes - 2) < 0.1), slopes


HARD = policies(2 * SHAPE.num_nodes, SHAPE.vocab_size).map(
    lambda rows: rows.reshape(2, SHAPE.num_nodes, SHAPE.vocab_size)
)


@given(HARD, st.sampled_from([1e-3, 1.0, 1e3]))
def test_a_step_on_sequences_survives_faces_and_1e_300(log_probs, step):
    """No NaN; masses sum to 1; impossible stays impossible; log-odds of possible sequences move by exactly
    step * (r - r').
    """
    tree = TreePopulation(SHAPE, log_probs)
    plan, now = planned(tree)
    rewards = (SHAPE.repetition + SHAPE.lengths / 7.0) * np.ones((2, 1))
    after = np.asarray(
        leaf_log_probs(
            SHAPE,
            jax.nn.log_softmax(log_probs + LeafStep(NaturalGradient(step)).move(plan, now, rewards), axis=-1),
        )
    )
    assert not np.isnan(after).any()
    np.testing.assert_allclose(np.exp(after).sum(axis=1), 1, rtol=1e-9)
    before = tree.leaf_log_probs
    assert np.array_equal(after == -np.inf, before == -np.inf)
    for prompt in range(2):
        possible = before[prompt] > -np.inf
        moved = after[prompt][possible] - before[prompt][possible] - step * rewards[prompt][possible]
        np.testing.assert_allclose(moved - moved[0], 0, atol=1e-9 * max(1, step))


def test_updates_and_rewards_that_do_not_fit_are_refused():
    tree = random_tree(0, prompts=2)
    for bad in (
        lambda: simulate_tree(tree.replace(ties=by_last_tokens(SHAPE, 1)), "majority", KLProx(), num_steps=1),
        lambda: simulate_tree(tree.replace(correct=None), "true", GRPO(), num_steps=1),
        lambda: simulate_tree(tree, "self-contrastive", GRPO(), num_steps=1),
        lambda: simulate_tree(tree, None, GRPO(), num_steps=1),
        lambda: simulate_tree(tree, "majority", GRPO(), num_steps=1, loss_type="mean"),
        lambda: simulate_tree(tree, "majority", GRPO(), num_steps=1, dataset_size=2),
        lambda: simulate_tree(tree, "majority", "grpo", num_steps=1),
        lambda: simulate_tree(FLAT, "majority", GRPO(), num_steps=1),
        lambda: TreeGradient(KLProx()),
    ):
        with pytest.raises(InputError):
            bad()
