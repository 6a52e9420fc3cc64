"""SmolLM2-135M-Instruct on capitals: two learning rates, one that triples accuracy and one that kills
(theory, "Seen on a real language model").
"""

import os
from dataclasses import replace

from llm_bridge import RunSettings
from studies.study import Run, Study

MODEL = os.environ.get("SHARPENING_SMOLLM2", "models/smollm2-135m-instruct")
"""Folder that `sharpening zoo import FILE.gguf --output …` made; the environment variable names another."""

SEEDS = (0, 1, 2)


def settings(learning_rate: float, seed: int) -> RunSettings:
    """64 countries in training, 8 a step, 8 rollouts, 60 steps; 64 other countries evaluated every 5
    steps.
    """
    return RunSettings(
        learning_rate=learning_rate,
        seed=seed,
        prompts_per_step=8,
        rollouts=8,
        dataset_size=64,
        max_steps=60,
        eval_every=5,
        eval_prompts=64,
        max_new_tokens=3,
    )


def known_settings(learning_rate: float, seed: int) -> RunSettings:
    """The same on the 96 best-known capitals, of which 32 are evaluated."""
    return replace(settings(learning_rate, seed), eval_prompts=32)


def runs() -> list[Run]:
    """Seed by seed, so that a partial study is balanced: any 64 countries at both learning rates, the
    best-known ones at the lower.

    One more run, with a single seed, asks whether a third of the lower learning rate keeps the model out of
    the bad basin.
    """
    return [
        run
        for seed in SEEDS
        for run in (
            Run("capitals 1e-05", MODEL, "capitals", settings(1e-5, seed)),
            Run("capitals 5e-05", MODEL, "capitals", settings(5e-5, seed)),
            Run("known 1e-05", MODEL, "capitals_known", known_settings(1e-5, seed)),
        )
    ] + [Run("known 3e-06", MODEL, "capitals_known", known_settings(3e-6, 0))]


def forecasts() -> list[Run]:
    return [run for run in runs() if run.settings.seed == 0]


CAPITALS = Study(
    "capitals",
    "SmolLM2-135M-Instruct on capital cities: two learning rates, and a stronger prior",
    "sharpening study capitals",
    runs,
    forecasts,
    workers=1,
    stop_on_collapse=True,
)
