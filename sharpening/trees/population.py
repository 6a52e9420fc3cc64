"""A population of prompts whose policies are over sequences of tokens."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import cast

import jax
import numpy as np

from sharpening.coupling import Coupling, NoCoupling
from sharpening.errors import InputError
from sharpening.logspace import normalised
from sharpening.metrics import NO_ANSWER
from sharpening.population import Population, checked_rows
from sharpening.simulation.precision import precision_context
from sharpening.simulation.sampling import sample_answers
from sharpening.trees.passes import leaf_log_probs
from sharpening.trees.shape import TreeShape
from sharpening.trees.statistics import answer_log_masses
from sharpening.trees.ties import dense

_ANSWERS = {"last": "last_content", "first": "first_content", "end": "which_end"}


def _checked_log_probs(values: object, shape: TreeShape) -> np.ndarray:
    log_probs = np.asarray(values, dtype=np.float64)
    wanted = (shape.num_nodes, shape.vocab_size)
    if log_probs.ndim != 3 or log_probs.shape[1:] != wanted or not len(log_probs):
        raise InputError(
            "log_probs",
            log_probs.shape,
            f"the shape is (prompts, {wanted[0]} nodes, {wanted[1]} tokens), at least one prompt",
        )
    return checked_rows(log_probs, "Use TreePopulation.from_logits")


def _checked_answers(answers: object, shape: TreeShape) -> np.ndarray:
    if isinstance(answers, str):
        if answers not in _ANSWERS:
            raise InputError(
                "answers",
                answers,
                f"the answer is one of {', '.join(_ANSWERS)}, a function of the tokens, or an id a leaf",
            )
        answers = getattr(shape, _ANSWERS[answers])
    if callable(answers):
        answers = [answers(tuple(int(token) for token in row if token >= 0)) for row in shape.tokens]
    ids = np.asarray(answers)
    if (
        ids.shape != (shape.num_leaves,)
        or not np.issubdtype(ids.dtype, np.integer)
        or ids.min() < NO_ANSWER
        or ids.max() < 0
    ):
        raise InputError(
            "answers",
            (ids.shape, str(ids.dtype)),
            f"they are {shape.num_leaves} integer ids, one a leaf, -1 for no answer, not all -1",
        )
    return ids


@dataclass(frozen=True, eq=False)
class TreePopulation:
    """Policies over sequences of tokens for many prompts: at every prefix a distribution over the next token.

    `shape`: which sequences there are. `log_probs` (prompts, nodes, vocab), nats, rows normalised to within
    1e-6 (and again in float64, as in `Population`), -infinity allowed.
    `answers`: the answer id of every leaf: the "last" (default) or "first" content token, the "end" token
    that finished it (counted from 0), a function of the tuple of its tokens (the end token included), or
    (leaves,) ids; -1 for no answer. `correct` (prompts, answers) bool over the answer ids, or None without
    labels. `weights` (prompts,) >= 0 or None for equal ones. `ties` (nodes, vocab) int: logits with equal
    integers move together (`by_last_tokens`, `by_run_length`), or None: each moves alone (tabular).
    `coupling` between prompts, over the parameters that can move. `token_names`: one a token.

    Training moves z_x = z0_x + v_x[ties] + u[ties], v_x private to a prompt, u shared by all; so a tree of
    one level without ties is the flat `Population`. Raises: InputError where a shape or value breaks this.
    Source: theorems S7a to S7c, C6; He et al. 2026.
    """

    shape: TreeShape
    log_probs: np.ndarray
    correct: np.ndarray | None = None
    answers: np.ndarray | str | Callable = "last"
    weights: np.ndarray | None = None
    ties: np.ndarray | None = None
    coupling: Coupling = field(default_factory=NoCoupling)
    token_names: tuple[str, ...] | None = None

    def __post_init__(self):
        shape = self.shape
        if not isinstance(shape, TreeShape):
            raise InputError("shape", shape, "it is a TreeShape", "Use TreeShape(num_content, max_length)")
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731
        put("log_probs", _checked_log_probs(self.log_probs, shape))
        put("answers", _checked_answers(self.answers, shape))
        if self.correct is not None:
            correct = np.asarray(self.correct)
            if (
                correct.dtype != bool
                or correct.ndim != 2
                or len(correct) != self.num_prompts
                or correct.shape[1] <= self._ids.max()
            ):
                rule = (
                    f"it is a bool array ({self.num_prompts} prompts, answers) with a column for every answer"
                    f" id, 0..{self._ids.max()}"
                )
                raise InputError("correct", (correct.shape, str(correct.dtype)), rule)
            put("correct", correct)
        if self.weights is not None:
            weights = np.asarray(self.weights, dtype=np.float64)
            if (
                weights.shape != (self.num_prompts,)
                or not np.all(weights >= 0)
                or not 0 < weights.sum() < np.inf
            ):
                raise InputError(
                    "weights", weights, f"they are {self.num_prompts} finite numbers >= 0, not all 0"
                )
            put("weights", weights / weights.sum())
        if self.ties is not None:
            ties = np.asarray(self.ties)
            if ties.shape != (shape.num_nodes, shape.vocab_size) or not np.issubdtype(ties.dtype, np.integer):
                raise InputError(
                    "ties",
                    (ties.shape, str(ties.dtype)),
                    f"they are integers of shape {(shape.num_nodes, shape.vocab_size)}",
                )
            put("ties", dense(ties))
        if self.token_names is not None:
            if len(self.token_names) != shape.vocab_size:
                raise InputError(
                    "token_names", self.token_names, f"there must be {shape.vocab_size}, one a token"
                )
            put("token_names", tuple(self.token_names))

    @classmethod
    def from_logits(
        cls, shape: TreeShape, logits: np.ndarray, correct: np.ndarray | None = None, **fields
    ) -> TreePopulation:
        """Node policies softmax(logits), (prompts, nodes, vocab), nats; other fields as in
        `TreePopulation`.
        """
        logits = np.asarray(logits, dtype=np.float64)
        if (
            logits.ndim != 3
            or 0 in logits.shape
            or np.isnan(logits).any()
            or not np.isfinite(logits.max(axis=-1)).all()
        ):
            raise InputError(
                "logits",
                logits.shape,
                "they are (prompts, nodes, vocab), without NaN or +infinity, with a finite entry in"
                " every row",
            )
        return cls(shape, normalised(logits), correct, **fields)

    def replace(self, **changes) -> TreePopulation:
        """The same population with some fields changed."""
        return dataclasses.replace(self, **changes)

    def select(self, prompts: slice | np.ndarray) -> TreePopulation:
        """The population of these prompts only."""
        cut = lambda values: None if values is None else values[prompts]  # noqa: E731
        return self.replace(
            log_probs=self.log_probs[prompts], correct=cut(self.correct), weights=cut(self.weights)
        )

    @property
    def _ids(self) -> np.ndarray:
        return cast(np.ndarray, self.answers)  # construction made ids of whatever was given

    @property
    def num_prompts(self) -> int:
        """Number of prompts."""
        return self.log_probs.shape[0]

    @property
    def num_answers(self) -> int:
        """Number of answer ids, "no answer" not included."""
        return int(self._ids.max()) + 1 if self.correct is None else self.correct.shape[1]

    @property
    def no_answer(self) -> int | None:
        """The answer column that stands for "no answer", the last one; None where every leaf has an
        answer.
        """
        return self.num_answers if (self._ids == NO_ANSWER).any() else None

    @property
    def columns(self) -> np.ndarray:
        """Answer column of every leaf, (leaves,) int."""
        return np.where(self._ids == NO_ANSWER, self.num_answers, self._ids)

    @property
    def prompt_weights(self) -> np.ndarray:
        """Weights that sum to 1, (prompts,), also where `weights` is None."""
        return np.full(self.num_prompts, 1 / self.num_prompts) if self.weights is None else self.weights

    @cached_property
    def leaf_log_probs(self) -> np.ndarray:
        """log pi(y|x) of every finished sequence, (prompts, leaves), nats."""
        with precision_context("float64"):
            return leaf_log_probs(self.shape, np.asarray(self.log_probs))

    @property
    def mean_length(self) -> np.ndarray:
        """Expected number of tokens, the end token included, (prompts,)."""
        return np.exp(self.leaf_log_probs) @ self.shape.lengths

    @property
    def repetition(self) -> np.ndarray:
        """Expected share of content tokens after the first that equal their predecessor, (prompts,); see
        `TreeShape.repetition`.
        """
        return np.exp(self.leaf_log_probs) @ self.shape.repetition

    @property
    def base_rate_floor(self) -> float:
        """Largest weighted share of prompts for which one fixed answer is correct. Raises: InputError without
        labels.
        """
        return self.over_answers().base_rate_floor

    def over_answers(self) -> Population:
        """The flat population of answers that these sequences give: masses summed over the leaves of each
        answer.
        """
        silent = self.no_answer is not None
        correct = None if self.correct is None else np.pad(self.correct, ((0, 0), (0, int(silent))))
        with precision_context("float64"):
            masses = answer_log_masses(
                self.leaf_log_probs, np.asarray(self.columns), self.num_answers + silent
            )
        return Population(
            np.asarray(masses), correct, self.weights, coupling=self.coupling, no_answer=self.no_answer
        )

    def over_leaves(self) -> Population:
        """The flat population whose answers are the finished sequences themselves, each as correct as its
        answer.
        """
        correct = None
        if self.correct is not None:
            correct = np.pad(self.correct, ((0, 0), (0, 1)))[:, self.columns]
        return Population(self.leaf_log_probs, correct, self.weights, coupling=self.coupling)

    def sample(self, key, rollouts: int) -> np.ndarray:
        """Leaf indices of independent rollouts, (prompts, rollouts) int; `key`: a JAX key or an integer
        seed.
        """
        key = jax.random.key(key) if isinstance(key, (int, np.integer)) else key
        with precision_context("float64"):
            uniform = np.asarray(jax.random.uniform(key, (self.num_prompts, rollouts)))
            return sample_answers(uniform, np.asarray(self.leaf_log_probs))

    def text(self, leaf: int) -> str:
        """A leaf as text: its tokens' names, or ids, joined by spaces."""
        names = self.token_names or tuple(str(token) for token in range(self.shape.vocab_size))
        return " ".join(names[token] for token in self.shape.tokens[leaf] if token >= 0)

    def likeliest(self, prompt: int = 0, count: int = 5) -> Sequence[tuple[str, float]]:
        """The `count` most probable sequences of a prompt, as text, with their probabilities."""
        row = self.leaf_log_probs[prompt]
        return [
            (self.text(leaf), float(np.exp(row[leaf]))) for leaf in np.argsort(-row, kind="stable")[:count]
        ]
