"""S19: GRPO with KL to the initial policy: the weight below which the division by the std carries a prompt past any
anchor.
"""

from __future__ import annotations

import numpy as np

from sharpening.logspace import log_logistic, log_odds, logistic
from sharpening.population import Population
from sharpening.theorems.assumptions import UNIQUE_MODE
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.constructed import PROMPTS
from sharpening.theorems.coupled import RIVAL
from sharpening.theorems.finite_votes import group_weights, listed_groups
from sharpening.theorems.registry import register_theorem
from sharpening.updates import GRPO

BETAS, GROUPS = (0.5, 4.0), (3, 8)
SEEN = 30.0  # nats: beyond, the masses of losers are lost beside 1
EDGE = 1e-3  # nats from the place where the two rests meet
AHEAD = (0.01, 6.0)


def held_up_to(beta: float) -> float:
    """X(beta) = 2 asinh(beta) - 2 sqrt(1 + beta²)/beta, nats: KL holds a mode iff its first log-odds are at most that."""
    return float(2 * np.arcsinh(beta) - 2 * np.sqrt(1 + beta**2) / beta)


def rest(odds: np.ndarray, beta: float) -> np.ndarray:
    """The log-odds where beta (x - x_0) = 2 cosh(x/2), the lower of the two, (...,); infinity where there is none.
    Bisection between the start and 2 asinh(beta), where the two rests would meet.
    """
    odds = np.asarray(odds, np.float64)
    low, high = odds.copy(), np.full(odds.shape, 2 * np.arcsinh(beta))
    held = odds <= held_up_to(beta)
    for _ in range(60):
        middle = (low + high) / 2
        pushed = 2 * np.cosh(middle / 2) > beta * (middle - odds)
        low, high = np.where(pushed, middle, low), np.where(pushed, high, middle)
    return np.where(held, (low + high) / 2, np.inf)


def along(log_probs: np.ndarray, mode: np.ndarray, odds: np.ndarray) -> np.ndarray:
    """The policy with log-odds `odds` of the mode and the prior's ratios among the others, (prompts, answers), nats."""
    first = log_odds(log_probs, mode)
    first = np.where(np.isfinite(first), first, 0.0)
    inside = log_probs - log_logistic(first)[:, None] + log_logistic(odds)[:, None]
    outside = log_probs - log_logistic(-first)[:, None] + log_logistic(-odds)[:, None]
    return np.where(mode, inside, outside)


def mean_push(case: Case, update: GRPO, now: np.ndarray, start: np.ndarray, rollouts: int) -> np.ndarray:
    """E[direction of a sampled group], (prompts, answers), over all groups of `rollouts` from `now`."""
    groups = listed_groups(rollouts, now.shape[1])
    prompts, ways = len(now), len(groups)
    rewards = np.asarray(case.reward.group(groups))
    every = lambda table: np.repeat(table, ways, axis=0)  # noqa: E731
    found = update.group_direction(
        every(now), np.tile(groups, (prompts, 1)), np.tile(rewards, (prompts, 1)), every(start)
    )
    weights = group_weights(now, rollouts)
    return (weights[:, :, None] * np.asarray(found).reshape(prompts, ways, -1)).sum(axis=1)


@register_theorem
class KLAnchor(Theorem):
    """Rest means reward/std - beta log(pi/pi_0) is the same for every answer: beta (x - x_0) = 1/sqrt(p(1-p)).

    Proof. Every answer's direction is pi_a times (A_a/std - beta (log(pi_a/pi_0a) - KL)), so rest means that r_a/std - beta
    log(pi_a/pi_0a) is equal for all: losers keep their ratios, and beta (x - x_0) = 1/sqrt(p(1-p)) = 2 cosh(x/2). Right
    minus left is convex in x with slope sinh(x/2) - beta, least at x = 2 asinh(beta), where it is 2 sqrt(1+beta²) - beta (2
    asinh(beta) - x_0): no root iff x_0 > X(beta). It is positive at x_0, so the push is up below the lower root and, without a root, everywhere.
    Groups of G, two answers: the mean push of the reward is E[sign(2q-1) sqrt(q(1-q)(G-1)/G)], at most E[q(1-q)] G/sqrt(G-1)
    sqrt((G-1)/G), as sqrt(q(1-q)) >= sqrt(G-1)/G in a mixed group, and E[q(1-q)] = (1-1/G) p(1-p): at most p(1-p)
    (G-1)/sqrt(G). The anchor's is beta p(1-p) (x - x_0).
    """

    name = "S19"
    title = "GRPO with KL to the initial policy: a weight below which nothing holds"
    statement = (
        "Majority reward, exact GRPO with KL weight beta to the initial policy: it rests where beta (x - x_0) = 2 cosh(x/2), x"
        " the mode's log-odds, x_0 their start, the other answers keeping their ratios. Without the std the right side is"
        " 1 (S2). Divided by the std the reward pulls ever harder near consensus, so there is a rest iff x_0 <= X(beta) ="
        " 2 asinh(beta) - 2 sqrt(1+beta²)/beta, and then the run stops at the lower of two; above X(beta) KL only"
        " delays, and the mode takes all. An even prompt (x_0 = 0) needs beta > 1.509; beta = .04 holds only what starts"
        " below -49.9 nats. Sampled groups of G never pull so hard: with two answers the mean push is at most that of"
        " a reward of (G-1)/sqrt(G), the lone dissenter (F3), so rest on average is at most (G-1)/(beta sqrt(G)) nats above the"
        " prior: 62 nats for G = 8 and beta = .04."
    )
    source = "proved here"
    assumptions = (UNIQUE_MODE, RIVAL)

    def formula(self):
        import sympy as sp

        x, start, beta = sp.symbols("x x_0 beta", positive=True)
        return sp.Eq(beta * (x - start), 2 * sp.cosh(x / 2))

    def derivation(self):
        import sympy as sp

        x, start = sp.symbols("x x_0", real=True)
        beta, g = sp.symbols("beta G", positive=True)
        p = 1 / (1 + sp.exp(-x))
        gap = 2 * sp.cosh(x / 2) - beta * (x - start)
        least = 2 * sp.asinh(beta)
        q = sp.Symbol("q", positive=True)
        return {
            "1/(p(1-p)) = 4 cosh²(x/2)": sp.simplify(
                (1 / (p * (1 - p)) - 4 * sp.cosh(x / 2) ** 2).rewrite(sp.exp)
            ),
            "reward minus anchor has slope sinh(x/2) - beta": sp.diff(gap, x) - (sp.sinh(x / 2) - beta),
            "and is convex: its second derivative is cosh(x/2)/2": sp.diff(gap, x, 2) - sp.cosh(x / 2) / 2,
            "at its least, x = 2 asinh(beta), it vanishes for x_0 = X(beta)": sp.simplify(
                gap.subs(x, least).subs(start, least - 2 * sp.sqrt(1 + beta**2) / beta)
            ),
            "a lone dissenter's group has sqrt(q(1-q)) = sqrt(G-1)/G": sp.simplify(
                sp.sqrt(q * (1 - q)).subs(q, 1 / g) - sp.sqrt(g - 1) / g
            ),
            "so groups push at most p(1-p) (G-1)/sqrt(G)": sp.simplify(
                (1 - 1 / g) * g / sp.sqrt(g - 1) * sp.sqrt((g - 1) / g) - (g - 1) / sp.sqrt(g)
            ),
        }

    def constructed(self, rng):
        """Log-odds of the mode on both sides of what each beta holds."""
        edge = np.array([held_up_to(beta) for beta in BETAS])
        odds = rng.choice(edge, size=PROMPTS) + rng.uniform(-2.0, 2.0, size=PROMPTS)
        num_answers = int(rng.choice([2, 6]))
        odds = np.maximum(odds, 0.05) if num_answers == 2 else odds
        rest_share = np.log(rng.dirichlet(np.full(num_answers - 1, 50.0), size=PROMPTS))
        log_probs = np.concatenate(
            [log_logistic(odds)[:, None], log_logistic(-odds)[:, None] + rest_share], axis=1
        )
        return Population(log_probs, np.arange(num_answers) == np.zeros((PROMPTS, 1)))

    def claims(self, case: Case):
        start, mode = case.population.log_probs, case.population.leaders
        first = np.where(case.applies, log_odds(start, mode), 1.0)
        seen = case.applies & (np.where(start > -np.inf, start, 0.0).min(axis=1) > -SEEN)
        rewards = np.asarray(case.rewards())
        for beta in BETAS:
            yield from self._exact(beta, start, mode, np.where(seen, first, 1.0), rewards, seen)
        if start.shape[1] == 2 and case.population.no_answer is None:
            yield from self._groups(case, start, mode, np.where(seen, first, 1.0), seen)

    def _exact(self, beta, start, mode, first, rewards, seen):
        update, told = GRPO(1.0, eps=0.0, beta=beta), f"(beta = {beta:g})"
        at, edge = rest(first, beta), held_up_to(beta)
        held = np.isfinite(at)
        still = along(start, mode, np.where(held, at, first))
        push = np.abs(np.asarray(update.direction(still, rewards, start))).max(axis=1)
        scale = logistic(-np.where(held, at, 0.0))
        yield Claim.at_most(f"at the rest no answer moves {told}", push / scale, 0.0, absolute=1e-9).where(
            seen & held & (np.abs(first - edge) > EDGE)
        )

        def pushed(there):
            direction = np.asarray(update.direction(along(start, mode, there), rewards, start))
            return np.sign(np.where(mode, direction, 0.0).sum(axis=1))

        for ahead in AHEAD:
            there = first + ahead
            gap = 2 * np.cosh(there / 2) - beta * ahead
            sure = seen & (there < SEEN) & (np.abs(gap) > 1e-6 * np.cosh(there / 2))
            what = f"the mode is pushed on iff 2 cosh(x/2) > beta (x - x_0) {told}"
            yield Claim.equal(what, pushed(there), np.sign(gap)).where(sure).iff(gap > 0)
        turn, over = 2 * np.arcsinh(beta), first > edge
        what = f"where the push is least it is up iff x_0 > X {told}"
        sure = seen & (turn > first) & (np.abs(first - edge) > EDGE)
        there = np.maximum(turn, first)
        yield Claim.equal(what, pushed(there), np.where(over, 1.0, -1.0)).where(sure).iff(over)

    @staticmethod
    def _groups(case, start, mode, first, seen):
        ends = (
            (0.0, 1.0, "at the prior the mean push is up"),
            (1.0, -1.0, "(G-1)/(beta sqrt(G)) above it is not"),
        )
        for beta, rollouts in zip(BETAS, GROUPS, strict=True):
            update, most = GRPO(1.0, eps=0.0, beta=beta), (rollouts - 1) / np.sqrt(rollouts)
            for factor, sign, what in ends:
                at = np.minimum(first + factor * most / beta, 2 * SEEN)
                now = along(start, mode, at)
                push = np.where(mode, mean_push(case, update, now, start, rollouts), 0.0).sum(axis=1)
                told = f"{what} (beta = {beta:g}, G = {rollouts})"
                excess = -sign * push / (logistic(at) * logistic(-at))
                yield Claim.at_most(told, excess, 0.0, absolute=1e-9).where(seen & (at < SEEN))
