"""Study 15: votes end at the share of prompts whose favourite is right: a dial of misconceptions from 0 to 1."""

import numpy as np

from studies.paper.draw import LOOK, MARKS, colour, finish, legend, sheet
from studies.paper.frame import Cell, Finding, PaperStudy
from studies.paper.grids import SEEDS, groups

MODELS = (
    "addition-weak",
    "addition-uncertain",
    "addition-overconfident",
    "addition-misconception",
    "countdown",
)
CLOSE = 0.1
"""A prediction of final accuracy that is off by at most so much is right."""


def grid(quick: bool) -> list[Cell]:
    """Populations by their share of misconceptions; beside them the transformers of `sharpening study tiny` at 1e-4."""
    settings = {
        "shares": [0.0, 0.5, 1.0] if quick else [round(0.1 * i, 1) for i in range(11)],
        "prompts": 512,
        "answers": 20,
        "sharpness": 2.0,
        "learning_rate": 1.0,
        "shared": 0.05,
        "steps": 400,
        "seeds": list(SEEDS),
    }
    cells = [Cell("dial", "misconceptions", settings, 30.0)]
    return cells + [
        Cell(
            "stored",
            name,
            {
                "study": "tiny",
                "label": f"{name} 0.0001",
                "metrics": ["accuracy", "label_accuracy"],
                "seeds": list(SEEDS),
            },
            1.0,
        )
        for name in MODELS
    ]


def ends(records: list[dict]) -> list[dict]:
    """Of every seed: the share of aligned prompts before, accuracy before, at its best and at the end."""
    return [
        {
            "alignment": curve["label_accuracy"][0],
            "before": curve["accuracy"][0],
            "best": max(curve["accuracy"]),
            "end": curve["accuracy"][-1],
        }
        for record in records
        for curve in record["curves"]
    ]


def find(result: dict) -> Finding:
    """Reproduced where the simulated prompts, alone and coupled, and the best accuracy of most transformers' seeds come
    within CLOSE of the share of aligned prompts; partly where one of these does.
    """
    ((record,),) = groups(result, "dial").values()
    alignment = np.array(record["alignment"])
    off = {name: float(np.abs(np.array(record[name]) - alignment).max()) for name in ("alone", "coupled")}
    told = {name: ends(records) for name, records in groups(result, "stored").items()}
    every = [one for found in told.values() for one in found]
    best = [abs(one["best"] - one["alignment"]) <= CLOSE for one in every]
    last = [abs(one["end"] - one["alignment"]) <= CLOSE for one in every]
    parts = [off["alone"] <= CLOSE, off["coupled"] <= CLOSE, 2 * sum(best) > len(best)]
    verdict = "reproduced" if all(parts) else "partly" if any(parts) else "contradicted"
    models = ", ".join(
        f"{name}: {np.mean([one['alignment'] for one in found]):.2f} aligned, best"
        f" {np.mean([one['best'] for one in found]):.2f}, end {np.mean([one['end'] for one in found]):.2f}"
        for name, found in told.items()
    )
    return Finding(
        verdict,
        f"Simulated alone, accuracy ends within {off['alone']:.3f} of the share of aligned prompts at every setting of the"
        f" dial; coupled, it misses by up to {off['coupled']:.2f}. Of {len(every)} runs of transformers (300 steps at 1e-4,"
        f" committed runs of `sharpening study tiny`)"
        f" {sum(best)} come within {CLOSE:g} of it at their best and {sum(last)} still at the end ({models}).",
        {"largest_error": off, "transformers": told},
    )


def figure(result: dict):
    """Final against predicted accuracy: simulated by the dial, transformers at their best and at the end."""
    drawn, ((left, right),) = sheet(
        1, 2, "Where votes end: the share of prompts whose favourite is right", height=3.9
    )
    ((record,),) = groups(result, "dial").values()
    shares = np.array(record["shares"])
    series = (
        ("alone", "alone", colour(1)),
        ("coupled", "coupled", colour(0)),
        ("before", "before training", LOOK.grey),
    )
    for name, label, shade in series:
        values = np.array(record[name])
        left.plot(
            shares, values.mean(axis=1), color=shade, lw=2, ls=(0, (4, 2)), marker="o", ms=4, label=label
        )
        left.fill_between(shares, values.min(axis=1), values.max(axis=1), color=shade, alpha=0.18, lw=0)
    left.plot(shares, 1 - shares, color=LOOK.ink, lw=1.2, label="prediction of U1")
    finish(
        left, "simulated populations", "share of prompts with a misconception", "final accuracy (share)", True
    )
    for place, (name, records) in enumerate(groups(result, "stored").items()):
        for number, one in enumerate(ends(records)):
            shade = (*LOOK.others,)[place]
            right.plot([one["alignment"]] * 2, [one["best"], one["end"]], color=shade, lw=1, alpha=0.6)
            right.plot(
                one["alignment"],
                one["best"],
                MARKS[place],
                color=shade,
                ms=7,
                label=f"{name}, best" if not number else None,
            )
            right.plot(
                one["alignment"],
                one["end"],
                MARKS[place],
                mfc="white",
                mec=shade,
                ms=7,
                label="open: at step 300" if not number and not place else None,
            )
    right.plot([0, 1], [0, 1], color=LOOK.ink, lw=1.2)
    finish(
        right,
        "transformers, votes at 1e-4",
        "share of prompts with a right majority, before",
        "accuracy (share)",
        True,
    )
    right.set_xlim(0.4, 1.03)
    legend(drawn, (left, right), 3)
    return drawn


STUDY = PaperStudy(
    "alignment",
    "A dial of misconceptions from 0 to 1: predicted against final accuracy",
    "Sharpening helps where confidence and correctness align, and fails where they do not: alone, accuracy ends at the"
    " share of prompts whose initial mode is right.",
    "He et al. 2026, section 2; theory U1",
    grid,
    SEEDS,
    "accuracy",
    figure,
    find,
)
