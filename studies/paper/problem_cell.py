"""A cell that trains one problem at a time, each from the initial model, as He et al. did for 25 problems; the same for
policies over answers, uncoupled.
"""

import copy
import json
import tempfile
from pathlib import Path

import numpy as np

from sharpening.trajectory import write_json

VOTERS = 64
"""Completions that tell a problem's policy before and after."""


def single_problems(settings: dict, folder: Path) -> dict:
    """`model`, `task`, `run` (fields of RunSettings; one prompt a step), `problems`: how many are drawn, by the run's
    seed. Each is trained on alone; a problem that is done is kept in the folder.
    """
    import torch

    from llm_bridge import RunSettings, get_task, load_model
    from llm_bridge.console.quiet import quiet_libraries

    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    run, task = RunSettings(**settings["run"]), get_task(settings["task"])
    pool = task.problems
    picked = np.random.default_rng([run.seed, 11]).choice(len(pool), settings["problems"], replace=False)
    with quiet_libraries():
        loaded = load_model(settings["model"])
        found = [_kept(folder / f"problem-{i}.json", loaded, task, pool[i], run) for i in picked.tolist()]
    return {"problems": found}


def _kept(path: Path, loaded, task, problem, run) -> dict:
    if not path.is_file():
        write_json(path, trained_alone(loaded, task, problem, run), indent=None)
    return json.loads(path.read_text())


def trained_alone(loaded, task, problem, run) -> dict:
    """What a model says of one problem before and after training on it alone: the greedy answer's correctness, the
    majority's, and accuracy.
    """
    from llm_bridge.forecast.pilot import train_once
    from llm_bridge.models.loading import LoadedModel
    from llm_bridge.training.trainer import grpo_trainer

    twin = LoadedModel(loaded.name, copy.deepcopy(loaded.model), loaded.tokenizer)
    before = told(twin, task, problem, run)
    with tempfile.TemporaryDirectory() as place:
        rows = [problem] * (run.max_steps * run.prompts_per_step)
        trainer, _ = grpo_trainer(twin, task, run, rows, Path(place), saves=False)
        train_once(trainer)
    return {"before": before, "after": told(twin, task, problem, run)}


def told(loaded, task, problem, run) -> dict:
    """Greedy correctness, majority correctness and accuracy of VOTERS completions of one problem."""
    from llm_bridge.sampling.cost import Cost
    from llm_bridge.sampling.greedy import greedy_answers
    from llm_bridge.sampling.rollouts import sample
    from llm_bridge.sampling.seeding import seeded

    length = run.max_new_tokens or task.max_new_tokens
    (greedy,) = greedy_answers(loaded.model, loaded.tokenizer, task, [problem], length, Cost())
    drawn = sample(
        loaded.model,
        loaded.tokenizer,
        [problem.asked],
        rollouts=VOTERS,
        max_new_tokens=length,
        temperature=run.temperature,
        generator=seeded(run.seed, 17, 0),
    )
    answers = [task.extract(text) for text in drawn.texts[0]]
    votes = {answer: answers.count(answer) for answer in answers if answer is not None}
    majority = max(sorted(votes), key=votes.__getitem__) if votes else None
    return {
        "greedy": task.is_correct(problem, greedy),
        "majority": task.is_correct(problem, majority),
        "accuracy": round(float(np.mean([task.is_correct(problem, answer) for answer in answers])), 4),
        "confidence": round(votes.get(majority, 0) / VOTERS, 4),
    }


def urn(settings: dict, folder: Path) -> dict:
    """The uncoupled theory of the same experiment: prompts alone, `rollouts` votes a step, softmax GRPO. `confidence`:
    the mode's initial mass, one population each; `prompts`, `answers`, `steps`, `learning_rate`, `seeds`. Tells the
    share of prompts whose mode is another one at the end.
    """
    from sharpening import CompoundSymmetric, Population, simulate_many

    shares = []
    for mass in settings["confidence"]:
        size, answers = settings["prompts"], settings["answers"]
        # One more prompt, which is not trained on and not counted: a data set leaves some to evaluate.
        probs = np.full((size + 1, answers), (1 - mass) / (answers - 1))
        probs[:, 0] = mass
        population = Population.from_probs(probs, coupling=CompoundSymmetric(private=1.0, shared=0.0))
        runs = simulate_many(
            population,
            "majority",
            f"grpo(learning_rate={settings['learning_rate']})",
            settings["seeds"],
            num_steps=settings["steps"],
            eval_every=settings["steps"],
            method="sampled",
            prompts_per_step=size,
            rollouts=settings["rollouts"],
            dataset_size=size,
        )
        shares.append([round(1 - float(run["train_mode_retention"][-1]), 4) for run in runs])
    return {"confidence": settings["confidence"], "flipped": shares}
