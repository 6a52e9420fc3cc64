"""N12: "data sets of up to 128 prompts are safe" is false as a law: every size is safe under one kernel and
unsafe under another.
"""

from __future__ import annotations

import numpy as np

from sharpening.simulation.vote_path import critical_ratio, critical_size, vote_path
from sharpening.theorems.assumptions import RESOLVED_MODE, UNIQUE_MODE, WEIGHTED
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.c2_critical_size import modes_after
from sharpening.theorems.claims import Claim
from sharpening.theorems.coupled import FULL_SUPPORT
from sharpening.theorems.registry import register_theorem

SIZES, BATCH = (1, 32, 128, 8192), 64


@register_theorem
class NoSafeSize(Theorem):
    """D* = kappa_p B/(kappa_s (m_max - m_min)): any number, by the choice of kappa_s/kappa_p, B or the
    prior.
    """

    name = "N12"
    title = "Counterexample: no data-set size is safe as such"
    statement = (
        "'Small data sets (up to 128 prompts) are safe, large ones are not' is false as a law of size. Under"
        " KL-prox a data set of any size D >= 2 with uneven modes keeps all its modes or loses some,"
        " according to R = kappa_s D/(kappa_p B) alone: with kappa_s/kappa_p scaled by D*/D the same prior is"
        " critical at any D, and the critical size is linear in the batch and in kappa_p/kappa_s. A prior"
        " whose modes are evenly spread has no critical size in the mean field."
    )
    source = "proved here; against reading He et al. 2026's sizes as universal"
    assumptions = (UNIQUE_MODE, RESOLVED_MODE, WEIGHTED, FULL_SUPPORT)

    def formula(self):
        import sympy as sp

        kp, ks, b, spread = sp.symbols("kappa_p kappa_s B m_spread", positive=True)
        return sp.Eq(sp.Symbol("D^*"), kp * b / (ks * spread))

    def derivation(self):
        import sympy as sp

        kp, ks, b, spread, d, scale = sp.symbols("kappa_p kappa_s B m_spread D s", positive=True)
        growth = kp * b / d - ks * spread  # of the narrowest gap, a step (C2)
        size = sp.solve(growth, d)[0]
        return {
            "at any D, kappa_s = s kappa_p B/(D m_spread) makes the gap grow at kappa_p B/D times 1 - s": sp.simplify(
                growth.subs(ks, scale * kp * b / (d * spread)) - kp * b / d * (1 - scale)
            ),
            "where the growth vanishes D is linear in the batch": sp.simplify(
                size.subs(b, scale * b) - scale * size
            ),
        }

    def claims(self, case: Case):
        population, weights = case.population, case.restricted().prompt_weights
        used = case.restricted().select(np.flatnonzero(case.applies))
        critical = critical_ratio(used)
        if not np.isfinite(critical):
            events = len(vote_path(used, private=1.0, shared=50.0).times) - 1
            yield Claim.equal("evenly spread modes: no ratio turns one", float(events), 0.0)
            return
        for size in SIZES:
            shared = critical * BATCH / size  # with private 1
            yield Claim.equal(
                f"some kernel makes {size} critical", critical_size(used, 1.0, shared, BATCH), size
            )
        below, above = (vote_path(used, private=1.0, shared=factor * critical) for factor in (0.9, 1.1))
        yield Claim.equal(
            "at 0.9 times that kernel, whatever the size, no mode turns", float(len(below.times)), 1.0
        )
        yield Claim.at_most("at 1.1 times it some do", 2.0, float(len(above.times)))
        kept = np.where(
            case.applies, modes_after(case, weights, 0.9 * critical, 2, 100.0) == population.mode, True
        )
        yield Claim.equal("below, two steps of 100 nats keep every mode", kept, 1.0)
        first = float(above.times[1]) if len(above.times) > 1 else 1.0
        lost = (
            modes_after(case, weights, 1.1 * critical, 1, first * (1 + 1e-6) + 1e-6) != population.mode
        ) & case.applies
        yield Claim.equal("above, a step to the first turn does not", float(lost.any()), 1.0)
