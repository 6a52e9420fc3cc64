"""Populations of prompts that share a text and have an image each (theorem C9)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from sharpening.coupling import CompoundSymmetric, Coupling
from sharpening.errors import InputError
from sharpening.population import Population, as_floats
from sharpening.simulation.vote_path import vote_path


@dataclass(frozen=True, eq=False, repr=False)
class SightedPopulation(Population):
    """Prompts of one question: what the text says, shared by all, and what each prompt's own image says.

    Formula: log_probs z_x = h + i_x up to a constant a prompt; `text` (answers,) is h, nats, the policy's logits where the
    image shows nothing; None: the weighted mean of the log_probs, as theorem C9 takes it. Training moves h by the shared
    part of the coupling and each i_x by the private part; `simulate` takes such a population as any other. Raises:
    InputError as Population, and where `text` is not one finite number an answer.
    """

    text: np.ndarray | None = None

    def __post_init__(self):
        super().__post_init__()
        text = self.prompt_weights @ self.log_probs if self.text is None else as_floats("text", self.text)
        if text.shape != (self.num_answers,) or not np.isfinite(text).all():
            raise InputError("text", text, f"it is a finite number for each of {self.num_answers} answers")
        object.__setattr__(self, "text", text)

    @property
    def _said(self) -> np.ndarray:
        assert self.text is not None
        return self.text

    @classmethod
    def drawn(
        cls,
        key: int,
        num_prompts: int,
        num_answers: int = 9,
        *,
        text: float = 1.0,
        sight: float = 3.0,
        noise: float = 1.0,
        hinted: float = 0.5,
        coupling: Coupling | None = None,
    ) -> Self:
        """h_a = text * n_a and i_xa = noise * n_xa + sight * 1[a is what the image shows], n standard normal; nats.

        The image shows what the text says, argmax h, for a share `hinted` of the prompts (each by chance), else a uniform
        draw, and is right: a model that never looks is right on hinted + (1 - hinted)/answers. `key`: an integer seed.
        coupling: CompoundSymmetric(1, 1) where None. Raises: InputError for numbers that make none.
        """
        if not (0 <= hinted <= 1 and noise >= 0 and text >= 0 and np.isfinite([text, sight, noise]).all()):
            raise InputError(
                "text, sight, noise, hinted",
                (text, sight, noise, hinted),
                "they are finite, text and noise >= 0, and hinted is a share, 0 to 1",
            )
        if num_prompts < 1 or num_answers < 2:
            raise InputError(
                "num_prompts, num_answers",
                (num_prompts, num_answers),
                "there is at least 1 prompt with 2 answers",
            )
        rng = np.random.default_rng(key)
        said = text * rng.standard_normal(num_answers)
        shown = np.where(
            rng.random(num_prompts) < hinted, said.argmax(), rng.integers(num_answers, size=num_prompts)
        )
        correct = np.arange(num_answers) == shown[:, None]
        seen = noise * rng.standard_normal((num_prompts, num_answers)) + sight * correct
        pull = CompoundSymmetric(private=1.0, shared=1.0) if coupling is None else coupling
        return cls.from_logits(said + seen, correct, coupling=pull, text=said)

    def tempered(self, temperature: float) -> Self:
        """As `Population.tempered`; the text's logits are divided, too."""
        found = super().tempered(temperature)
        return found if found is self else found.replace(text=self._said / temperature)

    @property
    def blind_answer(self) -> int:
        """What is answered where the image shows nothing: argmax h, "no answer" aside; the smallest id of ties."""
        said = self._said.copy()
        if self.no_answer is not None:
            said[self.no_answer] = -np.inf
        return int(said.argmax())

    @property
    def blind_retention(self) -> float:
        """Weighted share of prompts whose vote is the blind answer, 0..1: the images change nothing there; ties share."""
        leaders = self.leaders
        share = leaders[:, self.blind_answer] / np.maximum(leaders.sum(axis=1), 1)
        return float(self.prompt_weights @ share)

    @property
    def blind_accuracy(self) -> float:
        """Weighted share of prompts for which the blind answer is right, 0..1. Raises: InputError without labels."""
        return float(self.prompt_weights @ self.labels[:, self.blind_answer])

    def judged_by_text(self) -> Self:
        """The same policies, the blind answer of now the right one for every prompt: `label_accuracy` of a simulation is
        then the share of votes that say what the text said at the beginning.
        """
        correct = np.zeros((self.num_prompts, self.num_answers), dtype=bool)
        correct[:, self.blind_answer] = True
        return self.replace(correct=correct)

    def after(self, drift: float) -> Self:
        """Where the exact flow of votes (KL-prox or natural gradient, `vote_path`) has brought it after `drift` nats,
        steps times learning rate: text and images. Raises: InputError as `vote_path`, and for a drift below 0.
        """
        if not (np.isfinite(drift) and drift >= 0):
            raise InputError("drift", drift, "it is a finite number of nats >= 0")
        own, moved = vote_path(self).at(drift)
        return type(self).from_logits(
            self.log_probs + own + moved,
            self.correct,
            weights=self.weights,
            answer_names=self.answer_names,
            coupling=self.coupling,
            no_answer=self.no_answer,
            questions=self.questions,
            text=self._said + moved,
        )
