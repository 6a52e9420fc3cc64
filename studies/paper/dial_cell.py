"""A dial of misconceptions: for a share of the prompts the favoured answer is wrong. And runs of other studies, read back
from their committed results.
"""

from pathlib import Path

import numpy as np

from studies.study import load_result


def misled(share: float, prompts: int, answers: int, seed: int, sharpness: float):
    """A population whose mode is wrong for exactly `share` of the prompts (rounded): there the runner-up is right."""
    from sharpening import Population

    rng = np.random.default_rng([seed, 23])
    logits = sharpness * rng.standard_normal((prompts, answers))
    order = np.argsort(-logits, axis=1)
    wrong = rng.permutation(prompts) < round(share * prompts)
    truth = np.where(wrong, order[:, 1], order[:, 0])
    return Population.from_logits(logits, np.arange(answers) == truth[:, None])


def dial(settings: dict, folder: Path) -> dict:
    """Votes on populations of `shares` of misconceptions, alone and coupled (`shared`): accuracy before and after, one a
    seed. `prompts`, `answers`, `sharpness`, `learning_rate`, `steps`, `seeds`.
    """
    from sharpening import GRPO, CompoundSymmetric, simulate

    found: dict[str, list] = {"alignment": [], "before": [], "alone": [], "coupled": []}
    for share in settings["shares"]:
        rows: dict[str, list[float]] = {name: [] for name in found}
        for seed in settings["seeds"]:
            prior = misled(share, settings["prompts"], settings["answers"], seed, settings["sharpness"])
            rows["alignment"].append(prior.alignment)
            rows["before"].append(prior.accuracy)
            for name, shared in (("alone", 0.0), ("coupled", settings["shared"])):
                population = prior.replace(coupling=CompoundSymmetric(private=1.0, shared=shared))
                curve = simulate(
                    population,
                    "majority",
                    GRPO(settings["learning_rate"]),
                    num_steps=settings["steps"],
                    eval_every=settings["steps"],
                )
                rows[name].append(float(curve["accuracy"][-1]))
        for name, values in rows.items():
            found[name].append([round(value, 4) for value in values])
    return {"shares": settings["shares"], **found}


def stored(settings: dict, folder: Path) -> dict:
    """The runs of one `label` of a committed `study`, with the `metrics` of their curves; with `parameters` the model's
    number of them, from its probe.
    """
    told = load_result(settings["study"])
    runs = [run for run in told["runs"] if run["label"] == settings["label"]]
    runs.sort(key=lambda run: run["settings"]["seed"])
    return {
        "curves": [{name: run["curve"][name] for name in ("step", *settings["metrics"])} for run in runs],
        "seeds": [run["settings"]["seed"] for run in runs],
    } | ({"parameters": _parameters(told, runs[0]["model"])} if settings.get("parameters") else {})


def _parameters(told: dict, model: str) -> int:
    return next(probe["num_parameters"] for probe in told["probes"] if probe["model"] == model)
