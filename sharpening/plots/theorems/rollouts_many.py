"""Figures of groups of three rollouts: which answer fixes, and lucky votes (F6, F7)."""

from functools import partial

import numpy as np

from sharpening.logspace import normalised
from sharpening.plots.theorems.canvas import draws
from sharpening.plots.theorems.walks import majority_direction
from sharpening.rewards import get_reward
from sharpening.theorems.f6_reversible_walk import UNIT, fixation_of_three, probit_choice
from sharpening.theorems.f7_lucky_hits import accuracy_lost, accuracy_of_three
from sharpening.theorems.finite_votes import group_directions, group_weights
from sharpening.updates import GRPO, SoftmaxGradient

DRAWINGS: dict[str, tuple] = {}
draws = partial(draws, DRAWINGS)
RUNS, STEPS, MOVE = 800, 50, 1.0


def ends_of_three(start: np.ndarray, seed: int = 0) -> np.ndarray:
    """The answer that each run of sampled GRPO, three rollouts, ends at; `start` (runs, 3) logits."""
    update, draw, now = GRPO(MOVE / UNIT, eps=0.0), np.random.default_rng(seed), np.array(start)
    for _ in range(STEPS):
        policies = normalised(now)
        levels = np.cumsum(np.exp(policies), axis=1)[:, None, :2]
        answers = (draw.random((len(now), 3, 1)) >= levels).sum(axis=2)
        rewards = np.asarray(get_reward("majority").group(answers))
        now = now + update.step_size * np.asarray(update.group_direction(policies, answers, rewards))
    return now.argmax(axis=1)


@draws(
    "F6",
    "Chance that GRPO with votes of three fixes on the first of three answers, against its lead over the two"
    " others: 800 simulated runs a point, the harmonic function (line), the probit choice (dashed).",
)
def which_fixes(panel):
    leads = np.linspace(-2.0, 3.0, 5)
    starts = np.repeat(leads[:, None] * np.array([1.0, 0.0, 0.0]), RUNS, axis=0)
    found = (ends_of_three(starts) == 0).reshape(len(leads), RUNS).mean(axis=1)
    exact = lambda x: np.array([fixation_of_three([one, 0.0, 0.0], MOVE)[0][0, 0] for one in x])  # noqa: E731
    panel.law(exact, leads, found, "h = 1", 0, tolerance=4 * 0.5 / RUNS**0.5, nodes=12)
    grid = np.linspace(-2.0, 3.0, 60)
    law = probit_choice(grid[:, None] * np.array([1.0, 0.0, 0.0]), MOVE)[:, 0]
    panel.line(grid, law, "probit choice", -1, dashed=True)
    panel.line(grid, np.exp(grid) / (np.exp(grid) + 2), "its mass π₀", 1, dashed=True)
    panel.holds("at most", np.abs(exact(grid[::20]) - law[::20]), np.sqrt(MOVE) / 8)
    panel.dress(
        "lead of the first answer, nats", "chance that it fixes", legend="upper left", ylim=(-0.03, 1.03)
    )


@draws(
    "F7",
    "Mean change of accuracy on a prompt whose mode (.4) is wrong, against the mass of the truth: many"
    " rollouts always lower it, votes of three raise it for a truth close behind the mode.",
)
def lucky_votes(panel):
    right = np.linspace(0.02, 0.39, 12)
    policies = lambda c: np.stack([0.4 + 0 * c, c, *[(0.6 - c) / 3] * 3], axis=1)  # noqa: E731
    probs = policies(right)
    table = group_directions(SoftmaxGradient(), get_reward("majority"), np.log(probs[0]), 3)
    sides = (
        (
            "votes of three",
            group_weights(np.log(probs), 3) @ table,
            lambda c: accuracy_of_three(policies(c), c),
        ),
        (
            "votes of many",
            majority_direction(SoftmaxGradient())(np.log(probs)),
            lambda c: -accuracy_lost(policies(c), 0.4, c),
        ),
    )
    for colour, (told, direction, law) in enumerate(sides):
        found = right * (direction[:, 1] - (probs * direction).sum(axis=1))
        panel.law(law, right, found, told, colour)
    panel.level(0.0)
    panel.dress("mass of the truth π_c", "mean change of accuracy, per η", legend="lower left")
