"""The exact answer distribution of a small transformer: no sampling, nothing left out but what is reported as
other.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch

from llm_bridge.exact.double import in_float64
from llm_bridge.exact.trie import AnswerTrie
from llm_bridge.models.prompt_ids import prompt_token_ids
from sharpening.errors import InputError
from sharpening.population import Population

OTHER = "(other)"


class ExactModel:
    """A private float64 copy of a model, asked for pi(label | prompt) over a fixed set of answer strings,
    differentiably.

    pi(a|x) = sum over the strings s with label a of prod_t pi(s_t | x, s_<t) * pi(end | x, s). The last
    column, "other", holds every other completion: other texts, other spellings of the same text, and texts
    that go on. It is summed over the edges that leave the trie, not taken as 1 minus the rest, so it keeps
    its digits when it is 1e-30. `temperature` divides the logits.

    One forward pass a batch of prompts: the prompt and all trie nodes are one sequence in which every node
    sees the prompt and its own ancestors only. The copy is in evaluation mode (no dropout); the model given
    stays as it is.
    """

    def __init__(self, loaded, task, strings: Sequence[str], *, temperature: float = 1.0):
        if not temperature > 0:
            raise InputError("temperature", temperature, "it is > 0")
        self.model = in_float64(copy.deepcopy(loaded.model))
        self.tokenizer, self.task, self.temperature = loaded.tokenizer, task, temperature
        self.trie = AnswerTrie.build(task, loaded.tokenizer, strings)
        self.parameters = list(self.model.parameters())
        self._ancestors = torch.from_numpy(self.trie.ancestors)
        self._goes_on = torch.from_numpy(
            self.trie.goes_on(self.model.get_output_embeddings().weight.shape[0])
        )

    @property
    def num_answers(self) -> int:
        """Number of columns, "other" included."""
        return len(self.trie.labels) + 1

    @property
    def weights(self) -> torch.Tensor:
        """All parameters as one vector, (parameters,), a copy."""
        return torch.cat([parameter.detach().reshape(-1) for parameter in self.parameters]).clone()

    @torch.no_grad()
    def set_weights(self, vector: torch.Tensor) -> None:
        """Put a vector of parameters in place."""
        place = 0
        for parameter in self.parameters:
            parameter.copy_(vector[place : place + parameter.numel()].reshape(parameter.shape))
            place += parameter.numel()

    def log_probs(self, prompts: Sequence[str]) -> torch.Tensor:
        """log pi(label | prompt), (prompts, labels + 1), nats, with a graph to the parameters."""
        trie = self.trie
        edges = self._edges(prompts)
        levels = [edges.new_zeros(len(edges), 1)]
        for depth in range(1, int(trie.depths.max()) + 1):
            here = np.flatnonzero(trie.depths == depth)
            above = trie.parents[here]
            levels.append(torch.cat(levels, dim=1)[:, above] + edges[:, above, trie.tokens[here]])
        reach = torch.cat(levels, dim=1)
        strings = reach[:, trie.end_nodes] + edges[:, trie.end_nodes, trie.end]
        leaving = torch.where(self._goes_on, -torch.inf, edges).logsumexp(dim=2)
        other = (reach + leaving).logsumexp(dim=1, keepdim=True)
        return torch.cat([self._by_label(strings), other], dim=1)

    @torch.no_grad()
    def policy(self, prompts: Sequence[str]) -> np.ndarray:
        """The same as a NumPy array, rows normalised to the last digit."""
        log_probs = self.log_probs(prompts)
        return (log_probs - log_probs.logsumexp(dim=1, keepdim=True)).numpy().copy()

    def correct(self, problems) -> np.ndarray:
        """Which labels answer each problem, (prompts, labels + 1) bool; other never does."""
        return np.array(
            [
                [*(self.task.is_correct(problem, label) for label in self.trie.labels), False]
                for problem in problems
            ]
        )

    def population(self, problems) -> Population:
        """The exact population of these problems; "other" is its no-answer column, so it never leads a
        vote.
        """
        policy = self.policy([problem.prompt for problem in problems])
        names = (*self.trie.labels, OTHER)
        return Population(policy, self.correct(problems), answer_names=names, no_answer=len(names) - 1)

    def _by_label(self, strings: torch.Tensor) -> torch.Tensor:
        ends = self.trie.end_labels
        if np.array_equal(ends, np.arange(len(ends))):
            return strings
        spellings = [np.flatnonzero(ends == label) for label in range(len(self.trie.labels))]
        return torch.stack([strings[:, places].logsumexp(dim=1) for places in spellings], dim=1)

    def _edges(self, prompts: Sequence[str]) -> torch.Tensor:
        """log pi(token | prompt, node), (prompts, nodes, vocab), nats."""
        ids = prompt_token_ids(self.tokenizer, prompts)
        nodes, longest = len(self.trie.tokens), max(map(len, ids))
        pad = torch.tensor([longest - len(found) for found in ids])
        head = torch.tensor([[self.tokenizer.pad_token_id] * (longest - len(found)) + found for found in ids])
        tail = torch.from_numpy(self.trie.tokens[1:]).expand(len(ids), -1)
        size = longest + nodes - 1
        sees = torch.zeros(size, size, dtype=torch.bool)
        sees[:, :longest] = torch.ones(size, longest, dtype=torch.bool).tril()
        sees[longest:, longest:] = self._ancestors[1:, 1:]
        real = torch.arange(size)[None, :] >= pad[:, None]
        allowed = (sees[None] & real[:, None, :]) | torch.eye(size, dtype=torch.bool)[None]
        mask = torch.zeros(allowed.shape, dtype=torch.float64).masked_fill(
            ~allowed, torch.finfo(torch.float64).min
        )[:, None]
        places = torch.cat([torch.arange(longest), longest - 1 + torch.from_numpy(self.trie.depths[1:])])
        positions = (places[None, :] - pad[:, None]).clamp(min=0)
        logits = self.model(
            input_ids=torch.cat([head, tail], dim=1),
            attention_mask=mask,
            position_ids=positions,
            use_cache=False,
        ).logits
        return (logits[:, longest - 1 :] / self.temperature).log_softmax(dim=2)
