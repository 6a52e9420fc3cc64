"""S7a: gradient ascent on self-certainty itself is a KL-prox step on the reward pi(a): it majorizes and ends
on the mode, exponentially.
"""

from __future__ import annotations

import numpy as np

from sharpening.logspace import normalised
from sharpening.theorems.base import Assumption, Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.numerics import flow, log_tails
from sharpening.theorems.registry import register_theorem
from sharpening.updates import KLProx

STEPS, TIME = 4, 1.0
LOWEST = -650.0  # nats: below, 1/(K pi) overflows on the way of the natural flow
FULL_SUPPORT = Assumption(
    "full support",
    "every answer has mass, since self-certainty is infinite otherwise",
    lambda case: (case.population.log_probs > -np.inf).all(axis=1),
)


def self_certainty(logits: np.ndarray) -> np.ndarray:
    """KL(uniform || softmax(logits)) = log sum exp z - mean z - log K, (...,), nats; also of complex
    logits.
    """
    top = logits.real.max(axis=-1, keepdims=True)
    total = np.log(np.exp(logits - top).sum(axis=-1)) + top[..., 0]
    return total - logits.mean(axis=-1) - np.log(logits.shape[-1])


def self_certainty_direction(log_probs: np.ndarray) -> np.ndarray:
    """Its gradient with respect to the logits: pi - 1/K, (prompts, answers)."""
    return np.exp(log_probs) - 1 / log_probs.shape[1]


def complex_step(objective, logits: np.ndarray) -> np.ndarray:
    """Gradient of a real-analytic objective of the logits without cancellation: Im f(z + ih)/h, (prompts,
    answers).
    """
    tiny = 1e-30
    return objective(logits[:, None, :] + 1j * tiny * np.eye(logits.shape[1])).imag / tiny


def first_exit(log_probs: np.ndarray) -> np.ndarray:
    """When the natural-gradient flow on self-certainty takes the first answer's mass to 0: -log(1 - K min
    pi), (prompts,).
    """
    least = log_probs.shape[1] * np.exp(log_probs.min(axis=1))
    return -np.log1p(-np.minimum(least, 1 - 1e-15))


@register_theorem
class SelfCertaintyFlow(Theorem):
    """z' = pi - 1/K is comonotone, so it majorizes; the mode's log-odds against b grow by at least eta (pi_m
    - pi_b) a step.

    Proof of the growth. A step multiplies pi by w = exp(eta pi)/Z, and w_m >= 1. If w_b <= 1, then pi_m w_m -
    pi_b w_b >= pi_m - pi_b; else it is >= w_b (pi_m - pi_b). So the gap pi_m - pi_b never shrinks, and log
    pi_m/pi_b, which grows by eta times the gap, grows at least linearly: a unique mode takes all. Exact ties
    stay ties, so m modes end at 1/m each.
    """

    name = "S7a"
    title = "Self-certainty as an objective"
    statement = (
        "Gradient ascent on KL(uniform || pi) moves the logits by pi - 1/K, which is one KL-prox step on the"
        " reward pi(a): every step of any size majorizes, the mode's log-odds against every rival grow at"
        " least linearly, and a unique mode takes all mass exponentially fast (two answers: sinh(L/2) grows"
        " by e^(t/2)); m tied modes end at 1/m. The natural gradient of the same objective, pi' = pi - 1/K,"
        " leaves the simplex at the finite time -log(1 - K min pi)."
    )
    source = "proved here; RLIF/Intuitor for the reward"
    assumptions = (FULL_SUPPORT,)

    def formula(self):
        import sympy as sp

        rate, pi, count = sp.symbols("z'_a pi_a K")
        return sp.Eq(rate, pi - 1 / count)

    def derivation(self):
        import sympy as sp

        z = sp.symbols("z_0:3", real=True)
        odds, start, t, pi, count = sp.symbols("L L_0 t pi K", positive=True)
        total = sum(sp.exp(one) for one in z)
        objective = sp.log(total) - sum(z) / 3 - sp.log(3)
        path = 2 * sp.asinh(sp.sinh(start / 2) * sp.exp(t / 2))
        line = 1 / count + (pi - 1 / count) * sp.exp(t)
        return {
            "the gradient of KL(uniform || softmax z) is pi - 1/K (3 answers)": (
                sp.diff(objective, z[0]) - sp.exp(z[0]) / total + sp.Rational(1, 3)
            ),
            "two answers: L' = 2p - 1 = tanh(L/2)": (
                (2 / (1 + sp.exp(-odds)) - 1 - sp.tanh(odds / 2)).rewrite(sp.exp)
            ),
            "solved by sinh(L/2) = sinh(L_0/2) exp(t/2)": sp.diff(path, t) - sp.tanh(path / 2),
            "Fisher's matrix takes -1/(K pi) to pi - 1/K, so the natural flow is pi' = pi - 1/K": (
                pi * (-1 / (count * pi) + 1) - (pi - 1 / count)
            ),
            "solved by 1/K + (pi_0 - 1/K) e^t": sp.diff(line, t) - line + 1 / count,
            "which is 0 at t = -log(1 - K pi_0)": line.subs(t, -sp.log(1 - count * pi)),
        }

    def claims(self, case: Case):
        h, num_answers = case.step_size, case.population.num_answers
        log_probs = np.where(case.applies[:, None], case.population.log_probs, -np.log(num_answers))
        direction = self_certainty_direction(log_probs)
        yield Claim.equal(
            "the gradient of self-certainty is pi - 1/K", complex_step(self_certainty, log_probs), direction
        )
        after = normalised(log_probs + h * direction)
        prox = np.asarray(KLProx(1 / h).step(log_probs, np.exp(log_probs)))
        yield Claim.equal("a step is KL-prox on the reward pi(a)", after, prox)
        yield Claim.at_most("no sum of smallest masses grows", log_tails(after), log_tails(log_probs))
        mode, now = log_probs.argmax(axis=1)[:, None], log_probs
        lead = lambda values: np.take_along_axis(values, mode, axis=1) - values  # noqa: E731
        for k in range(1, STEPS + 1):
            now = normalised(now + h * self_certainty_direction(now))
            floor = lead(log_probs) + k * h * lead(np.exp(log_probs))
            yield Claim.at_most(
                f"log pi_m/pi_b grows at least linearly up to step {k}", floor, lead(now), absolute=1e-9
            )
        yield from self._two_answers(log_probs)
        yield from self._natural(log_probs)

    def _two_answers(self, log_probs: np.ndarray):
        if log_probs.shape[1] != 2:
            return
        odds = log_probs[:, 0] - log_probs[:, 1]
        then = flow(self_certainty_direction, log_probs, TIME)
        wanted = 2 * np.arcsinh(np.sinh(odds / 2) * np.exp(TIME / 2))
        yield Claim.equal("sinh(L/2) grows by e^(t/2)", then[:, 0] - then[:, 1], wanted, absolute=1e-6)

    def _natural(self, log_probs: np.ndarray):
        time, count = np.minimum(first_exit(log_probs) / 2, 1.0), log_probs.shape[1]
        found = flow(lambda now: -np.exp(-now) / count, log_probs, time)
        line = np.exp(log_probs) * np.exp(time)[:, None] - np.expm1(time)[:, None] / count
        yield Claim.equal(
            "half way out, the natural flow is 1/K + (pi_0 - 1/K) e^t", found, np.log(line), absolute=1e-6
        ).where((log_probs > LOWEST).all(axis=1))
