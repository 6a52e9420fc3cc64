"""Figures of one prompt and of many: the test for leaving the budget, and pass@k (S11, S16 to S18)."""

from functools import partial

import numpy as np

from sharpening.logspace import log_mass, log_odds, logistic
from sharpening.plots.theorems.canvas import draws
from sharpening.plots.theorems.walks import policy, walk
from sharpening.population import Population
from sharpening.theorems.numerics import relative_entropy
from sharpening.theorems.s11_budget_test import alarm_rate
from sharpening.theorems.s16_pass_at_k import crossing, pass_at_k
from sharpening.theorems.s17_entropy_and_reward import entropy_on_the_path
from sharpening.theorems.s18_coverage import coverage, misses
from sharpening.updates import KLProx

DRAWINGS: dict[str, tuple] = {}
draws = partial(draws, DRAWINGS)


@draws(
    "S11",
    "Exact chance of an alarm when mass moves to an answer of 2 %: at most the level of 5 % while KL is"
    " within the budget, and power beyond it grows with the rollouts.",
)
def budget_test(panel):
    start, moved = policy(0.6, 0.02, 0.38), np.linspace(0.0, 0.985, 60)
    now = np.log1p(-moved)[:, None] + start
    now[:, 1] = np.log((1 - moved) * 0.02 + moved)
    spent = relative_entropy(now, np.broadcast_to(start, now.shape)) / -np.log(0.6)
    told = np.broadcast_to(start[:, [1, 0, 2]], now.shape)
    for colour, rollouts in enumerate((64, 32, 16)):
        rate = alarm_rate(now[:, 1], told, np.zeros(len(now), bool), rollouts=rollouts)
        panel.line(spent, rate, f"{rollouts} rollouts each", colour)
        panel.holds("at most", rate[spent <= 1], 0.05)
        panel.holds("at least", np.diff(rate), 0.0, 1e-12)
    panel.level(0.05, "level")
    panel.mark(1.0, "KL = budget")
    panel.dress(
        "KL(π ‖ π₀) over the budget −log max π₀",
        "chance of an alarm",
        ylim=(-0.03, 1.03),
        legend="below",
        columns=3,
    )


@draws(
    "S16",
    "Pass@k before and after training on the majority reward: training ends at alignment α for every k, so it"
    " gains below the crossing k* and loses beyond it.",
)
def pass_at_k_sold(panel):
    panel.logs(x=True)
    population, k = Population.synthetic(3, 64, 8, strength=1.6), 2 ** np.arange(0, 11)
    weights, correct = population.prompt_weights, population.labels

    def average(policies):
        return np.array([weights @ pass_at_k(log_mass(policies, ~correct), int(n)) for n in k])  # noqa: E731

    end, alpha = walk(KLProx(1 / 60.0), population.log_probs, 1)[-1], population.alignment
    panel.law(lambda n: 0 * n + alpha, k, average(end), "after training (points), α (line)", 0)
    before = average(population.log_probs)
    panel.line(k, before, "before training", 1)
    least = crossing(log_mass(population.log_probs, ~correct), weights, alpha)
    panel.holds("at least", before[k >= least], alpha)
    panel.holds("at most", before[k < least], alpha)
    panel.mark(least, f"k* = {least:g}", low=True)
    panel.dress("answers drawn k", "pass@k, share of prompts", legend="lower right", ylim=(0.0, 1.03))


@draws(
    "S17",
    "Accuracy against the exponential of entropy along KL-prox on majority votes: exact curves, no straight"
    " lines; on a misaligned prompt accuracy is lost with entropy.",
)
def entropy_and_reward(panel):
    odds, rest = np.linspace(-0.9, 12.0, 80), np.log(4.0)
    entropy = np.exp(entropy_on_the_path(odds, np.full(odds.shape, rest)))
    for colour, (told, aligned) in enumerate((("aligned", True), ("misaligned", False))):
        start = policy(0.3, 0.175, 0.175, 0.175, 0.175)
        truth = np.arange(5) == (0 if aligned else 1)
        steps = walk(KLProx(2.0), start, 20)
        points = np.array([np.exp(one[0][truth].sum()) for one in steps])
        along = np.array([log_odds(one, np.arange(5)[None] == 0)[0] for one in steps])
        curve = lambda x, aligned=aligned: logistic(x) if aligned else logistic(-x) / 4  # noqa: E731
        panel.line(entropy, curve(odds), f"{told} (curve and points)", colour)
        panel.holds("equals", points, curve(along), 1e-9)
        panel.points(np.exp(entropy_on_the_path(along, np.full(along.shape, rest))), points, None, colour)
        panel.holds("at least", np.diff(points) * (1 if aligned else -1), 0.0)
    panel.dress("exp of entropy", "accuracy", legend="upper right", ylim=(-0.03, 1.03))


@draws(
    "S18",
    "Chance that the best of N rollouts by the policy's own log-probability is not the mode, averaged over a"
    " population, and its bound by the coverage C_cov/(e N).",
)
def coverage_bound(panel):
    panel.logs(x=True, y=True)
    population, n = Population.synthetic(3, 64, 8, strength=0.6), 2.0 ** np.arange(0, 7)
    weights, mode = population.prompt_weights, population.leaders
    missed = np.array([weights @ misses(log_mass(population.log_probs, ~mode), one) for one in n])
    bound = coverage(log_mass(population.log_probs, mode), weights) / (np.e * n)
    panel.line(n, missed, "missed on average", 0)
    panel.line(n, bound, "C_cov/(e N)", 1)
    panel.holds("at most", missed, bound)
    panel.dress("rollouts N", "chance of missing the mode", legend="lower left")
