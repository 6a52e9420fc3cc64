"""Study 2: five intrinsic rewards, three ways to fail: gradually, by length, by repetition."""

from studies.paper.draw import LOOK, band, colour, finish, legend, sheet
from studies.paper.frame import Cell, Finding, PaperStudy
from studies.paper.grids import SEEDS, curves, groups, rewarded

MODEL, RATE, STEPS = "worked-addition", 4e-4, 40
REWARDS = ("majority", "self-certainty", "probability", "trajectory-entropy", "token-entropy")
PANELS = (
    ("accuracy", "accuracy", "share"),
    ("mean_length", "mean length", "tokens"),
    ("repetition", "repetition", "share of tokens"),
)
METRICS = (*(name for name, _, _ in PANELS), "reward_accuracy", "majority_ratio", "entropy")
SHORTER, REPEATED, LOST = 0.75, 0.15, 0.5
"""Length collapse: ends at most so long, as a share of the start. Repetition collapse: so much more repetition. Gradual:
less than so much of the best accuracy is left, with neither."""
CLAIMED = {
    "majority": "gradual",
    "self-certainty": "gradual",
    "probability": "length",
    "trajectory-entropy": "repetition",
    "token-entropy": "repetition",
}


def grid(quick: bool) -> list[Cell]:
    """Each reward on answers of free length; beside it trees of thoughts and answers, one prior a seed."""
    cells = []
    for reward in REWARDS:
        cells += rewarded(
            reward,
            reward,
            MODEL,
            METRICS,
            quick,
            weights=(12.0, 45.0),
            steps=(20, STEPS),
            eval_prompts=(24, 32),
            learning_rate=RATE,
            prompts_per_step=8,
            eval_every=10,
        )
        settings = {
            "prior": {"num_prompts": 24, "tied": False, "popular": True},
            "coupling": [0.0, 1.0],
            "reward": reward,
            "update": ["natural_gradient", 0.1, "group"],
            "simulate": {"num_steps": 60, "eval_every": 5, "method": "mean_field"},
            "seeds": list(SEEDS),
            "metrics": list(METRICS),
        }
        cells.append(Cell("tree", reward, settings, 15.0))
    return cells


def mode(curve: dict) -> str:
    """How a run failed: repetition, length, gradual, or none."""
    accuracy, length, repeated = curve["accuracy"], curve["mean_length"], curve["repetition"]
    if repeated[-1] - repeated[0] >= REPEATED:
        return "repetition"
    if length[-1] <= SHORTER * length[0]:
        return "length"
    return "gradual" if accuracy[-1] < LOST * max(accuracy) else "none"


def find(result: dict) -> Finding:
    """Reproduced where most seeds of every reward fail as He et al. say, on the transformer and simulated."""
    told = {
        kind: {
            reward: [mode(curve) for curve in curves(records)]
            for reward, records in groups(result, kind).items()
        }
        for kind in ("trained", "tree")
    }
    held = {
        kind: [reward for reward, found in rewards.items() if 2 * found.count(CLAIMED[reward]) > len(found)]
        for kind, rewards in told.items()
    }
    counts = {kind: len(found) for kind, found in held.items()}
    whole = len(REWARDS)
    verdict = (
        "reproduced"
        if min(counts.values()) == whole
        else "partly"
        if max(counts.values())
        else "contradicted"
    )

    def said(kind):
        return ", ".join(
            f"{reward}: {'/'.join(dict.fromkeys(found))}" for reward, found in told[kind].items()
        )

    return Finding(
        verdict,
        f"{counts['trained']} of {whole} rewards fail as told on the transformer ({said('trained')}) and {counts['tree']} of"
        f" {whole} in simulation ({said('tree')}); 'none' means that the run had not failed when it ended.",
        {"modes": told, "claimed": CLAIMED},
    )


def figure(result: dict):
    """Accuracy, length and repetition; transformers above, token trees below."""
    drawn, table = sheet(2, 3, "Five intrinsic rewards, three ways to fail")
    for row, (kind, name) in zip(table, (("trained", "transformer"), ("tree", "token trees")), strict=True):
        for axes, (metric, title, unit) in zip(row, PANELS, strict=True):
            for place, reward in enumerate(REWARDS):
                shade = LOOK.ink if reward == "majority" else colour(place - 1)
                band(axes, curves(groups(result, kind)[reward]), metric, shade, reward, kind == "tree")
            finish(axes, f"{title}: {name}", "optimizer step", unit, unit != "tokens")
            if unit == "tokens":
                axes.set_ylim(bottom=0)
    legend(drawn, table[0], 5)
    return drawn


STUDY = PaperStudy(
    "failure-modes",
    "Five intrinsic rewards on answers of free length: gradual degradation, length collapse, repetition collapse",
    "Majority voting and self-certainty degrade gradually, probability collapses to short answers, token- and"
    " trajectory-level entropy to repetition.",
    "He et al. 2026, section 3",
    grid,
    SEEDS,
    "accuracy, mean_length and repetition",
    figure,
    find,
)
