"""Evaluate a model on a fixed prompt set: every metric of the glossary that its labels, or their absence,
allow.
"""

import numpy as np
import torch

from llm_bridge.models.chat import blind, pictures_of
from llm_bridge.models.vision import image_token, images_of
from llm_bridge.sampling.rollouts import end_token_ids, sample, sequence_log_probs
from llm_bridge.sampling.seeding import seeded
from llm_bridge.tasks import read_answers
from llm_bridge.tasks.base import base_rate_floor, run_without_labels
from llm_bridge.training.divergence import Divergence
from llm_bridge.training.initial import (
    InitialModel,
    InitialPart,
    counted,
    initial_model,
    leaders,
    mode_mass,
    retained,
)
from llm_bridge.training.look import Look, metrics
from llm_bridge.training.reference import InitialWeights, initially
from sharpening.metrics import NO_ANSWER

NOTEWORTHY = 0.1
"""The share of cut-off completions from which on a result says so in words."""


def repetition(token_ids, ends) -> float:
    """Mean over completions of the share of tokens after the first that equal their predecessor; end tokens
    are no content.

    0 for completions of fewer than two content tokens. token_ids (prompts, rollouts) lists; the same as in
    `sharpening.trees`.
    """
    contents = [[token for token in ids if token not in ends] for group in token_ids for ids in group]
    shares = [
        sum(map(int.__eq__, ids[1:], ids)) / (len(ids) - 1) if len(ids) > 1 else 0.0 for ids in contents
    ]
    return float(np.mean(shares)) if shares else 0.0


def truncation_note(share: float, settings, task) -> list[str]:
    """One sentence where a `share` of the initial model's completions above NOTEWORTHY is cut off, else
    none.
    """
    if share <= NOTEWORTHY:
        return []
    voting = (
        "count as no answer" if settings.mask_truncated_completions else "vote with what is read from them"
    )
    return [
        f"{100 * share:.0f} % of the initial model's completions were cut off at max_new_tokens ="
        f" {settings.max_new_tokens or task.max_new_tokens}, and {voting}."
    ]


def _own(share: tuple[int, int]) -> tuple[int, ...]:
    """What a share adds to a seed: nothing where it is all prompts."""
    return share[:1] if share[1] > 1 else ()


def _given_and_text(ids, image: int | None) -> tuple[list[int], list[int]]:
    """A prompt's first token, or all up to its last image, and the rest; image: the token of an image's places."""
    if not images_of(ids):
        return ids[:1], ids[1:]
    count = len(ids) - ids[::-1].index(image) if image in ids else len(ids)
    return ids.upto(count), ids[count:]


class Evaluator:
    """Draws `rollouts` answers of each fixed prompt and reduces them to one number a metric.

    Parameters:
        reference: the initial model, which scores answers that its own draws never showed: a model, or the
            InitialWeights of the one that is evaluated. `None` leaves `excess_kl` and `kl` out.
        initial_rollouts: draws of the initial model that find its modes; another 2 × `rollouts` measure its
        own retention.
        mask_truncated_completions: a completion cut off at `max_new_tokens` gives no answer.
        stop: texts at which completions end; None: those of the model's generation config.

    Several processes can share the prompts out: each takes `start_part` and `look` of its own, and `begin` and
    `metrics` put the parts together.
    """

    def __init__(
        self,
        task,
        problems,
        tokenizer,
        *,
        rollouts,
        temperature=1.0,
        max_new_tokens=None,
        seed=0,
        initial_rollouts=64,
        reference=None,
        mask_truncated_completions=False,
        stop=None,
    ):
        self.task, self.problems, self.tokenizer = task, list(problems), tokenizer
        self.rollouts, self.temperature, self.seed = rollouts, temperature, seed
        self.max_new_tokens = max_new_tokens or task.max_new_tokens
        self.initial_rollouts = initial_rollouts
        self.reference: torch.nn.Module | InitialWeights | None = reference
        self.mask_truncated_completions, self.stop = mask_truncated_completions, stop
        self.labelled = not run_without_labels(self.problems)
        self.initial: InitialModel | None = None
        self.generated_tokens = self.forward_tokens = 0

    @property
    def floor(self) -> float | None:
        """The largest base rate of one true answer in the set: reward accuracy of a model that gives one
        answer to every prompt.
        """
        return base_rate_floor(self.task, self.problems) if self.labelled else None

    def __call__(self, model, step: int) -> dict[str, float]:
        """All metrics of `model` at `step`; the draws depend on the seed and the step alone."""
        if self.initial is None:
            self.start(model)
        look, divergence = self.look(model, step)
        if self.reference is not None:
            with initially(self.reference, model) as initial:
                look.kl = self.kl(initial, divergence)
        return self.metrics([look])

    def start(self, model) -> InitialModel:
        """Find the initial model's modes and its own retention; keep them for every later evaluation."""
        return self.begin([self.start_part(model)])

    def begin(self, parts: list[InitialPart]) -> InitialModel:
        """Keep what parts that hold every prompt once say of the initial model."""
        self.initial = initial_model(parts)
        return self.initial

    def metrics(self, looks: list[Look]) -> dict[str, float]:
        """All metrics, from looks that hold every prompt once."""
        assert self.initial is not None, "an evaluation begins with the initial model"
        return metrics(looks, self.initial, self.labelled)

    def start_part(self, model, share: tuple[int, int] = (0, 1)) -> InitialPart:
        """What the initial model answers on the prompts number i, i + n, i + 2 n, …, for share (i, n)."""
        places = self._places(share)
        if not places:
            return InitialPart([], self.initial_rollouts, [], ([], []))
        rows = self._draw(model, places, self.initial_rollouts, 0, 1, *_own(share))[2]
        tables = [counted(row) for row in rows]
        modes = [leaders(table) for table in tables]
        fresh = self._draw(model, places, 2 * self.rollouts, 0, 2, *_own(share))[2]
        first, second = (
            [retained(known, row[half]) for known, row in zip(modes, fresh, strict=True)]
            for half in (slice(0, self.rollouts), slice(self.rollouts, None))
        )
        return InitialPart(places, self.initial_rollouts, tables, (first, second))

    def look(
        self, model, step: int, share: tuple[int, int] = (0, 1), known: InitialPart | None = None
    ) -> tuple[Look, Divergence]:
        """What `model` answers at `step` on a share of the prompts, as of `start_part`, and of what `kl` is to be
        found; known: what the initial model answered on them, where `begin` has not been told yet.
        """
        places = self._places(share)
        if not places:
            return Look.nothing(), Divergence.nothing()
        if known is not None:
            tables, draws = known.answers, known.draws
        else:
            assert self.initial is not None, "an evaluation begins with the initial model"
            tables, draws = [self.initial.answers[place] for place in places], self.initial.draws
        drawn, answers, rows = self._draw(model, places, self.rollouts, 1, step, *_own(share))
        ends = end_token_ids(model, self.tokenizer)
        look = Look(
            places=places,
            rows=rows,
            correct=answers.correct,
            undecided=answers.undecided,
            kept=[retained(leaders(table), row) for table, row in zip(tables, rows, strict=True)],
            mass=[mode_mass(leaders(table), row) for table, row in zip(tables, rows, strict=True)],
            cut_off=drawn.truncated(model, self.tokenizer),
            lengths=[[len(ids) for ids in group] for group in drawn.token_ids],
            repeated=[repetition([group], ends) for group in drawn.token_ids],
            log_probs=drawn.log_probs.double().sum(1).tolist(),
            prompt_loss=self._prompt_loss(model, drawn.prompt_ids),
            blind=self._blind(model, places),
        )
        return look, Divergence.of(self.task, self.tokenizer, drawn, rows, tables, draws)

    def kl(self, initial, divergence: Divergence) -> np.ndarray:
        """KL(π_t‖π₀) of each prompt over its answers, in nats; initial: the initial model."""
        pairs, prompt_ids = divergence.rare, divergence.prompt_ids
        if not pairs:
            return divergence.kl([])
        scores = sequence_log_probs(
            initial,
            self.tokenizer,
            [prompt_ids[place] for place, _ in pairs],
            [list(ids) for _, ids in pairs],
            temperature=self.temperature,
        )
        self.forward_tokens += sum(len(ids) for _, ids in pairs)
        self.forward_tokens += sum(len(prompt_ids[place]) for place in {place for place, _ in pairs})
        return divergence.kl(scores.tolist())

    @property
    def spent(self) -> tuple[int, int]:
        """Tokens generated and run through the network so far, in this process."""
        return self.generated_tokens, self.forward_tokens

    def _places(self, share) -> list[int]:
        return list(range(share[0], len(self.problems), share[1]))

    def _draw(self, model, places, rollouts, *seed):
        problems = [self.problems[place] for place in places]
        drawn = sample(
            model,
            self.tokenizer,
            [problem.prompt for problem in problems],
            rollouts=rollouts,
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            generator=seeded(self.seed, *seed),
            stop=self.stop,
        )
        self.generated_tokens += drawn.generated_tokens
        self.forward_tokens += drawn.forward_tokens
        unread = drawn.truncated(model, self.tokenizer) if self.mask_truncated_completions else None
        answers = read_answers(problems, drawn.texts, self.task, unread)
        return (
            drawn,
            answers,
            [[answers.labels[i] if i != NO_ANSWER else None for i in row] for row in answers.ids],
        )

    def _blind(self, model, places) -> list[tuple[bool, bool]]:
        """Of each prompt with images: whether its greedy answer is the same when they are grey, and right then."""
        problems = [self.problems[place] for place in places if pictures_of(self.problems[place].prompt)]
        if not problems:
            return []
        seeing, sightless = (
            self.greedy(model, problems, [put(problem.prompt) for problem in problems])
            for put in (lambda prompt: prompt, blind)
        )
        return [
            (there is not None and there == here, self.task.is_correct(problem, here))
            for problem, there, here in zip(problems, seeing, sightless, strict=True)
        ]

    def greedy(self, model, problems, prompts) -> list[str | None]:
        """The greedy answer to each prompt, named as votes name it."""
        drawn = sample(
            model,
            self.tokenizer,
            prompts,
            rollouts=1,
            max_new_tokens=self.max_new_tokens,
            greedy=True,
            stop=self.stop,
        )
        self.generated_tokens += drawn.generated_tokens
        self.forward_tokens += drawn.forward_tokens
        unread = drawn.truncated(model, self.tokenizer) if self.mask_truncated_completions else None
        answers = read_answers(problems, drawn.texts, self.task, unread)
        return [answers.labels[row[0]] if row[0] != NO_ANSWER else None for row in answers.ids]

    def _prompt_loss(self, model, prompt_ids) -> tuple[float, int]:
        """Held-out language-model loss of the evaluation prompts' own text, their first token, or all up to their last
        image, given: (nats, tokens).
        """
        image = image_token(model)
        kept = [(head, tail) for ids in prompt_ids for head, tail in [_given_and_text(ids, image)] if tail]
        if not kept:
            return 0.0, 0
        scores = sequence_log_probs(model, self.tokenizer, [h for h, _ in kept], [t for _, t in kept])
        count = sum(len(tail) for _, tail in kept)
        self.forward_tokens += count
        return -float(scores.sum()), count
