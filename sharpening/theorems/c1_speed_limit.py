"""C1: the collapse step of fresh prompts: shared drift against margins; slope -1, a speed limit, and an exact
path.
"""

from __future__ import annotations

import numpy as np

from sharpening.coupling import CompoundSymmetric
from sharpening.logspace import normalised
from sharpening.simulation.vote_path import earliest_turn, vote_path
from sharpening.theorems.assumptions import RESOLVED_MODE, UNIQUE_MODE, WEIGHTED
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.constructed import two_answers
from sharpening.theorems.coupled import FULL_SUPPORT, coupled_step, fresh_drift, mode_shares
from sharpening.theorems.registry import register_theorem
from sharpening.updates import GRPO, KLProx, NaturalGradient, SoftmaxGradient

STEPS, PROBES, FRESH = 2, 3, CompoundSymmetric(0.0, 1.0)
LIMITS = {KLProx(): 1.0, NaturalGradient(): 1.0, SoftmaxGradient(): 0.5, GRPO(1.0, "group", 0.0): 1.0}
GROUP = np.array([[0, 0, 0, 1], [0, 0, 1, 1]])


@register_theorem
class SpeedLimit(Theorem):
    """u' = kappa_s E[g(z_0 + u)], so MCS times kappa_s eta is a constant of the prior, and at least a
    margin.
    """

    name = "C1"
    title = "Collapse step: margin over drift"
    statement = (
        "Fresh prompts share u and nothing else: u' = kappa_s eta E[g(z_0 + u)] a step. (a) kappa_s eta is"
        " only the clock: the mean-field collapse step times kappa_s eta is a constant of the prior, slope -1"
        " in logs. (b) Speed limit: no two shared logits part faster than kappa_s eta a step (half of it for"
        " the softmax gradient), in exact steps and in sampled groups alike: a mode that leads by more than"
        " kappa_s eta t has not turned by step t, and MCS >= (quantile of the gaps to the final"
        " answer)/(kappa_s eta). (c) KL-prox and natural gradient: u is piecewise linear with velocity"
        " kappa_s m, m_a the share of prompts with mode a. Two answers: with initial drift d = |m_1 - m_2|"
        " the share q follows the winner between Q_q and Q_q/d nats of drift, Q_q its quantile of gaps."
    )
    source = "proved here"
    assumptions = (UNIQUE_MODE, RESOLVED_MODE, WEIGHTED, FULL_SUPPORT)

    def formula(self):
        import sympy as sp

        gap, drift, kappa, eta = sp.symbols("Q_q d kappa_s eta", positive=True)
        mcs = sp.Symbol("MCS", positive=True)
        return sp.And(
            sp.Ge(mcs, gap / (kappa * eta)), sp.Le(mcs, gap / (kappa * eta * drift)), evaluate=False
        )

    def derivation(self):
        import sympy as sp

        # p: mass of the modes, b: of a rival, q: share of the group's winners
        p, b, q, g = sp.symbols("p b q G", positive=True)
        t, k = sp.symbols("t kappa", positive=True)
        u, x = sp.Function("u"), sp.Symbol("x")
        slope = sp.Subs(sp.Derivative(u(x), x), x, k * t)
        std = sp.sqrt(p * (1 - p))
        grpo = p * (1 - p) / std + b * p / std
        sampled = (q * (1 - q) + (1 - q) * q) / sp.sqrt(q * (1 - q) * g / (g - 1))
        return {
            "kappa is only the clock: u(kappa t) has kappa times the slope of u": (
                sp.diff(u(k * t), t) - k * slope
            ),
            "GRPO: the gap between mode and rival of mass 1-p grows at 2 sqrt(p(1-p))": sp.simplify(
                grpo.subs(b, 1 - p) - 2 * std
            ),
            "which is at most 1, and 1 at p = 1/2 only: 1 - its square is (1-2p)²": sp.expand(
                1 - (2 * std) ** 2 - (1 - 2 * p) ** 2
            ),
            "GRPO, any rival: b <= 1-p costs (1-p-b) p/std of it": sp.simplify(
                2 * std - grpo - (1 - p - b) * p / std
            ),
            "a group of G: 1 - its square is 1/G + (1-1/G)(1-2q)² > 0": sp.simplify(
                1 - sampled**2 - 1 / g - (1 - 1 / g) * (1 - 2 * q) ** 2
            ),
            "softmax gradient: 1/2 - (p(1-p) + b p) is (1-2p)²/2 + (1-p-b) p >= 0": sp.expand(
                sp.Rational(1, 2) - p * (1 - p) - b * p - (1 - 2 * p) ** 2 / 2 - (1 - p - b) * p
            ),
        }

    def constructed(self, rng):
        return two_answers(rng)

    def claims(self, case: Case):
        population, weights, h = case.population, case.restricted().prompt_weights, case.step_size
        start, silent = population.log_probs, population.no_answer
        for update, limit in LIMITS.items():
            drift = fresh_drift(case, update, start, weights, FRESH)
            yield Claim.at_most(
                f"no two shared logits part faster than {limit} ({update.name})",
                np.ptp(drift),
                limit,
                absolute=1e-9,
            )
        yield from self._groups(case, start)
        gaps, shared, own = earliest_turn(population), np.zeros(population.num_answers), np.zeros_like(start)
        for k in range(1, STEPS + 1):
            own, shared = coupled_step(case, KLProx(1 / h), start, weights, FRESH, own, shared)
            now = start + shared
            held = (gaps > k * h * (1 + 1e-9)) & case.applies
            votable = now if silent is None else np.where(np.arange(now.shape[1]) == silent, -np.inf, now)
            kept = votable.argmax(axis=1) == population.mode
            yield Claim.equal(
                f"no mode with a gap above {k} step sizes has turned by step {k}",
                np.where(held, kept, True),
                1.0,
            ).where(held)
        yield from self._path(case, weights)

    def _groups(self, case, start):
        mode = case.population.mode
        rival = np.where(np.arange(start.shape[1]) != mode[:, None], case.population.votable, -np.inf).argmax(
            axis=1
        )
        for pattern in GROUP:
            answers = np.where(pattern, rival[:, None], mode[:, None])
            direction = np.asarray(
                GRPO(1.0, "group", 0.0).group_direction(
                    start, answers, np.asarray(case.reward.group(answers))
                )
            )
            yield Claim.at_most("nor in a sampled group", np.ptp(direction, axis=1), 1.0, absolute=1e-9)

    def _path(self, case, weights):
        population = case.restricted().select(np.flatnonzero(case.applies))
        path = vote_path(population, private=0.0, shared=1.0)
        consensus = (path.shares**2).sum(axis=1)
        yield Claim.at_most(
            "sum m_a² rises at every event of the path", -np.diff(consensus).min(initial=0.0), 0.0
        )
        spans = np.append(np.diff(path.times), 1.0)
        middles = (path.times + spans / 2)[spans > 1e-6 * (1 + path.times)]
        for time in middles[np.linspace(0, len(middles) - 1, PROBES).astype(int)]:
            _, moved = path.at(float(time))
            now = normalised(case.population.log_probs + moved)
            drift = fresh_drift(case, KLProx(), now, weights, FRESH)
            velocity = path.shares[np.searchsorted(path.times, time, side="right") - 1]
            off = np.abs((drift - drift.max()) - (velocity - velocity.max())).max()
            yield Claim.equal("u moves at kappa_s m along the path", off, 0.0)
            off = np.abs(mode_shares(now, case.population.no_answer, weights) - velocity).max()
            yield Claim.equal("and m is the modes' shares there", off, 0.0)
        if case.population.num_answers == 2 and case.population.no_answer is None:
            yield from self._two(population, path)

    def _two(self, population, path):
        drift = abs(path.shares[0, 0] - path.shares[0, 1])
        if drift < 1e-9:
            return
        gaps = earliest_turn(population, path.winner)
        order = np.argsort(gaps)
        reached = np.cumsum(population.prompt_weights[order])
        for quantile in (0.75, 1.0):
            needed = gaps[order][np.searchsorted(reached, quantile - 1e-9)]
            if not np.isfinite(needed):
                continue
            time = path.time_of_share(quantile - 1e-9)
            yield Claim.at_most(f"share {quantile} turns no sooner than its gap", needed, time, absolute=1e-6)
            yield Claim.at_most(
                f"and no later than its gap over the first drift ({quantile})",
                time,
                needed / drift,
                absolute=1e-6,
            )
