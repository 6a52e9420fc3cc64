"""What a reward reads of a batch of completions: exactly the signals that its card lists, each made by one
method.
"""

import bisect
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from llm_bridge.models.loading import frozen_copy
from llm_bridge.sampling.forward import completion_statistics
from llm_bridge.sampling.rollouts import Rollouts, cut_off, sample
from llm_bridge.sampling.seeding import seeded
from llm_bridge.tasks import Answers, read_answers
from sharpening.metrics import NO_ANSWER

STATES = 3
"""Intermediate states of a completion: after a quarter, a half and three quarters of its tokens."""


@dataclass(frozen=True)
class Batch:
    """Completions of one step: problems and prompt_ids (prompts,), token_ids and texts (prompts, rollouts),
    the step's number.
    """

    problems: list
    prompt_ids: list[list[int]]
    token_ids: list[list[list[int]]]
    texts: list[list[str]]
    step: int = 0

    @property
    def positions(self) -> int:
        """Tokens of all prompts and completions, each prompt counted once a completion."""
        return sum(
            len(prompt) + len(ids)
            for prompt, group in zip(self.prompt_ids, self.token_ids, strict=True)
            for ids in group
        )


class Signals:
    """Makes the signals of `needs` for each batch, and counts what they cost.

    How each is made, beside `answers` and `labels`, which every batch has:
    tokens: a forward pass of the model in training over prompt and completion, at the sampling temperature,
    in evaluation mode; `answer_mask` marks the tokens that spell the label where the label stands in the
    text, else all.
    reference_log_probs: the same under `reference`, the initial model.
    previous_log_probs: the same under the model as it was one call (one update) earlier; at the first call
    the two coincide.
    clusters: answers of one `task.meaning`, beside those that `task.equivalent` has already made one.
    states: the model's greedy answer after each of STATES truncations of the completion (not the truncated
    text's own: "8" of "85" is no answer of the model). questions: prompts that are rephrasings of each other.
    voters: 0 for the model in training; 1 for `reference`, which writes as many completions again, so that
    answers and voters hold twice as many columns. step: `batch.step`.
    Verdicts are not made here: a reward may not want all of them (`llm_bridge.training.reward_function`).
    """

    def __init__(
        self,
        needs,
        task,
        tokenizer,
        *,
        rollouts: int,
        temperature: float = 1.0,
        max_new_tokens: int | None = None,
        seed: int = 0,
        reference=None,
        mask_truncated_completions: bool = False,
    ):
        self.needs, self.task, self.tokenizer, self.rollouts = frozenset(needs), task, tokenizer, rollouts
        self.temperature, self.seed, self.reference = temperature, seed, reference
        self.max_new_tokens = max_new_tokens or task.max_new_tokens
        self.mask_truncated_completions = mask_truncated_completions
        self.previous: torch.nn.Module | None = None
        self.forward_tokens = self.generated_tokens = 0

    def answers(self, batch: Batch, model=None) -> Answers:
        """Answers and their correctness, (prompts, rollouts), or (prompts, 2 × rollouts) with other voters;
        with `mask_truncated_completions`, one that was cut off is none.
        """
        texts, ids = batch.texts, batch.token_ids
        if "voters" in self.needs:
            others = self._others(batch)
            texts, ids = _side_by_side(texts, others.texts), _side_by_side(ids, others.token_ids)
        return read_answers(batch.problems, texts, self.task, self._unread(model, ids))

    def _unread(self, model, token_ids):
        return cut_off(token_ids, model, self.tokenizer) if self.mask_truncated_completions else None

    def __call__(self, model, batch: Batch, answers: Answers) -> dict:
        """The signals by keyword, except answers, labels and verdicts."""
        makers = {
            "tokens": lambda: self._tokens(model, batch),
            "reference_log_probs": lambda: self._totals(self.reference, batch),
            "previous_log_probs": lambda: self._previous(model, batch),
            "clusters": lambda: self._clusters(answers),
            "states": lambda: self._states(model, batch, answers),
            "questions": lambda: self._questions(batch),
            "voters": lambda: np.repeat([[0, 1]], self.rollouts, axis=1).repeat(len(batch.problems), axis=0),
            "step": lambda: batch.step,
        }
        return {name: make() for name, make in makers.items() if name in self.needs}

    def _statistics(self, model, batch):
        self.forward_tokens += batch.positions
        return completion_statistics(
            model, self.tokenizer, batch.prompt_ids, batch.token_ids, temperature=self.temperature
        )

    def _tokens(self, model, batch):
        found = self._statistics(model, batch)
        width = found.mask.shape[2]
        marks = [
            [answer_tokens(self.task, self.tokenizer, text, ids) for text, ids in zip(*pair, strict=True)]
            for pair in zip(batch.texts, batch.token_ids, strict=True)
        ]
        table = torch.tensor([[mark + [False] * (width - len(mark)) for mark in group] for group in marks])
        return replace(found, answer_mask=table)

    def _totals(self, model, batch):
        found = self._statistics(model, batch)
        return found.total(found.log_prob)

    def _previous(self, model, batch):
        if self.previous is None:
            self.previous = frozen_copy(model)
        totals = self._totals(self.previous, batch)
        self.previous.load_state_dict(model.state_dict())
        return totals

    def _clusters(self, answers: Answers) -> np.ndarray:
        meanings = [self.task.meaning(label) for label in answers.labels]
        ids = {meaning: number for number, meaning in enumerate(dict.fromkeys(meanings))}
        table = np.array([ids[meaning] for meaning in meanings] + [NO_ANSWER])
        return table[answers.ids]

    def _states(self, model, batch, answers) -> np.ndarray:
        ends = {self.tokenizer.eos_token_id, self.tokenizer.pad_token_id}
        places, starts = {}, []
        for row, group in enumerate(batch.token_ids):
            for column, ids in enumerate(group):
                written = len(ids) - (bool(ids) and ids[-1] in ends)
                for part in range(STATES):
                    kept = tuple(ids[: written * (part + 1) // (STATES + 1)])
                    places[row, column, part] = row, kept
                    starts.append((row, kept))
        starts = list(dict.fromkeys(starts))
        drawn = sample(
            model,
            self.tokenizer,
            [[*batch.prompt_ids[row], *kept] for row, kept in starts],
            rollouts=1,
            max_new_tokens=self.max_new_tokens,
            greedy=True,
        )
        self.forward_tokens += drawn.forward_tokens
        self.generated_tokens += drawn.generated_tokens
        completed = {start: [*start[1], *ids[0]] for start, ids in zip(starts, drawn.token_ids, strict=True)}
        states = [
            [completed[places[row, column, part]] for column in range(len(group)) for part in range(STATES)]
            for row, group in enumerate(batch.texts)
        ]
        # Read together with the completions, so that a state and an answer that are equivalent get one id.
        texts = [[self.tokenizer.decode(ids, skip_special_tokens=True) for ids in group] for group in states]
        unread = self._unread(model, _side_by_side(batch.token_ids, states))
        read = read_answers(batch.problems, _side_by_side(batch.texts, texts), self.task, unread).ids
        count = len(batch.texts[0])
        own = {
            (row, answer): theirs
            for row in range(len(read))
            for answer, theirs in zip(read[row, :count], answers.ids[row], strict=True)
        }
        fresh = len(answers.labels)  # ids of states that no completion ended with, beyond all answers' ids
        states = [
            [
                own.get((row, answer), NO_ANSWER if answer == NO_ANSWER else fresh + answer)
                for answer in read[row, count:]
            ]
            for row in range(len(read))
        ]
        return np.array(states).reshape(len(read), count, STATES)

    def _questions(self, batch) -> np.ndarray:
        asked = [problem.data.get("question", problem.prompt) for problem in batch.problems]
        return np.array([asked.index(question) for question in asked])

    def _others(self, batch) -> Rollouts:
        """As many completions of each prompt by the reference."""
        drawn = sample(
            self.reference,
            self.tokenizer,
            batch.prompt_ids,
            rollouts=self.rollouts,
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            generator=seeded(self.seed, 5, batch.step),
        )
        self.forward_tokens += drawn.forward_tokens
        self.generated_tokens += drawn.generated_tokens
        return drawn

    def save(self, folder: Path, step: int) -> None:
        """Keep what the signals remember beside the checkpoint of `step`, and drop what belongs to steps
        before the one before it.
        """
        if self.previous is not None:
            from safetensors.torch import save_model

            found = (re.fullmatch(r"previous-(\d+)\.safetensors", file.name) for file in folder.iterdir())
            for old in sorted(int(match[1]) for match in found if match)[:-1]:
                (folder / f"previous-{old}.safetensors").unlink()
            save_model(self.previous, str(folder / f"previous-{step}.safetensors"))

    def restore(self, folder: Path, step: int, model) -> None:
        """Remember what was known at `step`; `model` gives the architecture."""
        path = folder / f"previous-{step}.safetensors"
        if "previous_log_probs" in self.needs and path.is_file():
            from safetensors.torch import load_model

            self.previous = frozen_copy(model)
            load_model(self.previous, str(path))


def _side_by_side(own, other) -> list:
    return [[*mine, *theirs] for mine, theirs in zip(own, other, strict=True)]


def answer_tokens(task, tokenizer, text: str, ids: list[int]) -> list[bool]:
    """Which tokens of a completion spell its label: those of the label's last occurrence in the text; all if
    it is not found there.

    The end-of-sequence token spells nothing, unless all tokens count.
    """
    label = task.extract(text)
    start = -1 if label is None else text.rfind(label)
    if start < 0:
        return [True] * len(ids)

    def written(count):
        return len(tokenizer.decode(ids[:count], skip_special_tokens=True))

    first = bisect.bisect_right(range(len(ids) + 1), start, key=written) - 1
    last = bisect.bisect_left(range(len(ids) + 1), start + len(label), key=written)
    return [first <= position < last for position in range(len(ids))]
