"""What sampled answers say of a model before any training: its Population, metrics of the prior, and what the
answers cost. Needs no torch.
"""

from dataclasses import asdict, dataclass

import numpy as np

from llm_bridge.tasks.base import run_without_labels
from sharpening.metrics import group_metrics
from sharpening.population import Population


@dataclass(frozen=True, kw_only=True)
class Prior:
    """What the initial model's own answers say, means over prompts, votes taken over groups of the run's size.

    accuracy, label_accuracy, reward_accuracy: None without true answers. majority_ratio: the votes' share of
    the leading answer; entropy in nats; tie: share of votes that are tied; no_answer: share of completions.
    truncated: share of completions that were cut off at the length limit; None where that was not seen.
    """

    accuracy: float | None = None
    label_accuracy: float | None = None
    reward_accuracy: float | None = None
    majority_ratio: float
    entropy: float
    tie: float
    no_answer: float
    truncated: float | None = None

    @property
    def labelled(self) -> bool:
        """Whether the prompts have true answers."""
        return self.label_accuracy is not None

    def as_dict(self) -> dict[str, float]:
        """What is known, by name, in the order in which it is shown."""
        return {name: value for name, value in asdict(self).items() if value is not None}


PRIOR = tuple(Prior.__dataclass_fields__)
"""The metrics of a prior, in the order in which they are shown."""


def answer_population(task, problems, answers) -> Population:
    """Population over every label seen and, with labels, every true answer, whether it was seen or not."""
    names, correct = list(answers.labels), None
    if not run_without_labels(problems):
        solutions = {task.extract(task.solution(problem)) for problem in problems}
        names += sorted(solutions - set(names) - {None})
        correct = np.array([[task.is_correct(problem, name) for name in names] for problem in problems])
    population = Population.from_samples(answers.ids, len(names), answer_names=tuple(names))
    if correct is None:
        return population
    if population.no_answer is not None:
        correct = np.concatenate([correct, np.zeros((len(problems), 1), dtype=bool)], axis=1)
    return population.replace(correct=correct)


def prompt_metrics(ids, correct, group: int) -> dict[str, np.ndarray]:
    """`group_metrics` of each prompt, (prompts,), averaged over its disjoint groups of `group` rollouts; what
    is left over is not read.

    ids, correct (prompts, rollouts), correct None without labels; with fewer than `group` rollouts they are
    one group.
    """
    starts = range(0, max(1, ids.shape[1] // group) * group, group)
    parts = [
        group_metrics(ids[:, at : at + group], None if correct is None else correct[:, at : at + group])
        for at in starts
    ]
    return {name: np.mean([part[name] for part in parts], axis=0) for name in PRIOR if name in parts[0]}


def prior_of(ids, correct, group: int, truncated: float | None = None) -> Prior:
    """The prior that these answers show: `prompt_metrics`, averaged over prompts; `truncated` as it is."""
    found = {name: float(np.mean(values)) for name, values in prompt_metrics(ids, correct, group).items()}
    return Prior(**found, truncated=truncated)


def population_and_prior(task, problems, answers, group: int, truncated) -> tuple[Population, Prior]:
    """What a probe's answers show: `answer_population`, and `prior_of` groups of `group`; truncated (prompts,
    rollouts): which completions were cut off.
    """
    population = answer_population(task, problems, answers)
    correct = None if population.correct is None else answers.correct
    return population, prior_of(answers.ids, correct, group, truncated=float(np.mean(truncated)))


MOSTLY_SILENT = 0.5
"""A share of replies without an answer above which the pattern, not the model, is the first suspect."""


def silence_told(no_answer: float) -> list[str]:
    """A warning where most sampled replies hold no answer as answers are read; nothing elsewhere."""
    if not no_answer > MOSTLY_SILENT:
        return []
    return [
        f"{no_answer:.0%} of the sampled replies hold no answer by the task's answer pattern, so these"
        " numbers say more about the pattern than about the model: look at some replies, and choose another"
        " --answer-pattern, a prompt that asks for that form, or a larger --max-new-tokens."
    ]
