"""What a calibrated forecast reads of a probe and of the settings: a few pure numbers, each with a meaning, nothing else.

No feature changes if weights are measured in another unit: lengths enter as ratios, and gradients times lengths, so that a fit on small models
can speak about models whose weights break at a hundredth of their learning rate.
"""

import math

import numpy as np

LABEL_FREE = ("log_steps", "log_consensus_steps", "log_nats", "majority_ratio", "log_prompts")
"""What failure times read where nobody knows the true answers."""

LABELLED = ("log_reward_steps", "log_steps", "log_prompts")
"""What they read where prompts have true answers."""

OUTCOME = {"label-free": ("log_lives", "majority_ratio", "agreement"), "labelled": ("log_lives", "label_accuracy", "accuracy")}
"""What the chances of how a run goes read, of whichever half-life was forecast."""

LEVELS = (0.5, 0.3, 0.1, 0.05)
"""Shares of surviving greedy answers whose ways are averaged into one: four readings of one pilot are steadier than one."""

REWARD_LEVELS = (0.5, 0.35, 0.2, 0.1)
"""The same for reward accuracy, as shares of what it has above its floor at the start."""

MEANINGS = {
    "log_steps": "log of the steps of this learning rate that go as far as the pilot when .5, .3, .1 and .05 of the greedy answers survived: mean",
    "log_consensus_steps": "the same when the votes' share of the leading answer was halfway to 1",
    "log_reward_steps": "the same when .5, .35, .2 and .1 of the reward accuracy above its floor were left: mean",
    "log_nats": "log of what a step moves the objective to first order, nats: the way of a step times ‖gradient‖₁",
    "log_prompts": "log of the number of training prompts, at most those that the run visits",
    "majority_ratio": "the votes' share of the leading answer",
    "agreement": "cosine of the gradients of two halves of the probe's prompts",
    "label_accuracy": "share of prompts whose vote is right",
    "accuracy": "share of answers that are right",
    "log_lives": "log of the forecast half-life over the budget",
}

NEED_LABELS = ("log_reward_steps", "label_accuracy", "accuracy")

RATE_POWERS = {"log_steps": -1, "log_consensus_steps": -1, "log_reward_steps": -1, "log_nats": 1}
"""What a feature gains when the log of the learning rate gains 1, others nothing."""


def features(prior: dict, coupling: dict, pilot, settings) -> dict[str, float]:
    """Every feature that the probe allows, by name; `log_lives` comes with a failure time (`llm_bridge.calibration.survival.lives`).

    prior, coupling: as in `llm_bridge.probe.Probe`; pilot: `llm_bridge.pilot.Pilot`. What the pilot did not reach counts as reached at its end.
    """
    visited = settings.max_steps * settings.prompts_per_step
    step = math.log(settings.learning_rate * speed(pilot))
    start = pilot.metrics["majority_ratio"][0]
    values = {
        "log_steps": _mean_way(pilot, "retention", LEVELS) - step,
        "log_consensus_steps": _log_way(pilot, pilot.rise("majority_ratio", (1 + start) / 2)) - step,
        "log_nats": math.log(max(coupling["clock"], 1e-9)) + step,
        "log_prompts": math.log(min(settings.dataset_size or visited, visited)),
        "majority_ratio": prior["majority_ratio"],
        "agreement": coupling["cosine"],
    }
    if "label_accuracy" not in prior:
        return values
    first = pilot.metrics["reward_accuracy"][0]
    values["log_reward_steps"] = _mean_way(pilot, "reward_accuracy", [pilot.floor + share * (first - pilot.floor) for share in REWARD_LEVELS]) - step
    return values | {name: prior[name] for name in NEED_LABELS[1:]}


def _mean_way(pilot, metric: str, levels) -> float:
    return float(np.mean([_log_way(pilot, pilot.reach(metric, level)) for level in levels]))


def _log_way(pilot, displacement: float) -> float:
    """log of how far the pilot had moved a weight (root mean square, path length) at a displacement, at most its whole way.

    At least its first movement: steps whose groups all agree do not move.
    """
    way = np.interp(min(displacement, float(pilot.displacement[-1])), pilot.displacement, pilot.path)
    return math.log(max(way, pilot.path[pilot.path > 0][0]))


def speed(pilot) -> float:
    """Root mean square movement of a weight by one step, per unit of learning rate, over the second half of the pilot."""
    half = len(pilot.path) // 2
    return float((pilot.path[-1] - pilot.path[half]) / (pilot.displacement[-1] - pilot.displacement[half]))
