"""The smallest token tree on which tokens and answers can disagree: two words, an end token, at most two
tokens; in NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from sharpening.audit.steps import kl_prox
from sharpening.logspace import log_sum
from sharpening.metrics import NO_ANSWER
from sharpening.rewards import Reward
from sharpening.rewards.asking import group_rewards
from sharpening.rewards.tokens import TokenStatistics

# token 2 ends; a leaf's answer is its last word
LEAVES = ((2,), (0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2))
NODES = ((), (0,), (1,))
ANSWERS = np.array([NO_ANSWER, 0, 1, 0, 0, 1, 1])
MASK = np.array([[True, len(leaf) > 1] for leaf in LEAVES])
PATH = np.array([[0, 0 if len(leaf) == 1 else 1 + leaf[0]] for leaf in LEAVES])
TOKENS = np.array([[leaf[0], leaf[-1]] for leaf in LEAVES])
STEP, STEPS, STILL, LEAST = 0.5, 600, 1e-7, -600.0
CLEAR_LEAD = 0.1


@dataclass(frozen=True)
class TreeCase:
    """Next-token policies after the empty prefix, after word a and after word b, each proportional to the
    weights of (a, b, end).
    """

    weights: tuple[tuple[float, ...], ...]

    @property
    def log_probs(self) -> np.ndarray:
        """(3 prefixes, 3 tokens), nats."""
        weights = np.array(self.weights)
        return np.log(weights / weights.sum(axis=1, keepdims=True))

    @property
    def size(self) -> float:
        """What the shrinker makes small."""
        return float(np.sum(self.weights))

    def __str__(self) -> str:
        rows = [f"({', '.join(f'{weight:g}' for weight in row)})" for row in self.weights]
        return f"words a, b and end weigh {rows[0]} at first, {rows[1]} after a, {rows[2]} after b"


def text(leaf: int) -> str:
    """A completion as it is printed: its words, and a full stop for the end token."""
    return "'" + "".join("ab."[token] for token in LEAVES[leaf]) + "'"


def leaf_log_probs(nodes: np.ndarray) -> np.ndarray:
    """(7 completions,), nats, from (3 prefixes, 3 tokens)."""
    return np.where(MASK, nodes[PATH, TOKENS], 0.0).sum(axis=1)


def node_log_probs(leaves: np.ndarray) -> np.ndarray:
    """The next-token policies that give these completions: the inverse of `leaf_log_probs`."""
    after_a, after_b = leaves[1:4], leaves[4:7]
    first = np.array([log_sum(after_a), log_sum(after_b), leaves[0]])
    return np.stack([first - log_sum(first), after_a - first[0], after_b - first[1]])


def statistics(nodes: np.ndarray) -> TokenStatistics:
    """Token statistics of all completions, (1, 7, 2)."""
    probs = np.exp(nodes)
    top = np.sort(probs, axis=1)
    of = lambda values: np.asarray(values)[PATH][None]  # noqa: E731
    return TokenStatistics(
        mask=MASK[None],
        log_prob=nodes[PATH, TOKENS][None],
        entropy=of(-(probs * nodes).sum(axis=1)),
        uniform_cross_entropy=of(-nodes.mean(axis=1)),
        gap=of(top[:, -1] - top[:, -2]),
        vocab_size=3,
    )


def rewards(reward: Reward, nodes: np.ndarray, start: np.ndarray, previous: np.ndarray) -> np.ndarray:
    """Rewards of all completions, (7,); answer a is the correct one."""
    signals = {
        "tokens": statistics(nodes),
        "reference_log_probs": leaf_log_probs(start)[None],
        "previous_log_probs": leaf_log_probs(previous)[None],
        "step": 0,
    }
    found = group_rewards(reward, ANSWERS[None], ANSWERS[None] == 0, finite=False, **signals)
    return np.asarray(found, dtype=np.float64)[0]


def pattern_that_wins(reward: Reward, tree: TreeCase) -> str | None:
    """A sentence if iterated KL-prox steps end where another answer leads than at first; "" if not; None if
    either is unclear.
    """
    nodes = start = before = tree.log_probs
    leaves = first = leaf_log_probs(nodes)
    led, unclear = _leading(first)
    if unclear or led == NO_ANSWER:
        return None
    settled = False
    for _ in range(STEPS):
        earned = rewards(reward, nodes, start, before)
        if not np.isfinite(earned).all():
            return None
        moved = np.maximum(kl_prox(leaves, earned, STEP), LEAST)
        settled = np.abs(np.exp(moved) - np.exp(leaves)).max() < STILL
        leaves, before = moved, nodes
        nodes = node_log_probs(leaves)
        if settled:
            break
    leads, unclear = _leading(leaves)
    if unclear or not settled:
        return None
    if leads == led:
        return ""
    winner, lengths = int(leaves.argmax()), MASK.sum(axis=1)
    masses = [np.exp(log_sum(z[led == ANSWERS])) for z in (first, leaves)]
    return (
        f"answer {'ab'[led]} led with {masses[0]:.3g} and ends with {masses[1]:.3g}; {text(winner)} goes from"
        f" {np.exp(first[winner]):.3g} to {np.exp(leaves[winner]):.3g}, the mean length from"
        f" {np.exp(first) @ lengths:.3g} to {np.exp(leaves) @ lengths:.3g} tokens"
    )


def _leading(leaves: np.ndarray) -> tuple[int, bool]:
    """The heaviest answer, and whether its lead is too small to call, below 0.1 nats."""
    masses = np.array([log_sum(leaves[ANSWERS == answer]) for answer in (NO_ANSWER, 0, 1)])
    ordered = np.sort(masses)
    return int(masses.argmax()) - 1, bool(ordered[-1] - ordered[-2] < CLEAR_LEAD)


def random_trees(seed: int, cases: int) -> Iterator[TreeCase]:
    """Trees with integer weights 1..6, tree number i of a seed always the same."""
    for number in range(cases):
        weights = np.random.default_rng((seed, number, 3)).integers(1, 7, size=(3, 3))
        yield TreeCase(tuple(tuple(map(float, row)) for row in weights))


def shrink_tree(tree: TreeCase, wins: Callable[[TreeCase], bool]) -> TreeCase:
    """Lower one weight at a time as long as the same happens."""
    while True:
        smaller = (
            TreeCase(
                tuple(
                    tuple(value if (i, j) == (row, column) else w for j, w in enumerate(line))
                    for i, line in enumerate(tree.weights)
                )
            )
            for row in range(3)
            for column in range(3)
            for value in (1.0, tree.weights[row][column] - 1)
            if 1 <= value < tree.weights[row][column]
        )
        found = next((other for other in smaller if wins(other)), None)
        if found is None:
            return tree
        tree = found
