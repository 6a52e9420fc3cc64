"""Study 9: is the collapse step the step of a loss spike, and does the perplexity of pre-training order it?"""

import numpy as np
from scipy.stats import spearmanr

from studies.paper.draw import LOOK, MARKS, band, colour, finish, legend, sheet
from studies.paper.frame import Cell, Finding, PaperStudy
from studies.paper.grids import SEEDS, curves, groups

MODELS = (
    "addition-weak",
    "addition-uncertain",
    "addition-overconfident",
    "addition-misconception",
    "countdown",
)
RATES = ("0.0001", "0.0005")
CRITERIA = ["relative", "half_life", "loss_spike"]
NEAR = 2.0
"""Two steps are the same where they differ by at most this factor."""
MOST, FEW, ORDERED = 0.9, 0.1, 0.7


def grid(quick: bool) -> list[Cell]:
    """Runs of 26 priors at three rates, and the curves of five of them: all read from committed results."""
    asked = {"study": "ground-truth", "criteria": CRITERIA, "seeds": list(SEEDS)}
    cells = [Cell("stored steps", "26 priors", asked, 1.0)]
    return cells + [
        Cell(
            "stored",
            f"{name} {rate}",
            {
                "study": "tiny",
                "label": f"{name} {rate}",
                "metrics": ["reward_accuracy", "lm_loss", "perplexity"],
                "seeds": list(SEEDS),
            },
            1.0,
        )
        for rate in RATES
        for name in MODELS[: 2 if quick else None]
    ]


def spikes(result: dict) -> dict:
    """Of the runs that collapse by the relative rule, and of the others, the share whose loss spikes; of those with
    both steps the median factor between them, and how many are near.
    """
    ((record,),) = groups(result, "stored steps").values()
    dead = [row for row in record["rows"] if row["relative"]]
    alive = [row for row in record["rows"] if not row["relative"]]
    both = [row["loss_spike"] / row["relative"] for row in dead if row["loss_spike"]]
    return {
        "collapsed": len(dead),
        "others": len(alive),
        "spike of collapsed": round(len(both) / len(dead), 3),
        "spike of others": round(sum(bool(row["loss_spike"]) for row in alive) / max(1, len(alive)), 3),
        "factor": round(float(np.median(both)), 3),
        "near": round(float(np.mean([1 / NEAR <= factor <= NEAR for factor in both])), 3),
    }


def perplexities(result: dict) -> dict:
    """By rate, (loss before training, half-life) of each prior; a run that outlives its half-life counts as its end."""
    found: dict[str, list] = {rate: [] for rate in RATES}
    for label, records in groups(result, "stored").items():
        lives = []
        for curve in curves(records):
            start = curve["reward_accuracy"][0]
            gone = [
                step
                for step, value in zip(curve["step"], curve["reward_accuracy"], strict=True)
                if value < start / 2
            ]
            lives.append(gone[0] if gone else curve["step"][-1])
        loss = float(np.mean([curve["lm_loss"][0] for curve in curves(records)]))
        found[label.split()[1]].append([round(loss, 4), float(np.median(lives))])
    return found


def find(result: dict) -> Finding:
    """Reproduced where the loss spikes in at least MOST of the runs that collapse and FEW of the others, most spikes
    within a factor NEAR of the collapse step, and at both rates priors of lower loss last longer by a rank correlation
    of -ORDERED; partly where one of these holds.
    """
    told, losses = spikes(result), perplexities(result)
    ranks = {
        rate: round(float(np.nan_to_num(spearmanr(*zip(*rows, strict=True)).statistic)), 3)
        for rate, rows in losses.items()
    }
    parts = [
        told["spike of collapsed"] >= MOST,
        told["spike of others"] <= FEW,
        told["near"] >= 0.5,
        all(rank <= -ORDERED for rank in ranks.values()),
    ]
    verdict = "reproduced" if all(parts) else "partly" if any(parts) else "contradicted"
    return Finding(
        verdict,
        f"Of {told['collapsed']} runs that collapse by the relative rule {told['spike of collapsed']:.0%} have a loss spike, of"
        f" {told['others']} others {told['spike of others']:.0%}; the spike comes after {told['factor']:.2f} times as many"
        f" steps as the collapse (median), within a factor {NEAR:g} in {told['near']:.0%}. The loss of pre-training and the"
        f" half-life of five priors rank by "
        + ", ".join(f"{rank:+.2f} at {rate}" for rate, rank in ranks.items())
        + " (a tie to perplexity asks for a clearly negative one).",
        {"spikes": told, "loss and half-life": losses, "spearman": ranks},
    )


def figure(result: dict):
    """Loss and reward accuracy of three priors at the higher rate; spike against collapse step; loss against half-life."""
    drawn, table = sheet(2, 2, "Is the collapse step a loss spike, and does perplexity order it?", height=3.0)
    shown = [label for label in groups(result, "stored") if label.endswith(RATES[1])][:3]
    for place, label in enumerate(shown):
        found = curves(groups(result, "stored")[label])
        name = label.split()[0]
        band(table[0, 0], found, "reward_accuracy", colour(place), name)
        band(table[0, 1], found, "lm_loss", colour(place), name)
    finish(table[0, 0], f"votes at learning rate {RATES[1]}", "optimizer step", "reward accuracy", True)
    finish(table[0, 1], "loss on true texts", "optimizer step", "nats a token")
    ((record,),) = groups(result, "stored steps").values()
    both = [
        (row["relative"], row["loss_spike"])
        for row in record["rows"]
        if row["relative"] and row["loss_spike"]
    ]
    axes = table[1, 0]
    axes.plot(*zip(*both, strict=True), "o", ms=5, alpha=0.5, color=colour(0), label="one run")
    ends = [10, 400]
    axes.plot(ends, ends, color=LOOK.ink, lw=1.2, label="the same step")
    axes.set_xscale("log")
    axes.set_yscale("log")
    finish(
        axes, "spike against collapse (26 priors)", "collapse step, relative rule", "step of the loss spike"
    )
    for place, (rate, rows) in enumerate(perplexities(result).items()):
        axes = table[1, 1]
        axes.plot(
            *zip(*rows, strict=True),
            MARKS[place],
            ms=7,
            color=colour(place + 1),
            label=f"learning rate {rate}",
        )
    finish(
        table[1, 1], "half-life against loss (five priors)", "loss before training (nats a token)", "steps"
    )
    table[1, 1].set_ylim(bottom=0)
    legend(drawn, table.flat, 4)
    return drawn


STUDY = PaperStudy(
    "loss-spike",
    "The collapse step beside the step of a loss spike, and beside the perplexity of pre-training",
    "The Model Collapse Step is the step at which the loss spikes, and is tied to pre-training perplexity.",
    "the summary that this project started from",
    grid,
    SEEDS,
    "collapse steps by criterion",
    figure,
    find,
)
