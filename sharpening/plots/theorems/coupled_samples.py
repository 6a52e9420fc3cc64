"""Figures of what finite data say of coupled prompts (C10)."""

from functools import partial

import numpy as np

from sharpening.plots.theorems.canvas import draws
from sharpening.plots.theorems.walks import two_answers
from sharpening.theorems.c10_finite_samples import chance_of_wrong_sign, group_chances
from sharpening.updates import GRPO

DRAWINGS: dict[str, tuple] = {}
draws = partial(draws, DRAWINGS)


@draws(
    "C10",
    "Chance that n groups of three rollouts, one for each fresh prompt, tell the wrong answer to be the one that the shared drift"
    " favours: exact (points), and its bound e^(−nd²/2) (dashed).",
)
def finite_samples(panel):
    panel.logs(y=True)
    groups = np.arange(20, 400, 20)
    for colour, share in enumerate((0.6, 0.75, 0.9)):
        policies = two_answers(np.array([1.0, -1.0]))
        moved, chances = group_chances(policies, np.array([share, 1 - share]), GRPO(1.0, eps=0.0))
        gap = float(chances @ moved)
        up, down = (float(chances[side * moved > 1e-9].sum()) for side in (1, -1))
        found = np.array([chance_of_wrong_sign(up, down, int(n)) for n in groups])
        seen = found > 1e-12
        limit = lambda n, gap=gap: np.exp(-n * gap**2 / 2)  # noqa: E731
        told = f"{share:.0%} of prompts, d = {gap:.2f}"
        panel.bound("at most", limit, groups[seen], found[seen], told, colour, bound_colour=colour, logs=True)
        panel.holds("at least", gap, 0.0)
    panel.dress("groups n", "chance of the wrong sign", legend="lower left", ylim=(1e-8, 2))
