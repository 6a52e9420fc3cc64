"""Study 1: the majority reward keeps rising while the true one rises, then falls."""

from studies.paper.draw import LOOK, band, finish, legend, sheet
from studies.paper.frame import Cell, Finding, PaperStudy
from studies.paper.grids import SEEDS, curves, groups, rewarded, simulation

MODEL = "addition-uncertain"
RATE, STEPS = 3e-4, 100
SHOWN = (
    ("majority_ratio", "majority ratio"),
    ("accuracy", "accuracy"),
    ("reward_accuracy", "reward accuracy"),
)
METRICS = (*(name for name, _ in SHOWN), "entropy", "label_accuracy", "mode_retention")
REWARDS = ("majority", "true")
POPULATION = {"key": 0, "num_prompts": 8704, "num_answers": 50, "strength": 2.8}
DATA = 8192
COUPLING = (1.0, 4.5)
RISE = 0.02
"""A rise is a gain of accuracy of at least so much."""


def grid(quick: bool) -> list[Cell]:
    """Votes and true rewards, on a transformer and in a coupled population with a strong prior."""
    cells = []
    for reward in REWARDS:
        cells += rewarded(
            reward,
            reward,
            MODEL,
            METRICS,
            quick,
            weights=(12.0, 35.0),
            steps=(40, STEPS),
            eval_prompts=(48, 96),
            learning_rate=RATE * (2 if quick else 1),
            eval_every=5,
        )
        cells.append(
            simulation(
                reward,
                METRICS,
                population=POPULATION,
                coupling=COUPLING,
                reward=reward,
                num_steps=600,
                eval_every=20,
                method="sampled",
                prompts_per_step=64,
                dataset_size=DATA,
                on_trained=True,
            )
        )
    return cells


def rise_and_fall(curve: dict) -> dict:
    """Accuracy at the start, at its peak and at the end, and what the vote says of itself at both ends."""
    accuracy = curve["accuracy"]
    return {
        "start": accuracy[0],
        "peak": max(accuracy),
        "peak_step": curve["step"][accuracy.index(max(accuracy))],
        "end": accuracy[-1],
        "majority_start": curve["majority_ratio"][0],
        "majority_end": curve["majority_ratio"][-1],
        "entropy_end": curve["entropy"][-1],
    }


def rises_then_falls(told: dict) -> bool:
    """Accuracy gains at least RISE, then ends below its start, while the vote agrees more with itself."""
    gained = told["peak"] >= told["start"] + RISE and told["peak_step"] > 0
    return gained and told["end"] < told["start"] and told["majority_end"] > told["majority_start"]


def find(result: dict) -> Finding:
    """Reproduced where every seed of the vote rises then falls, and no seed of the true reward falls."""
    told = {
        f"{kind} {label}": [rise_and_fall(curve) for curve in curves(records)]
        for kind in ("trained", "simulated")
        for label, records in groups(result, kind).items()
    }
    votes = {
        kind: [rises_then_falls(one) for one in told[f"{kind} majority"]] for kind in ("trained", "simulated")
    }
    held = all(one["end"] >= one["start"] for one in told["trained true"])
    faster = [
        one["entropy_end"] < other["entropy_end"]
        for one, other in zip(told["trained majority"], told["trained true"], strict=True)
    ]
    counts = ", ".join(f"{sum(found)} of {len(found)} {kind} seeds" for kind, found in votes.items())
    every = all(sum(votes.values(), []))
    verdict = "reproduced" if every and held else "partly" if any(sum(votes.values(), [])) else "contradicted"
    peaks = [
        f"{one['start']:.2f} to {one['peak']:.2f} (step {one['peak_step']}), then {one['end']:.2f}"
        for one in told["trained majority"]
    ]
    return Finding(
        verdict,
        f"Under votes accuracy rises and then falls below its start, while agreement rises, in {counts}"
        f" (transformer: {'; '.join(peaks)}); true rewards {'never fall' if held else 'fall in some seed'}. Entropy ends"
        f" lower under votes than under true rewards in {sum(faster)} of {len(faster)} seeds.",
        told,
    )


def figure(result: dict):
    """Votes and true rewards, transformer above and simulation below; entropy in the last column."""
    title = (
        f"Rise, then fall ({MODEL} at learning rate {RATE:g}, and a coupled population with a strong prior)"
    )
    drawn, table = sheet(2, 3, title)
    for row, (kind, name) in zip(
        table, (("trained", "transformer"), ("simulated", "simulated")), strict=True
    ):
        dashed = kind == "simulated"
        for axes, reward in zip(row, REWARDS, strict=False):
            for metric, label in SHOWN:
                band(axes, curves(groups(result, kind)[reward]), metric, LOOK.colour(metric), label, dashed)
            what = "majority votes" if reward == "majority" else "true rewards"
            finish(axes, f"{what}: {name}", "optimizer step", "share", True)
        for reward, shade in zip(REWARDS, (LOOK.colour("pilot"), LOOK.ink), strict=True):
            label = "entropy, votes" if reward == "majority" else "entropy, true rewards"
            band(row[2], curves(groups(result, kind)[reward]), "entropy", shade, label, dashed)
        finish(row[2], f"entropy of answers: {name}", "optimizer step", "nats")
        row[2].set_ylim(bottom=0)
    legend(drawn, table.flat, 5)
    return drawn


STUDY = PaperStudy(
    "rise-then-fall",
    "Majority votes against true rewards: agreement, accuracy, reward accuracy and entropy",
    "The majority-vote reward keeps rising while reward accuracy and validation rise, then fall; entropy falls faster"
    " than with true rewards.",
    "He et al. 2026, section 3",
    grid,
    SEEDS,
    "accuracy",
    figure,
    find,
)
