"""What a task is: prompts with known answers, how an answer is read from a completion, and which answers are
the same.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from llm_bridge.answers.limits import MAX_LABEL
from llm_bridge.console.numbers import whole
from sharpening.errors import InputError


@dataclass(frozen=True)
class Problem:
    """One prompt and its true answer, or None where it is not known.

    `answer` is the canonical true label (Countdown: the target, since many expressions are right). `data`
    holds what only the task itself reads; it takes no part in comparison.
    """

    prompt: str
    answer: str | None
    data: Mapping = field(default_factory=dict, compare=False)

    @property
    def asked(self) -> str | list[int]:
        """What a model is given to continue: the token ids that a trainer made of the prompt, where these are
        known (`prompt_ids` of `data`), else the prompt.
        """
        return self.data.get("prompt_ids", self.prompt)

    @property
    def question(self) -> str:
        """What the prompt asks, without system message, examples and template."""
        return getattr(self.prompt, "question", self.prompt)


class Task(ABC):
    """Prompts, answer extraction, equivalence and truth.

    A label is read from a completion once, by `extract`, and both the vote and the grading use that one
    label: grading never reads a label a second time. None means "no answer": it never wins a vote and is
    never correct.
    """

    name: str
    description: str
    max_new_tokens: int
    default_eval_prompts: int = 256
    exact_labels: bool = True
    """True where two labels are equivalent only if they are the same string, so that nothing needs comparing.
    """

    notes: list[str] = []
    """Sentences on what was left out when the task was read."""

    @abstractmethod
    def _build(self) -> tuple[Problem, ...]:
        """Every problem, in a fixed order."""

    @abstractmethod
    def extract(self, completion: str) -> str | None:
        """The canonical label that a completion votes for; None for no answer. Never raises, whatever the
        text.
        """

    @cached_property
    def problems(self) -> tuple[Problem, ...]:
        """Every problem of the task, in a fixed order; built at first use."""
        return self._build()

    def equivalent(self, first: str, second: str) -> bool | None:
        """Whether two labels say the same, None where that is undecided; symmetric and reflexive. `votes`
        takes its transitive closure within a prompt.
        """
        return first == second

    def unit(self, label: str) -> str | None:
        """The unit of a label; labels of two units are never one answer of a vote, whatever a bare label between
        them says. By default none.
        """
        return None

    def is_correct(self, problem: Problem, label: str | None) -> bool:
        """Whether a label, as `extract` gave it, answers the problem; False for no answer and for a problem
        without a true one; what is undecided is not right.
        """
        return self.graded(problem, label) is True

    def graded(self, problem: Problem, label: str | None) -> bool | None:
        """`is_correct`, but None where it is undecided."""
        if label is None or problem.answer is None:
            return False
        return self.equivalent(problem.answer, label)

    def settled(self, completion: str) -> bool:
        """True only if no continuation of the text can change `extract`, so that every continuation is settled too;
        False says nothing.
        """
        return False

    @property
    def settles(self) -> bool:
        """Whether `settled` ever says so; where it does not, nothing need be asked."""
        return type(self).settled is not Task.settled

    @property
    def labelled(self) -> bool:
        """Whether true answers are known: of every problem, or of none."""
        return self.problems[0].answer is not None

    def solution(self, problem: Problem) -> str | None:
        """A completion, as a model should write it after the prompt, whose label is correct; None without a
        true answer.
        """
        return problem.answer

    def rephrase(self, problem: Problem) -> tuple[str, ...]:
        """Other prompts that ask the same question, with the same true answer; empty where none are known."""
        return tuple(problem.data.get("rephrasings", ()))

    def meaning(self, label: str) -> str:
        """What a label says: labels of one meaning form one semantic cluster of a prompt. By default every
        label its own.
        """
        return label

    def split(
        self, eval_prompts: int, dataset_size: int | None = None
    ) -> tuple[list[Problem], list[Problem]]:
        """Training and evaluation problems: (train, eval).

        The problems are put in one fixed order (by SHA-256 of the prompt, so it depends on no seed, platform
        or version); the first `eval_prompts` are evaluated and never trained on, whatever the data set; the
        rest is the pool, and `dataset_size=N` trains on its first N (None: on all of it). Both hold distinct
        prompts: of a prompt that occurs twice, the first problem counts.

        Raises InputError if the task has too few problems.
        """
        count = len(self._in_split_order)
        if count < 2:
            raise InputError(
                "task",
                self.name,
                "it has one distinct prompt, and a run needs one to evaluate and another to train on",
                "Give a task with at least two different prompts",
            )
        if isinstance(eval_prompts, int) and eval_prompts < 1:
            raise InputError(
                "eval_prompts",
                eval_prompts,
                "at least one prompt must be evaluated",
                "Use --eval-prompts 1 or more",
            )
        whole("eval_prompts", eval_prompts, 1)
        if dataset_size is not None:
            fix = "Leave --dataset-size out to train on every other prompt"
            whole("dataset_size", dataset_size, 1, fix=fix)
        evaluated, pool = self._in_split_order[:eval_prompts], self._in_split_order[eval_prompts:]
        if not pool:
            raise InputError(
                "eval_prompts",
                eval_prompts,
                f"task {self.name} has {count} different prompts, which leaves none to train on",
                f"Use --eval-prompts {count // 2} or fewer",
            )
        if dataset_size is not None and dataset_size > len(pool):
            raise InputError(
                "dataset_size",
                dataset_size,
                f"task {self.name} has {len(pool)} problems left for training beside {eval_prompts}"
                " evaluation prompts",
                f"Use --dataset-size {len(pool)} or fewer"
                + (", or lower --eval-prompts" if eval_prompts > 1 else ""),
            )
        return pool[:dataset_size], evaluated

    @cached_property
    def _in_split_order(self) -> list[Problem]:
        first: dict[str, Problem] = {}
        for problem in self.problems:
            first.setdefault(problem.prompt, problem)
        return sorted(
            first.values(),
            key=lambda problem: hashlib.sha256(problem.question.encode("utf-8", "surrogatepass")).digest(),
        )


def plain_digits(completion: str) -> str | None:
    """The number a completion consists of: ASCII digits only, white space around them allowed, else None.

    Leading zeros mean nothing: "042" and "42" are one label, "42".
    """
    if len(completion) > MAX_LABEL:
        return None
    text = completion.strip()
    if not (text.isascii() and text.isdigit()):
        return None
    return text.lstrip("0") or "0"


def digits_settled(completion: str) -> bool:
    """Whether `plain_digits` is None for good: the text holds something that is neither an outer space nor a
    digit.
    """
    text = completion.strip()
    return len(completion) > MAX_LABEL or bool(text) and not (text.isascii() and text.isdigit())


TASKS: dict[str, type[Task]] = {}
"""The built-in tasks by name."""


def register_task(cls: type[Task]) -> type[Task]:
    """Class decorator: put the task into TASKS under `cls.name`. It must be made without arguments.

    Raises: InputError if a text is missing or the name belongs to another task.
    """
    for name in ("name", "description"):
        if not str(getattr(cls, name, "")).strip():
            raise InputError(name, getattr(cls, name, None), f"the task {cls.__name__} needs one")
    known = TASKS.get(cls.name)
    if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
        raise InputError("name", cls.name, f"{known.__name__} already has it", "Choose another name")
    TASKS[cls.name] = cls
    return cls


def run_without_labels(problems) -> bool:
    """True if no problem carries a true answer, so that labelled metrics cannot be formed."""
    return all(problem.answer is None for problem in problems)


def base_rate_floor(task, problems) -> float:
    """The largest share of labelled problems for which one and the same answer is right."""
    # The completion that is right, not the answer: Countdown's target is shared by prompts, the expression is
    # not.
    solutions = [task.solution(problem) for problem in problems]
    answers = [solution if (label := task.extract(solution)) is None else label for solution in solutions]
    return max(answers.count(answer) for answer in set(answers)) / len(answers)
