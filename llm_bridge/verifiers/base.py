"""What a verifier is, and the registry: a new verifier is one small file with one decorated class."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from llm_bridge.tasks.base import Problem
from sharpening.errors import InputError

READS = ("labels", "completions")


class Verifier(ABC):
    """Says how good answers are, without being told the true answer: verdicts in 0..1, 1 for right.

    `reads` says what `judge` is to be given: "labels", what `Task.extract` made of the completions (None for
    no answer), or "completions", the whole texts. Texts are hostile: a verifier executes nothing, ends in
    bounded time whatever they hold, and gives 0 for what it cannot read.
    """

    name: str
    description: str
    reads: str = "labels"

    @abstractmethod
    def verdict(self, problem: Problem, answer: str) -> float:
        """The verdict, in 0..1, on one answer; never raises for any text."""

    def judge(self, problems: Sequence[Problem], answers: Sequence[Sequence[str | None]]) -> np.ndarray:
        """Verdicts (prompts, rollouts), float64 in 0..1, of answers (prompts, rollouts); None is no answer
        and gets 0.

        Equal answers of a prompt are judged once.

        Raises InputError if the shapes do not fit.
        """
        if len(problems) != len(answers) or len({len(group) for group in answers}) > 1:
            sizes = sorted({len(group) for group in answers})
            raise InputError(
                "answers",
                f"{len(answers)} groups of sizes {sizes}",
                f"{len(problems)} problems need as many groups of equally many answers",
                "Give answers as (prompts, rollouts)",
            )
        verdicts = np.zeros((len(answers), len(answers[0]) if answers else 0))
        for row, (problem, group) in enumerate(zip(problems, answers, strict=True)):
            known = {
                answer: float(self.verdict(problem, answer)) for answer in set(group) if answer is not None
            }
            verdicts[row] = [0.0 if answer is None else known[answer] for answer in group]
        return verdicts


VERIFIERS: dict[str, type[Verifier]] = {}
"""The verifiers by name."""


def register_verifier(cls: type[Verifier]) -> type[Verifier]:
    """Class decorator: put a verifier into VERIFIERS under `cls.name`.

    Raises InputError if it has no name or description, reads neither labels nor completions, or the name is
    another's.
    """
    for field in ("name", "description"):
        if not str(getattr(cls, field, "") or "").strip():
            raise InputError(field, getattr(cls, field, None), f"the verifier {cls.__name__} needs one")
    if cls.reads not in READS:
        raise InputError("reads", cls.reads, f"a verifier reads {' or '.join(READS)}")
    known = VERIFIERS.get(cls.name)
    if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
        raise InputError("name", cls.name, f"{known.__name__} already has it", "Choose another name")
    VERIFIERS[cls.name] = cls
    return cls


def get_verifier(name: str, **settings) -> Verifier:
    """The verifier of that name with these settings (its constructor's arguments).

    Raises InputError listing the known names.
    """
    if name not in VERIFIERS:
        raise InputError(
            "verifier", name, f"known verifiers are {', '.join(sorted(VERIFIERS))}", "Give one of these names"
        )
    return VERIFIERS[name](**settings)
