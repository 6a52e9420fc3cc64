"""The shipped tiny transformers under majority votes: who rises, who collapses, what a small data set and
true rewards change.
"""

from llm_bridge import RunSettings
from llm_bridge.zoo import RECIPES
from studies.study import Run, Study

SEEDS = (0, 1, 2)
MODELS = (
    "addition-weak",
    "addition-uncertain",
    "addition-overconfident",
    "addition-misconception",
    "countdown",
)
LEARNING_RATES = (1e-4, 5e-4)
STEPS, EVAL_EVERY = 300, 10


def _settings(**changes) -> RunSettings:
    return RunSettings(max_steps=STEPS, eval_every=EVAL_EVERY, **changes)


def runs() -> list[Run]:
    """Five models × two learning rates, then the uncertain model with 32 prompts, with true rewards and at
    two rates in between.
    """
    grid = [
        Run(f"{name} {rate:g}", name, RECIPES[name].task, _settings(learning_rate=rate, seed=seed))
        for name in MODELS
        for rate in LEARNING_RATES
        for seed in SEEDS
    ]
    name = "addition-uncertain"
    extra = [
        Run(f"{name} {label}", name, "addition", _settings(seed=seed, **changes))
        for label, changes in (
            ("5e-4 32 prompts", {"learning_rate": 5e-4, "dataset_size": 32}),
            ("5e-4 true rewards", {"learning_rate": 5e-4, "reward": "true"}),
            ("2e-4", {"learning_rate": 2e-4}),
            ("3e-4", {"learning_rate": 3e-4}),
        )
        for seed in SEEDS
    ]
    return grid + extra


def forecasts() -> list[Run]:
    """One forecast for each model and learning rate of the grid."""
    return [
        Run(f"{name} {rate:g}", name, RECIPES[name].task, _settings(learning_rate=rate))
        for name in MODELS
        for rate in LEARNING_RATES
    ]


TINY = Study(
    "tiny",
    "Shipped tiny transformers: measured and forecast collapse, 5 models × 2 learning rates × 3 seeds, and"
    " controls",
    "sharpening study tiny",
    runs,
    forecasts,
)
