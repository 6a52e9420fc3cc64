"""What a calibrated forecast reads of a probe and of the settings: a few pure numbers, each with a meaning,
nothing else.

No feature changes if weights are measured in another unit: lengths enter as ratios, so that a fit on small
models can speak about models whose weights break at a hundredth of their learning rate.
"""

import math
from dataclasses import dataclass

import numpy as np

from llm_bridge.forecast.kernel import Kernel
from llm_bridge.forecast.prior import Prior

LABEL_FREE = ("log_steps", "log_first_steps", "majority_ratio", "log_prompts")
"""What failure times read where nobody knows the true answers."""

LABELLED = ("log_reward_steps", "log_steps", "log_prompts")
"""What they read where prompts have true answers."""

LABELLED_RELATIVE = ("log_late_reward_steps", "log_steps", "log_prompts")
"""The same for `relative`, which is met late: when reward accuracy has all but reached its floor."""

OUTCOME = {
    "label-free": ("log_lives", "majority_ratio", "agreement"),
    "labelled": ("log_lives", "label_accuracy", "accuracy"),
}
"""What the chances of how a run goes read, of whichever half-life was forecast."""

FIRST_LEVELS, LEVELS = (0.9, 0.8, 0.7), (0.5, 0.3, 0.1, 0.05)
"""Shares of surviving greedy answers whose displacements are averaged: several readings of one pilot are
steadier than one.
"""

REWARD_LEVELS, LATE_REWARD_LEVELS = (0.8, 0.65, 0.5, 0.35, 0.2), (0.5, 0.35, 0.2, 0.1)
"""The same for reward accuracy, as shares of what it has above its floor at the start."""

MEANINGS = {
    "log_steps": (
        "log of the steps of this learning rate that sum to the pilot's when .5, .3, .1 and .05 of the greedy"
        " answers survived: mean"
    ),
    "log_first_steps": "the same at .9, .8 and .7",
    "log_reward_steps": (
        "the same when .8, .65, .5, .35 and .2 of the reward accuracy above its floor were left"
    ),
    "log_late_reward_steps": "the same at .5, .35, .2 and .1",
    "log_prompts": "log of the number of training prompts, at most those that the run visits",
    "majority_ratio": "the votes' share of the leading answer",
    "agreement": "cosine of the gradients of two halves of the probe's prompts",
    "label_accuracy": "share of prompts whose vote is right",
    "accuracy": "share of answers that are right",
    "log_lives": "log of the forecast half-life over the budget",
}

NEED_LABELS = ("log_reward_steps", "log_late_reward_steps", "label_accuracy", "accuracy")

OF_RATE = ("log_steps", "log_first_steps", "log_reward_steps", "log_late_reward_steps")
"""Features that lose 1 when the log of the learning rate gains 1; the others do not see it."""


def read_for(kind: str, criterion: str) -> tuple[str, ...]:
    """The features that the failure time of a criterion reads, "labelled" or "label-free"."""
    if kind == "label-free":
        return LABEL_FREE
    return LABELLED_RELATIVE if criterion == "relative" else LABELLED


@dataclass(frozen=True)
class Reading:
    """What a calibrated forecast reads of a probe and its pilots, taken once; `at` gives the features of a run.

    reached: feature of OF_RATE to one row a pilot of displacements, what a pilot did not reach counting as
    reached at its end. facts: the features that no setting changes.
    """

    reached: dict[str, list[list[float]]]
    facts: dict[str, float]

    @classmethod
    def of(cls, prior: Prior, kernel: Kernel, pilots) -> "Reading":
        """Read a probe's prior and kernel and its pilots (`llm_bridge.forecast.pilot.Pilot`)."""
        reached = {
            "log_steps": [_reached(pilot, "retention", LEVELS) for pilot in pilots],
            "log_first_steps": [_reached(pilot, "retention", FIRST_LEVELS) for pilot in pilots],
        }
        facts = {"majority_ratio": prior.majority_ratio, "agreement": kernel.cosine}
        if prior.labelled:
            for name, shares in (
                ("log_reward_steps", REWARD_LEVELS),
                ("log_late_reward_steps", LATE_REWARD_LEVELS),
            ):
                reached[name] = [
                    _reached(pilot, "reward_accuracy", _levels(pilot, shares)) for pilot in pilots
                ]
            facts |= {"label_accuracy": prior.label_accuracy, "accuracy": prior.accuracy}
        return cls(reached, facts)

    @property
    def labelled(self) -> bool:
        """Whether true answers were read."""
        return "label_accuracy" in self.facts

    def at(self, settings) -> dict[str, float]:
        """Every feature of a run with these settings, by name, means over the pilots; `log_lives` comes with a
        failure time (`llm_bridge.forecast.calibration.survival.lives`).
        """
        visited = settings.max_steps * settings.prompts_per_step
        of_rate = {
            name: float(np.mean([_log_steps(row, settings.learning_rate) for row in rows]))
            for name, rows in self.reached.items()
        }
        return (
            of_rate | {"log_prompts": math.log(min(settings.dataset_size or visited, visited))} | self.facts
        )


def _levels(pilot, shares) -> list[float]:
    """Levels of reward accuracy from shares of what the pilot's first rollouts had above the floor."""
    first = pilot.metrics["reward_accuracy"][0]
    return [pilot.floor + share * (first - pilot.floor) for share in shares]


def _reached(pilot, metric: str, levels) -> list[float]:
    end = float(pilot.displacement[-1])
    return [min(pilot.reach(metric, level), end) for level in levels]


def _log_steps(displacements: list[float], learning_rate: float) -> float:
    return float(np.mean([math.log(moved / learning_rate) for moved in displacements]))
