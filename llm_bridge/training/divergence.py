"""How far a model has moved from the initial one, over answers: KL(π_t‖π₀) of each prompt."""

import math
from bisect import bisect_left
from dataclasses import dataclass

import numpy as np

FREQUENT = 4
"""Draws from which on a frequency estimates an answer's mass at least as well as the sequences seen."""


@dataclass
class Divergence:
    """What one evaluation drew, and what of it the initial model has to score.

    prompt_ids: token ids of each prompt; rows: the label of every rollout; sequences: (prompt, label) -> the
    distinct deciding tokens that gave it -> their log-probability now, in nats. before: how often the initial
    model gave a (prompt, label) in `draws` draws.
    """

    prompt_ids: list[list[int]]
    rows: list[list[str | None]]
    sequences: dict[tuple[int, str | None], dict[tuple[int, ...], float]]
    before: dict[tuple[int, str | None], int]
    draws: int

    @classmethod
    def nothing(cls) -> "Divergence":
        """That of no prompt."""
        return cls([], [], {}, {}, 1)

    @classmethod
    def of(cls, task, tokenizer, drawn, rows, tables, draws: int) -> "Divergence":
        """drawn: Rollouts; tables: what the initial model answered on each prompt, out of `draws`."""
        seen: dict[tuple[int, str | None], dict[tuple[int, ...], float]] = {}
        for prompt, (row, tokens, scores) in enumerate(
            zip(rows, drawn.token_ids, drawn.token_log_probs, strict=True)
        ):
            for label, ids, log_probs in zip(row, tokens, scores, strict=True):
                deciding = deciding_tokens(task, tokenizer, ids)
                seen.setdefault((prompt, label), {})[deciding] = sum(log_probs[: len(deciding)])
        before = {key: tables[key[0]].get(key[1], 0) for key in seen}
        return cls(drawn.prompt_ids, rows, seen, before, draws)

    @property
    def rare(self) -> list[tuple[int, tuple[int, ...]]]:
        """(prompt, tokens) of the answers that the initial model gave too rarely for a frequency. Nothing is
        remembered between evaluations: a run that resumes must score the same batches.
        """
        return sorted(
            (key[0], ids)
            for key, found in self.sequences.items()
            if self.before[key] < FREQUENT
            for ids in found
        )

    def kl(self, scores: list[float]) -> np.ndarray:
        """KL(π_t‖π₀) per prompt over answers, in nats: mean over rollouts of log π_t(a) − log π₀(a), never
        negative. scores: log π₀ of `rare`, in its order.

        Both masses are those of the distinct sequences that gave the answer in this evaluation, or the
        answer's frequency where it is FREQUENT, whichever is larger. An undisturbed model therefore scores
        near 0 (below 0.3) however uncertain it is, which a plug-in estimate from a few rollouts does not.
        """
        scored = dict(zip(self.rare, scores, strict=True))
        rises = {key: self._now(key) - self._then(key, scored) for key in self.sequences}
        return np.array(
            [
                max(0.0, float(np.mean([rises[prompt, label] for label in row])))
                for prompt, row in enumerate(self.rows)
            ]
        )

    def _now(self, key) -> float:
        row = self.rows[key[0]]
        return max(_log_sum(self.sequences[key].values()), _log_share(row.count(key[1]), len(row)))

    def _then(self, key, scored: dict) -> float:
        share = _log_share(self.before[key], self.draws)
        if self.before[key] >= FREQUENT:
            return share
        return max(_log_sum(scored[key[0], ids] for ids in self.sequences[key]), share)


def deciding_tokens(task, tokenizer, tokens: list[int]) -> tuple[int, ...]:
    """The shortest prefix of a completion after which no continuation changes the answer: its mass includes all of
    them. What is settled stays so, so halving finds it: log₂ of the length many prefixes are read, and none of a task
    that never settles.
    """
    if not task.settles or len(tokens) < 2:
        return tuple(tokens)

    def settled(length: int) -> bool:
        return task.settled(tokenizer.decode(tokens[:length], skip_special_tokens=True))

    return tuple(tokens[: bisect_left(range(1, len(tokens)), True, key=settled) + 1])


def _log_sum(log_masses) -> float:
    """log of a sum of masses, at most 0."""
    return min(0.0, float(np.logaddexp.reduce(sorted(log_masses))))


def _log_share(count: int, draws: int) -> float:
    return math.log(count / draws) if count >= FREQUENT else -math.inf
