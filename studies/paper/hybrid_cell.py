"""A cell of misaligned prompts under a vote mixed with a verifier: which share of them ends with the right answer."""

from pathlib import Path

import numpy as np


def hybrid_map(settings: dict, folder: Path) -> dict:
    """KL-prox steps of `step` nats on `prompts` policies over `answers`, all misaligned, by the exact rewards of
    `hybrid-weighted`, for every `weights` (lambda) × `youden` (J = tpr - fpr, tpr + fpr = 1), one population a seed.
    """
    from sharpening import HybridReward, Population

    rescued = []
    for seed in settings["seeds"]:
        rng = np.random.default_rng([seed, 5])
        logits = rng.standard_normal((settings["prompts"], settings["answers"]))
        truth = rng.integers(settings["answers"], size=settings["prompts"])
        truth = np.where(logits.argmax(1) == truth, (truth + 1) % settings["answers"], truth)
        correct = np.arange(settings["answers"]) == truth[:, None]
        prior = Population.from_logits(logits, correct)
        table = [
            [
                _share(
                    prior, HybridReward(tpr=(1 + j) / 2, fpr=(1 - j) / 2, intrinsic_weight=weight), settings
                )
                for j in settings["youden"]
            ]
            for weight in settings["weights"]
        ]
        rescued.append(np.round(table, 4).tolist())
    return {"weights": settings["weights"], "youden": settings["youden"], "rescued": rescued}


def _share(prior, reward, settings: dict) -> float:
    """Share of prompts whose mode is right after the steps."""
    logits = prior.log_probs.copy()
    for _ in range(settings["steps"]):
        rewards = np.asarray(reward.exact(logits, prior.correct))
        # Near a vertex the policy's log-masses underflow; a lead of 300 nats is never caught up.
        logits = np.maximum(logits + settings["step"] * rewards, -300.0)
        logits -= np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return float(np.mean(prior.correct[np.arange(len(logits)), logits.argmax(1)]))
