"""C4: general kernels: what is true of every one, how the simplest is a special case, and what a random
projection does to them.
"""

from __future__ import annotations

import numpy as np

from sharpening.coupling import CompoundSymmetric, LowRankPlusDiagonal
from sharpening.logspace import normalised
from sharpening.theorems.assumptions import RESOLUTION, WEIGHTED
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.coupled import DISTINCT, FULL_SUPPORT, coupled_step
from sharpening.theorems.registry import register_theorem
from sharpening.updates import KLProx

PRIVATE, SHARED, STEPS = 0.7, 1.3, 2
# Johnson-Lindenstrauss: 4 exp(-1024 (.04 - .0107)) = 4e-13 an entry
DIMENSIONS, DISTORTION, ENTRIES = 1024, 0.4, 64


def patterns(prompts: int, answers: int) -> np.ndarray:
    """A fixed full-rank set of features (prompts, answers, 3) of unit variance: three patterns that mix
    labels and prompts.
    """
    return np.random.default_rng(prompts * 100 + answers).standard_normal((prompts, answers, 3))


def kernel_energy(directions: np.ndarray, weights: np.ndarray, kernel) -> float:
    """<g, K g> with the weights of the mean: private E|g_x|² + |E[features_x' g_x]|²: speed at which training
    raises its own objective.
    """
    dv, shared = kernel.mix(directions, weights)
    reach = np.broadcast_to(np.asarray(kernel.reach(np.asarray(shared))), directions.shape)
    return float(weights @ ((np.asarray(dv) + reach) * directions).sum(axis=1))


@register_theorem
class Kernels(Theorem):
    """Under every positive semidefinite kernel coupled sharpening gains speed: <g, K g> never falls."""

    name = "C4"
    title = "General kernels: low rank plus diagonal"
    statement = (
        "A step moves z by K g, K((x,a),(x',a')) = <phi_xa, phi_x'a'> + kappa_p 1[x=x', a=a'], phi measured"
        " gradients or planted patterns. (a) phi_xa = sqrt(kappa_s) e_a is compound symmetry. (b) For every"
        " such K, KL-prox and natural gradient on the majority reward, steps of any size, all prompts"
        " visited, g = r - max r: <g, K g> never falls, as long as no prompt comes to an exact tie (its"
        " leaders share the reward, so that max r < 1 and g jumps by a constant). For compound symmetry and"
        " no private part this is sum m_a², the chance that two prompts have the same mode: coupled"
        " sharpening only ever makes prompts more alike, in the kernel's sense of alike. (c) phi projected to"
        " k random dimensions moves an entry by more than e |phi| |phi'| with probability at most 4 exp(-k"
        " (e²/4 - e³/6))."
    )
    source = "proved here; Johnson and Lindenstrauss 1984 for (c)"
    assumptions = (WEIGHTED, FULL_SUPPORT, DISTINCT)

    def formula(self):
        import sympy as sp

        x, y = sp.symbols("x y")
        return sp.Eq(
            sp.Function("K")(x, y),
            sp.Function("phi")(x) * sp.Function("phi")(y) + sp.Symbol("kappa_p") * sp.KroneckerDelta(x, y),
        )

    def derivation(self):
        import sympy as sp

        now, then = sp.symbols("g_0:3", real=True), sp.symbols("h_0:3", real=True)
        phi = sp.symbols("phi_0:3", real=True)
        dot = lambda u, v: sum(a * b for a, b in zip(u, v, strict=True))  # noqa: E731
        kernel = lambda u, v: dot(phi, u) * dot(phi, v) + dot(u, v)  # noqa: E731  one pattern plus the identity
        e = sp.Symbol("e", positive=True)
        shared = sp.Symbol("kappa_s", positive=True)
        return {
            "max is convex, so <g'-g, z'-z> >= 0, z'-z = K g; and <g',K g'> - <g,K g> = |g'-g|_K² + 2 <g'-g, K g>": sp.expand(
                kernel(then, then)
                - kernel(now, now)
                - kernel(
                    [a - b for a, b in zip(then, now, strict=True)],
                    [a - b for a, b in zip(then, now, strict=True)],
                )
                - 2 * (kernel(then, now) - kernel(now, now))
            ),
            "features sqrt(kappa_s) e_a: <phi_xa, phi_x'a'> = kappa_s 1[a = a']": (
                sp.sqrt(shared) ** 2 - shared
            ),
            "norms of sums and differences give the inner product: |u+v|² - |u-v|² = 4 <u,v>": sp.expand(
                dot(
                    [a + b for a, b in zip(now, then, strict=True)],
                    [a + b for a, b in zip(now, then, strict=True)],
                )
                - dot(
                    [a - b for a, b in zip(now, then, strict=True)],
                    [a - b for a, b in zip(now, then, strict=True)],
                )
                - 4 * dot(now, then)
            ),
            "a chi-squared tail: log(1+e) - e = -e²/2 + e³/3 - ...": (
                sp.series(sp.log(1 + e) - e, e, 0, 4).removeO() + e**2 / 2 - e**3 / 3
            ),
        }

    def claims(self, case: Case):
        population, weights = case.population, case.restricted().prompt_weights
        start, prompts, answers = population.log_probs, population.num_prompts, population.num_answers
        compound = CompoundSymmetric(PRIVATE, SHARED)
        labels = np.broadcast_to(np.sqrt(SHARED) * np.eye(answers), (prompts, answers, answers)).copy()
        general = LowRankPlusDiagonal(patterns(prompts, answers), PRIVATE)
        directions = np.where(case.applies[:, None], self._push(case, start), 0.0)
        yield from self._same(LowRankPlusDiagonal(labels, PRIVATE), compound, directions, weights)
        dv, theta = (np.asarray(part) for part in general.mix(directions, weights))
        dense = general.dense() @ ((weights[:, None] * directions).reshape(-1))
        wanted = (dense - PRIVATE * (weights[:, None] * directions).reshape(-1)).reshape(prompts, answers)
        yield Claim.equal(
            "the shared part is the dense kernel times the weighted directions",
            np.asarray(general.reach(theta)),
            wanted,
        )
        yield Claim.equal("the private part is kappa_p g", dv, PRIVATE * directions * (weights > 0)[:, None])
        for kernel, told in (
            (CompoundSymmetric(0.0, SHARED), "shared labels"),
            (compound, "compound symmetry"),
            (general, "three patterns and a diagonal"),
        ):
            own, shared, energies, tied = np.zeros_like(start), np.asarray(kernel.rest(answers)), [], False
            for _ in range(STEPS):
                two = np.sort(start + own + np.asarray(kernel.reach(shared)), axis=1)[case.applies, -2:]
                tied |= bool((np.diff(two, axis=1) < RESOLUTION).any())
                energies.append(
                    kernel_energy(
                        self._push(case, start + own + np.asarray(kernel.reach(shared))), weights, kernel
                    )
                )
                own, shared = coupled_step(
                    case, KLProx(1 / case.step_size), start, weights, kernel, own, shared
                )
            # A prompt that comes to an exact tie shares its reward: max r < 1 there, so g jumps by a constant
            # and convexity says nothing.
            if tied:
                continue
            fall = max(a - b for a, b in zip(energies[:-1], energies[1:], strict=True))
            yield Claim.at_most(
                f"<g, K g> never falls: {told}", fall, 0.0, absolute=1e-9 * (1 + max(energies))
            )
        projected = general.project(DIMENSIONS)
        flat, image = (
            general.features.reshape(-1, 3)[:ENTRIES],
            np.asarray(projected.features).reshape(prompts * answers, -1)[:ENTRIES],
        )
        sizes = np.linalg.norm(flat, axis=1)
        off = np.abs(image @ image.T - flat @ flat.T) / np.outer(sizes, sizes)
        yield Claim.at_most(
            f"{DIMENSIONS} random dimensions distort no entry by more than {DISTORTION}",
            off.max(),
            DISTORTION,
        )

    def _same(self, kernel, compound, directions, weights):
        (dv, du), (wanted_v, wanted_u) = kernel.mix(directions, weights), compound.mix(directions, weights)
        yield Claim.equal(
            "features of labels: the private part of compound symmetry", np.asarray(dv), np.asarray(wanted_v)
        )
        reach = np.asarray(kernel.reach(np.asarray(du)))
        yield Claim.equal(
            "and its shared part", reach, np.broadcast_to(np.asarray(wanted_u)[None], reach.shape)
        )

    def _push(self, case, logits) -> np.ndarray:
        """KL-prox's direction r - max r, (prompts, answers): with a unique mode, a subgradient of max_a z_xa
        less 1.
        """
        policy = normalised(logits)
        return np.asarray(
            KLProx().direction(
                policy, np.asarray(case.reward.exact(policy, no_answer=case.population.no_answer))
            )
        )
