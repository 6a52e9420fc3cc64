"""A plain function as a reward, for trying an idea before it becomes a file with a card."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from sharpening.errors import InputError
from sharpening.rewards.base import Reward, RewardCard

SIGNALS = {
    "correct": "labels",
    "clusters": "clusters",
    "reference": "reference_log_probs",
    "previous": "previous_log_probs",
}
"""What a function of log_probs may name among its parameters, and the need of a card that stands for it."""


def parameters(function: Callable) -> list[str]:
    """The names of the parameters of a function, none where Python cannot tell."""
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []


@dataclass(frozen=True)
class FunctionReward(Reward):
    """A reward that is a function; what it is given beside its first argument is what it names.

    It is traced by JAX: write it with jax.numpy or `sharpening.as_arrays`. A function that names `correct` or
    `is_correct` is an external reward. `signals`: what it may name, and the need of a card that stands for it.
    """

    signals: ClassVar[dict[str, str]]
    function: Callable

    @property
    def card(self) -> RewardCard:  # type: ignore[override]
        """What can be known of a function: its name and what it reads."""
        named = parameters(self.function)
        needs = {need for name, need in self.signals.items() if name in named}
        return RewardCard(
            name=_card_name(self.function),
            branch="external: asymmetry" if "labels" in needs else "intrinsic: certainty",
            known_as=(),
            unified=None,
            limit="not known: a function without a card",
            failure_mode="not known: a function without a card",
            needs=("answers", *sorted(needs)),
            source="the function itself",
        )

    @property
    def spec(self) -> str:
        """The function's name; no text makes the function again."""
        return self.name

    def _call(self, first, **told):
        named = parameters(self.function)[1:]
        return self.function(first, **{name: told[name] for name in named if name in told})


class ExactFunction(FunctionReward):
    """A function of log_probs (prompts, answers), exact and in the mean field."""

    signals: ClassVar = SIGNALS | {"step": "step"}

    def exact(self, log_probs, correct=None, *, no_answer=None, **signals):
        """What the function gives, (prompts, answers)."""
        return self._call(log_probs, correct=correct, no_answer=no_answer, **signals)


class GroupFunction(FunctionReward):
    """A function of answers (prompts, rollouts) int, -1 for no answer."""

    signals: ClassVar = {
        "is_correct": "labels",
        "clusters": "clusters",
        "questions": "questions",
        "step": "step",
    }

    def group(self, answers, is_correct=None, *, tokens=None, **signals):
        """What the function gives, (prompts, rollouts)."""
        return self._call(answers, is_correct=is_correct, **signals)


def function_reward(function: Callable) -> FunctionReward:
    """The reward that a function is: of sampled rollouts if its first parameter is called `answers`, else of
    log-probabilities.

    Raises: InputError for a class, or a function without parameters.
    """
    named = parameters(function)
    if isinstance(function, type) or not named:
        raise InputError(
            "reward",
            function,
            "a plain function takes log_probs (prompts, answers), or answers (prompts, rollouts), first",
            "Write def reward(log_probs): ..., or give an instance or the name of a reward",
        )
    return (GroupFunction if named[0] == "answers" else ExactFunction)(function)


def _card_name(function: Callable) -> str:
    name = getattr(function, "__name__", type(function).__name__)
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "function"
