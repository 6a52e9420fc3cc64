"""A cell that trains on a few chosen problems, those whose majority is wrong or any, and asks the others before and after."""

import copy
import tempfile
from pathlib import Path

import numpy as np

VOTERS = 32
"""Completions that tell a problem's majority."""


def chosen_problems(settings: dict, folder: Path) -> dict:
    """`model`, `task`, `run` (fields of RunSettings), `wrong` (train on problems whose majority is wrong, else on any),
    `problems`: how many, `unseen`: how many others are asked. Correctness of the greedy answer, and accuracy of VOTERS
    completions, of trained and unseen problems before and after.
    """
    import torch

    from llm_bridge import RunSettings, get_task, load_model
    from llm_bridge.console.quiet import quiet_libraries
    from llm_bridge.forecast.pilot import train_once
    from llm_bridge.models.loading import LoadedModel
    from llm_bridge.training.trainer import grpo_trainer

    torch.set_num_threads(1)
    run, task = RunSettings(**settings["run"]), get_task(settings["task"])
    pool = task.problems
    order = np.random.default_rng([run.seed, 31]).permutation(len(pool)).tolist()
    unseen = [pool[i] for i in order[: settings["unseen"]]]
    with quiet_libraries():
        loaded = load_model(settings["model"])
        twin = LoadedModel(loaded.name, copy.deepcopy(loaded.model), loaded.tokenizer)
        trained = picked(twin, task, run, [pool[i] for i in order[settings["unseen"] :]], settings)
        before = {"trained": asked(twin, task, run, trained), "unseen": asked(twin, task, run, unseen)}
        rng = np.random.default_rng([run.seed, 37])
        rounds = -(-run.max_steps * run.prompts_per_step // len(trained))
        rows = [trained[i] for _ in range(rounds) for i in rng.permutation(len(trained))]
        with tempfile.TemporaryDirectory() as place:
            rows = rows[: run.max_steps * run.prompts_per_step]
            trainer, _ = grpo_trainer(twin, task, run, rows, Path(place), saves=False)
            train_once(trainer)
        after = {"trained": asked(twin, task, run, trained), "unseen": asked(twin, task, run, unseen)}
    return {"before": before, "after": after}


def picked(loaded, task, run, pool: list, settings: dict) -> list:
    """The first `problems` of the pool, or the first whose majority is wrong."""
    if not settings["wrong"]:
        return pool[: settings["problems"]]
    found: list = []
    for start in range(0, len(pool), 64):
        part = pool[start : start + 64]
        majorities = asked(loaded, task, run, part)["majority"]
        found += [problem for problem, right in zip(part, majorities, strict=True) if not right]
        if len(found) >= settings["problems"]:
            break
    return found[: settings["problems"]]


def asked(loaded, task, run, problems: list) -> dict:
    """Of each problem: whether the greedy answer and the majority of VOTERS are right, and their accuracy."""
    from llm_bridge.sampling.cost import Cost
    from llm_bridge.sampling.greedy import greedy_answers
    from llm_bridge.sampling.rollouts import sample
    from llm_bridge.sampling.seeding import seeded

    length = run.max_new_tokens or task.max_new_tokens
    model, tokenizer = loaded.model, loaded.tokenizer
    greedy = greedy_answers(model, tokenizer, task, problems, length, Cost())
    drawn = sample(
        model,
        tokenizer,
        [problem.asked for problem in problems],
        rollouts=VOTERS,
        max_new_tokens=length,
        temperature=run.temperature,
        generator=seeded(run.seed, 17, 0),
    )
    found: dict[str, list] = {"greedy": [], "majority": [], "accuracy": []}
    for problem, first, texts in zip(problems, greedy, drawn.texts, strict=True):
        answers = [task.extract(text) for text in texts]
        votes = {answer: answers.count(answer) for answer in answers if answer is not None}
        majority = max(sorted(votes), key=votes.__getitem__) if votes else None
        right = [bool(task.is_correct(problem, answer)) for answer in answers]
        found["greedy"].append(bool(task.is_correct(problem, first)))
        found["majority"].append(bool(task.is_correct(problem, majority)))
        found["accuracy"].append(round(float(np.mean(right)), 4))
    return found
