"""What an audit says of rewards that read tokens: do tokens count beside the answer, does length, and where
does a token tree end?
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sharpening.audit.report import Finding
from sharpening.audit.text import number, policy
from sharpening.audit.token_tree import TreeCase, pattern_that_wins, random_trees, shrink_tree
from sharpening.rewards import Reward
from sharpening.rewards.asking import group_rewards
from sharpening.rewards.tokens import TokenStatistics

READ_PER_TOKEN = frozenset({"tokens", "reference_log_probs", "previous_log_probs"})
SLACK = 1e-9


@dataclass(frozen=True)
class Completion:
    """A completion of `length` tokens, each the token `drawn` of the same next-token policy, proportional to
    `weights`.
    """

    weights: tuple[float, ...]
    drawn: int
    length: int

    def __str__(self) -> str:
        return f"{self.length} token{'s' if self.length > 1 else ''} {self.drawn} of {policy(self.weights)}"


def statistics(completions: list[Completion]) -> TokenStatistics:
    """Token statistics of one prompt's completions, (1, completions, longest)."""
    longest = max(completion.length for completion in completions)
    mask = np.arange(longest)[None, :] < np.array([completion.length for completion in completions])[:, None]
    rows = np.stack([np.asarray(completion.weights) / sum(completion.weights) for completion in completions])
    drawn = np.array([completion.drawn for completion in completions])
    top = np.sort(rows, axis=1)
    fill = lambda values: np.where(mask, np.asarray(values)[:, None], 0.0)[None]  # noqa: E731
    return TokenStatistics(
        mask=mask[None],
        log_prob=fill(np.log(rows[np.arange(len(rows)), drawn])),
        entropy=fill(-(rows * np.log(rows)).sum(axis=1)),
        uniform_cross_entropy=fill(-np.log(rows).mean(axis=1)),
        gap=fill(top[:, -1] - top[:, -2]),
        vocab_size=rows.shape[1],
    )


def rewards_of(reward: Reward, completions: list[Completion]) -> np.ndarray:
    """Rewards of completions that all give the same, correct answer, (completions,). Under the initial and
    the previous policy every token had probability 1/vocabulary.
    """
    tokens = statistics(completions)
    same = np.zeros((1, len(completions)), dtype=np.int64)
    uniform = -tokens.lengths * np.log(tokens.vocab_size)
    signals = {"tokens": tokens, "reference_log_probs": uniform, "previous_log_probs": uniform, "step": 0}
    return np.asarray(group_rewards(reward, same, same == 0, finite=False, **signals), dtype=np.float64)[0]


def _policies(cases: int, seed: int) -> Iterator[tuple[tuple[float, ...], int]]:
    for weights in ((1.0, 1.0), (1.0, 2.0), (1.0, 3.0), (1.0, 1.0, 1.0), (1.0, 2.0, 3.0)):
        yield from ((weights, drawn) for drawn in range(len(weights)))
    for number_ in range(cases):
        rng = np.random.default_rng((seed, number_, 2))
        weights = np.exp(rng.choice([0.3, 2.0, 8.0]) * rng.standard_normal(rng.integers(2, 50)))
        yield tuple(weights.tolist()), int(rng.integers(len(weights)))


def _pairs_of_tokens(cases: int, seed: int) -> Iterator[tuple[Completion, Completion]]:
    pairs = itertools.combinations(_policies(cases // 4, seed), 2)
    return (
        (Completion(*one, 1), Completion(*other, 1)) for one, other in pairs if len(one[0]) == len(other[0])
    )


def _pairs_of_lengths(cases: int, seed: int) -> Iterator[tuple[Completion, Completion]]:
    for short, times in ((1, 2), (1, 3), (2, 2), (7, 5)):
        for weights, drawn in _policies(cases // 4, seed):
            yield Completion(weights, drawn, short), Completion(weights, drawn, short * times)


def token_findings(reward: Reward | None, cases: int, seed: int) -> list[Finding]:
    """The three findings about tokens; all "no" without a case for a reward that reads none."""
    names = {
        "sensitive to tokens": "some completion earns more than another of the same answer and length",
        "sensitive to length": (
            "some completion earns more than another whose tokens are drawn alike, for its length alone"
        ),
        "fixes on a token pattern": (
            "on some token tree iterated KL-prox steps end where another answer leads than at first"
            " (theorems S7a to S7c)"
        ),
    }
    if reward is None or not READ_PER_TOKEN & set(reward.card.needs):
        return [Finding(name, meaning, False, 0, "it reads no tokens") for name, meaning in names.items()]
    return [
        _sensitive(*list(names.items())[0], reward, _pairs_of_tokens(cases, seed), directed=False),
        _sensitive(*list(names.items())[1], reward, _pairs_of_lengths(cases, seed), directed=True),
        _pattern(*list(names.items())[2], reward, random_trees(seed, 3 * cases)),
    ]


def _sensitive(name: str, meaning: str, reward: Reward, pairs, *, directed: bool) -> Finding:
    tried, first, signs = 0, None, {1.0: 0, -1.0: 0}
    for pair in pairs:
        earned = rewards_of(reward, list(pair))
        tried += 1
        gain = earned[1] - earned[0]
        if not np.isfinite(gain) or abs(gain) <= SLACK * (1 + np.abs(earned).max()):
            continue
        signs[float(np.sign(gain))] += 1
        first = first or (pair, earned)
    if first is None:
        return Finding(name, meaning, False, tried, "")
    (one, other), earned = first
    told = f"{one} earn{'s' if one.length == 1 else ''} {number(earned[0])}, {other} {number(earned[1])}"
    if directed:
        longer, shorter = signs[1.0], signs[-1.0]
        told += f"; of {tried} pairs the longer is preferred in {longer}, the shorter in {shorter}"
    example = {"one": dataclasses.asdict(one), "other": dataclasses.asdict(other), "rewards": earned.tolist()}
    return Finding(name, meaning, True, tried, told, example)


def _pattern(name: str, meaning: str, reward: Reward, trees: Iterator[TreeCase]) -> Finding:
    if {"answers", "states", "clusters"} & set(reward.card.needs):
        return Finding(
            name,
            meaning,
            None,
            0,
            "it reads votes as well as tokens, which has no exact form on a token tree",
        )
    tried = 0
    for tree in trees:
        told = pattern_that_wins(reward, tree)
        tried += told is not None
        if told:
            tree = shrink_tree(tree, lambda other: bool(pattern_that_wins(reward, other)))
            return Finding(
                name,
                meaning,
                True,
                tried,
                f"{tree}: {pattern_that_wins(reward, tree)}",
                {"weights": tree.weights},
            )
    return Finding(name, meaning, False if tried else None, tried, "")
