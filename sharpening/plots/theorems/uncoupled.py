"""Figures of prompts without coupling (U1 to U6)."""

from functools import partial

import numpy as np

from sharpening.coupling import CompoundSymmetric
from sharpening.logspace import log_mass, log_odds, logistic, normalised
from sharpening.metrics import exact_metrics
from sharpening.plots.theorems.canvas import draws
from sharpening.plots.theorems.walks import case_of, two_answers, walk
from sharpening.population import Population
from sharpening.theorems.coupled import coupled_step
from sharpening.theorems.finite_votes import mode_vote_shares
from sharpening.theorems.u2_gained_minus_lost import correct_share
from sharpening.theorems.u3_rise_then_fall import accuracy_gain, peak_time, signed_law
from sharpening.theorems.u6_better_than_voting import pass_at, vote_of
from sharpening.updates import KLProx

DRAWINGS: dict[str, tuple] = {}
draws = partial(draws, DRAWINGS)


def prior() -> Population:
    """64 prompts with 8 answers, most of them aligned."""
    return Population.synthetic(3, 64, 8, strength=1.6)


def measured(population: Population, run: np.ndarray, metric: str) -> np.ndarray:
    """The metric's average over prompts after each step of a run, (steps + 1,)."""
    return np.array(
        [population.prompt_weights @ exact_metrics(now, population.correct, run[0])[metric] for now in run]
    )


@draws(
    "U1",
    "Accuracy over KL-prox steps (points) stays within the average mass off the modes, known in closed form"
    " (dashed), of the alignment α.",
)
def accuracy_limit(panel):
    population, step = prior(), np.arange(25)
    accuracy = measured(population, walk(KLProx(2.0), population.log_probs, 24), "accuracy")
    odds, alpha = log_odds(population.log_probs, population.leaders), population.alignment
    off = lambda k: population.prompt_weights @ logistic(-odds[:, None] - k / 2)  # noqa: E731
    panel.bound(
        "at most", lambda k: alpha + off(k), step, accuracy, "accuracy", told="α ± average mass off the modes"
    )
    panel.bound("at least", lambda k: alpha - off(k), step, accuracy)
    panel.holds("equals", accuracy[-1], alpha, 2e-3)
    panel.note(0.99, 0.42, f"α = {alpha:.2f}", right=True)
    panel.dress("KL-prox step, 1/β = ½", "accuracy, share", legend="upper right", ylim=(0, 1.05))


@draws(
    "U2",
    "Accuracy gained by aligned prompts and lost by misaligned ones over KL-prox steps (points) against E[τ(s"
    " − π_c)] in closed form (lines).",
)
def gained_minus_lost(panel):
    population, step = prior(), np.arange(0, 25, 2)
    start, weights, right = population.log_probs, population.prompt_weights, correct_share(population)
    run, before = walk(KLProx(2.0), start, 24)[::2], np.exp(log_mass(start, population.labels))
    odds = log_odds(start, population.leaders)
    for colour, (told, chosen) in enumerate(
        (("gained, aligned", right == 1), ("lost, misaligned", right == 0), ("together", right >= 0))
    ):
        found = [
            weights @ np.where(chosen, np.exp(log_mass(now, population.labels)) - before, 0.0) for now in run
        ]

        def law(k, chosen=chosen):
            moved = 1 - logistic(-odds[:, None] - np.reshape(k, (1, -1)) / 2) / logistic(-odds)[:, None]
            return (weights * chosen * (right - before)) @ moved

        panel.law(law, step, found, told, colour)
    panel.dress("KL-prox step, 1/β = ½", "Accuracy(t) − Accuracy(0), share", legend="center right")


@draws(
    "U3",
    "Accuracy of an even aligned prompt and a slow misaligned one (mode 4 %, all else right) rises and then"
    " falls without coupling: KL-prox steps (points), closed form (line), peak.",
)
def rise_then_fall(panel):
    masses = np.zeros((2, 41))
    masses[0, :2], masses[1] = 0.501, np.append([0.04], np.full(40, 0.024))
    masses[0, 1] = 0.499
    correct = np.arange(41) > np.array([[-1], [0]])
    correct[0, 1:] = False
    with np.errstate(divide="ignore"):
        population = Population(np.log(masses), correct)
    odds, amplitudes = signed_law(population)
    weights, times = population.prompt_weights, 0.25 * np.arange(0, 33)
    run = walk(KLProx(4.0), population.log_probs, 32)
    law = lambda t: accuracy_gain(odds, amplitudes, weights, t) + population.accuracy  # noqa: E731
    panel.law(law, times[::2], measured(population, run, "accuracy")[::2], "accuracy")
    peak = peak_time(odds, amplitudes, weights)
    panel.holds("at most", law(times), law(np.array([peak])))
    panel.mark(peak, f"peak, t = {peak:.2f}", low=True)
    panel.level(population.alignment, "alignment α", left=True)
    panel.dress("time, steps × 1/β", "accuracy, share", legend="upper right")


@draws(
    "U4",
    "Reward accuracy of one prompt whose rival has mass .4, against the mass of the right answer: 1 − π_m −"
    " π_c while misaligned, 1 once it leads.",
)
def reward_accuracy(panel):
    mass = np.concatenate([np.linspace(0.0, 0.39, 14), np.linspace(0.41, 0.59, 7)])
    rest = np.repeat(0.6 - mass[:, None], 4, axis=1) / 4
    with np.errstate(divide="ignore"):
        policies = np.log(np.column_stack([np.full(21, 0.4), mass, rest]))
    correct = np.arange(6) == np.ones((21, 1))
    found = exact_metrics(policies, correct)["reward_accuracy"]
    panel.law(lambda c: 1 - 0.4 - c, mass[:14], found[:14], r"misaligned: $1 - \pi_m - \pi_c$", span=(0, 0.4))
    panel.law(lambda c: 0 * c + 1, mass[14:], found[14:], "aligned: 1", 1, span=(0.4, 0.6))
    panel.mark(0.4, "the right answer leads")
    panel.dress(
        r"mass $\pi_c$ of the right answer, share",
        "reward accuracy, share",
        legend="below",
        columns=2,
        ylim=(0, 1.1),
    )


@draws(
    "U5",
    "Reward accuracy of the same prompts over steps: without coupling it never falls below α, with shared"
    " logits it does.",
)
def no_collapse(panel):
    even = Population.synthetic(5, 64, 8, strength=2.0)
    tilted = even.log_probs + 1.5 * (np.arange(8) == 0)
    population, step = Population.from_logits(tilted, even.correct), np.arange(41)
    alone = measured(population, walk(KLProx(4.0), population.log_probs, 40), "reward_accuracy")
    panel.bound("at least", population.alignment, step, alone, "uncoupled prompts", 1, told="α")
    case, kernel = case_of(population), CompoundSymmetric(1.0, 6.0)
    own, shared, run = np.zeros_like(tilted), np.zeros(8), [population.log_probs]
    for _ in step[1:]:
        own, shared = coupled_step(
            case, KLProx(4.0), population.log_probs, population.prompt_weights, kernel, own, shared
        )
        run.append(normalised(population.log_probs + own + shared))
    together = measured(population, np.array(run), "reward_accuracy")
    panel.line(step, together, "coupled prompts, κₛ = 6", 0)
    panel.holds("at most", together[-1], population.alignment - 0.1)
    panel.dress("KL-prox step, 1/β = ¼", "reward accuracy, share", legend="center right", ylim=(0, 1.05))


@draws(
    "U6",
    "Accuracy after training (dashed) is that of an unlimited vote of the untrained model: maj@N by counting"
    " (points) and by the binomial tail (line); pass@N goes beyond both.",
)
def better_than_voting(panel):
    panel.logs(x=True)
    odds = np.linspace(-1.0, 2.2, 48)
    start, size, correct = two_answers(odds), np.array([1, 3, 5, 9, 17, 33]), np.array([[True, False]] * 48)
    counted = mode_vote_shares(start, np.zeros(48, int), 33).mean(axis=0)[size - 1]
    panel.law(
        lambda n: np.array([vote_of(odds, int(one)).mean() for one in n]),
        size,
        counted,
        "maj@N, untrained",
        nodes=0,
    )
    passed = np.array([pass_at(start, correct, int(n)).mean() for n in size])
    panel.line(size, passed, "pass@N, untrained", 1)
    end = np.exp(walk(KLProx(1 / 200.0), start, 1)[-1, :, 0]).mean()
    panel.bound("at most", end, size, counted, told="accuracy after training")
    panel.holds("at least", passed[-1], end)
    panel.axes.set_xticks(size, [str(n) for n in size])
    panel.dress("rollouts N", "share of prompts", legend="below", columns=3)
