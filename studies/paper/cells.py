"""What a cell of a study can be. Each function takes plain settings and a folder of its own, and returns plain data;
what it returns depends on the settings alone, but for `seconds`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from studies.paper.chosen_cell import chosen_problems
from studies.paper.dial_cell import dial, stored
from studies.paper.gain_cell import prior_gain, simulated_gains
from studies.paper.hybrid_cell import hybrid_map
from studies.paper.moving_cell import moving_prior
from studies.paper.problem_cell import single_problems, urn
from studies.paper.schedule_cell import schedules
from studies.paper.stored_cell import stored_steps
from studies.paper.vision_cell import foretold, sighted

DIGITS = 4


@dataclass(frozen=True)
class Kind:
    """do: (settings, folder) to the record. trains: whether it needs a transformer."""

    do: Callable[[dict, Path], dict]
    trains: bool


def rounded(curve: dict) -> dict:
    """Curves short enough to commit; NaN becomes None."""
    return {
        name: [None if not np.isfinite(value) else round(float(value), DIGITS) for value in values]
        if name != "step"
        else [int(step) for step in values]
        for name, values in curve.items()
    }


def chosen(curve: dict, metrics) -> dict:
    """The steps and the named metrics that the curve has."""
    return rounded({name: values for name, values in curve.items() if name in ("step", *metrics)})


def trained(settings: dict, folder: Path) -> dict:
    """Train a transformer through `measure`: `model`, `task`, `run` (fields of RunSettings), `metrics`,
    `stop_on_collapse`.
    """
    import torch

    from llm_bridge import RunSettings, get_task, measure

    torch.set_num_threads(1)
    folder.parent.mkdir(parents=True, exist_ok=True)
    found = measure(
        settings["model"],
        get_task(settings["task"]),
        RunSettings(**settings["run"]),
        output_dir=folder,
        stop_on_collapse=settings.get("stop_on_collapse", False),
        keep_checkpoints=settings.get("keep_checkpoints", False),
    )
    cost = dict(found.cost)
    return {
        "curves": [chosen(found.trajectory.curve(), settings["metrics"])],
        "collapse": [{name: step.as_dict() for name, step in found.collapse.items()}],
        "floor": found.trajectory.floor,
        "seconds": cost.pop("seconds"),
        "cost": cost,
    }


def simulated(settings: dict, folder: Path) -> dict:
    """Simulate a synthetic population, one curve a seed: `population` (of Population.synthetic), `coupling` (private,
    shared), `reward`, `update`, `simulate` (its keyword arguments), `seeds`, `metrics`; with `on_trained` the metrics
    are those of the data set's own prompts.
    """
    from sharpening import CompoundSymmetric, Population, collapse_steps, simulate_many

    private, shared = settings["coupling"]
    population = Population.synthetic(
        **settings["population"], coupling=CompoundSymmetric(private=private, shared=shared)
    )
    curves = simulate_many(
        population, settings["reward"], settings["update"], settings["seeds"], **settings["simulate"]
    )
    plain_curves = [curve.curve() for curve in curves]
    if settings.get("on_trained"):
        plain_curves = [
            {
                name.removeprefix("train_"): values
                for name, values in curve.items()
                if name[:6] == "train_" or name == "step"
            }
            for curve in plain_curves
        ]
    return {
        "curves": [chosen(curve, settings["metrics"]) for curve in plain_curves],
        "collapse": [
            {name: step.as_dict() for name, step in collapse_steps(curve).items()} for curve in curves
        ],
        "floor": curves[0].floor,
        "alignment": population.alignment,
    }


def swept(settings: dict, folder: Path) -> dict:
    """Simulate many settings of one population, compiled as seldom as can be: `points`, label to what `sweep`'s grid may
    name; otherwise as `simulated`. Its `parts` are records of their own. With `easiest` only that share of the prompts is
    kept, largest margins first.
    """
    from sharpening import CompoundSymmetric, Population, collapse_steps, sweep

    private, shared = settings["coupling"]
    population = Population.synthetic(
        **settings["population"], coupling=CompoundSymmetric(private=private, shared=shared)
    )
    if "easiest" in settings:
        ranked = np.argsort(-population.margin)
        population = population.select(np.sort(ranked[: round(settings["easiest"] * len(ranked))]))
    points = settings["points"]
    grid = [changes | {"key": seed} for changes in points.values() for seed in settings["seeds"]]
    runs = [
        run.trajectory
        for run in sweep(population, settings["reward"], settings["update"], grid, **settings["simulate"])
    ]
    parts = []
    for place, label in enumerate(points):
        own = runs[place * len(settings["seeds"]) : (place + 1) * len(settings["seeds"])]
        parts.append(
            {
                "label": label,
                "curves": [chosen(run.curve(), settings["metrics"]) for run in own],
                "collapse": [
                    {name: step.as_dict() for name, step in collapse_steps(run).items()} for run in own
                ],
                "floor": own[0].floor,
            }
        )
    return {"parts": parts, "alignment": population.alignment}


def tree(settings: dict, folder: Path) -> dict:
    """Simulate trees of thoughts and answers, one prior a seed: `prior` (of thinking_prior), `coupling`, `reward`,
    `update` (natural_gradient, its step size and scope), `simulate`, `seeds`, `metrics`.
    """
    from sharpening import CompoundSymmetric, NaturalGradient, simulate_tree, thinking_prior

    private, shared = settings["coupling"]
    _, *update = settings["update"]
    found = []
    for seed in settings["seeds"]:
        prior = thinking_prior(
            seed, **settings["prior"], coupling=CompoundSymmetric(private=private, shared=shared)
        )
        curve = simulate_tree(prior, settings["reward"], NaturalGradient(*update), **settings["simulate"])
        found.append(chosen(curve.curve(), settings["metrics"]))
    return {"curves": found}


KINDS = {
    "simulated": Kind(simulated, False),
    "trained": Kind(trained, True),
    "single problems": Kind(single_problems, True),
    "urn": Kind(urn, False),
    "hybrid map": Kind(hybrid_map, False),
    "tree": Kind(tree, False),
    "swept": Kind(swept, False),
    "dial": Kind(dial, False),
    "stored": Kind(stored, False),
    "simulated gains": Kind(simulated_gains, False),
    "prior gain": Kind(prior_gain, True),
    "moving prior": Kind(moving_prior, False),
    "schedules": Kind(schedules, False),
    "chosen problems": Kind(chosen_problems, True),
    "stored steps": Kind(stored_steps, False),
    "sighted": Kind(sighted, True),
    "foretold": Kind(foretold, True),
}
