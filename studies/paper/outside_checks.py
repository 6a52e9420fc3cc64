"""Study 11: rewards from outside: self-verification and an exhaustive teacher beside true rewards and entropy.

One run of 100 steps a reward (`studies/results/rewards.json`) was known when the rule was written, and is no part of it.
"""

import numpy as np

from studies.paper.draw import LOOK, band, colour, finish, legend, sheet
from studies.paper.frame import Cell, Finding, PaperStudy
from studies.paper.grids import SEEDS, curves, groups, rewarded

RATE, STEPS = 3e-4, 60
ARMS = {
    "addition-checker": ("self-verification", "trajectory-entropy", "true"),
    "countdown": ("exhaustive-teacher", "trajectory-entropy", "true"),
}
"""Which model earns which rewards: the checker alone answers verification prompts, Countdown alone has a teacher."""
METRICS = ("accuracy", "reward_accuracy", "label_accuracy")
CLOSE = 0.1
"""Approaches the oracle: a gain lower by at most so much."""
DIP = 0.02


def grid(quick: bool) -> list[Cell]:
    """Three rewards on two models."""
    cells = []
    for model, rewards in ARMS.items():
        for reward in rewards:
            cells += rewarded(
                reward,
                f"{model}: {reward}",
                model,
                METRICS,
                quick,
                weights=(8.0, 20.0),
                steps=(20, STEPS),
                eval_prompts=(32, 64),
                learning_rate=RATE,
                prompts_per_step=16,
                eval_every=10,
            )
    return cells


def gains(result: dict) -> dict[str, dict[str, list[float]]]:
    """Model to reward to the change in accuracy, one a seed."""
    found: dict[str, dict[str, list[float]]] = {model: {} for model in ARMS}
    for label, records in groups(result, "trained").items():
        model, reward = label.split(": ")
        found[model][reward] = [
            round(curve["accuracy"][-1] - curve["accuracy"][0], 3) for curve in curves(records)
        ]
    return found


def dips_then_recovers(curve: dict) -> bool:
    """Accuracy falls by DIP below its start and ends above its lowest by as much."""
    accuracy = curve["accuracy"]
    return min(accuracy) <= accuracy[0] - DIP and accuracy[-1] >= min(accuracy) + DIP


def find(result: dict) -> Finding:
    """Reproduced where self-verification, in the middle seed, gains more than trajectory entropy and at most CLOSE less
    than true rewards, and some seed dips and recovers; partly where it gains more than entropy, or the teacher does.
    """
    told = gains(result)
    middle = {
        model: {reward: float(np.median(values)) for reward, values in found.items()}
        for model, found in told.items()
    }
    checker, teacher = middle["addition-checker"], middle["countdown"]
    ahead = checker["self-verification"] > checker["trajectory-entropy"]
    close = checker["self-verification"] >= checker["true"] - CLOSE
    verified = curves(groups(result, "trained")["addition-checker: self-verification"])
    dips = sum(dips_then_recovers(curve) for curve in verified)
    taught = teacher["exhaustive-teacher"] > teacher["trajectory-entropy"]
    verdict = "reproduced" if ahead and close and dips else "partly" if ahead or taught else "contradicted"
    said = "; ".join(
        f"{model}: "
        + ", ".join(
            f"{reward} {'/'.join(f'{value:+.2f}' for value in values)}" for reward, values in found.items()
        )
        for model, found in told.items()
    )
    return Finding(
        verdict,
        f"Change of accuracy in {STEPS} steps, by seed: {said}. Self-verification {'gains' if ahead else 'does not gain'} more"
        f" than entropy and {'comes' if close else 'does not come'} within {CLOSE:g} of true rewards; {dips} of"
        f" {len(verified)} seeds dip and recover. The two rewards are tried on different models: no model here both solves"
        " Countdown and answers verification prompts.",
        {"gains": told, "dips": dips},
    )  # fmt: skip


SHADES = ("trajectory-entropy", "self-verification", "exhaustive-teacher")


def figure(result: dict):
    """Accuracy by step and reward, a panel a model."""
    drawn, (table,) = sheet(1, 2, f"Rewards from outside, at learning rate {RATE:g}", height=3.6)
    for axes, (model, rewards) in zip(table, ARMS.items(), strict=True):
        for reward in sorted(rewards, key="true".__ne__):
            label = "true rewards" if reward == "true" else reward
            shade = LOOK.ink if reward == "true" else colour(SHADES.index(reward))
            band(axes, curves(groups(result, "trained")[f"{model}: {reward}"]), "accuracy", shade, label)
            # Wide, so that a teacher who is always right does not hide it.
            axes.lines[-1].set_linewidth(5.0 if reward == "true" else 2.0)
        finish(axes, model, "optimizer step", "accuracy (share)", True)
    legend(drawn, table, 4)
    return drawn


STUDY = PaperStudy(
    "outside-checks",
    "Self-verification and an exhaustive teacher beside true rewards and trajectory entropy",
    "Self-verification beats trajectory-level entropy and approaches the oracle; it dips while the policy tries to exploit"
    " the verifier, then recovers.",
    "He et al. 2026, section 4 (Countdown)",
    grid,
    SEEDS,
    "accuracy",
    figure,
    find,
)
