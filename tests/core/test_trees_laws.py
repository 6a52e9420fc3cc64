"""What certainty rewards do to sequences: length collapse, repetition collapse, and where neither appears
(theorem S7; He et al. 2026).

Laws of KL-prox steps are checked in NumPy on the masses of sequences, which is what `LeafStep` does
(test_trees_flat.py).
"""

import numpy as np
import pytest

from sharpening import KLProx, SoftmaxGradient, TreePopulation, TreeShape, thinking_prior, train_tree

SHAPE = TreeShape(2, 5)
LENGTHS = SHAPE.lengths


def normal(u):
    return u - np.logaddexp.reduce(u)


def random_leaves(seed):
    """Log-masses of sequences under a random prior: sharp or flat, ending early or late."""
    rng = np.random.default_rng(seed)
    logits = rng.choice([0.5, 1.0, 2.0]) * rng.normal(size=(1, SHAPE.num_nodes, SHAPE.vocab_size))
    logits[:, :, -1] += rng.choice([-1.0, 0.0, 1.0])
    tree = TreePopulation.from_logits(SHAPE, logits)
    return tree.leaf_log_probs[0], np.exp(tree.log_probs[0])


def prox_until_consensus(u, reward, step, most=4000):
    """u_{k+1} = u_k + step * r(u_k), normalised; all iterates."""
    path = [u]
    while np.exp(u).max() < 1 - 1e-8 and len(path) < most:
        u = normal(u + step * reward(u))
        path.append(u)
    return path


@pytest.mark.parametrize("seed", range(30))
def test_probability_ends_in_the_most_probable_sequence_whose_length_is_bounded(seed):
    """r = pi(y) is comonotone with pi(y), so S4 holds on sequences: the mode's mass never falls, its lead d
    in log-odds grows by at least step * pi_0(mode)(1 - e^-d_0) a step, and the limit is the mode. So length
    collapses to the minimum exactly if a shortest sequence is the mode. A sequence of T tokens has pi(y) <=
    q^T, q the largest next-token probability: the final length is at most log pi(mode)/log q.
    """
    u, tokens = random_leaves(seed)
    mode, rival = np.argsort(u)[::-1][:2]
    path = np.array(prox_until_consensus(u, np.exp, 5.0))
    assert path[-1].argmax() == mode and np.exp(path[-1][mode]) > 1 - 1e-8
    assert np.all(np.diff(path[:, mode]) >= -1e-12)
    lead = path[:, mode] - path[:, rival]
    assert np.all(np.diff(lead)[:-1] >= 5.0 * np.exp(u[mode]) * (1 - np.exp(-lead[0])) - 1e-9)
    assert abs(np.exp(path[-1]) @ LENGTHS - LENGTHS[mode]) < 1e-6
    assert LENGTHS[mode] <= u[mode] / np.log(tokens.max()) + 1e-9


@pytest.mark.parametrize("seed", range(10))
def test_mean_log_probability_held_at_the_prior_ends_in_the_largest_mean(seed):
    """With r = r_0 for ever, log pi_k(y) - log pi_k(y') = log pi_0(y) - log pi_0(y') + k step (r_0(y) -
    r_0(y')): exactly linear.
    """
    u, _ = random_leaves(seed)
    mean = u / LENGTHS
    path = prox_until_consensus(u, lambda _: mean, 2.0)
    assert path[-1].argmax() == mean.argmax()
    late = path[min(50, len(path) - 1)]
    odds = late - late[0] - (u - u[0]) - min(50, len(path) - 1) * 2.0 * (mean - mean[0])
    assert np.abs(odds).max() < 1e-8


@pytest.mark.parametrize("seed", range(60))
def test_mean_log_probability_ends_between_the_mode_and_the_largest_mean(seed):
    """Self-referential r_k(y) = log pi_k(y)/T(y). Then u_{k+1} = (1 + h/T) u_k + C_k, C_k = -log E[e^{h r}]
    >= 0, so u_k = (1 + h/T)^k (u_0 + G_k(T)), G_k(T) = sum_{j<k} (1 + h/T)^-(j+1) C_j the same function of
    the length for all sequences, increasing in T. As u_k <= 0 always, -u_0(y) >= G(T(y)) for all y, with
    equality for the survivor w. So w is the most probable sequence of at least its length, and it is never
    shorter than the mode. If C_k never rises, G(T)/T falls with T (it is C averaged over a horizon that grows
    with T), so w has the largest mean log-probability of all sequences up to its length, and it is never
    longer than the best mean.
    """
    u, _ = random_leaves(seed)
    h = [0.1, 1.0, 5.0][seed % 3]
    path = np.array(prox_until_consensus(u, lambda now: now / LENGTHS, h))
    w, mode, best = path[-1].argmax(), u.argmax(), (u / LENGTHS).argmax()
    assert np.exp(path[-1][w]) > 1 - 1e-6
    assert np.all(u[LENGTHS >= LENGTHS[w]] <= u[w] + 1e-9)
    assert LENGTHS[mode] <= LENGTHS[w]
    shift = np.array([-np.logaddexp.reduce(now + h * now / LENGTHS) for now in path[:-1]])
    assert np.all(shift >= 0)
    if np.all(np.diff(shift) <= 1e-12):
        assert np.all((u / LENGTHS)[LENGTHS <= LENGTHS[w]] <= (u / LENGTHS)[w] + 1e-9)
        assert LENGTHS[w] <= LENGTHS[best]


def test_the_survivor_can_be_neither_the_mode_nor_the_largest_mean():
    """Both ends of the law above are strict for some priors: among 200 all three cases occur."""
    seen = set()
    for seed in range(200):
        u, _ = random_leaves(seed)
        if LENGTHS[u.argmax()] < LENGTHS[(u / LENGTHS).argmax()]:
            w = prox_until_consensus(u, lambda now: now / LENGTHS, 1.0)[-1].argmax()
            seen.add("mode" if w == u.argmax() else "mean" if w == (u / LENGTHS).argmax() else "between")
    assert seen == {"mode", "mean", "between"}


def trained(tree, reward, beta, steps=150):
    """Mean length and repetition before and after KL-prox steps, and the tree after them."""
    curves, after = train_tree(tree, reward, KLProx(beta), num_steps=steps, eval_every=steps)
    return curves["mean_length"], curves["repetition"], after


SEEDS = range(3)


def test_probability_shortens_and_mean_log_probability_repeats():
    """On priors where guesses are likely and loops are fluent: every prompt ends in its mode under the one,
    so its length is known beforehand; under the other, length grows and repetition at least doubles, prompt
    by prompt within the bounds of the law above.
    """
    for seed in SEEDS:
        tree = thinking_prior(seed, 6, max_length=5, tied=False)
        prior, t = tree.leaf_log_probs, tree.shape.lengths
        modes, best = prior.argmax(axis=1), (prior / t).argmax(axis=1)
        assert t[modes].mean() < tree.mean_length.mean() < t[best].mean()
        length, repetition, _ = trained(tree, "probability", 0.03)
        assert (
            abs(length[-1] - t[modes].mean()) < 1e-6
            and abs(repetition[-1] - tree.shape.repetition[modes].mean()) < 1e-6
        )
        length, repetition, after = trained(tree, "trajectory-entropy", 0.5)
        survivors = after.leaf_log_probs.argmax(axis=1)
        assert np.all((t[modes] <= t[survivors]) & (t[survivors] <= t[best]))
        assert length[-1] > length[0] + 1 and repetition[-1] > 2 * repetition[0]


def test_where_the_failure_modes_do_not_appear():
    """Probability lengthens where the mode is a long chain; the mean log-probability shortens where guesses
    are sure and loops are not.
    """
    for seed in SEEDS:
        chain = thinking_prior(seed, 6, max_length=5, tied=False, think=3.0, loop=0.98)
        sure = thinking_prior(seed, 6, max_length=5, tied=False, think=-2.0, gap=6.0, noise=0.2, loop=0.5)
        length, _, _ = trained(chain, "probability", 0.03)
        assert length[-1] > max(4.5, length[0])
        length, repetition, _ = trained(sure, "trajectory-entropy", 0.5)
        assert length[-1] < min(1.5, length[0]) and repetition[-1] < 0.05


def test_mean_entropy_repeats_and_never_moves_the_last_token():
    """r = -mean entropy is the same for all sequences that end at one node, so under KL-prox their odds never
    change: where every token ends the sequence (the last level) the policy stays the prior's, to rounding. On
    a tree of one level nothing moves at all (S7).
    """
    for seed in SEEDS:
        tree = thinking_prior(seed, 6, max_length=5, tied=False)
        length, repetition, after = trained(tree, "token-entropy", 0.2, steps=60)
        assert length[-1] > length[0] + 1 and repetition[-1] > 2 * repetition[0]
        last = tree.shape.level(4)
        np.testing.assert_allclose(after.log_probs[:, last], tree.log_probs[:, last], atol=1e-9)


def test_self_certainty_repeats_only_where_loops_rule_things_out():
    """KL(uniform || pi) is ruled by the tail: with a heavy tail inside loops and tokens ruled out outside of
    them (`grammar`), repetition falls; on the same prior without grammar it at least doubles, as under the
    entropies.
    """
    for seed in SEEDS:
        for grammar in (12.0, 0.0):
            tree = thinking_prior(seed, 6, max_length=5, tied=False, grammar=grammar)
            _, repetition, _ = trained(tree, "self-certainty", 0.3, steps=60)
            assert (
                repetition[-1] > 2 * repetition[0] if grammar == 0 else repetition[-1] < 0.1 * repetition[0]
            )


def test_the_gradient_through_tokens_need_not_keep_the_modal_sequence():
    """S5 does not survive inside a tree. Token 0 leads to four sequences of .15, token 1 to the mode .17 and
    a spread of .23: the mean reward below token 0 is larger, so the first token moves away from the mode, and
    so does the limit. KL-prox on sequences keeps it.
    """
    shape = TreeShape(4, 2, 0)
    mass = np.zeros((4, 4)) + 1e-12
    mass[0], mass[1] = [0.1501, 0.15, 0.15, 0.1499], [0.17, 0.08, 0.08, 0.07]
    tree = TreePopulation.from_logits(
        shape, np.log(np.concatenate([mass.sum(axis=1)[None], mass]))[None], answers="first"
    )
    mode = shape.leaf((1, 0))
    assert tree.leaf_log_probs[0].argmax() == mode
    for update, keeps in ((SoftmaxGradient(3.0), False), (KLProx(0.3), True)):
        after = train_tree(tree, "probability", update, num_steps=1500, eval_every=1500)[1].leaf_log_probs[0]
        assert (after[mode] > -0.05) == keeps and (after[mode] < np.log(0.17)) != keeps
