"""Study 14: a prior that moves: supervised batches between the votes, and the balance point of theory X4."""

import numpy as np

from studies.paper.draw import LOOK, MARKS, colour, finish, legend, sheet
from studies.paper.frame import Cell, Finding, PaperStudy
from studies.paper.grids import SEEDS, groups
from studies.paper.moving_cell import UPDATES

STRENGTHS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
FORMS = {"exact": "exact votes", "sampled": "8 votes a step", "coupled": "coupled prompts"}
NEAR = {"exact": 0.02, "sampled": 0.05, "coupled": 0.1}
"""How far the mean mass of the mode may end from the balance point."""


def grid(quick: bool) -> list[Cell]:
    """One cell an update; everything is simulated."""
    return [
        Cell(
            "moving prior",
            update,
            {
                "update": update,
                "strengths": list(STRENGTHS[::3] if quick else STRENGTHS),
                "prompts": 64 if quick else 128,
                "answers": 10,
                "sharpness": 1.0,
                "learning_rate": 0.2,
                "rollouts": 8,
                "shared": 2.0,
                "steps": 400 if quick else 1500,
                "seeds": list(SEEDS),
            },
            15.0 if quick else 60.0,
        )
        for update in UPDATES
    ]


def misses(record: dict) -> dict[str, float]:
    """The largest distance from the balance point over strengths (mean of the seeds), by form."""
    predicted = np.mean(record["predicted"], axis=1)
    return {form: round(float(np.abs(np.mean(record[form], axis=1) - predicted).max()), 4) for form in FORMS}


def find(result: dict) -> Finding:
    """Reproduced where every form of both updates ends within NEAR of the balance point at every strength; partly where
    the exact one of both does.
    """
    found = {label: misses(record) for label, (record,) in groups(result, "moving prior").items()}
    held = {form: all(told[form] <= NEAR[form] for told in found.values()) for form in FORMS}
    verdict = "reproduced" if all(held.values()) else "partly" if held["exact"] else "contradicted"
    told = "; ".join(
        f"{label}: " + ", ".join(f"{FORMS[form]} {value:.3f}" for form, value in told.items())
        for label, told in found.items()
    )
    records = [record for (record,) in groups(result, "moving prior").values()]
    strengths, rate = records[0]["strengths"], records[0]["settings"]["learning_rate"]
    light = max(
        abs(np.mean(exact) - np.mean(point))
        for record in records
        for strength, exact, point in zip(strengths, record["exact"], record["predicted"], strict=True)
        if strength <= 1
    )
    return Finding(
        verdict,
        f"Between {strengths[0]:g} and {strengths[-1]:g} times the vote's weight, replayed pre-training holds the mode's mass"
        f" within so much of X4's balance point: {told}. Data of at most the vote's weight: exact votes {light:.3f}. The point is that of small"
        f" steps, and a batch of data goes up to {rate * strengths[-1]:g} of its way; a majority of 8 votes is not always the"
        f" mode, and pulls less. Simulated only: no transformer was run.",
        {"largest_miss": found, "held": held},
    )


def figure(result: dict):
    """Mass of the mode at the end against the weight of the data, with X4's curve; one panel an update."""
    found = groups(result, "moving prior")
    drawn, (table,) = sheet(
        1, len(found), "Votes against replayed pre-training: where they balance", height=3.7
    )
    for axes, (label, (record,)) in zip(table, found.items(), strict=True):
        strengths = record["strengths"]
        axes.plot(
            strengths,
            np.mean(record["predicted"], axis=1),
            color=LOOK.ink,
            lw=1.4,
            label="balance point of X4",
        )
        for place, (form, name) in enumerate(FORMS.items()):
            values = np.array(record[form])
            axes.plot(
                strengths,
                values.mean(axis=1),
                MARKS[place],
                color=colour(place),
                ms=6,
                alpha=0.85,
                label=name,
            )
            axes.vlines(
                strengths, values.min(axis=1), values.max(axis=1), color=colour(place), lw=2, alpha=0.5
            )
        axes.set_xscale("log")
        finish(axes, label, "weight of the data against the vote (log)", "mass of the initial mode", True)
    legend(drawn, table, 4)
    return drawn


STUDY = PaperStudy(
    "moving-prior",
    "Supervised batches between the votes: the balance point of X4, exact, sampled and coupled",
    "Interleaved supervised batches pull the policy back: votes and data balance at one point short of consensus.",
    "theory X4",
    grid,
    SEEDS,
    "mass of the initial mode",
    figure,
    find,
)
