"""Cells that ask what predicts the gain from true rewards: simulated priors, and transformers beside their stored runs."""

import json
import random
from pathlib import Path

import numpy as np

from studies.study import load_result

PASSES = 64


def simulated_gains(settings: dict, folder: Path) -> dict:
    """Priors (`priors`: strength and sharpness each), coupled: when votes on fresh prompts collapse, with the usual
    settings and with one prompt a step (told in the usual batches), and what `steps` of true rewards add to the accuracy
    of the prompts that are trained. Beside them what the prior itself says. One value a seed.
    """
    from sharpening import CompoundSymmetric, Population, collapse_step, simulate_many

    private, shared = settings["coupling"]
    usual, seeds = settings["usual"], settings["seeds"]
    batch = usual["prompts_per_step"]
    rows = []
    for strength, sharpness in settings["priors"]:
        prior = Population.synthetic(
            0,
            settings["prompts"],
            settings["answers"],
            strength=strength,
            sharpness=sharpness,
            coupling=CompoundSymmetric(private, shared),
        )
        votes = simulate_many(
            prior,
            "majority",
            settings["update"],
            seeds,
            num_steps=settings["vote_steps"],
            eval_every=settings["eval_every"],
            method="sampled",
            **usual,
        )
        hasty = simulate_many(
            prior,
            "majority",
            settings["update"],
            seeds,
            num_steps=settings["hasty_batches"] * batch,
            eval_every=batch,
            method="sampled",
            **(usual | {"prompts_per_step": 1}),
        )
        taught = simulate_many(
            prior,
            "true",
            settings["update"],
            seeds,
            num_steps=settings["steps"],
            eval_every=settings["steps"],
            method="sampled",
            dataset_size=settings["dataset_size"],
            **usual,
        )
        right = np.where(prior.correct, prior.probs, 0.0).sum(axis=1)
        rows.append(
            {
                "prior": [strength, sharpness],
                "mcs": [_step(collapse_step(run, settings["criterion"])) for run in votes],
                "aggressive": [_step(collapse_step(run, settings["criterion"]), batch) for run in hasty],
                "gain": [
                    round(float(run["train_accuracy"][-1] - run["train_accuracy"][0]), 4) for run in taught
                ],
                "pass": round(float(np.mean(1 - (1 - right) ** PASSES)), 4),
                "accuracy": round(prior.accuracy, 4),
                "entropy": round(float(prior.entropy.mean()), 4),
                "loss": round(float(-np.mean(np.log(right))), 4),
            }
        )
    return {"rows": rows}


def _step(found, scale: int = 1) -> float | None:
    return None if found.step is None else found.step / scale


def prior_gain(settings: dict, folder: Path) -> dict:
    """Build the prior `model` of `studies.priors`, train it on true rewards (`run`: fields of RunSettings) with each of
    `seeds`, and read its collapse steps under votes from the committed study `votes` (label `label`).
    """
    import torch

    from llm_bridge import RunSettings, get_task, measure
    from studies.priors import PRIORS, build_prior

    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    name = settings["model"]
    loaded, gains = build_prior(name, folder), []
    for seed in settings["seeds"]:
        kept = folder / f"gain-{seed}.json"
        if not kept.is_file():
            run = RunSettings(**settings["run"], seed=seed, reward="true")
            found = measure(loaded, get_task(PRIORS[name].task), run, output_dir=folder / f"seed-{seed}")
            curve = found.trajectory.curve()
            told = {"first": curve["accuracy"][0], "last": curve["accuracy"][-1], "loss": curve["lm_loss"][0]}
            told |= {"tokens": found.cost["generated_tokens"]}
            kept.write_text(json.dumps({key: float(value) for key, value in told.items()}))
        gains.append(json.loads(kept.read_text()))
    return {
        "gain": [round(one["last"] - one["first"], 4) for one in gains],
        "loss": round(float(np.mean([one["loss"] for one in gains])), 4),
        "tokens": [one["tokens"] for one in gains],
        **stored_prior(settings),
        "pass": drawn_pass(loaded, get_task(PRIORS[name].task), folder),
    }


def drawn_pass(source, task, folder: Path, prompts: int = 128) -> float:
    """pass@PASSES: the share of `prompts` problems of which one of PASSES answers is right."""
    kept = folder / "pass.json"
    if not kept.is_file():
        from llm_bridge.models.loading import load_model
        from llm_bridge.sampling.rollouts import sample
        from llm_bridge.sampling.seeding import seeded
        from llm_bridge.tasks import read_answers

        loaded, problems = load_model(source), random.Random(0).sample(list(task.problems), prompts)
        drawn = sample(
            loaded.model,
            loaded.tokenizer,
            [problem.prompt for problem in problems],
            rollouts=PASSES,
            max_new_tokens=task.max_new_tokens,
            generator=seeded(0, 17),
        )
        right = read_answers(problems, drawn.texts, task).correct.any(axis=1)
        kept.write_text(json.dumps({"pass": round(float(right.mean()), 4)}))
    return json.loads(kept.read_text())["pass"]


def stored_prior(settings: dict) -> dict:
    """What the committed study says of the prior, and of its runs under votes, one a seed."""
    told = load_result(settings["votes"])
    runs = [run for run in told["runs"] if run["label"] == settings["label"]]
    runs.sort(key=lambda run: run["settings"]["seed"])
    probe = next(one for one in told["probes"] if one["label"] == f"probe {settings['model']}")
    return {
        "mcs": [run["collapse"][settings["criterion"]]["step"] for run in runs],
        "vote_tokens": [run["cost"]["generated_tokens"] for run in runs],
        "accuracy": probe["prior"]["accuracy"],
        "entropy": probe["prior"]["entropy"],
    }
