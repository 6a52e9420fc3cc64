"""S6: majority reward, two answers, continuous time: four updates, four speeds."""

from __future__ import annotations

import numpy as np

from sharpening.logspace import log_logistic, log_odds
from sharpening.theorems.assumptions import UNIQUE_MODE
from sharpening.theorems.base import Assumption, Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.constructed import two_answers
from sharpening.theorems.registry import register_theorem
from sharpening.updates import GRPO, KLProx, NaturalGradient, SoftmaxGradient


def _two_answers(case: Case) -> np.ndarray:
    log_probs, no_answer = case.population.log_probs, case.population.no_answer
    possible = log_probs > -np.inf
    return (possible.sum(axis=1) == 2) & (True if no_answer is None else ~possible[:, no_answer])


def logistic(odds: np.ndarray, time: float | np.ndarray) -> np.ndarray:
    """Log-odds at `time` (steps times learning rate, or times 1/beta) under natural gradient and KL-prox:
    odds + time, nats.
    """
    return odds + time


def consensus_time(odds: np.ndarray) -> np.ndarray:
    """pi - 2 arcsin sqrt(p_0) = 2 arctan exp(-odds/2): when the normalised natural gradient is at p = 1; no
    cancellation near it.
    """
    return 2 * np.arctan(np.exp(-np.asarray(odds, np.float64) / 2))


def finite_time(odds: np.ndarray, time: float | np.ndarray) -> np.ndarray:
    """Log-odds at `time` under the natural gradient divided by the std: p_t = sin²(t/2 + arcsin sqrt(p_0)).

    At `consensus_time` and for ever after it is +infinity: p' >= 0 leaves no other solution inside the
    simplex.
    """
    left = (consensus_time(odds) - time) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(left > 0, -2 * np.log(np.tan(left)), np.inf)


def inverse_time(odds: np.ndarray, time: float | np.ndarray) -> np.ndarray:
    """Log-odds at `time` under the softmax gradient: the root of L + sinh L = L_0 + sinh L_0 + t, by Newton
    from the convex side.

    Beyond FAR nats, where L is nothing beside sinh L, it is L_0 + log(1 + 2 t e^-L_0).
    """
    odds = np.asarray(odds, np.float64)
    near = np.clip(odds, -FAR, FAR)
    clock = near + np.sinh(near) + time
    size = np.arcsinh(np.abs(clock))
    for _ in range(60):
        shorter = size - (size + np.sinh(size) - np.abs(clock)) / (1 + np.cosh(size))
        if np.array_equal(shorter, size):
            break
        size = shorter
    beyond = odds + np.sign(odds) * np.log1p(
        np.sign(odds) * 2 * time * np.exp(-np.maximum(np.abs(odds), FAR))
    )
    return np.where(np.abs(odds) > FAR, beyond, np.sign(clock) * size)


def inverse_square(odds: np.ndarray, time: float | np.ndarray) -> np.ndarray:
    """Log-odds at `time` under GRPO with eps = 0: sinh(L/2) = sinh(L_0/2) + t/2."""
    return 2 * np.arcsinh(np.sinh(np.asarray(odds) / 2) + time / 2)


SPEEDS = {  # what: update, solution, log of dL/dt as a function of log p(1-p)
    "KLProx: logit p grows at rate 1": (KLProx(), logistic, lambda log_q: np.zeros_like(log_q)),
    "NaturalGradient: logit p grows at rate 1": (
        NaturalGradient(),
        logistic,
        lambda log_q: np.zeros_like(log_q),
    ),
    "NaturalGradient / std: logit p grows at rate 1/sqrt(p(1-p))": (
        NaturalGradient(1.0, "group", 0.0),
        finite_time,
        lambda log_q: -log_q / 2,
    ),
    "SoftmaxGradient: logit p grows at rate 2p(1-p)": (
        SoftmaxGradient(),
        inverse_time,
        lambda log_q: np.log(2) + log_q,
    ),
    "GRPO: logit p grows at rate 2 sqrt(p(1-p))": (
        GRPO(1.0, "group", 0.0),
        inverse_square,
        lambda log_q: np.log(2) + log_q / 2,
    ),
}
TIMES = (0.0, 0.5, 3.0)
FAR = 300.0  # nats: e^-300 is nothing beside 1, and e^300 can be squared
TWO_ANSWERS = Assumption(
    "two answers", "exactly two answers are possible, and giving no answer is not", _two_answers
)


@register_theorem
class FourSpeeds(Theorem):
    """p' = p(1-p), sqrt(p(1-p)), 2p²(1-p)², 2(p(1-p))^(3/2): exponential, finite time, 1/(2t), 1/t²."""

    name = "S6"
    title = "Four speeds"
    statement = (
        "Majority reward, two answers, continuous time. Natural gradient and KL-prox: p' = p(1-p),"
        " exponential. Divided by the std: p' = sqrt(p(1-p)), consensus at the finite time pi - 2 arcsin"
        " sqrt(p_0), and there it stays. Softmax gradient: p' = 2p²(1-p)², 1-p ~ 1/(2t). GRPO: p' ="
        " 2(p(1-p))^(3/2), 1-p ~ 1/t²."
    )
    source = "proved here"
    assumptions = (UNIQUE_MODE, TWO_ANSWERS)

    def formula(self):
        import sympy as sp

        p = sp.Symbol("p", positive=True)
        q = p * (1 - p)
        return sp.Eq(
            sp.Symbol("p'"), sp.FiniteSet(q, sp.sqrt(q), 2 * q**2, 2 * q ** sp.Rational(3, 2)), evaluate=False
        )

    def derivation(self):
        import sympy as sp

        p, p0, t = sp.symbols("p p_0 t", positive=True)
        half = sp.Symbol("theta", positive=True)
        q = p * (1 - p)
        logistic = 1 / (1 + (1 - p0) / p0 * sp.exp(-t))
        softmax_clock = sp.log(p / (1 - p)) + 1 / (2 * (1 - p)) - 1 / (2 * p)
        grpo_clock = (2 * p - 1) / sp.sqrt(q)
        e = sp.Symbol("epsilon", positive=True)
        odds = sp.Symbol("L", real=True)
        return {
            "the logistic curve solves p' = p(1-p)": sp.diff(logistic, t) - logistic * (1 - logistic),
            "p = sin²(theta), theta = t/2 + arcsin sqrt(p_0), has p' = sin cos = sqrt(p(1-p)) up to theta = pi/2": (
                sp.diff(sp.sin(half) ** 2, half) / 2 - sp.sin(half) * sp.cos(half)
            ),
            "theta reaches pi/2 at t = pi - 2 arcsin sqrt(p_0)": (
                (t / 2 + sp.asin(sp.sqrt(p0))).subs(t, sp.pi - 2 * sp.asin(sp.sqrt(p0))) - sp.pi / 2
            ),
            "logit p + 1/(2(1-p)) - 1/(2p) is a clock of p' = 2p²(1-p)²": (
                sp.diff(softmax_clock, p) * 2 * q**2 - 1
            ),
            "its tail: (1-p) t tends to 1/2": (
                sp.limit(softmax_clock.subs(p, 1 - e) * e, e, 0, "+") - sp.Rational(1, 2)
            ),
            "(2p-1)/sqrt(p(1-p)) is a clock of p' = 2(p(1-p))^(3/2)": (
                sp.diff(grpo_clock, p) * 2 * q ** sp.Rational(3, 2) - 1
            ),
            "its tail: (1-p) t² tends to 1": sp.limit(grpo_clock.subs(p, 1 - e) ** 2 * e, e, 0, "+") - 1,
            "in log-odds L it is L + sinh L": (
                (softmax_clock - odds - sp.sinh(odds)).subs(p, 1 / (1 + sp.exp(-odds))).rewrite(sp.exp)
            ),
            "and GRPO's is 2 sinh(L/2)": (
                (grpo_clock - 2 * sp.sinh(odds / 2)).subs(p, 1 / (1 + sp.exp(-odds))).rewrite(sp.exp)
            ),
            "arcsin sqrt(p) = arctan exp(L/2), so the consensus time is 2 arctan exp(-L/2)": (
                sp.sin(sp.atan(sp.exp(odds / 2))) ** 2 - 1 / (1 + sp.exp(-odds))
            ),
        }

    def constructed(self, rng):
        return two_answers(rng)

    def claims(self, case: Case):
        population = case.population
        start, leader = population.log_probs, population.leaders
        rest = ~leader & (start > -np.inf)
        odds = np.where(case.applies, log_odds(start, leader), 0.0)
        vertex = np.where(leader, 0.0, -np.inf)
        for what, (update, solution, log_rate) in SPEEDS.items():
            for time in TIMES:
                then = solution(odds, time)
                log_p, log_rest = log_logistic(then), log_logistic(-then)
                now = (
                    np.where(leader, log_p[:, None], np.where(rest, log_rest[:, None], -np.inf))
                    if time
                    else start
                )
                rewards = np.asarray(case.reward.exact(now, no_answer=population.no_answer))
                direction = np.asarray(update.direction(now, rewards))
                rate = np.where(leader, direction, 0.0).sum(axis=1) - np.where(rest, direction, 0.0).sum(
                    axis=1
                )
                moving = case.applies & (then < np.inf)
                with np.errstate(divide="ignore", invalid="ignore"):
                    found, wanted = np.log(rate), log_rate(log_p + log_rest)
                yield Claim.equal(
                    f"{what}, in logs, at time {time:g}",
                    np.where(moving, found, 0.0),
                    np.where(moving, wanted, 0.0),
                ).where(moving)
                if not (then[case.applies] == np.inf).any():
                    continue
                still = np.asarray(
                    update.step(vertex, np.asarray(case.reward.exact(vertex, no_answer=population.no_answer)))
                )
                done = np.where((then == np.inf)[:, None] & (now != still), 1.0, 0.0).sum(axis=1)
                yield Claim.equal(
                    f"{what}, and a policy at consensus stays there, at time {time:g}", done, 0.0
                ).where(then == np.inf)
        end = consensus_time(odds)
        for factor in (1.0, 1.5, 1e6):
            yield Claim.equal(
                f"at {factor:g} of the consensus time p is 1", finite_time(odds, factor * end), np.inf
            )
        yield Claim.at_most("and a little before it is not", finite_time(odds, end * (1 - 1e-6)), 1e6)
