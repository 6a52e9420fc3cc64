"""Figures of finite groups of rollouts (F1 to F5)."""

from functools import partial

import numpy as np

from sharpening.logspace import logistic
from sharpening.plots.theorems.canvas import draws
from sharpening.plots.theorems.walks import listed_directions, policy, sampled_walks, two_answers
from sharpening.theorems.f1_wrong_majority import binomial_error, log_chernoff
from sharpening.theorems.f2_fixation import margin_of_a_tie, normal_fixation, wrong_fixation
from sharpening.theorems.f4_sampled_drift import odds_drift
from sharpening.theorems.f5_more_rollouts import vote_table
from sharpening.theorems.finite_votes import group_weights, mode_vote_shares
from sharpening.updates import KLProx, SoftmaxGradient
from sharpening.updates.advantages import group_advantages

DRAWINGS: dict[str, tuple] = {}
draws = partial(draws, DRAWINGS)
RUNS = 2000  # a point; the tolerance is four standard errors of a chance of one half


@draws(
    "F1",
    "Chance that the vote of N rollouts is not the mode: exact counts (points), the binomial tail for two"
    " answers (line), and the bound (dashed).",
)
def wrong_majority(panel):
    panel.logs(y=True)
    size, first = np.arange(1, 41), np.array([0])
    for colour, masses in enumerate(((0.6, 0.4), (0.6, 0.2, 0.2))):
        start = policy(*masses)
        error = 1 - mode_vote_shares(start, first, 40)[0]
        rate, rivals = float(log_chernoff(start, first)[0]), len(masses) - 1
        told = f"({', '.join(f'{one:g}' for one in masses)})"
        if len(masses) == 2:

            def law(n, start=start):
                return np.array([binomial_error(start[:, 0], start[:, 1], int(one))[0] for one in n])  # noqa: E731

            panel.law(law, size, error, told, colour, nodes=0, logs=True, tolerance=1e-7)
        limit = lambda n, rate=rate, rivals=rivals: rivals * np.exp(n * rate)  # noqa: E731
        panel.bound(
            "at most",
            limit,
            size,
            error,
            told if rivals > 1 else None,
            colour,
            bound_colour=colour,
            logs=True,
        )
    panel.dress("rollouts N", "chance of a wrong vote", legend="upper right", ylim=(1e-4, 3))


@draws(
    "F2",
    "Chance of ending on the initially rarer answer with 3 rollouts: 2,000 simulated runs a point, the exact"
    " sum (line), the normal law (dashed).",
)
def fixation(panel):
    for colour, step in enumerate((1.0, 0.5)):
        lead = np.linspace(0.0, 2.4, 5)
        ends = sampled_walks(KLProx(1 / step), np.repeat(lead, RUNS), rollouts=3, at=[int(40 / step)])[0]
        wrong = (ends < 0).reshape(5, -1).mean(axis=1)
        panel.law(
            lambda x, step=step: wrong_fixation(x, step, 3),
            lead,
            wrong,
            f"step 1/β = {step:g}",
            colour,
            tolerance=4 * 0.5 / RUNS**0.5,
        )
        grid = np.linspace(0, 2.4, 80)
        normal = normal_fixation(grid, step, margin_of_a_tie(3))
        panel.line(grid, normal, None, colour, dashed=True)
        panel.holds("at most", np.abs(normal - wrong_fixation(grid, step, 3)), step / 8)
    panel.dress(
        "first log-odds L₀ of the mode, nats",
        "chance of the wrong limit",
        legend="upper right",
        ylim=(-0.02, 0.6),
    )


@draws(
    "F3",
    "GRPO's advantage of the one rollout that dissents from G − 1 others: −(G−1)/√G (line) and the package's"
    " group advantages (points); without the std it stays below 1.",
)
def lone_dissenter(panel):
    panel.logs(x=True)
    sizes = np.array([3, 8, 64])
    rewards = [np.append(np.ones(size - 1), 0.0)[None] for size in sizes]
    for colour, (told, scale, law) in enumerate(
        (
            ("GRPO", "group", lambda g: -(g - 1) / np.sqrt(g)),
            ("without the std", "none", lambda g: -(g - 1) / g),
        )
    ):
        found = [float(group_advantages(one, scale, 0.0)[0, -1]) for one in rewards]
        panel.law(law, sizes, found, told, colour)
    panel.axes.set_xticks(sizes, [str(size) for size in sizes])
    panel.dress("rollouts in the group G", "advantage of the lone dissenter", legend="lower left")


@draws(
    "F4",
    "Mean drift of the log-odds of two answers in one sampled step: every group listed (points), formulas"
    " (lines), the limit of many rollouts (dashed).",
)
def sampled_drift(panel):
    odds = np.linspace(-4, 4, 17)
    for colour, (told, update, softmax) in enumerate(
        (("KL-prox", KLProx(), False), ("softmax gradient", SoftmaxGradient(), True))
    ):
        for mark, n in enumerate((3, 12)):
            table = listed_directions(update, 2, n)
            found = group_weights(two_answers(odds), n) @ (table[:, 0] - table[:, 1])
            law = lambda x, n=n, softmax=softmax: odds_drift(x, n, softmax=softmax)  # noqa: E731
            panel.law(law, odds, found, f"{told}, N = {n}", 2 * colour + mark, mark=mark)
    grid = np.linspace(-4, 4, 161)
    panel.line(
        grid, 2 * logistic(grid) * logistic(-grid) * np.sign(grid), "softmax gradient, N = ∞", -1, dashed=True
    )
    panel.dress(
        "log-odds of the first answer, nats",
        "mean drift, nats per η",
        legend="below",
        columns=3,
        ylim=(-1.05, 1.05),
    )


@draws(
    "F5",
    "Share of the vote that the mode gets from N rollouts, ties shared: the series (line) and every group"
    " listed (points); it never falls.",
)
def more_rollouts(panel):
    size = np.arange(1, 25)
    for colour, masses in enumerate(((0.6, 0.3, 0.1), (0.4, 0.35, 0.25), (0.34, 0.33, 0.33))):
        start = policy(*masses)
        series = mode_vote_shares(start, np.array([0]), 24)[0]
        listed = [(group_weights(start, int(n)) @ vote_table(int(n), 3, None)[1])[0, 0] for n in size[:12]]
        told = f"({', '.join(f'{one:g}' for one in masses)})"
        panel.law(
            lambda n, series=series: np.interp(n, size, series),
            size[:12],
            listed,
            told,
            colour,
            span=(1, 24),
            nodes=24,
        )
        panel.holds("at least", np.diff(series), 0.0, 1e-12)
    panel.dress("rollouts N", "mode's share of the vote", legend="below", columns=3, ylim=(0.3, 1.0))
