"""Figures of claims that are false for coupled prompts (N7, N10 to N12)."""

from functools import partial

import numpy as np

from sharpening.coupling import LowRankPlusDiagonal
from sharpening.logspace import normalised
from sharpening.metrics import exact_metrics
from sharpening.plots.theorems.canvas import draws
from sharpening.plots.theorems.coupled import tilted
from sharpening.population import Population
from sharpening.simulation.vote_path import critical_size, vote_path
from sharpening.theorems.n7_confidence import STEP, steps_to_loss, two_priors

DRAWINGS: dict[str, tuple] = {}
draws = partial(draws, DRAWINGS)


@draws(
    "N7",
    "Step at which the same shared drift takes a prompt's mode: the confident policies go first (points:"
    " coupled steps, lines: margin to the attractor over the drift).",
)
def confidence(panel):
    mass = np.linspace(0.0, 1.0, 11)
    priors = two_priors(mass)
    lost = steps_to_loss(np.concatenate(priors)).reshape(2, -1)
    names = ("confident: own answer or attractor", "doubtful: own answer or 100 others")
    for colour, (told, prior, found) in enumerate(zip(names, priors, lost, strict=True)):
        own, margin = np.exp(prior[:, 1]), prior[:, 1] - prior[:, 0]
        law = lambda p, own=own, margin=margin: np.floor(np.interp(p, own, margin) / STEP) + 1  # noqa: E731
        panel.law(law, own, found, told, colour, nodes=0)
    panel.holds("at most", lost[0] + 1, lost[1])
    panel.dress("mass of the mode at the start, share", "step at which it is lost", legend="below", columns=1)


@draws(
    "N10",
    "Reward accuracy against mode retention of 240 populations moved at random: always at least α − (1 −"
    " retention), so there is no collapse while modes are kept.",
)
def no_collapse_alone(panel):
    population, rng = Population.synthetic(5, 64, 8, strength=2.0), np.random.default_rng(0)
    found = []
    for size in np.linspace(0.0, 12.0, 240):
        shared, own = rng.standard_normal(8), rng.standard_normal((64, 8))
        moved = normalised(population.log_probs + size * (shared if rng.random() < 0.5 else own))
        metrics = exact_metrics(moved, population.correct, population.log_probs)
        found.append([metrics["mode_retention"].mean(), metrics["reward_accuracy"].mean()])
    retained, accuracy = np.array(sorted(found)).T
    alpha = population.alignment
    panel.bound(
        "at least",
        lambda r: np.maximum(alpha - (1 - r), 0.0),
        retained,
        accuracy,
        "a moved population",
        told="α − (1 − retention)",
    )
    panel.level(alpha, f"α = {alpha:.2f}", left=True)
    panel.dress(
        "mode retention, share of prompts", "reward accuracy, share", legend="upper left", ylim=(0, 1.05)
    )


@draws(
    "N11",
    "Prompts share a rule that is wrong for each in its own way: along the shared drift accuracy dies and"
    " modes are lost, yet there are as many distinct answers as prompts throughout.",
)
def distinct_answers(panel):
    prompts, push = 32, np.linspace(0.0, 10.0, 21)
    rng = np.random.default_rng(2)
    log_probs = normalised(1.2 * rng.standard_normal((prompts, 3)) + [0.0, 1.5, 0.8])
    table = np.arange(prompts)[:, None] * 3 + np.arange(3)
    kernel = LowRankPlusDiagonal.strategies(table, private=0.0, num_answers=3 * prompts)
    start, truth = np.full((prompts, 3 * prompts), -np.inf), np.zeros((prompts, 3 * prompts), bool)
    start[np.arange(prompts)[:, None], table], truth[np.arange(prompts), table[:, 1]] = log_probs, True
    rule = np.eye(3)[0]
    run = [
        exact_metrics(normalised(start + np.asarray(kernel.reach(one * rule))), truth, start) for one in push
    ]
    several = np.array([float(one["distinct_answers"]) / prompts for one in run])
    panel.law(lambda x: 0 * x + 1.0, push, several, "distinct answers / prompts", 1)
    for colour, (told, name) in ((0, ("accuracy", "accuracy")), (2, ("mode retention", "mode_retention"))):
        values = np.array([one[name].mean() for one in run])
        panel.line(push, values, told, colour)
        panel.points(push, values, None, colour)
    panel.holds("at most", run[-1]["accuracy"].mean(), 0.02)
    panel.dress("shared drift to the wrong rule, nats", "share", legend="center right", ylim=(-0.03, 1.06))


@draws(
    "N12",
    "Critical data-set size over the ratio of shared to private strength: found by bisection on the path of"
    " the vote (points), D* = κₚB/(κₛ(m_max − m_min)) (line); no size is safe as such.",
)
def no_safe_size(panel):
    panel.logs(x=True, y=True)
    population, batch, found = tilted(1.5), 64, []
    ratios = np.geomspace(0.01, 10.0, 7)
    turns = lambda strength: len(vote_path(population, private=1.0, shared=strength).times) > 1  # noqa: E731
    for ratio in ratios:
        low, high = 1e-2, 1e3
        for _ in range(24):
            middle = float(np.sqrt(low * high))
            low, high = (low, middle) if turns(middle) else (middle, high)
        found.append(high * batch / ratio)
    law = lambda ratio: np.array([critical_size(population, 1.0, float(one), batch) for one in ratio])  # noqa: E731
    panel.law(law, ratios, found, "critical size", logs=True, tolerance=1e-3)
    panel.level(128.0, "“safe up to 128”", left=True)
    panel.dress("shared / private strength κₛ/κₚ", "data-set size D*, prompts", legend="upper right")
