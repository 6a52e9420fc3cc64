"""Study 13: the same number of verifier calls, spent by four rules: which keeps votes from collapsing?"""

import numpy as np

from studies.paper.draw import LOOK, MARKS, colour, finish, legend, sheet
from studies.paper.frame import Cell, Finding, PaperStudy
from studies.paper.grids import SEEDS, groups

FAMILIES = {
    "uniform": [0.0, 0.05, 0.1, 0.25, 0.4, 0.5, 0.75, 1.0],
    "gated": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0],
    "periodic": [1, 2, 3, 4, 6, 10, 20],
    "certified": [0.1, 0.25, 0.5, 0.75, 1.0],
}
BUDGETS = (0.1, 0.25, 0.5)
"""Verifier calls as a share of all rollouts."""


def grid(quick: bool) -> list[Cell]:
    """One cell: every schedule on three coupled populations; simulated in the mean field."""
    settings = {
        "families": {family: values[:: 4 if quick else 1] for family, values in FAMILIES.items()},
        "prompts": 256 if quick else 512,
        "answers": 20,
        "strength": 2.0,
        "coupling": [1.0, 1.0],
        "tpr": 0.9,
        "fpr": 0.1,
        "run": {
            "learning_rate": 4.0,
            "num_steps": 200 if quick else 400,
            "prompts_per_step": 32,
            "rollouts": 8,
            "eval_every": 100,
        },
        "seeds": list(SEEDS),
    }
    return [Cell("schedules", "tpr .9, fpr .1", settings, 40.0 if quick else 90.0)]


def best(record: dict) -> dict[str, dict[float, list[float]]]:
    """Family to budget to the highest final accuracy within it, one a seed; NaN where nothing is so cheap."""
    found: dict[str, dict[float, list[float]]] = {}
    for family in record["settings"]["families"]:
        found[family] = {
            budget: [
                max(
                    [
                        row["after"]
                        for row in record["rows"]
                        if (row["seed"], row["family"]) == (seed, family) and row["cost"] <= budget
                    ],
                    default=float("nan"),
                )
                for seed in record["settings"]["seeds"]
            ]
            for budget in BUDGETS
        }
    return found


def find(result: dict) -> Finding:
    """Reproduced where at every budget some adaptive schedule (gated, certified) ends higher than the uniform share on
    every population; partly where at some budget.
    """
    ((record,),) = groups(result, "schedules").values()
    table = best(record)
    ahead = [
        any(
            np.all(np.array(table[family][budget]) > np.array(table["uniform"][budget]))
            for family in ("gated", "certified")
        )
        for budget in BUDGETS
    ]
    verdict = "reproduced" if all(ahead) else "partly" if any(ahead) else "contradicted"
    means = {
        family: {f"{budget:g}": round(float(np.mean(values)), 3) for budget, values in told.items()}
        for family, told in table.items()
    }
    start = float(np.mean([row["before"] for row in record["rows"]]))
    told = "; ".join(
        f"{float(budget):.0%}: "
        + ", ".join(
            f"{family} {value[budget]:.2f}"
            for family, value in means.items()
            if value[budget] == value[budget]
        )
        for budget in map("{:g}".format, BUDGETS)
    )
    return Finding(
        verdict,
        f"Best final accuracy (start {start:.2f}) where so many of the rollouts may be verified: {told}. An adaptive rule ends"
        f" above the uniform share on every population at {sum(ahead)} of {len(BUDGETS)} budgets. Simulated only: no"
        " transformer was run.",
        {"best": {family: {key: None if value != value else value for key, value in told.items()} for family, told in means.items()}, "ahead": ahead},
    )  # fmt: skip


def figure(result: dict):
    """Accuracy against cost of every schedule, and the best of each family by budget."""
    drawn, ((points, bars),) = sheet(1, 2, "The same verifier calls, spent by four rules", height=3.9)
    ((record,),) = groups(result, "schedules").values()
    table = best(record)
    for place, family in enumerate(table):
        rows = [row for row in record["rows"] if row["family"] == family]
        order = sorted({row["parameter"] for row in rows})
        mean = lambda key, parameter, rows=rows: np.mean(  # noqa: E731
            [row[key] for row in rows if row["parameter"] == parameter]
        )
        along = sorted((mean("cost", one), mean("after", one)) for one in order)
        points.plot(
            *zip(*along, strict=True), marker=MARKS[place], ms=5, lw=1.6, color=colour(place), label=family
        )
        points.plot(
            [row["cost"] for row in rows],
            [row["after"] for row in rows],
            MARKS[place],
            ms=3,
            alpha=0.35,
            color=colour(place),
        )
        values = [np.mean(table[family][budget]) for budget in BUDGETS]
        bars.bar(np.arange(len(BUDGETS)) + (place - 1.5) * 0.2, values, 0.19, color=colour(place))
    start = np.mean([row["before"] for row in record["rows"]])
    for axes in (points, bars):
        axes.axhline(start, color=LOOK.grey, lw=1.2, label="before training")
    bars.set_xticks(range(len(BUDGETS)), [f"{budget:.0%}" for budget in BUDGETS])
    finish(points, "every schedule", "verified share of all rollouts", "accuracy at the end (share)", True)
    finish(
        bars,
        "best within a budget",
        "verified share of all rollouts, at most",
        "accuracy at the end (share)",
        True,
    )
    legend(drawn, (points,), 5)
    return drawn


STUDY = PaperStudy(
    "equal-cost",
    "Verification schedules at equal cost: uniform, gated, periodic, certified before training",
    "At equal cost a schedule that verifies where it matters keeps more than verifying a uniform share of the rollouts.",
    "theory X3, X6",
    grid,
    SEEDS,
    "accuracy and verifier calls",
    figure,
    find,
)
