"""Figures of coupled prompts: how fast, from which size on, and where it ends (C1 to C4)."""

from functools import partial

import numpy as np

from sharpening.coupling import CompoundSymmetric, LowRankPlusDiagonal
from sharpening.logspace import normalised
from sharpening.metrics import exact_metrics
from sharpening.plots.theorems.canvas import draws
from sharpening.plots.theorems.walks import case_of, majority_direction
from sharpening.population import Population
from sharpening.simulation.vote_path import critical_ratio, earliest_turn, vote_path
from sharpening.theorems.c2_critical_size import modes_after
from sharpening.theorems.c4_kernels import kernel_energy, patterns
from sharpening.theorems.coupled import coupled_step
from sharpening.updates import KLProx

DRAWINGS: dict[str, tuple] = {}
draws = partial(draws, DRAWINGS)


def tilted(nats: float, *, key: int = 5, strength: float = 2.0) -> Population:
    """64 prompts with 8 answers, the first of which fits every prompt a little."""
    even = Population.synthetic(key, 64, 8, strength=strength)
    return Population.from_logits(even.log_probs + nats * (np.arange(8) == 0), even.correct)


@draws(
    "C1",
    "Step at which half of the fresh prompts have turned to the final answer, over the shared strength:"
    " coupled steps in whole numbers (points), the exact path (line, slope −1), the speed limit (dashed).",
)
def speed_limit(panel):
    panel.logs(x=True, y=True)
    population = tilted(2.5)
    path = vote_path(population, private=0.0, shared=1.0)
    needed, gaps = path.time_of_share(0.5), np.maximum(earliest_turn(population, path.winner), 0.0)
    strengths, steps = np.geomspace(0.01, 1.0, 5), []
    for strength in strengths:
        own, shared = np.zeros_like(population.log_probs), np.zeros(8)
        kernel, case, turned = CompoundSymmetric(0.0, 1.0), case_of(population), 0
        while ((population.log_probs + shared).argmax(axis=1) == path.winner).mean() < 0.5:
            own, shared = coupled_step(
                case,
                KLProx(1 / strength),
                population.log_probs,
                population.prompt_weights,
                kernel,
                own,
                shared,
            )
            turned += 1
        steps.append(turned)
    panel.law(lambda k: needed / k, strengths, steps, "half of the prompts turned", tolerance=2.0)
    panel.bound(
        "at least",
        lambda k: np.quantile(gaps, 0.5) / k,
        strengths,
        steps,
        told="speed limit: median gap / (κₛη)",
        logs=True,
    )
    panel.dress("shared strength × step size κₛη, nats a step", "collapse step", legend="upper right")


@draws(
    "C2",
    "Share of prompts that keep their mode for ever, over R = κₛD/(κₚB): coupled steps (points), the exact"
    " path of the vote (line), and the critical ratio 1/(m_max − m_min).",
)
def critical_data_set(panel):
    panel.logs(x=True)
    population = tilted(1.5)
    critical, mode = critical_ratio(population), population.mode
    ratios = critical * np.array([0.3, 0.6, 0.95, 1.3, 2.4, 8.0])
    case, weights = case_of(population), population.prompt_weights
    kept = [(modes_after(case, weights, float(ratio), 100, 0.2) == mode).mean() for ratio in ratios]

    def law(ratio):
        paths = [vote_path(population, private=1.0, shared=float(one)) for one in ratio]
        return np.array([(path.modes[-1] == mode).mean() for path in paths])

    panel.law(law, ratios, kept, "modes kept", tolerance=0.05, nodes=24)
    panel.holds("equals", np.array(kept)[ratios <= critical], 1.0)
    panel.mark(critical, f"critical ratio {critical:.2f}")
    panel.dress("R = κₛD/(κₚB)", "share of prompts", legend="lower left", ylim=(-0.03, 1.12))


@draws(
    "C3",
    "Reward accuracy as every prompt is pushed to one answer: it ends at that answer's base rate (dotted),"
    " within the average mass off it, and not at 0.",
)
def floor(panel):
    rng, push = np.random.default_rng(1), np.linspace(0.0, 16.0, 33)
    truth = rng.choice(3, size=64, p=(0.6, 0.3, 0.1))
    correct = np.arange(3) == truth[:, None]
    start = normalised(1.5 * rng.standard_normal((64, 3)) + 2.0 * correct)
    for answer in range(3):
        run = [normalised(start + one * (np.arange(3) == answer)) for one in push]
        found = np.array([exact_metrics(now, correct)["reward_accuracy"].mean() for now in run])
        base = float(correct[:, answer].mean())
        panel.line(push, found, f"all to answer {answer + 1}", answer)
        panel.level(base, f"base rate {base:.2f}")
        off = np.array([(1 - np.exp(now[:, answer])).mean() for now in run])
        settled = np.array([(now.argmax(axis=1) == answer).all() for now in run])
        panel.holds("at most", np.abs(found - base)[settled], off[settled])
    panel.level(0.01, "threshold of 1 %: never met", left=True)
    panel.dress("shared push, nats", "reward accuracy, share", legend="upper right", ylim=(-0.03, 1.03))


@draws(
    "C4",
    "Speed ⟨g, Kg⟩ at which coupled sharpening gains, under three kernels: it never falls from one step to"
    " the next.",
)
def kernels(panel):
    population = tilted(2.0)
    start, weights, case, step = (
        population.log_probs,
        population.prompt_weights,
        case_of(population),
        np.arange(31),
    )
    direction = majority_direction(KLProx())
    general = LowRankPlusDiagonal(patterns(64, 8), 0.1)
    labels = {
        "shared labels": CompoundSymmetric(0.0, 1.3),
        "labels, and a private part": CompoundSymmetric(0.1, 1.3),
    }
    for colour, (told, kernel) in enumerate((labels | {"three patterns and a diagonal": general}).items()):
        own, shared, energy = np.zeros_like(start), np.asarray(kernel.rest(8)), []
        for _ in step:
            energy.append(
                kernel_energy(
                    direction(normalised(start + own + np.asarray(kernel.reach(shared)))), weights, kernel
                )
            )
            own, shared = coupled_step(case, KLProx(3.0), start, weights, kernel, own, shared)
        gained = np.array(energy) - energy[0]
        panel.line(step, gained, told, colour)
        panel.points(step[::3], gained[::3], None, colour)
        panel.holds("at least", np.diff(energy), 0.0)
    panel.dress("KL-prox step, 1/β = ⅓", "⟨g, Kg⟩ gained, nats per unit time", legend="below", columns=2)
