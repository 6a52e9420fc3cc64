"""C8: how far shared logits have walked after t drawn prompts: diffusion at first, drift in the end."""

from __future__ import annotations

import numpy as np

from sharpening.theorems.assumptions import WEIGHTED
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.coupled import FULL_SUPPORT
from sharpening.theorems.registry import register_theorem
from sharpening.updates import GRPO, KLProx, SoftmaxGradient

UPDATES = (KLProx(), SoftmaxGradient(), GRPO(1.0, "group", 0.0))
FEW, LEVELS, RADII = 6, (1.0, 1.5, 3.0), (2.0, 20.0, 200.0)


def walk(directions: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """(q, rho) of i.i.d. steps with these directions (prompts, answers): their mean square q = E|g|², and the
    coherence rho = |E g|²/q, the mean cosine of two of them over their root mean squares; 0 without any.
    """
    second = float(weights @ (directions**2).sum(axis=1))
    mean = weights @ directions
    return second, float(mean @ mean / second) if second > 0 else 0.0


def squared_displacement(steps, second: float, coherence: float, step_size: float):
    """E|S_t|² of the sum of `steps` of them: eta² q t (1 + (t - 1) rho)."""
    return step_size**2 * second * steps * (1 + (steps - 1) * coherence)


def passage(radius, second: float, coherence: float, step_size):
    """The t >= 0 at which E|S_t|² is radius²: the root of t (1 + (t - 1) rho) = (radius/eta)²/q."""
    reach = (radius / step_size) ** 2 / second
    rest = 1 - coherence
    return 2 * reach / (rest + np.sqrt(rest**2 + 4 * coherence * reach))


def slope(steps, coherence: float):
    """d log t/d log eta at a passage: -2 (1 + (t - 1) rho)/(1 + (2 t - 1) rho)."""
    return -2 * (1 + (steps - 1) * coherence) / (1 + (2 * steps - 1) * coherence)


def sequences(directions: np.ndarray, weights: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """(sums after 1, ..., steps (steps, sequences, answers), chances (sequences,)) of every ordered sequence."""
    sums, chance = np.zeros((0, 1, directions.shape[1])), np.ones(1)
    last = np.zeros((1, directions.shape[1]))
    for _ in range(steps):
        last = (last[:, None] + directions[None]).reshape(-1, directions.shape[1])
        sums = np.concatenate([np.repeat(sums, len(directions), axis=1), last[None]])
        chance = (chance[:, None] * weights[None]).ravel()
    return sums, chance


@register_theorem
class DriftOrDiffusion(Theorem):
    """E|S_t|² = eta² q t (1 + (t-1) rho): a walk for rho t << 1, a drift for rho t >> 1."""

    name = "C8"
    title = "Drift or diffusion"
    statement = (
        "Fresh prompts, drawn one after another, push shared logits by eta g_x, the g_x frozen where they are"
        " (the lazy field). With q = E|g|² and coherence rho = |E g|²/q in [0, 1]: (a) E|S_t|² = eta² q t (1 +"
        " (t-1) rho). (b) The t at which that is R² has slope d log t/d log eta = -2 (1+(t-1)rho)/(1+(2t-1)"
        " rho), between -2 (rho = 0: diffusion) and -1 (rho t >> 1: drift), with the crossover near t = 1/rho."
        " (c) First passage: for any pair of answers with drift m and variance v of its log-odds a step, by"
        " Kolmogorov P(|log-odds - eta s m| >= R for an s <= t) <= eta² t v/R²: a margin above eta t |m| +"
        " eta sqrt(2 t v) has turned by step t with chance at most 1/2."
    )
    source = "proved here"
    assumptions = (WEIGHTED, FULL_SUPPORT)

    def formula(self):
        import sympy as sp

        t, rho, q, eta = sp.symbols("t rho q eta", positive=True)
        return sp.Eq(sp.Function("E")(sp.Symbol("S_t") ** 2), eta**2 * q * t * (1 + (t - 1) * rho))

    def derivation(self):
        import sympy as sp

        t, rho, q, eta = sp.symbols("t rho q eta", positive=True)
        square = eta**2 * q * t * (1 + (t - 1) * rho)
        law = -eta * sp.diff(square, eta) / (t * sp.diff(square, t))
        told = -2 * (1 + (t - 1) * rho) / (1 + (2 * t - 1) * rho)
        return {
            "t squares of mean q and t(t-1) products of mean rho q": (
                eta**2 * (t * q + t * (t - 1) * rho * q) - square
            ),
            "implicit differentiation of E|S_t|² = R²": sp.simplify(law - told),
            "rho = 0: slope -2": told.subs(rho, 0) + 2,
            "many steps: slope -1": sp.limit(told, t, sp.oo) + 1,
            "the first step: -2/(1 + rho), at most -1 for rho <= 1": told.subs(t, 1) + 2 / (1 + rho),
            "at t = 1/rho: -2 (2 - rho)/(3 - rho), two thirds of the way from -1 at most": sp.simplify(
                told.subs(t, 1 / rho) + 2 * (2 - rho) / (3 - rho)
            ),
        }

    def claims(self, case: Case):
        population = case.restricted().select(np.flatnonzero(case.applies))
        start, weights, eta = population.log_probs, population.prompt_weights, case.step_size
        rewards = np.asarray(case.reward.exact(start, no_answer=population.no_answer))
        for update in UPDATES:
            directions = np.asarray(update.direction(start, rewards))
            second, coherence = walk(directions, weights)
            yield Claim.at_most(f"coherence is at most 1 ({update.name})", coherence, 1.0, absolute=1e-9)
            few = directions[:FEW], weights[:FEW] / max(weights[:FEW].sum(), 1e-300)
            if weights[:FEW].sum() <= 0:
                continue
            own = walk(*few)
            sums, chance = sequences(*few, 3)
            for t in (1, 2, 3):
                found = eta**2 * (chance @ (sums[t - 1] ** 2).sum(axis=1))
                wanted = squared_displacement(t, *own, eta)
                yield Claim.equal(
                    f"E|S_{t}|² over every sequence of {t} prompts ({update.name})",
                    found,
                    wanted,
                    absolute=1e-12 * eta**2,
                    relative=1e-9,
                )
            yield from self._first_passage(update.name, few, sums, chance)
            if second > 1e-200:
                yield from self._slopes(update.name, second, coherence, eta)

    def _first_passage(self, told, few, sums, chance):
        mean = few[1] @ few[0]
        pair = few[0][:, mean.argmax()] - few[0][:, mean.argmin()]
        drift, variance = few[1] @ pair, max(few[1] @ (pair - few[1] @ pair) ** 2, 0.0)
        odds = sums[..., mean.argmax()] - sums[..., mean.argmin()]
        off = np.abs(odds - drift * np.arange(1, 4)[:, None]).max(axis=0)
        for level in LEVELS:
            radius = level * np.sqrt(3 * variance)
            late = float(chance @ (off >= radius * (1 - 1e-9))) if variance > 1e-18 else 0.0
            yield Claim.at_most(
                f"a log-odds strays by {level:g} root variances within 3 steps at most so often ({told})",
                late,
                1 / level**2,
                absolute=1e-9,
            )

    def _slopes(self, told, second, coherence, eta):
        for steps in RADII:
            radius = np.sqrt(squared_displacement(steps, second, coherence, eta))
            yield Claim.equal(
                f"the passage undoes the displacement ({told})",
                passage(radius, second, coherence, eta),
                steps,
                relative=1e-6,
            )
            ahead, behind = (passage(radius, second, coherence, eta * np.exp(h)) for h in (1e-4, -1e-4))
            found = (np.log(ahead) - np.log(behind)) / 2e-4
            yield Claim.equal(f"slope of the passage ({told})", found, slope(steps, coherence), absolute=1e-5)
            yield Claim.at_most("no passage is steeper than diffusion", -found, 2.0, absolute=1e-5)
            yield Claim.at_most("nor flatter than drift", 1.0, -found, absolute=1e-5)
