"""What a calibrated forecast reads of a probe and of the settings: a few numbers, each with a meaning, nothing else."""

import math

import numpy as np

LABEL_FREE = ("log_speed", "log_radius", "log_noise_radius", "majority_ratio", "log_answers", "agreement", "log_prompts")
"""Names of the features that need no true answers."""

LABELLED = (*LABEL_FREE, "label_accuracy", "accuracy")
"""Those that can be had where some prompts have true answers."""

MEANINGS = {
    "log_speed": "log of how far one optimizer step moves a weight (root mean square), measured in the pilot and scaled to the learning rate",
    "log_radius": "log of how far the run's own updates move the weights before half of the greedy answers change (pilot, root mean square)",
    "log_noise_radius": "log of the isotropic weight noise that half of the greedy answers survive",
    "majority_ratio": "the votes' share of the leading answer",
    "log_answers": "entropy of the answers, nats",
    "agreement": "cosine of the gradients of two halves of the probe's prompts",
    "log_prompts": "log of the number of training prompts, at most those that the run visits",
    "label_accuracy": "share of prompts whose vote is right",
    "accuracy": "share of answers that are right",
}


def features(prior: dict, coupling: dict, noise_radius: float, pilot, settings, *, largest_noise: float = 0.128) -> dict[str, float]:
    """Every feature that the probe allows, by name.

    prior, coupling: as in `llm_bridge.probe.Probe`; noise_radius: its retention radius; pilot: `llm_bridge.pilot.Pilot`. A radius beyond
    what was tried counts as the largest tried.
    """
    visited = settings.max_steps * settings.prompts_per_step
    values = {
        "log_speed": math.log(settings.learning_rate * speed(pilot)),
        "log_radius": math.log(radius(pilot)),
        "log_noise_radius": math.log(min(noise_radius, largest_noise)),
        "majority_ratio": prior["majority_ratio"],
        "log_answers": prior["entropy"],
        "agreement": coupling["cosine"],
        "log_prompts": math.log(min(settings.dataset_size or visited, visited)),
    }
    return values | {name: prior[name] for name in ("label_accuracy", "accuracy") if name in prior}


def speed(pilot) -> float:
    """Root mean square movement of a weight by one step, per unit of learning rate, over the second half of the pilot."""
    half = len(pilot.path) // 2
    return float((pilot.path[-1] - pilot.path[half]) / (pilot.displacement[-1] - pilot.displacement[half]))


def radius(pilot) -> float:
    """How far the pilot's updates moved a weight (root mean square, path length) when half of the greedy answers had changed."""
    reached = min(pilot.radius, pilot.displacement[-1])
    return float(np.interp(reached, pilot.displacement, pilot.path))
