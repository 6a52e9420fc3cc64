"""C9: prompts that share a text and have an image each: when votes leave what the image says for what the text says."""

from __future__ import annotations

import numpy as np

from sharpening.coupling import CompoundSymmetric
from sharpening.simulation.vote_path import VotePath, critical_ratio, vote_path
from sharpening.theorems.assumptions import RESOLVED_MODE, UNIQUE_MODE, WEIGHTED
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.constructed import two_answers
from sharpening.theorems.coupled import FULL_SUPPORT, coupled_step
from sharpening.theorems.registry import register_theorem
from sharpening.updates import KLProx

WEAK, NEAR, FAR = 0.5, 0.01, 1e4
"""Private strength, as a multiple of the one at which all votes stay; how near the first move is looked at; a time after
everything, in multiples of the largest gap."""


def first_move(log_probs, mode, shares, private: float, shared: float) -> float:
    """The time at which the first vote moves: min over prompts x and answers b with shared (m_b - m_a) > private, a the
    vote of x, of (z_xa - z_xb) / (shared (m_b - m_a) - private); infinity where there is no such pair. Nats of drift.
    """
    rows = np.arange(len(mode))
    gaps = log_probs[rows, mode][:, None] - log_probs
    closing = shared * (shares[None, :] - shares[mode][:, None]) - private
    return float(np.min(gaps / np.where(closing > 0, closing, np.nan), initial=np.inf, where=closing > 0))


def blind_share(log_probs, weights, moved, votes) -> float:
    """Blind retention: the share of prompts whose vote is argmax of h + u, the text's part alone, h = sum_x w_x z_x."""
    return float(weights @ (votes == (weights @ log_probs + moved).argmax()))


@register_theorem
class PrivateSight(Theorem):
    """A vote pushes its own prompt's logit by kappa_p and, through what prompts share, the logit of answer b on every
    prompt by kappa_s m_b, so the gap of vote a over b changes at kappa_p - kappa_s (m_b - m_a). Only answers with more
    votes can overtake, and each move makes their lead larger: sum m_a² rises. While votes stand, h + u moves at kappa_s m
    alone, so the leader passes every other answer in it.
    """

    name = "C9"
    title = "Shared text, private sight"
    statement = (
        "Prompts of one question share their text and have an image each: z_x = h + i_x, h their mean. Training adds u to"
        " what they share and v_x to each, at strengths kappa_s and kappa_p; m_a is the share of prompts whose vote is a."
        " Under KL-prox and natural gradient: (a) votes move to answers with more votes only, by more than kappa_p/kappa_s;"
        " none ever moves iff kappa_s (m_max - m_min) <= kappa_p, m_min of the answers that have votes, else the first"
        " does at min gap/(kappa_s (m_b - m_a) - kappa_p). (b) Two answers: then all who saw otherwise go over to the"
        " leader's answer, none comes back, and the one"
        " with gap Q goes no later than Q/(kappa_s d - kappa_p), d = m_max - m_min. (c) The blind answer, argmax of h + u,"
        " becomes the leader's. Where no vote moves, blind retention tends to m_max: the model still sees; where all have"
        " moved to one answer it is 1: nothing that the images say is left in the votes."
    )
    source = "proved here"
    assumptions = (UNIQUE_MODE, RESOLVED_MODE, WEIGHTED, FULL_SUPPORT)

    def formula(self):
        import sympy as sp

        private, shared, gap, lead = sp.symbols("kappa_p kappa_s Q d", positive=True)
        return sp.Eq(sp.Symbol("t"), gap / (shared * lead - private), evaluate=False)

    def derivation(self):
        import sympy as sp

        private, shared, gap, first, second, t = sp.symbols("kappa_p kappa_s Q m_a m_b t", positive=True)
        own = private + shared * first
        moved, step = sp.symbols("m w", positive=True)
        time = gap / (shared * (second - first) - private)
        return {
            "the gap of a vote over b after time t": sp.expand(
                gap + t * own - t * shared * second - (gap - t * (shared * (second - first) - private))
            ),
            "it is 0 at Q/(kappa_s (m_b - m_a) - kappa_p)": sp.simplify(
                gap + time * own - time * shared * second
            ),
            "a move of weight w from a to b raises sum m² by 2 w (m_b - m_a + w)": sp.expand(
                (first - step) ** 2
                + (second + step) ** 2
                - first**2
                - second**2
                - 2 * step * (second - first + step)
            ),
            "two answers: after a move the lead is 2 w longer": sp.expand(
                ((moved + step) - (1 - moved - step)) - (2 * moved - 1) - 2 * step
            ),
        }

    def constructed(self, rng):
        return two_answers(rng)

    def claims(self, case: Case):
        population = case.restricted().select(np.flatnonzero(case.applies))
        ratio = critical_ratio(population)
        shares = np.bincount(population.mode, population.prompt_weights, minlength=population.num_answers)
        kept = vote_path(population, private=1.0, shared=min(ratio, 1.0) * (1 - NEAR))
        yield Claim.equal("no vote moves where sight is stronger", len(kept.times) - 1.0, 0.0)
        yield from self._kept(population, kept, shares)
        if not np.isfinite(ratio) or ratio > 1e6:
            return
        path = vote_path(population, private=WEAK / ratio, shared=1.0)
        yield Claim.equal(
            "some vote moves iff kappa_s (m_max - m_min) > kappa_p", float(len(path.times) > 1), 1.0
        )
        yield from self._first(case, population, path, shares)
        yield from self._moves(population, path)
        if population.num_answers == 2 and population.no_answer is None:
            yield from self._two(population, path, 1 / ratio)
        if path.ends_in_consensus:
            far = path.times[-1] + FAR * (1 + np.ptp(population.log_probs))
            found = blind_share(population.votable, path.weights, path.at(far)[1], path.modes[-1])
            yield Claim.equal("consensus is blind: nothing that images say is left", found, 1.0)

    def _kept(self, population, path: VotePath, shares):
        """Where no vote moves the blind answer becomes the leader's, if there is one."""
        ordered = np.sort(shares)
        lead = ordered[-1] - ordered[-2]
        far = FAR * (1 + np.ptp(population.log_probs)) / max(lead * path.shared, 1e-6)
        found = blind_share(population.votable, path.weights, path.at(far)[1], population.mode)
        claim = Claim.equal("where no vote moves blind retention tends to m_max", found, ordered[-1])
        yield claim.where((lead > 1e-6) & (path.shared > 1e-6))

    def _first(self, case, population, path: VotePath, shares):
        """The closed form, and exact coupled steps to just before and just after it."""
        told = first_move(population.votable, population.mode, shares, path.private, 1.0)
        yield Claim.equal("the first vote moves at the closed form", path.times[1], told, relative=1e-8)
        start, weights = case.population.log_probs, case.restricted().prompt_weights
        coupling, silent = CompoundSymmetric(path.private, 1.0), case.population.no_answer
        for what, time, moves in (("none has before", 1 - NEAR, 0.0), ("one has after", 1 + NEAR, 1.0)):
            update = KLProx(1 / (told * time))
            own, shared = np.zeros_like(start), np.zeros(start.shape[1])
            own, shared = coupled_step(case, update, start, weights, coupling, own, shared)
            now = start + own + shared
            if silent is not None:
                now[:, silent] = -np.inf
            turned = ((now.argmax(axis=1) != case.population.mode) & case.applies & (weights > 0)).any()
            claim = Claim.equal(f"an exact step: {what}", float(turned), moves)
            yield claim.where((told > 1e-6) & (told < 1e6))

    def _moves(self, population, path: VotePath):
        """Every move of the path, and where it leads."""
        for before, after, share in zip(path.modes, path.modes[1:], path.shares, strict=False):
            moved = before != after
            lead = (share[after] - share[before])[moved]
            yield Claim.at_most(
                "votes move to answers with more votes, by more than kappa_p/kappa_s",
                path.private - lead.min(),
                0.0,
            )

    def _two(self, population, path: VotePath, lead: float):
        winner = int(path.shares[0].argmax())
        others = population.mode != winner
        yield Claim.equal("two answers: all go over", path.shares[-1][winner], 1.0)
        back = [
            (after != winner) & (before == winner)
            for before, after in zip(path.modes, path.modes[1:], strict=False)
        ]
        yield Claim.equal("two answers: none comes back", float(np.any(back)), 0.0)
        gaps = np.abs(population.log_probs[:, 0] - population.log_probs[:, 1])
        when = path.times[(path.modes == winner).argmax(axis=0)]
        yield Claim.at_most(
            "two answers: no later than Q/(kappa_s d - kappa_p)",
            np.where(others & (path.weights > 0), when - gaps / (lead - path.private), 0.0).max(),
            0.0,
            absolute=1e-9 * (1 + float(path.times[-1])),
        )
