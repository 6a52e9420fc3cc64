"""What a calibrated forecast reads of a probe and of the settings: a few pure numbers, each with a meaning,
nothing else.

No feature changes if weights are measured in another unit: lengths enter as ratios, so that a fit on small
models can speak about models whose weights break at a hundredth of their learning rate.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np

from llm_bridge.forecast.kernel import Kernel
from llm_bridge.forecast.levels import crossing
from llm_bridge.forecast.prior import Prior

LABELLED_HALF_LIFE = ("log_steps", "confident_steps", "log_prompts", "label_accuracy")
"""What the failure time of `half_life` reads where prompts have true answers: accuracy falls by half later where the
vote is right.
"""

LABELLED_RELATIVE = ("log_late_steps", "log_prompts")
"""The same for `relative`, which is met late: when reward accuracy has all but reached its floor."""

LABEL_FREE = ("log_free_steps", "confident_free_steps", "log_prompts")
"""What failure times read where nobody knows the true answers, and with labels those of modes and of excess KL, which
no label enters.
"""

LABEL_FREE_RELATIVE = ("log_late_free_steps", "majority_ratio", "log_prompts")

OUTCOME = {
    "label-free": ("log_lives", "majority_ratio", "agreement"),
    "labelled": ("log_lives", "label_accuracy", "accuracy"),
}
"""What the chances of how a run goes read, of whichever half-life was forecast."""

FATE = {
    "label-free": ("log_lives", "majority_ratio", "agreement"),
    "labelled": ("log_lives", "majority_ratio", "agreement", "label_accuracy", "accuracy"),
}
"""What the chances of a run's fate read: what has no accuracy cannot lose any, and what votes no better than it
answers has none to gain."""

AREA = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
"""Shares whose displacements are averaged in the log: the area under a curve, steadier than any one level."""

LATE, LATE_REWARD = (0.5, 0.3, 0.1, 0.05), (0.5, 0.35, 0.2, 0.1)
"""The same of what is left late: of greedy answers, and of reward accuracy above its floor."""

NOISE_LEVELS = (0.9, 0.7, 0.5, 0.2)
"""Shares of greedy answers whose weight noise is averaged in the log."""

MOST_PROMPTS = 12_800
"""More training prompts than the longest fitted runs visited are as good as ever fresh ones."""

MIDDLE_RATIO, MIDDLE_STEPS = 0.6, 3.0
"""Where the steps of confident models meet those of others: about the middle of what was fitted."""

MEANINGS = {
    "log_steps": (
        "mean log of three lengths over the learning rate: the pilot's displacement as greedy answers are lost,"
        " the same as reward accuracy is lost, and the weight noise that answers survive over √(number of"
        " weights)"
    ),
    "log_late_steps": "the same of the two displacements alone, at what is left late",
    "log_free_steps": "the same as `log_steps` without reward accuracy",
    "log_late_free_steps": "the same of the loss of greedy answers, late, and of weight noise",
    "confident_steps": f"(`majority_ratio` − {MIDDLE_RATIO}) × (`log_steps` − {MIDDLE_STEPS:g})",
    "confident_free_steps": f"(`majority_ratio` − {MIDDLE_RATIO}) × (`log_free_steps` − {MIDDLE_STEPS:g})",
    "log_prompts": f"log of the number of training prompts, at most {MOST_PROMPTS:,}",
    "majority_ratio": "the votes' share of the leading answer",
    "agreement": "cosine of the gradients of two halves of the probe's prompts",
    "label_accuracy": "share of prompts whose vote is right",
    "accuracy": "share of answers that are right",
    "log_lives": "log of the forecast half-life over the budget",
}

NEED_LABELS = ("log_steps", "log_late_steps", "confident_steps", "label_accuracy", "accuracy")

LENGTHS = {
    "log_steps": ("retention", "reward", "noise"),
    "log_late_steps": ("late_retention", "late_reward"),
    "log_free_steps": ("retention", "noise"),
    "log_late_free_steps": ("late_retention", "noise"),
}
"""The logs of lengths in weight space whose mean, less that of the learning rate, a feature is."""

CONFIDENT = {"confident_steps": "log_steps", "confident_free_steps": "log_free_steps"}


def read_for(kind: str, criterion: str) -> tuple[str, ...]:
    """The features that the failure time of a criterion reads, "labelled" or "label-free"."""
    if kind == "label-free":
        return LABEL_FREE_RELATIVE if criterion == "relative" else LABEL_FREE
    labelled = {
        "relative": LABELLED_RELATIVE,
        "half_life": LABELLED_HALF_LIFE,
        "loss_spike": LABELLED_RELATIVE,
    }
    return labelled.get(criterion, LABEL_FREE)


@dataclass(frozen=True)
class WeightNoise:
    """What weight noise did to greedy answers: standard deviations `noise` (0 first), the share `retention` of
    answers that each left, and of how many weights a model has `num_parameters`.
    """

    noise: tuple[float, ...]
    retention: tuple[float, ...]
    num_parameters: int

    @classmethod
    def of(cls, curve, num_parameters: int) -> "WeightNoise":
        """Of a probe's `llm_bridge.forecast.probe.RetentionCurve`."""
        kept = curve.metrics["mode_retention"]
        return cls(tuple(map(float, curve.noise)), tuple(map(float, kept)), num_parameters)

    def as_dict(self) -> dict:
        """Plain data for JSON."""
        return asdict(self)

    def log_length(self, optimizer: str, clock: float) -> float:
        """log of the learning rate whose first step changes answers to first order as much as noise does that
        leaves NOISE_LEVELS of them, mean over the levels.

        Noise of size s on n weights changes an output by about s √n times its mean derivative, a step of size
        d that all weights take together by up to d n: the two are alike at d = s/√n. A step of Adam moves
        each weight by the learning rate, one of SGD by the learning rate times its gradient, the mean of
        which is clock / n. What no noise reached counts as reached at the largest.
        """
        at, kept = np.array(self.noise), np.array(self.retention)
        reached = [min(crossing(at, kept, level), float(at[-1])) for level in NOISE_LEVELS]
        movement = float(np.mean(np.log(reached))) - 0.5 * math.log(self.num_parameters)
        if optimizer != "sgd" or not clock:
            return movement
        return movement + math.log(self.num_parameters / clock)


@dataclass(frozen=True)
class Reading:
    """What a calibrated forecast reads of a probe and its pilots, taken once; `at` gives the features of a run.

    lengths: the logs of lengths in weight space by name, means over the pilots, what a pilot did not reach
    counting as reached at its end. facts: the features that no setting changes.
    """

    lengths: dict[str, float]
    facts: dict[str, float]

    @classmethod
    def of(cls, prior: Prior, kernel: Kernel, pilots, noise: WeightNoise, optimizer: str) -> "Reading":
        """Read a probe's prior, kernel and weight noise, and its pilots
        (`llm_bridge.forecast.pilot.Pilot`), of runs with this optimizer.
        """
        lengths = {
            "noise": noise.log_length(optimizer, kernel.clock),
            "retention": _log_reached(pilots, "retention", AREA),
            "late_retention": _log_reached(pilots, "retention", LATE),
        }
        facts = {"majority_ratio": prior.majority_ratio, "agreement": kernel.cosine}
        if prior.label_accuracy is not None and prior.accuracy is not None:
            lengths |= {
                "reward": _log_reached(pilots, "reward_accuracy", AREA),
                "late_reward": _log_reached(pilots, "reward_accuracy", LATE_REWARD),
            }
            facts |= {"label_accuracy": prior.label_accuracy, "accuracy": prior.accuracy}
        return cls(lengths, facts)

    @property
    def labelled(self) -> bool:
        """Whether true answers were read."""
        return "label_accuracy" in self.facts

    def at(self, settings, learning_rate: float | None = None) -> dict[str, float]:
        """Every feature of a run with these settings, by name, or with another learning rate; `log_lives`
        comes with a failure time (`llm_bridge.forecast.calibration.survival.lives`).
        """
        rate = math.log(settings.learning_rate if learning_rate is None else learning_rate)
        found = {
            name: sum(self.lengths[one] for one in mine) / len(mine) - rate
            for name, mine in LENGTHS.items()
            if set(mine) <= set(self.lengths)
        }
        found |= {
            name: (self.facts["majority_ratio"] - MIDDLE_RATIO) * (found[steps] - MIDDLE_STEPS)
            for name, steps in CONFIDENT.items()
            if steps in found
        }
        prompts = min(settings.dataset_size or MOST_PROMPTS, MOST_PROMPTS)
        return found | {"log_prompts": math.log(prompts)} | self.facts


def _log_reached(pilots, metric: str, shares) -> float:
    """Mean log displacement at which a pilot's curve has fallen to these shares of what it had above its
    floor.
    """
    logs = []
    for pilot in pilots:
        first, floor = pilot.metrics[metric][0], pilot.floor if metric == "reward_accuracy" else 0.0
        end = float(pilot.displacement[-1])
        logs += [math.log(min(pilot.reach(metric, floor + share * (first - floor)), end)) for share in shares]
    return float(np.mean(logs))
