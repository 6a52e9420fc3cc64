"""Figures of coupled prompts: Adam, strategies, coexistence, drift or diffusion, private sight (C5 to C9)."""

from functools import partial

import numpy as np

from sharpening.coupling import CompoundSymmetric
from sharpening.logspace import normalised
from sharpening.metrics import exact_metrics
from sharpening.plots.theorems.canvas import draws
from sharpening.plots.theorems.walks import case_of, two_answers
from sharpening.population import Population
from sharpening.simulation.vote_path import adam_factors, vote_path
from sharpening.theorems.c7_coexistence import POWERS, coexistence_point, two_group_drift
from sharpening.theorems.c8_drift_or_diffusion import passage, slope
from sharpening.theorems.c9_private_sight import first_move
from sharpening.theorems.coupled import coupled_step, fresh_drift
from sharpening.updates import KLProx

DRAWINGS: dict[str, tuple] = {}
draws = partial(draws, DRAWINGS)


def accuracy_at(population: Population, shift: np.ndarray) -> float:
    """Mean accuracy when every prompt's logits are moved by `shift` (answers,)."""
    return float(
        exact_metrics(normalised(population.log_probs + shift), population.correct)["accuracy"].mean()
    )


@draws(
    "C5",
    "Adam's drift a step, relative to the first, while the gradient dies as r^t: running means (points),"
    " closed form (lines), SGD (dashed); β₂ = .9.",
)
def adam_drift(panel):
    step, memory = np.arange(60), 0.9
    for colour, rate in enumerate((0.999, 0.98, 0.8)):
        decay = rate**step
        found = adam_factors(decay**2, memory) * decay

        def law(t, x=rate**2):
            mean = (1 - memory) * (x ** (t + 1) - memory ** (t + 1)) / (x - memory) / (1 - memory ** (t + 1))
            return np.sqrt(x**t / mean)

        panel.law(law, step[::3], found[::3], f"Adam, r = {rate:g}", colour)
        panel.line(step, decay, None, colour, dashed=True)
        panel.holds("at least", found, decay)
        if rate**2 > memory:
            panel.level(np.sqrt((1 - memory / rate**2) / (1 - memory)))
    panel.dress("step t", "drift a step / first drift", legend="below", columns=3, ylim=(-0.03, 1.06))


@draws(
    "C6",
    "Accuracy when prompts share two strategies: coupled steps (points) on the exact path of the vote"
    " (lines); the winner corrects if it is right more often than the modes, kills if it never is.",
)
def strategies(panel):
    odds = 0.9 + 1.6 * np.random.default_rng(0).standard_normal(64)
    rng, kernel, size = np.random.default_rng(1), CompoundSymmetric(0.0, 1.0), 0.1
    for colour, (told, rate) in enumerate((("winner right on 90 %", 0.9), ("winner never right", 0.0))):
        right = rng.random(64) < rate
        correct = np.stack([right, ~right & (rng.random(64) < 0.8)], axis=1)
        population = Population(two_answers(odds), correct)
        path, case = vote_path(population, private=0.0, shared=1.0), case_of(population)
        accuracy = partial(accuracy_at, population)
        own, shared, found = np.zeros((64, 2)), np.zeros(2), []
        for _ in range(121):
            found.append(accuracy(shared))
            own, shared = coupled_step(
                case, KLProx(1 / size), population.log_probs, population.prompt_weights, kernel, own, shared
            )

        def law(t, path=path, accuracy=accuracy):
            return np.array([accuracy(path.at(float(one))[1]) for one in t])  # noqa: E731

        panel.law(law, size * np.arange(121)[::8], found[::8], told, colour, tolerance=0.01, nodes=80)
        panel.level(population.alignment, f"α = {population.alignment:.2f}")
        panel.level(float(correct[:, 0].mean()))
    panel.dress(
        "shared drift, steps × κₛ/β, nats", "accuracy, share", legend="center right", ylim=(-0.03, 1.03)
    )


@draws(
    "C7",
    "Drift of the shared logits where 60 % of the prompts prefer answer 1 and 40 % answer 2, both by 3 nats:"
    " directions (points), formulas (lines); under GRPO it vanishes at a stable u*.",
)
def coexistence(panel):
    share, lead, u = 0.6, 3.0, np.linspace(-2.8, 2.8, 15)
    weights = np.array([share, 1 - share])
    population = Population(two_answers([lead, -lead]), weights=weights)
    for colour, (told, (update, scale, power)) in enumerate(list(POWERS.items())[:3]):
        found = []
        for one in u:
            now = two_answers([lead + one, one - lead])
            drift = fresh_drift(case_of(population), update, now, weights, CompoundSymmetric(0.0, 1.0))
            found.append(drift[0] - drift[1])
        panel.law(
            lambda x, s=scale, p=power: two_group_drift(share, lead, lead, x, s, p), u, found, told, colour
        )
    point = float(coexistence_point(share, lead, lead, 1.0))
    panel.holds("equals", two_group_drift(share, lead, lead, point, 1.0, 1.0), 0.0)
    panel.mark(point, f"u* = {point:.2f}", low=True)
    panel.level(0.0)
    panel.dress("shared log-odds u, nats", "drift of u, nats per unit time", legend="below", columns=3)


@draws(
    "C8",
    "Steps until the root mean square of a walk of steps ±1 reaches R, against the learning rate: its moments from the"
    " binomial law (points), closed form (lines). Slope −2 while it diffuses, −1 once it drifts.",
)
def drift_or_diffusion(panel):
    steps, radius = np.unique(np.geomspace(1, 3000, 14).round()), 10.0
    panel.axes.set(xscale="log", yscale="log")
    for colour, coherence in enumerate((0.0, 0.01, 0.3)):
        drift = np.sqrt(coherence)
        # S_t is 2 Binomial(t, (1 + drift)/2) − t, so E S_t² is its variance and squared mean.
        square = steps * (1 - drift**2) + (steps * drift) ** 2
        rates = radius / np.sqrt(square)
        panel.law(
            lambda x, c=coherence: passage(radius, 1.0, c, x),
            rates[::-1],
            steps[::-1],
            f"ρ = {coherence:g}",
            colour,
            tolerance=1e-6,
            logs=True,
        )
        panel.holds("at least", slope(steps, coherence), -2.0)
        panel.holds("at least", -1.0, slope(steps, coherence))
    panel.dress("learning rate η, R = 10", "steps t until E|S_t|² = R²", legend="upper right")


@draws(
    "C9",
    "When the first vote leaves what its image says, against private strength: exact coupled steps (points), closed form"
    " (lines), for two leads d of the answer that most votes have. At κₚ = κₛ d none ever does.",
)
def private_sight(panel):
    size, gaps = 0.05, np.linspace(0.5, 3.0, 20)
    for colour, others in enumerate((4, 8)):
        odds = np.where(np.arange(20) < others, -1.0, 1.0) * gaps
        population = Population(two_answers(odds))
        case, start, weights = case_of(population), population.log_probs, population.prompt_weights
        shares = np.bincount(population.mode, weights, minlength=2)
        lead = float(shares.max() - shares.min())
        private = lead * np.linspace(0.0, 0.9, 8)
        found = []
        for strength in private:
            own, shared, steps = np.zeros_like(start), np.zeros(2), 0
            while ((start + own + shared).argmax(axis=1) == population.mode).all():
                coupling = CompoundSymmetric(float(strength), 1.0)
                own, shared = coupled_step(case, KLProx(1 / size), start, weights, coupling, own, shared)
                steps += 1
            found.append(size * (steps - 0.5))

        def law(x, start=start, mode=population.mode, shares=shares):
            return np.array([first_move(start, mode, shares, float(one), 1.0) for one in x])

        panel.law(law, private, found, f"d = {lead:.1f}", colour, tolerance=size)
    panel.dress("private strength κₚ, κₛ = 1", "first move, steps × 1/β", legend="upper left")
