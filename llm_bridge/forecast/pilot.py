"""A pilot: a few steps of the run itself, on a throwaway copy, at a learning rate that grows until the
answers break.
"""

import copy
import gc
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from transformers import TrainerCallback

from llm_bridge.console.numbers import SEEDS
from llm_bridge.console.progress import NullProgress
from llm_bridge.forecast.attractors import Attractor, fall
from llm_bridge.forecast.levels import crossing
from llm_bridge.models.chat import pictures_of
from llm_bridge.models.loading import LoadedModel
from llm_bridge.models.pictures import MARK
from llm_bridge.sampling.cost import Cost
from llm_bridge.sampling.greedy import greedy_replies, share_kept
from llm_bridge.tasks import read_answers
from llm_bridge.tasks.base import base_rate_floor, run_without_labels
from llm_bridge.training.settings import RATES
from sharpening.metrics import group_metrics

SHOWN = 4
"""Prompts with images that a record shows."""
PROMPTS = 128
"""Evaluation prompts whose greedy answers are watched."""
STEPS, GROWTH, HELD = 14, 1.5, 0.97
"""At most fourteen steps that grow by half each: displacement rises by a factor of 580. While HELD of the
answers still stand, nothing can be read between two steps, and the next one grows by half twice.
"""


@dataclass(frozen=True)
class Pilot:
    """What a run's own updates do to a model as they are made larger and larger (a learning-rate range test).

    displacement (steps + 1,): Σ of the learning rates so far, 0 first: under Adam about the distance each
    weight may have moved.
    metrics: `retention` (steps + 1,): share of greedy answers on fixed prompts that are still those of the
    start; with images also `blind_retention` (steps + 1,): share that would be the same of grey images. The others
    (steps,) are of the rollouts that each step drew on its own training prompts, before its
    update: `majority_ratio`, `entropy` (nats), `no_answer` and, with labels, `accuracy`, `label_accuracy` and
    `reward_accuracy`.
    silent: no step had a gradient, since in every group all answers earned the same; no weight has moved.
    attractor: what the greedy answers had in common at the first step with retention at most one half, at
    later ones where that became another, and at the last; empty if half of the answers survived everything,
    None in a record that does not tell.
    shown: with images, a few of them (`images`, small PNGs as data addresses) with `prompt`, true `answer`, the greedy
    answers `before` and `after`, and of `grey` after.
    """

    displacement: np.ndarray
    metrics: dict[str, np.ndarray]
    floor: float | None
    attractor: tuple[Attractor, ...] | None = None
    silent: bool = False
    shown: tuple[dict, ...] = ()

    def reach(self, metric: str, level: float) -> float:
        """The displacement at which a metric first falls to `level`, log-interpolated; inf if it never does,
        the first step's if at once.
        """
        return max(crossing(self.displacement, self.metrics[metric], level), float(self.displacement[1]))

    def as_dict(self) -> dict:
        """Plain data, five significant digits."""
        short = lambda values: [float(f"{value:.5g}") for value in values]  # noqa: E731
        attractor = {} if self.attractor is None else {"attractor": [one.as_dict() for one in self.attractor]}
        return (
            {
                "displacement": short(self.displacement),
                "floor": self.floor,
                "silent": self.silent,
                "metrics": {name: short(values) for name, values in self.metrics.items()},
            }
            | attractor
            | ({"shown": list(self.shown)} if self.shown else {})
        )

    @classmethod
    def from_dict(cls, data: dict) -> "Pilot":
        attractor = (
            tuple(Attractor.from_dict(one) for one in data["attractor"]) if "attractor" in data else None
        )
        metrics = {name: np.array(values) for name, values in data["metrics"].items()}
        return cls(
            np.array(data["displacement"]),
            metrics,
            data["floor"],
            attractor,
            data.get("silent", False),
            tuple(data.get("shown", ())),
        )

    @property
    def radius(self) -> float:
        """The displacement along the run's own updates at which half of the greedy answers survive."""
        return self.reach("retention", 0.5)


def run_pilot(
    loaded,
    task,
    settings,
    *,
    first_rate: float,
    steps: int = STEPS,
    growth: float = GROWTH,
    prompts: int = PROMPTS,
    cost=None,
    progress=None,
) -> Pilot:
    """Train a copy of `loaded` on `settings`' own reward, batch and optimizer, at a learning rate that grows
    from `first_rate`.

    Each step's rate is the last one's times `growth`, or growth² while a share HELD of the greedy answers is
    unchanged. Ends after `steps` steps, or once it has gone as far as `steps` steps that grow by `growth`
    each go, or where a weight is no longer finite. The updates are those of
    `llm_bridge.training.measure.measure`; `settings.learning_rate` is not used. `cost`
    (llm_bridge.sampling.cost.Cost) is charged. Nothing of `loaded` is changed.
    """
    from llm_bridge.training.trainer import grpo_trainer, schedule

    progress = progress or NullProgress()
    low, high = RATES
    settings = replace(settings, max_steps=steps, learning_rate=min(max(first_rate, low), high))
    train, evaluation = schedule(task, settings)
    problems = evaluation[:prompts]
    twin = LoadedModel(loaded.name, copy.deepcopy(loaded.model), loaded.tokenizer, loaded.processor)
    started = time.monotonic()
    bar = progress.start("probe: pilot", steps)
    cost = cost or Cost()
    watch = PilotWatch(task, problems, twin, settings, bar, cost, steps=steps, growth=growth)
    with tempfile.TemporaryDirectory() as folder:
        trainer, counter = grpo_trainer(twin, task, settings, train, Path(folder), saves=False)
        watch.listen(counter, train)
        trainer.add_callback(watch)
        train_once(trainer)
    bar.close()
    cost.generated_tokens += counter.generated
    cost.forward_tokens += counter.forward
    cost.backward_tokens += counter.backward
    cost.seconds += time.monotonic() - started
    return watch.pilot()


def train_once(trainer) -> None:
    """`trainer.train()`, without the walk through every imported module that its garbage collection would
    begin with: a tenth of a forecast of a small model.
    """
    gc.freeze()
    try:
        trainer.train()
    finally:
        gc.unfreeze()


def run_pilots(loaded, task, settings, count: int, **options) -> list[Pilot]:
    """`count` pilots that differ in their seed alone, the first with `settings`' own; `options` as of
    `run_pilot`.
    """
    return [
        run_pilot(loaded, task, replace(settings, seed=(settings.seed + number) % SEEDS), **options)
        for number in range(count)
    ]


class PilotWatch(TrainerCallback):
    """Sets the learning rate of each step, from `settings.learning_rate` on, and reads greedy answers after
    it; `hear` is to be told every batch of completions before it is learnt from.

    Parameter groups keep the proportions of their own learning rates.
    """

    def __init__(self, task, problems, twin, settings, bar, cost, *, steps=STEPS, growth=GROWTH):
        self.task, self.problems, self.twin, self.settings = task, problems, twin, settings
        self.rate, self.growth, self.bar, self.cost = 0.0, growth, bar, cost
        self.whole = settings.learning_rate * sum(growth**step for step in range(steps))
        self.displacement, self.table = [0.0], {"retention": [1.0]}
        self.seeing = any(pictures_of(problem.prompt) for problem in problems)
        self.batches: list[dict[str, float]] = []
        self.silent = True
        self.replies = [self._greedy()]
        if self.seeing:
            self.table["blind_retention"] = [self._blind()]

    def listen(self, counter, train):
        """Every step's rollouts pass through `counter.heard`."""

        def heard(step, drawn):
            rows = train[step * self.settings.prompts_per_step : (step + 1) * self.settings.prompts_per_step]
            unread = None
            if self.settings.mask_truncated_completions:
                unread = drawn.truncated(self.twin.model, self.twin.tokenizer)
            self.hear(rows, drawn.texts, unread)

        counter.heard = heard

    def hear(self, problems, texts, unread=None):
        """One batch of completions, texts and unread (prompts, rollouts)."""
        answers = read_answers(problems, texts, self.task, unread)
        correct = None if run_without_labels(problems) else answers.correct
        found = group_metrics(answers.ids, correct)
        self.batches.append({name: float(np.mean(values)) for name, values in found.items()})

    def _write_down(self):
        """The mean over this step's batches; of a step that drew none the values of the one before."""
        for name in self.batches[0] if self.batches else []:
            value = float(np.mean([batch[name] for batch in self.batches]))
            self.table.setdefault(name, []).append(value)
        if not self.batches:
            for name, values in self.table.items():
                if name not in ("retention", "blind_retention"):
                    values.append(values[-1])
        self.batches = []

    def pilot(self) -> Pilot:
        """What was seen."""
        labelled = not run_without_labels(self.problems)
        floor = base_rate_floor(self.task, self.problems) if labelled else None
        metrics = {name: np.array(values) for name, values in self.table.items()}
        return Pilot(
            np.array(self.displacement), metrics, floor, self.attractor(), self.silent, tuple(self._shown())
        )

    def _shown(self) -> list[dict]:
        """A few prompts with images, half of them with answers that changed where there are such."""
        places = [place for place, problem in enumerate(self.problems) if pictures_of(problem.prompt)]
        before, after = self.replies[0], self.replies[-1]
        places.sort(key=lambda place: before[place].answer == after[place].answer)
        chosen = dict.fromkeys([*places[: SHOWN // 2], *places[-(SHOWN // 2) :]])
        return [
            {
                "images": [one.thumbnail() for one in pictures_of(self.problems[place].prompt)],
                "prompt": MARK.sub("", self.problems[place].question),
                "answer": self.problems[place].answer,
                "before": before[place].text,
                "after": after[place].text,
                "grey": after[place].blind,
            }
            for place in chosen
        ]

    def _greedy(self):
        length = self.settings.max_new_tokens or self.task.max_new_tokens
        masked = self.settings.mask_truncated_completions
        return greedy_replies(
            self.twin.model,
            self.twin.tokenizer,
            self.task,
            self.problems,
            length,
            self.cost,
            masked,
            self.seeing,
        )

    def _blind(self) -> float:
        """The share of the last answers that would be the same of grey images."""
        replies = self.replies[-1]
        return share_kept([reply.answer for reply in replies], [reply.blind for reply in replies])

    def attractor(self) -> tuple[Attractor, ...]:
        """From the step on at which half of the answers are gone."""
        broken = next(
            (step for step, kept in enumerate(self.table["retention"]) if kept <= 0.5), len(self.replies)
        )
        steps = zip(self.displacement[broken:], self.replies[broken:], strict=True)
        # What an image is called is no word of the prompt.
        asked = [MARK.sub("", problem.question) for problem in self.problems]
        return fall(asked, self.replies[0], list(steps))

    def on_step_begin(self, args, state, control, optimizer=None, **kwargs):
        grown = self.growth ** (2 if self.table["retention"][-1] >= HELD else 1)
        self.rate = self.rate * grown if state.global_step else self.settings.learning_rate
        own = [group.get("initial_lr", self.rate) for group in optimizer.param_groups]
        for group, rate in zip(optimizer.param_groups, own, strict=True):
            group["lr"] = self.rate * (rate / max(own) if max(own) > 0 else 1.0)

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        self.silent = self.silent and not any(
            p.grad is not None and p.grad.any() for p in self.twin.model.parameters()
        )

    def on_step_end(self, args, state, control, **kwargs):
        self._write_down()
        if not all(torch.isfinite(p).all() for p in self.twin.model.parameters() if p.requires_grad):
            control.should_training_stop = True
            return control
        self.displacement.append(self.displacement[-1] + self.rate)
        self.replies.append(self._greedy())
        now, initial = ([reply.answer for reply in self.replies[step]] for step in (-1, 0))
        self.table["retention"].append(share_kept(now, initial))
        if self.seeing:
            self.table["blind_retention"].append(self._blind())
        self.bar.advance()
        if self.displacement[-1] >= self.whole * (1 - 1e-9):
            control.should_training_stop = True
        return control
