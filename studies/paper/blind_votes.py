"""Votes on images: does a model that sees stop looking when it sharpens on its own votes?"""

import numpy as np

from studies.paper.draw import LOOK, band, colour, finish, legend, sheet
from studies.paper.frame import Cell, Finding, PaperStudy
from studies.paper.grids import SEEDS, curves, groups, median_step
from studies.paper.vision_forecasts import against

MODEL, TASK = "dots-uncertain", "dots"
TEXT_MODEL, TEXT_TASK = "addition-uncertain", "addition"
"""The same in text: 30 % label noise, too, and right on .67 where `dots-uncertain` is on .69."""
RATES = (1e-4, 3e-4, 1e-3)
DATA = {"32 prompts": 32, "fresh": None}
STEPS = 120
"""Three times as many as first declared, since a cell took seconds; set, as were true rewards at every rate and the runs
in text, before any result of the full form was looked at."""
METRICS = (
    "accuracy",
    "label_accuracy",
    "reward_accuracy",
    "majority_ratio",
    "mode_retention",
    "excess_kl",
    "blind_retention",
    "blind_accuracy",
)
TRUE_RATE = 3e-4
"""Of the true rewards that the figure shows."""
RISE, BLIND = 0.02, 0.5
"""A rise is a gain of accuracy of at least so much. A run stops looking if its blind retention gains so much."""


def label(reward: str, data: str, rate: float) -> str:
    return f"{reward}, {data}, {rate:g}"


def grid(quick: bool) -> list[Cell]:
    """Votes and true rewards at three rates on 32 prompts and on fresh ones, and a forecast for each; votes in text under
    the same settings, with forecasts, to compare with. Forecasts weigh most, and so are made before all runs.
    """
    settings = [(reward, data, rate) for reward in ("majority", "true") for data in DATA for rate in RATES]
    cells = [
        cell
        for one in (settings[2:3] if quick else settings)
        for cell in of_setting(*one, quick, MODEL, TASK)
    ]
    for one in () if quick else settings:
        if one[0] == "majority":
            cells += of_setting(*one, quick, TEXT_MODEL, TEXT_TASK)
    return cells


def of_setting(reward: str, data: str, rate: float, quick: bool, model: str, task: str) -> list[Cell]:
    """A run for every seed, and the forecast of them all."""
    run = {
        "reward": reward,
        "learning_rate": rate,
        "dataset_size": DATA[data],
        "prompts_per_step": 8,
        "rollouts": 8,
        "max_steps": 20 if quick else STEPS,
        "eval_every": 10,
        "eval_prompts": 32 if quick else 48,
    }
    told, sees = {"model": model, "task": task}, model == MODEL
    metrics = [name for name in METRICS if sees or not name.startswith("blind")]
    name = label(reward, data, rate) if sees else f"text: {label(reward, data, rate)}"
    kind = "sighted" if sees else "trained"
    cells = [
        Cell(kind, name, told | {"run": run | {"seed": seed}, "metrics": metrics}, 30.0)
        for seed in SEEDS[: 1 if quick else None]
    ]
    both = told | {"run": run | {"seed": SEEDS[0]}, "seeds": list(SEEDS)}
    return [*cells, Cell("foretold", name, both, 50.0)]


def row(records: list[dict], foretold: list[dict]) -> dict:
    """What the seeds of one setting did, means over them, beside what was foretold."""
    told = curves(records)

    def mean(name, pick):
        return float(np.mean([pick(curve[name]) for curve in told]))

    found = {
        "start": mean("accuracy", lambda values: values[0]),
        "peak": mean("accuracy", max),
        "end": mean("accuracy", lambda values: values[-1]),
        "blind_start": mean("blind_retention", lambda values: values[0]),
        "blind_end": mean("blind_retention", lambda values: values[-1]),
        "blind_accuracy_end": mean("blind_accuracy", lambda values: values[-1]),
        "steps": {
            name: median_step(records, name)
            for name in ("relative", "half_life", "mode_retention", "excess_kl")
        },
        "endings": [record["told"] for record in records],
    }
    for forecast in foretold:
        found["forecast"] = {name: forecast["forecast"][name] for name in found["steps"]}
        found["verdict"] = forecast["verdict"]
        found["pilot_blind"] = float(
            np.mean([share[-1] for share in forecast["pilot_blind"] if share] or [np.nan])
        )
    return found


def rows(result: dict) -> dict[str, dict]:
    """`row` of every setting, by its label."""
    foretold = groups(result, "foretold")
    return {name: row(records, foretold.get(name, [])) for name, records in groups(result, "sighted").items()}


def find(result: dict) -> Finding:
    """Reproduced where every setting of votes that ends below its start has stopped looking (its blind retention gains
    at least BLIND) and no true reward does; partly where some does; contradicted where some fall and none stops looking.
    """
    told = rows(result)
    votes = {name: one for name, one in told.items() if name.startswith("majority")}
    true = [one for name, one in told.items() if name.startswith("true")]
    fallen = {name: one for name, one in votes.items() if one["end"] < one["start"] - RISE}
    risen = [one for one in votes.values() if one["peak"] >= one["start"] + RISE]

    def stopped(one):
        return one["blind_end"] - one["blind_start"] >= BLIND

    blind = [stopped(one) for one in fallen.values()]
    held = not any(map(stopped, true))
    verdict = (
        "cannot be tested"
        if not blind
        else "reproduced"
        if all(blind) and held
        else "partly"
        if any(blind)
        else "contradicted"
    )
    shown = "; ".join(
        f"{name.removeprefix('majority, ')}: accuracy {one['start']:.2f}, at best {one['peak']:.2f}, at the end"
        f" {one['end']:.2f}, blind retention {one['blind_start']:.2f} to {one['blind_end']:.2f}"
        for name, one in votes.items()
    )
    return Finding(
        verdict,
        f"Of {len(votes)} settings of votes (three seeds each) {len(risen)} gain at least {RISE:g} of accuracy at their best,"
        f" {len(fallen)} end below their start, and {sum(blind)} of these have stopped looking; true rewards"
        f" {'never do' if held else 'do too'} ({shown}).",
        {"settings": told, "forecasts": against(result)},
    )


def figure(result: dict):
    """Accuracy and blind retention of votes, 32 prompts and fresh ones; true rewards in grey."""
    drawn, table = sheet(2, 2, f"Votes on images ({MODEL}, task {TASK})")
    for column, data in zip(range(2), DATA, strict=True):
        for axes, (metric, title) in zip(
            table[:, column],
            (("accuracy", "accuracy"), ("blind_retention", "answers unchanged by grey")),
            strict=True,
        ):
            for place, rate in enumerate(RATES):
                records = groups(result, "sighted").get(label("majority", data, rate), [])
                band(axes, curves(records), metric, colour(place), f"votes, {rate:g}")
            records = groups(result, "sighted").get(label("true", data, TRUE_RATE), [])
            band(axes, curves(records), metric, LOOK.grey, f"true rewards, {TRUE_RATE:g}")
            finish(axes, f"{title}: {data}", "optimizer step", "share", True)
    legend(drawn, table.flat, 4)
    return drawn


STUDY = PaperStudy(
    "blind-votes",
    "A model that sees, on votes and true rewards: accuracy, and whether it still looks",
    "Users of label-free vision reinforcement learning report that all answers become one letter: a model that sharpens on"
    " its own votes stops looking at its images.",
    "reports of users; left open by He et al. 2026",
    grid,
    SEEDS,
    "accuracy and blind_retention",
    figure,
    find,
)
