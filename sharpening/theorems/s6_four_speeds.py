"""S6: majority reward, two answers, continuous time: four updates, four speeds."""

from __future__ import annotations

import numpy as np

from sharpening.theorems.assumptions import UNIQUE_MODE
from sharpening.theorems.base import Assumption, Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.numerics import log_mass
from sharpening.theorems.registry import register_theorem
from sharpening.updates import GRPO, KLProx, NaturalGradient, SoftmaxGradient


def _two_answers(case: Case) -> np.ndarray:
    log_probs, no_answer = case.population.log_probs, case.population.no_answer
    possible = log_probs > -np.inf
    return (possible.sum(axis=1) == 2) & (True if no_answer is None else ~possible[:, no_answer])


TWO_ANSWERS = Assumption("two answers", "exactly two answers are possible, and giving no answer is not", _two_answers)


@register_theorem
class FourSpeeds(Theorem):
    """p' = p(1-p), sqrt(p(1-p)), 2p²(1-p)², 2(p(1-p))^(3/2): exponential, finite time, 1/(2t), 1/t²."""

    name = "S6"
    title = "Four speeds"
    statement = (
        "Majority reward, two answers, continuous time. Natural gradient and KL-prox: p' = p(1-p), exponential. Divided by the std: "
        "p' = sqrt(p(1-p)), consensus at the finite time pi - 2 arcsin sqrt(p_0). Softmax gradient: p' = 2p²(1-p)², 1-p ~ 1/(2t). "
        "GRPO: p' = 2(p(1-p))^(3/2), 1-p ~ 1/t²."
    )
    source = "theory: S6"
    assumptions = (UNIQUE_MODE, TWO_ANSWERS)

    def formula(self):
        import sympy as sp

        p = sp.Symbol("p", positive=True)
        q = p * (1 - p)
        return sp.Eq(sp.Symbol("p'"), sp.FiniteSet(q, sp.sqrt(q), 2 * q**2, 2 * q ** sp.Rational(3, 2)), evaluate=False)

    def derivation(self):
        import sympy as sp

        p, p0, t = sp.symbols("p p_0 t", positive=True)
        half = sp.Symbol("theta", positive=True)
        q = p * (1 - p)
        logistic = 1 / (1 + (1 - p0) / p0 * sp.exp(-t))
        softmax_clock = sp.log(p / (1 - p)) + 1 / (2 * (1 - p)) - 1 / (2 * p)
        grpo_clock = (2 * p - 1) / sp.sqrt(q)
        e = sp.Symbol("epsilon", positive=True)
        return {
            "the logistic curve solves p' = p(1-p)": sp.diff(logistic, t) - logistic * (1 - logistic),
            "p = sin²(theta), theta = t/2 + arcsin sqrt(p_0), has p' = sin cos = sqrt(p(1-p)) up to theta = pi/2": sp.diff(
                sp.sin(half) ** 2, half
            )
            / 2
            - sp.sin(half) * sp.cos(half),
            "theta reaches pi/2 at t = pi - 2 arcsin sqrt(p_0)": (t / 2 + sp.asin(sp.sqrt(p0))).subs(
                t, sp.pi - 2 * sp.asin(sp.sqrt(p0))
            )
            - sp.pi / 2,
            "logit p + 1/(2(1-p)) - 1/(2p) is a clock of p' = 2p²(1-p)²": sp.diff(softmax_clock, p) * 2 * q**2 - 1,
            "its tail: (1-p) t tends to 1/2": sp.limit(softmax_clock.subs(p, 1 - e) * e, e, 0, "+") - sp.Rational(1, 2),
            "(2p-1)/sqrt(p(1-p)) is a clock of p' = 2(p(1-p))^(3/2)": sp.diff(grpo_clock, p) * 2 * q ** sp.Rational(3, 2) - 1,
            "its tail: (1-p) t² tends to 1": sp.limit(grpo_clock.subs(p, 1 - e) ** 2 * e, e, 0, "+") - 1,
        }

    def claims(self, case: Case):
        population = case.population
        start, leader = population.log_probs, population.leaders
        log_p, log_rest = log_mass(start, leader), log_mass(start, ~leader)
        log_q = log_p + log_rest
        speeds = {
            "KLProx: logit p grows at rate 1": (KLProx(), np.zeros_like(log_q)),
            "NaturalGradient: logit p grows at rate 1": (NaturalGradient(), np.zeros_like(log_q)),
            "NaturalGradient / std: logit p grows at rate 1/sqrt(p(1-p))": (NaturalGradient(1.0, "group", 0.0), -log_q / 2),
            "SoftmaxGradient: logit p grows at rate 2p(1-p)": (SoftmaxGradient(), np.log(2) + log_q),
            "GRPO: logit p grows at rate 2 sqrt(p(1-p))": (GRPO(1.0, "group", 0.0), np.log(2) + log_q / 2),
        }
        rest = ~leader & (start > -np.inf)
        for what, (update, log_rate) in speeds.items():
            direction = np.asarray(update.direction(start, case.rewards()))
            rate = np.where(leader, direction, 0.0).sum(axis=1) - np.where(rest, direction, 0.0).sum(axis=1)
            with np.errstate(divide="ignore", invalid="ignore"):
                yield Claim.equal(what + ", in logs", np.log(rate), log_rate)
