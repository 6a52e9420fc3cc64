"""The ground truth of the forecast: priors × learning rates × seeds, and what data-set size, rollouts, batch,
optimizer and reward change.
"""

from llm_bridge import RunSettings
from studies.priors import PRIORS, build_prior
from studies.probing import SEED
from studies.study import Run, Study

SEEDS = (0, 1, 2)
LEARNING_RATES = (1.5e-4, 5e-4, 1.5e-3)
STEPS, EVAL_EVERY, EVAL_PROMPTS = 400, 10, 128
VARIED = (
    "addition-uncertain",
    "addition-gpt2-noisy",
    "polynomials",
    "countdown",
    "sorting-llama-noisy",
    "sorting-neox-weak",
)
VARIATIONS = (
    ("32 prompts", {"dataset_size": 32}),
    ("256 prompts", {"dataset_size": 256}),
    ("4 rollouts", {"rollouts": 4}),
    ("32 rollouts, 8 prompts a step", {"rollouts": 32, "prompts_per_step": 8}),
    ("8 prompts a step", {"prompts_per_step": 8}),
    ("sgd", {"optimizer": "sgd", "learning_rate": 0.3}),
)
CERTAINTY = ("trajectory-entropy", "self-certainty")


def _settings(**changes) -> RunSettings:
    return RunSettings(
        **{"max_steps": STEPS, "eval_every": EVAL_EVERY, "eval_prompts": EVAL_PROMPTS} | changes
    )


def _run(name: str, label: str, **changes) -> Run:
    return Run(f"{name} {label}", name, PRIORS[name].task, _settings(**changes))


def majority_runs() -> list[Run]:
    """Every prior at every learning rate, seed by seed, so that an unfinished sitting is broad."""
    return [
        _run(name, f"{rate:g}", learning_rate=rate, seed=seed)
        for seed in SEEDS
        for rate in reversed(LEARNING_RATES)
        for name in PRIORS
    ]


def varied_runs() -> list[Run]:
    """One setting changed at a time, at 5e-4 (SGD at its own rate)."""
    return [
        _run(name, f"5e-4 {label}", **{"learning_rate": 5e-4, "seed": seed} | changes)
        for seed in SEEDS
        for label, changes in VARIATIONS
        for name in VARIED
    ]


def certainty_runs() -> list[Run]:
    """Rewards of the certainty family at 5e-4."""
    return [
        _run(name, f"5e-4 {reward}", learning_rate=5e-4, reward=reward, seed=seed)
        for seed in SEEDS
        for reward in CERTAINTY
        for name in VARIED
    ]


def runs() -> list[Run]:
    return majority_runs() + varied_runs() + certainty_runs()


def forecasts() -> list[Run]:
    """What `sharpening forecast` says of every prior at the lowest rate, and what that costs."""
    return [
        _run(name, f"{LEARNING_RATES[0]:g}", learning_rate=LEARNING_RATES[0], seed=SEED) for name in PRIORS
    ]


GROUND_TRUTH = Study(
    "ground-truth",
    f"{len(PRIORS)} priors on five tasks: when each collapses, by learning rate, seed, data-set size, batch,"
    " optimizer, reward",
    "sharpening study ground-truth",
    runs,
    forecasts,
    stop_on_collapse=True,
    prepare=build_prior,
    probed=True,
    metrics=("accuracy", "reward_accuracy", "mode_retention", "excess_kl"),
)
