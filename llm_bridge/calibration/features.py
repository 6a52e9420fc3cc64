"""What a calibrated forecast reads of a probe and of the settings: a few pure numbers, each with a meaning, nothing else.

No feature changes if weights are measured in another unit: lengths enter as ratios, so that a fit on small models can speak about models whose
weights break at a hundredth of their learning rate.
"""

import math

import numpy as np

_SHARED = ("majority_ratio", "entropy", "agreement", "log_prompts")

LABEL_FREE = ("log_steps", *_SHARED)
"""Names of the features that need no true answers."""

LABELLED = ("log_break_steps", "log_half", "log_tail", *_SHARED, "label_accuracy", "accuracy")
"""Those used where prompts have true answers."""

LEVELS = (0.9, 0.7, 0.5, 0.3, 0.1)
"""Shares of surviving greedy answers whose displacements are averaged into one length: five readings of one pilot are steadier than one."""

MEANINGS = {
    "log_steps": "log of the steps of this learning rate that go as far as the pilot when .9, .7, .5, .3 and .1 of the greedy answers survived: mean",
    "log_break_steps": "log of the steps of this learning rate that go as far as the pilot had gone when reward accuracy was halfway to its floor",
    "log_half": "log of the pilot's way to half of the greedy answers, over its way to that point",
    "log_tail": "log of the pilot's way to a tenth of the greedy answers, over its way to that point",
    "majority_ratio": "the votes' share of the leading answer",
    "entropy": "entropy of the answers, nats",
    "agreement": "cosine of the gradients of two halves of the probe's prompts",
    "log_prompts": "log of the number of training prompts, at most those that the run visits",
    "label_accuracy": "share of prompts whose vote is right",
    "accuracy": "share of answers that are right",
}


def features(prior: dict, coupling: dict, pilot, settings) -> dict[str, float]:
    """Every feature that the probe allows, by name.

    prior, coupling: as in `llm_bridge.probe.Probe`; pilot: `llm_bridge.pilot.Pilot`. What the pilot did not reach counts as reached at its end.
    """
    visited = settings.max_steps * settings.prompts_per_step
    step = math.log(settings.learning_rate * speed(pilot))
    values = {
        "log_steps": float(np.mean([log_way(pilot, "retention", level) for level in LEVELS])) - step,
        "majority_ratio": prior["majority_ratio"],
        "entropy": prior["entropy"],
        "agreement": coupling["cosine"],
        "log_prompts": math.log(min(settings.dataset_size or visited, visited)),
    }
    if "label_accuracy" not in prior:
        return values
    broken = log_way(pilot, "reward_accuracy", (pilot.metrics["reward_accuracy"][0] + pilot.floor) / 2)
    values |= {
        "log_break_steps": broken - step,
        "log_half": log_way(pilot, "retention", 0.5) - broken,
        "log_tail": log_way(pilot, "retention", 0.1) - broken,
    }
    return values | {name: prior[name] for name in ("label_accuracy", "accuracy")}


def log_way(pilot, metric: str, level: float) -> float:
    """log of how far the pilot had moved a weight (root mean square, path length) when the metric fell to `level`, at most its whole way."""
    reached = min(pilot.reach(metric, level), float(pilot.displacement[-1]))
    return math.log(np.interp(reached, pilot.displacement, pilot.path))


def speed(pilot) -> float:
    """Root mean square movement of a weight by one step, per unit of learning rate, over the second half of the pilot."""
    half = len(pilot.path) // 2
    return float((pilot.path[-1] - pilot.path[half]) / (pilot.displacement[-1] - pilot.displacement[half]))
