"""What the calibration says of SmolLM2-135M-Instruct, which it has never seen, against measured runs: chances
by learning rate, and the attractor.
"""

import math

import numpy as np

from llm_bridge import Kernel, Pilot, Prior, RunSettings, load_calibration
from llm_bridge.forecast.calibration.features import Reading, WeightNoise
from llm_bridge.forecast.calibration.survival import KINDS
from llm_bridge.forecast.calibration.voice import safe_learning_rate
from sharpening.plots import Figure
from sharpening.plots.theme import get_theme
from studies.study import load_result

KERNEL = Kernel()
"""Agreement was not measured and counts as none."""

WEIGHTS = 134_515_008
NOISE = WeightNoise((0.0, 0.0074999, 0.0075), (1.0, 1.0, 0.0), WEIGHTS)
"""Of the weight noise the radius alone was kept, on `capitals`: every level counts as reached there."""

BUDGET = 60


def pilots(task: str = "capitals") -> list[Pilot]:
    """The kept pilots of a task, one for each seed."""
    return [Pilot.from_dict(one) for one in load_result("smollm2_pilots")["pilots"][task]]


def _asked(
    kind: str, learning_rate: float, budget: int, task: str = "capitals", copies: slice = slice(None)
) -> tuple:
    """Reading, settings and failure time of the half-life, of a run as in `studies.capitals`.

    copies: which of the kept pilots speak (all, averaged). The prior is that of the first pilot's first
    rollouts, of `capitals`.
    """
    settings = RunSettings(learning_rate=learning_rate, prompts_per_step=8, dataset_size=64, max_steps=budget)
    kept = load_result("smollm2_pilots")["prior"][task]
    prior = Prior(
        **{"entropy": math.nan, "tie": math.nan, "no_answer": math.nan} | kept
    )  # these were not kept
    reading = Reading.of(prior, KERNEL, pilots(task)[copies], NOISE, settings.optimizer)
    return reading, settings, load_calibration(kind).heads["half_life"]


def half_life(kind: str, learning_rate: float, budget: int = BUDGET) -> tuple[float, float]:
    """(median step at which half is lost, chance of it within the budget) on `capitals`, by all kept
    pilots.
    """
    reading, settings, head = _asked(kind, learning_rate, budget)
    told = reading.at(settings)
    return head.median(told), head.probability(told, budget)


def critical_rate(kind: str, budget: int = BUDGET, **which) -> float:
    """The learning rate at which half of the runs lose half within the budget; `which`: task and copies, as
    of `_asked`.
    """
    return safe_learning_rate(*_asked(kind, 1e-5, budget, **which), chance=0.5)


def measured_rates(task: str) -> list[tuple[float, float]]:
    """(highest that lived, lowest that killed) within 20 steps, for each seed of the study of critical
    rates.
    """
    return [(row["alive"], row["dead"]) for row in load_result("critical")["rows"] if row["task"] == task]


def middle_rate(task: str) -> float:
    """The middle seed's critical rate: the geometric middle of its bracket."""
    return float(np.median([math.sqrt(alive * dead) for alive, dead in measured_rates(task)]))


def measured() -> list[tuple[float, bool]]:
    """(learning rate, whether half was lost) of every measured run on `capitals`."""
    runs = [
        (run["settings"]["learning_rate"], run["collapse"]["half_life"]["step"] is not None)
        for run in load_result("capitals")["runs"]
        if run["label"].startswith("capitals")
    ]
    rows = [row for row in load_result("critical")["rows"] if row["task"] == "capitals"]
    return runs + [
        (trial["learning_rate"], trial["step"] is not None) for row in rows for trial in row["trials"]
    ]


def smollm2_figure() -> Figure:
    """Left: forecast chance of losing half within 60 steps by learning rate, and every measured run as lived
    (0) or died (1). Right: the pilot.
    """
    look = get_theme("light")
    figure = Figure(figsize=(9.6, 3.9), layout="constrained")
    chances, answers = figure.subplots(1, 2)
    rates = np.geomspace(2e-6, 8e-5, 80)
    for number, kind in enumerate(KINDS):
        chances.plot(
            rates,
            [half_life(kind, rate)[1] for rate in rates],
            color=look.others[number],
            label=f"forecast, {kind}",
        )
    shift = np.random.default_rng(0)
    for rate, died in measured():
        chances.plot(
            rate * math.exp(shift.uniform(-0.03, 0.03)),
            died + shift.uniform(-0.02, 0.02),
            "X" if died else "o",
            color=look.ink,
            ms=6,
            mec="white",
            mew=0.6,
        )
    chances.plot([], [], "X", color=look.ink, label="measured: half lost")
    chances.plot([], [], "o", color=look.ink, label="measured: alive")
    chances.set(
        xscale="log",
        ylim=(-0.06, 1.06),
        xlabel="learning rate",
        ylabel=f"chance of losing half within {BUDGET} steps",
    )
    chances.set_xticks([3e-6, 1e-5, 3e-5], ["3e-6", "1e-5", "3e-5"])
    chances.set_xticks([], minor=True)
    chances.legend(frameon=False, fontsize=8.5, loc="center left")
    greedy = load_result("smollm2_pilots")["greedy"]
    lines = {"accuracy": "right", "repeats_the_country": "repeats the country", "retention": "unchanged"}
    for (name, label), colour in zip(lines.items(), look.others, strict=False):
        answers.plot(greedy["displacement"][1:], greedy[name][1:], "o-", ms=3.5, color=colour, label=label)
    answers.set(
        xscale="log",
        ylim=(-0.03, 1.03),
        xlabel="pilot: sum of learning rates",
        ylabel="share of 64 greedy answers",
    )
    answers.legend(frameon=False, fontsize=8.5, loc="center left")
    for axes, title in ((chances, "Which learning rates kill"), (answers, "Where the pilot fell")):
        axes.grid(color=look.grid, lw=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(title, loc="left", fontsize=10.5, color=look.ink)
    return figure
