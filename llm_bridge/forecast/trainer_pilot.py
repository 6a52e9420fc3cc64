"""A pilot by a trainer's own class: the run's first steps at rates that grow, on the throwaway copy."""

import time
from dataclasses import replace
from pathlib import Path

from transformers import set_seed

from llm_bridge.console.numbers import SEEDS
from llm_bridge.forecast.model import first_rate
from llm_bridge.forecast.pilot import STEPS, PilotWatch, train_once
from llm_bridge.forecast.trainer_probe import TrainerRun
from llm_bridge.sampling.rollouts import cut_off
from llm_bridge.tasks.dataset import row_text
from llm_bridge.training.settings import RATES
from llm_bridge.training.twin import restore_weights, trained_parameters, twin_trainer


def trainer_pilot(run: TrainerRun, trainer, probe, number: int, folder: Path, rows: list[int] | None):
    """Pilot `number` by the trainer's own class, with seed and weights of its own; rows: those of the data set that it
    may train on, None for all.
    """
    started = time.monotonic()
    count = moving_weights(run.loaded.model)
    low, high = RATES
    rate = min(max(first_rate(probe, run.settings, count), low), high)
    seed = (run.settings.seed + number) % SEEDS
    settings = replace(run.settings, learning_rate=rate, seed=seed)
    restore_weights(run.loaded.model, trainer.model)
    bar = run.progress.start("probe: pilot", STEPS)
    watch = PilotWatch(run.task, run.problems, run.loaded, settings, bar, run.cost)
    set_seed(seed)
    twin = twin_trainer(trainer, run.loaded.model, folder, seed=seed, steps=STEPS, rows=rows, callback=watch)
    twin.args.__dict__["learning_rate"] = trainer.args.learning_rate or rate
    _heard_by(watch, twin, run)
    train_once(twin)
    bar.close()
    run.cost.seconds += time.monotonic() - started
    return watch.pilot()


def moving_weights(model) -> int:
    """How many weights move, which are those that noise was added to."""
    return sum(parameter.numel() for parameter in trained_parameters(model))


def _heard_by(watch: PilotWatch, twin, run: TrainerRun) -> None:
    """Every batch of completions that the twin scores passes through the watch first."""
    score, group = twin._calculate_rewards, run.settings.rollouts
    known = {problem.prompt: problem for problem in run.task.problems}
    updates = twin.num_iterations

    def scored(inputs, prompts, completions, completion_ids_list):
        problems = [known[row_text(row)] for row in inputs[::group]]
        ids = [completion_ids_list[at : at + group] for at in range(0, len(inputs), group)]
        texts = [run.loaded.tokenizer.batch_decode(part, skip_special_tokens=True) for part in ids]
        unread = None
        if run.settings.mask_truncated_completions:
            unread = cut_off(ids, run.loaded.model, run.loaded.tokenizer)
        watch.hear(problems, texts, unread)
        generated = sum(map(len, completion_ids_list))
        run.cost.generated_tokens += generated
        run.cost.forward_tokens += generated * (1 + updates)
        run.cost.backward_tokens += generated * updates
        return score(inputs, prompts, completions, completion_ids_list)

    twin._calculate_rewards = scored
