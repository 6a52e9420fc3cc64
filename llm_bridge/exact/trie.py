"""A fixed set of answer strings as a tree of tokens: what they share is run through the network once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sharpening.errors import InputError

MAX_NODES = 4096


@dataclass(frozen=True, eq=False)
class AnswerTrie:
    """Answer strings, token by token, and the labels that they stand for.

    `labels`: one name a column. Node 0 is the end of the prompt; node i has the token `tokens[i]`, the parent
    `parents[i]` < i and the depth `depths[i]`, (nodes,) int, ordered by depth; tokens[0] and parents[0] are
    unused. String s ends at node `end_nodes[s]`, followed by the token `end`, and says label `end_labels[s]`,
    (strings,) int.
    """

    labels: tuple[str, ...]
    tokens: np.ndarray
    parents: np.ndarray
    depths: np.ndarray
    end_nodes: np.ndarray
    end_labels: np.ndarray
    end: int

    @classmethod
    def build(cls, task, tokenizer, strings: Sequence[str]) -> AnswerTrie:
        """The trie of `strings`, each spelt as the tokenizer spells it; strings that `task.extract` reads
        alike share a column.

        Raises: InputError for no string, one that holds no answer or no token, or more than 4,096 nodes.
        """
        if not strings:
            raise InputError("strings", strings, "there is at least one answer string")
        spelt: dict[tuple[int, ...], str] = {}
        for string in strings:
            label, tokens = (
                task.extract(string),
                tuple(tokenizer(string, add_special_tokens=False)["input_ids"]),
            )
            if label is None or not tokens:
                raise InputError(
                    "strings",
                    string,
                    f"task {task.name} reads no answer from it",
                    "Leave it out: it counts as other",
                )
            spelt[tokens] = label
        prefixes = {tokens[:depth]: None for tokens in spelt for depth in range(len(tokens) + 1)}
        nodes = {prefix: number for number, prefix in enumerate(sorted(prefixes, key=len))}
        columns = {label: number for number, label in enumerate(dict.fromkeys(spelt.values()))}
        if len(nodes) > MAX_NODES:
            raise InputError(
                "strings",
                f"{len(strings)} strings, {len(nodes)} tokens",
                f"at most {MAX_NODES} distinct prefixes fit",
                "Use fewer",
            )
        return cls(
            tuple(columns),
            np.array([prefix[-1] if prefix else 0 for prefix in nodes]),
            np.array([nodes[prefix[:-1]] for prefix in nodes]),
            np.array([len(prefix) for prefix in nodes]),
            np.array([nodes[tokens] for tokens in spelt]),
            np.array([columns[label] for label in spelt.values()]),
            tokenizer.eos_token_id,
        )

    @property
    def ancestors(self) -> np.ndarray:
        """(nodes, nodes) bool: column j lies on the path from the root to row i, both ends included."""
        found = np.eye(len(self.tokens), dtype=bool)
        for node in range(1, len(self.tokens)):
            found[node] |= found[self.parents[node]]
        return found

    def goes_on(self, vocab_size: int) -> np.ndarray:
        """(nodes, vocab) bool: this token after this node leads on to, or ends, one of the strings."""
        on = np.zeros((len(self.tokens), vocab_size), dtype=bool)
        on[self.parents[1:], self.tokens[1:]] = True
        on[self.end_nodes, self.end] = True
        return on


def numerals(below: int) -> list[str]:
    """ "0", "1", ..., as many as `below`, without leading zeros."""
    return [str(number) for number in range(below)]
