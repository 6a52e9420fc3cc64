"""What an audit tries a reward on: every small case in order of size, then random hard ones, each kept as
numbers a reader can check.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

LARGEST_WEIGHT = 3
RANDOM_SIZES = (2, 3, 4, 5, 8)
MAX_SMALL = 600


@dataclass(frozen=True)
class Case:
    """One prompt. pi(a) = weights_a / sum of weights; a weight of 0 is an impossible answer.

    `correct` (answers,) bool; `clusters` (answers,) meaning-cluster ids; `reference` (answers,) weights of
    the initial policy, > 0.
    """

    weights: tuple[float, ...]
    correct: tuple[bool, ...]
    clusters: tuple[int, ...]
    reference: tuple[float, ...]

    @property
    def log_probs(self) -> np.ndarray:
        """log pi, (answers,), nats; equal weights give exactly equal numbers."""
        return log_of(self.weights)

    @property
    def size(self) -> tuple:
        """What the shrinker makes small: the number of answers, then how hard the numbers are to read."""
        weights = sum(map(_cost, self.weights)) + sum(map(_cost, self.reference))
        return (len(self.weights), weights, sum(self.correct), sum(self.clusters))

    def without(self, answer: int) -> Case:
        """The case with one answer taken out."""
        return self.take([a for a in range(len(self.weights)) if a != answer])

    def take(self, order) -> Case:
        """The case with its answers in this order."""
        pick = lambda values: tuple(values[a] for a in order)  # noqa: E731
        return Case(
            pick(self.weights), pick(self.correct), numbered(pick(self.clusters)), pick(self.reference)
        )


def log_of(weights: tuple[float, ...]) -> np.ndarray:
    """log(weights / sum), (answers,), nats."""
    masses = np.asarray(weights, dtype=np.float64)
    with np.errstate(divide="ignore"):
        return np.log(masses) - math.log(masses.sum())


def numbered(clusters: tuple[int, ...]) -> tuple[int, ...]:
    """The same partition with clusters numbered 0, 1, ... in the order in which they appear."""
    first = {cluster: number for number, cluster in enumerate(dict.fromkeys(clusters))}
    return tuple(first[cluster] for cluster in clusters)


def plain_case(weights: tuple[float, ...]) -> Case:
    """A case whose first answer is correct, each answer a cluster, the initial policy uniform."""
    size = len(weights)
    return Case(tuple(weights), (True,) + (False,) * (size - 1), tuple(range(size)), (1.0,) * size)


def _cost(weight: float) -> float:
    if weight == round(weight) and weight < 1000:
        return float(weight)
    return 1000.0 if weight == float(f"{weight:.0e}") else 2000.0


def _partitions(size: int) -> Iterator[tuple[int, ...]]:
    return (
        clusters for clusters in itertools.product(range(size), repeat=size) if numbered(clusters) == clusters
    )


def small_cases(reads: frozenset[str]) -> list[Case]:
    """All weights 0..3 of two and three answers, with every labelling, clustering and reversed reference that
    the reward reads.

    In order of size, so the first that breaks a property is a smallest one; at most MAX_SMALL, evenly
    thinned.
    """
    found = []
    for size in (2, 3):
        masks = (
            list(itertools.product((False, True), repeat=size))
            if "correct" in reads
            else [(True,) + (False,) * (size - 1)]
        )
        partitions = list(_partitions(size)) if "clusters" in reads else [tuple(range(size))]
        for weights in itertools.product(range(LARGEST_WEIGHT + 1), repeat=size):
            if math.gcd(*weights) != 1:
                continue
            references = (
                [(1.0,) * size, tuple(float(max(w, 1)) for w in weights[::-1])]
                if "reference" in reads
                else [(1.0,) * size]
            )
            for correct, clusters, reference in itertools.product(
                masks, partitions, dict.fromkeys(references)
            ):
                found.append(Case(tuple(map(float, weights)), correct, clusters, reference))
    found.sort(key=lambda case: case.size)
    return [
        found[i] for i in np.unique(np.linspace(0, len(found) - 1, min(len(found), MAX_SMALL)).astype(int))
    ]


def random_cases(seed: int, cases: int) -> Iterator[Case]:
    """Case number i of a seed is always the same: 2 to 8 answers with faces, vertices, ties, near ties and
    masses down to 1e-300.
    """
    return (_random_case(np.random.default_rng((seed, number))) for number in range(cases))


def _random_case(rng: np.random.Generator) -> Case:
    size = int(rng.choice(RANDOM_SIZES))
    weights = np.exp(rng.choice([0.3, 1.0, 3.0]) * rng.standard_normal(size))
    one, other = rng.permutation(size)[:2]
    match rng.choice(["plain", "plain", "tie", "near tie", "tiny", "faces", "near vertex"]):
        case "tie":
            weights[one] = weights[other]
        case "near tie":
            weights[one] = weights[other] * (1 + 10.0 ** rng.integers(-15, -2))
        case "tiny":
            weights[one] = 10.0 ** rng.uniform(-300, -13)
        case "faces":
            weights[(rng.random(size) < 0.5) & (np.arange(size) != other)] = 0.0
        case "near vertex":
            weights[np.arange(size) != one] *= 10.0 ** rng.uniform(-290, -13)
    return Case(
        tuple(weights.tolist()),
        tuple((rng.random(size) < rng.choice([0.2, 0.5])).tolist()),
        numbered(tuple(rng.integers(0, rng.integers(1, size + 1), size).tolist())),
        tuple(np.exp(rng.standard_normal(size)).tolist()),
    )
