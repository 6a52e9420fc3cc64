"""C2: the critical data-set size: private consensus outruns the shared drift below it, and not above; so no size is
safe as such.
"""

from __future__ import annotations

import numpy as np

from sharpening.coupling import CompoundSymmetric
from sharpening.simulation.vote_path import critical_ratio, critical_size, vote_path
from sharpening.theorems.assumptions import RESOLVED_MODE, UNIQUE_MODE, WEIGHTED
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.constructed import even_camps, two_camps
from sharpening.theorems.coupled import FULL_SUPPORT, coupled_step
from sharpening.theorems.registry import register_theorem
from sharpening.updates import KLProx

BELOW, ABOVE, STEPS = 0.99, 2.0, 3
SIZES, BATCH = (1, 32, 128, 8192), 64
EDGE = 1e-3  # relative: a resolved gap is at least 1e-9 nats, and log-masses of -700 are spaced 1e-13 apart
LATER = 1e-6  # nats, for gaps so near to none that EDGE of them is nothing


def modes_after(case: Case, weights: np.ndarray, ratio: float, steps: int, step_size: float) -> np.ndarray:
    """Modes (prompts,) after exact coupled KL-prox steps of `step_size` nats with private strength 1 and
    shared strength `ratio`.
    """
    population, coupling, update = case.population, CompoundSymmetric(1.0, ratio), KLProx(1 / step_size)
    own, shared = np.zeros_like(population.log_probs), np.zeros(population.num_answers)
    for _ in range(steps):
        own, shared = coupled_step(case, update, population.log_probs, weights, coupling, own, shared)
    return (population.votable + own + shared).argmax(axis=1)


@register_theorem
class CriticalSize(Theorem):
    """Modes are kept for ever iff kappa_s D (m_max - m_min) <= kappa_p B."""

    name = "C2"
    aliases = ("N12",)
    title = "Critical data-set size"
    statement = (
        "D prompts, each visited B/D times a step. The mean field depends on D, B, kappa_s, kappa_p only"
        " through R = kappa_s D/(kappa_p B), since a visit's own push is kappa_p B/D and the shared one"
        " kappa_s E[g]. KL-prox and natural gradient, majority reward: every mode is kept for ever, and"
        " accuracy ends at alpha, iff R (m_max - m_min) <= 1, m_a the share of prompts with mode a, m_min"
        " over the answers that have any: D* = kappa_p B/(kappa_s (m_max - m_min)). Margins set only the"
        " time: the first mode turns at min gap/(R (m_b - m_a) - 1). Every end satisfies R (m_max - m_min) <="
        " 1 again: consensus, or answers nearly equal in number. GRPO obeys it once prompts are near"
        " consensus, where all speak equally loud. If the modes are evenly spread over K answers, only chance"
        " separates them, m_max - m_min ~ sqrt(8 log K/(K D)), so D* ~ (kappa_p B/kappa_s)² K/(8 log K)."
        " So 'small data sets (up to 128 prompts) are safe' is false as a law of size: D* is linear in the batch and in"
        " kappa_p/kappa_s, any D >= 2 with uneven modes is critical under some kernel, and a prior whose modes are"
        " exactly even has no critical size."
    )
    source = "proved here; against reading He et al. 2026's sizes as universal"
    assumptions = (UNIQUE_MODE, RESOLVED_MODE, WEIGHTED, FULL_SUPPORT)

    def formula(self):
        import sympy as sp

        kp, ks, b, top, low = sp.symbols("kappa_p kappa_s B m_max m_min", positive=True)
        return sp.Eq(sp.Symbol("D^*"), kp * b / (ks * (top - low)))

    def derivation(self):
        import sympy as sp

        kp, ks, b, d, m, n, w, k = sp.symbols("kappa_p kappa_s B D m_b m_a w K", positive=True)
        own, drift = kp * b / d, ks * (m - n)
        turning = sp.solve(sp.Eq(own, drift), d)[0]
        size = sp.Symbol("s", positive=True)  # sqrt(D)
        even = sp.sqrt(8 * sp.log(k) / k) / size
        return {
            "the gap of mode a over b grows at kappa_p B/D - kappa_s (m_b - m_a): 0 at D*": (
                turning - kp * b / (ks * (m - n))
            ),
            "in units of kappa_p B/D it grows at 1 - R (m_b - m_a)": sp.simplify(
                (own - drift) / own - (1 - ks * d / (kp * b) * (m - n))
            ),
            "a prompt of weight w that turns from a to b raises sum m² by 2w (m_b - m_a + w)": sp.expand(
                (m + w) ** 2 + (n - w) ** 2 - m**2 - n**2 - 2 * w * (m - n + w)
            ),
            "at any D, kappa_s = s kappa_p B/(D (m_b - m_a)) makes the gap grow at kappa_p B/D times 1 - s": sp.simplify(
                (own - drift).subs(ks, w * kp * b / (d * (m - n))) - kp * b / d * (1 - w)
            ),
            "D* is linear in the batch": sp.simplify(turning.subs(b, w * b) - w * turning),
            "even modes: D* = (kappa_p B/kappa_s)² K/(8 log K)": sp.simplify(
                sp.solve(sp.Eq(ks * size**2 * even, kp * b), size)[0] ** 2
                - (kp * b / ks) ** 2 * k / (8 * sp.log(k))
            ),
        }

    def constructed(self, rng):
        return even_camps(rng) if rng.random() < 0.3 else two_camps(rng)

    def claims(self, case: Case):
        population, weights = case.population, case.restricted().prompt_weights
        used = case.restricted().select(np.flatnonzero(case.applies))
        critical, mode = critical_ratio(used), population.mode

        def kept(ratio, steps, h):
            return np.where(case.applies, modes_after(case, weights, ratio, steps, h) == mode, True)  # noqa: E731

        safe = BELOW * critical if np.isfinite(critical) else 10.0
        for h in (case.step_size, 1e4):
            yield Claim.equal(
                f"below the critical ratio every mode is kept (steps of {h:g} nats)",
                kept(safe, STEPS, h),
                1.0,
            )
        yield Claim.equal(
            "and the path of the vote has no event",
            float(len(vote_path(used, private=1.0, shared=safe).times)),
            1.0,
        )
        if not np.isfinite(critical):
            events = len(vote_path(used, private=1.0, shared=50.0).times) - 1
            yield Claim.equal("exactly even modes: no ratio turns one", float(events), 0.0)
            return
        ratio = ABOVE * critical
        path = vote_path(used, private=1.0, shared=ratio)
        if len(path.times) == 1:
            yield Claim.failed("above it some mode turns")
            return
        first = float(path.times[1])
        yield Claim.equal("before the first turn all are kept", kept(ratio, 1, first * (1 - EDGE)), 1.0)
        turned = 1.0 - kept(ratio, 1, first * (1 + EDGE) + LATER).min()
        yield Claim.equal("above the critical ratio a mode turns at the closed form's time", turned, 1.0)
        share = path.shares[-1]
        spread = share.max() - share[share > 1e-12].min()
        yield Claim.at_most("every end is a rest: R (m_max - m_min) <= 1", ratio * spread, 1.0, absolute=1e-9)
        for size in SIZES:
            found = critical_size(used, 1.0, critical * BATCH / size, BATCH)
            yield Claim.equal(f"some kernel makes {size} prompts critical", found, size)
        below, above = (vote_path(used, private=1.0, shared=factor * critical) for factor in (0.9, 1.1))
        yield Claim.equal("at 0.9 times it, whatever the size, no mode turns", float(len(below.times)), 1.0)
        yield Claim.at_most("at 1.1 times it some do", 2.0, float(len(above.times)))
