"""Token trees: which sequences there are, how masses flow along the levels and back, and what is refused."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpening import InputError, TreePopulation, TreeShape, by_last_tokens, by_run_length
from sharpening.testing import policies
from sharpening.trees.passes import (
    edge_sums,
    edge_values,
    factorise,
    leaf_log_probs,
    score_gradient,
    softmax_gradient,
)
from sharpening.trees.statistics import answer_log_masses, answers_after_prefixes, leaf_statistics

SHAPES = [
    TreeShape(1, 1),
    TreeShape(3, 1, 0),
    TreeShape(2, 3, 0),
    TreeShape(2, 3),
    TreeShape(3, 2, 2),
    TreeShape(1, 4),
    TreeShape(2, 4, 3),
]
SMALL = TreeShape(2, 3, 2)
PLAIN = policies(2 * SMALL.num_nodes, SMALL.vocab_size, faces=False).map(
    lambda rows: rows.reshape(2, SMALL.num_nodes, SMALL.vocab_size)
)
FACES = policies(2 * SMALL.num_nodes, SMALL.vocab_size).map(
    lambda rows: rows.reshape(2, SMALL.num_nodes, SMALL.vocab_size)
)


def listed(shape):
    """Every finished sequence, written out by recursion."""

    def grow(prefix):
        if len(prefix) == shape.max_length:
            return [prefix]
        ended = [(*prefix, shape.num_content + e) for e in range(shape.num_ends)]
        return ended + [leaf for token in range(shape.num_content) for leaf in grow((*prefix, token))]

    return sorted(grow(()))


def sequences(shape):
    return [tuple(int(token) for token in row if token >= 0) for row in shape.tokens]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_leaves_are_all_finished_sequences_once(shape):
    found = sequences(shape)
    assert sorted(found) == listed(shape) and len(found) == shape.num_leaves
    assert [shape.leaf(tokens) for tokens in found] == list(range(shape.num_leaves))
    prefixes = [tuple(int(token) for token in row if token >= 0) for row in shape.node_prefixes]
    assert prefixes == [
        word
        for depth in range(shape.max_length)
        for word in itertools.product(range(shape.num_content), repeat=depth)
    ]
    for leaf, tokens in enumerate(found):
        assert [prefixes[node] for node in shape.path[leaf][shape.mask[leaf]]] == [
            tokens[:t] for t in range(len(tokens))
        ]
        content = [token for token in tokens if token < shape.num_content]
        pairs = list(itertools.pairwise(content))
        assert shape.lengths[leaf] == len(tokens) and shape.content_lengths[leaf] == len(content)
        assert shape.repetition[leaf] == (sum(a == b for a, b in pairs) / len(pairs) if pairs else 0)
        assert shape.last_content[leaf] == (content[-1] if content else -1)
        assert shape.first_content[leaf] == (content[0] if content else -1)
        assert shape.which_end[leaf] == (
            tokens[-1] - shape.num_content if tokens[-1] >= shape.num_content else -1
        )


def test_one_level_lists_the_tokens_in_their_order():
    assert np.array_equal(TreeShape(4, 1, 2).tokens[:, 0], np.arange(6))


@given(FACES)
def test_masses_of_sequences_sum_to_one_and_factorise_back(log_probs):
    """On faces and down to 1e-300 a token (so 1e-900 a sequence): no NaN, total mass 1, and node policies
    come back where they matter.
    """
    leaves = np.asarray(leaf_log_probs(SMALL, log_probs))
    assert not np.isnan(leaves).any()
    np.testing.assert_allclose(np.exp(leaves).sum(axis=1), 1, rtol=1e-12)
    marks = np.full_like(log_probs, 7.0)
    back = np.asarray(factorise(SMALL, leaves, marks))
    unreached = (back == 7.0).all(axis=-1)
    reach = np.stack([[leaves[p][(SMALL.path == n).any(axis=1) & (SMALL.mask & (SMALL.path == n)).any(axis=1)].max() for n in range(SMALL.num_nodes)]
                      for p in range(2)])  # fmt: skip
    assert np.array_equal(unreached, reach == -np.inf)
    with np.errstate(invalid="ignore"):
        off = np.where(log_probs == back, 0, np.abs(back - log_probs))
    assert off[~unreached].max(initial=0) < 1e-9


@given(PLAIN, st.integers(0, 2**32 - 1))
def test_every_distribution_over_sequences_is_a_tree_policy(log_probs, seed):
    """Any leaf masses, not only those of a tree, survive factorise and leaf_log_probs."""
    wanted = np.random.default_rng(seed).normal(scale=5.0, size=(2, SMALL.num_leaves))
    wanted -= np.log(np.exp(wanted).sum(axis=1, keepdims=True))
    got = np.asarray(leaf_log_probs(SMALL, factorise(SMALL, wanted, log_probs)))
    np.testing.assert_allclose(got, wanted, atol=1e-12)


@given(FACES, st.integers(0, 2**32 - 1))
def test_values_and_gradient_equal_sums_over_leaves(log_probs, seed):
    """Q is the conditional mean over the leaves below; the gradient is the REINFORCE sum written out leaf by
    leaf.
    """
    values = np.random.default_rng(seed).normal(size=(2, SMALL.num_leaves))
    leaves, probs = np.asarray(leaf_log_probs(SMALL, log_probs)), np.exp(log_probs)
    gradient, sums = np.zeros_like(log_probs), np.zeros_like(log_probs)
    for leaf in range(SMALL.num_leaves):
        for node, token in zip(
            SMALL.path[leaf][SMALL.mask[leaf]], SMALL.tokens[leaf][SMALL.mask[leaf]], strict=True
        ):
            weight = np.exp(leaves[:, leaf]) * values[:, leaf]
            gradient[:, node] -= weight[:, None] * probs[:, node]
            gradient[:, node, token] += weight
            sums[:, node, token] += values[:, leaf]
    np.testing.assert_allclose(np.asarray(softmax_gradient(SMALL, log_probs, values)), gradient, atol=1e-13)
    np.testing.assert_allclose(np.asarray(edge_sums(SMALL, values)), sums, atol=1e-12)
    root = np.asarray(edge_values(SMALL, log_probs, values))[:, 0]
    np.testing.assert_allclose(
        (probs[:, 0] * root).sum(axis=1), (np.exp(leaves) * values).sum(axis=1), atol=1e-13
    )


def test_equal_values_below_a_node_give_no_gradient_there_to_the_last_bit():
    rng = np.random.default_rng(0)
    log_probs = TreePopulation.from_logits(
        SMALL, rng.normal(size=(2, SMALL.num_nodes, SMALL.vocab_size))
    ).log_probs
    values = np.where(SMALL.tokens[:, 0] == 0, 0.1, -0.7) * np.ones((2, 1))
    gradient = np.asarray(softmax_gradient(SMALL, log_probs, values))
    assert np.all(gradient[:, 1:] == 0) and np.abs(gradient[:, 0]).min() > 0


def test_all_leaves_as_rollouts_weighted_by_mass_give_the_exact_gradient():
    rng = np.random.default_rng(1)
    log_probs = TreePopulation.from_logits(
        SMALL, rng.normal(size=(2, SMALL.num_nodes, SMALL.vocab_size))
    ).log_probs
    values = rng.normal(size=(2, SMALL.num_leaves))
    every = np.broadcast_to(np.arange(SMALL.num_leaves), values.shape)
    weighted = values * np.exp(np.asarray(leaf_log_probs(SMALL, log_probs))) * SMALL.num_leaves
    np.testing.assert_allclose(
        np.asarray(score_gradient(SMALL, log_probs, every, weighted)),
        np.asarray(softmax_gradient(SMALL, log_probs, values)),
        atol=1e-14,
    )


@given(FACES)
def test_token_statistics_are_finite_and_agree_with_the_leaves(log_probs):
    tokens, leaves = leaf_statistics(SMALL, log_probs), np.asarray(leaf_log_probs(SMALL, log_probs))
    possible = leaves > -np.inf
    for field in (tokens.log_prob, tokens.entropy, tokens.uniform_cross_entropy, tokens.gap):
        assert np.isfinite(np.asarray(field)).all()
    np.testing.assert_allclose(
        np.asarray(tokens.total(tokens.log_prob))[possible], leaves[possible], rtol=1e-12
    )
    assert np.array_equal(np.asarray(tokens.lengths), np.broadcast_to(SMALL.lengths, leaves.shape))


def test_answer_masses_keep_exact_ties_of_sums():
    """Three leaves of mass a and b in two orders: the sums differ in the last place, and are told equal."""
    leaves = np.log(np.array([[0.1, 0.2, 0.15, 0.15, 0.2, 0.1, 0.1]]))
    columns = np.array([0, 0, 0, 1, 1, 1, 2])
    masses = np.asarray(answer_log_masses(leaves, columns, 4))
    assert masses[0, 0] == masses[0, 1] and masses[0, 3] == -np.inf
    np.testing.assert_allclose(np.exp(masses[0, :3]), [0.45, 0.45, 0.1], rtol=1e-12)
    alone = np.asarray(answer_log_masses(leaves, np.arange(7), 7))
    assert np.array_equal(alone, leaves)


def test_states_are_the_modal_answers_given_each_prefix():
    shape = TreeShape(2, 3)
    rng = np.random.default_rng(4)
    tree = TreePopulation.from_logits(shape, rng.normal(size=(3, shape.num_nodes, shape.vocab_size)))
    states = np.asarray(answers_after_prefixes(shape, tree.leaf_log_probs, tree.columns, 3, tree.no_answer))
    columns, masses_of = tree.columns, np.exp(tree.leaf_log_probs)
    found = sequences(shape)
    for prompt, (leaf, tokens) in itertools.product(range(3), enumerate(found)):
        for t in range(2):
            masses = np.zeros(3)
            for other, theirs in enumerate(found):
                if theirs[: t + 1] == tokens[: t + 1]:
                    masses[columns[other]] += masses_of[prompt, other]
            best = int(masses.argmax())
            assert states[prompt, leaf, t] == (-1 if best == tree.no_answer else best)


def test_ties_share_what_they_say():
    shape = TreeShape(2, 4)
    whole = by_last_tokens(shape, 3)
    assert len(np.unique(whole)) == whole.size
    assert len(np.unique(by_last_tokens(shape, 0))) == shape.vocab_size
    markov, runs = by_last_tokens(shape, 1), by_run_length(shape, 2)
    at = {tuple(int(t) for t in row if t >= 0): node for node, row in enumerate(shape.node_prefixes)}
    assert (
        np.array_equal(markov[at[0, 1]], markov[at[1, 1, 1]])
        and not np.intersect1d(markov[at[0,]], markov[at[1,]]).size
    )
    assert runs[at[0, 0], 0] == runs[at[1, 1], 1] == runs[at[1, 1, 1], 1], (
        "repeating is one habit, whichever the token"
    )
    assert runs[at[0, 0], 1] != runs[at[1, 1], 0] and runs[at[0,], 0] != runs[at[0, 0], 0]


def test_a_tree_answers_as_its_user_says():
    shape = TreeShape(2, 2)
    logits = np.zeros((1, shape.num_nodes, 3))
    for answers, wanted in (
        ("last", shape.last_content),
        ("first", shape.first_content),
        (lambda y: len(y) - 1, shape.lengths - 1),
    ):
        assert np.array_equal(TreePopulation.from_logits(shape, logits, answers=answers).answers, wanted)
    tree = TreePopulation.from_logits(shape, logits, np.array([[True, False]]), token_names=("a", "b", "."))
    assert tree.no_answer == 2 and tree.likeliest(0, 1) == [(".", pytest.approx(1 / 3))]
    assert tree.text(shape.leaf((1, 0))) == "b a"
    assert tree.over_answers().accuracy == pytest.approx(1 / 3) == tree.over_leaves().accuracy
    assert tree.base_rate_floor == 1.0 and tree.select(slice(0, 1)).num_prompts == 1


def test_bad_input_is_named():
    shape = TreeShape(2, 2)
    rows = np.log(np.full((1, shape.num_nodes, 3), 1 / 3))
    for bad in (
        lambda: TreeShape(0, 1),
        lambda: TreeShape(2, 21),
        lambda: TreeShape(2, 2).leaf((0,)),
        lambda: TreePopulation(shape, rows[:, :2]),
        lambda: TreePopulation(shape, rows + 0.1),
        lambda: TreePopulation(shape, rows, answers="middle"),
        lambda: TreePopulation(shape, rows, answers=np.full(shape.num_leaves, -1)),
        lambda: TreePopulation(shape, rows, np.ones((1, 1), dtype=bool)),
        lambda: TreePopulation(shape, rows, ties=np.zeros((2, 3), dtype=int)),
        lambda: TreePopulation(shape, rows, weights=np.array([-1.0])),
        lambda: TreePopulation(shape, rows, token_names=("a",)),
        lambda: TreePopulation(None, rows),
        lambda: by_run_length(shape, 0),
        lambda: by_last_tokens(shape, -1),
    ):
        with pytest.raises(InputError):
            bad()
