"""S7b: gradient ascent on minus the token entropy is the softmax gradient under the reward log pi: it
majorizes, but slowly.
"""

from __future__ import annotations

import numpy as np

from sharpening.logspace import log_logistic, normalised
from sharpening.theorems.assumptions import HAS_LEADER
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.constructed import two_answers
from sharpening.theorems.numerics import log_tails
from sharpening.theorems.registry import register_theorem
from sharpening.theorems.s7a_self_certainty import complex_step
from sharpening.updates import SoftmaxGradient


def _entropy(log_probs: np.ndarray) -> np.ndarray:
    finite = np.where(log_probs > -np.inf, log_probs, 0.0)
    return -(np.exp(log_probs) * finite).sum(axis=-1)


def certainty(logits: np.ndarray) -> np.ndarray:
    """-H(softmax(logits)) = sum pi log pi, (...,), nats; also of complex logits."""
    shifted = logits - logits.real.max(axis=-1, keepdims=True)
    masses = np.exp(shifted)
    total = masses.sum(axis=-1)
    return (masses * np.where(shifted.real > -np.inf, shifted, 0.0)).sum(axis=-1) / total - np.log(total)


def token_entropy_direction(log_probs: np.ndarray) -> np.ndarray:
    """Its gradient with respect to the logits: pi (log pi + H), (prompts, answers); 0 for impossible
    answers.
    """
    finite = np.where(log_probs > -np.inf, log_probs, 0.0)
    return np.exp(log_probs) * (finite + _entropy(log_probs)[:, None])


@register_theorem
class TokenEntropyFlow(Theorem):
    """z' = pi (log pi + H): S5 with r = log pi. The mode's log-odds grow against every rival, yet losers
    below e^(-1-H) draw level.

    Proof of the limit. It is S5's step with the reward log pi - mean, so it majorizes at any size and the
    mode's mass never falls. pi_m (log pi_m + H) > 0 exceeds the same of every likelier-than-average b and the
    negative one of every other, so log pi_m/pi_b strictly rises for every b below a unique mode. The rest
    points are uniform on their support (log pi = -H there); one that holds the mode and b would need
    pi_m/pi_b = 1. So a unique mode takes all, and m exactly tied modes end at 1/m each.
    """

    name = "S7b"
    title = "Token entropy as an objective"
    statement = (
        "Gradient ascent on -H(pi) moves the logits by pi (log pi + H), which is the softmax gradient under"
        " the reward log pi: every step of any size majorizes, log pi_m/pi_b rises against every b, a unique"
        " mode takes all and m tied ones 1/m each; two answers: L' = 2p(1-p)L, so 1-p ~ 1/(2 t log t). It"
        " need not keep the order of the losers: of two answers below e^(-1-H) the rarer one gains on the"
        " other."
    )
    source = "proved here; EM-RL and RENT for the reward"
    assumptions = (HAS_LEADER,)

    def formula(self):
        import sympy as sp

        rate, pi, entropy = sp.symbols("z'_a pi_a H")
        return sp.Eq(rate, pi * (sp.log(pi) + entropy))

    def derivation(self):
        import sympy as sp

        z = sp.symbols("z_0:3", real=True)
        odds, pi, entropy, y = sp.symbols("L pi H y", positive=True)
        total = sum(sp.exp(one) for one in z)
        masses = [sp.exp(one) / total for one in z]
        minus_entropy = sum(p * (one - sp.log(total)) for p, one in zip(masses, z, strict=True))
        p, q = 1 / (1 + sp.exp(-odds)), 1 / (1 + sp.exp(odds))
        return {
            "the gradient of sum pi log pi is pi (log pi + H) (3 answers)": (
                sp.diff(minus_entropy, z[0]) - masses[0] * (z[0] - sp.log(total) - minus_entropy)
            ),
            "two answers: L' = p(log p - E log pi) - q(log q - E log pi) = 2pqL, with log p - log q = L": (
                p * q * odds - q * (-p * odds) - 2 * p * q * odds
            ),
            "tail: y = 1/(1-p) obeys y' = 2 log y, and 2 t log t / y tends to 1: y/log y grows by 2": (
                sp.limit(sp.diff(y / sp.log(y), y) * 2 * sp.log(y), y, sp.oo) - 2
            ),
            "x(log x + H) falls below x = exp(-1-H)": (
                sp.diff(pi * (sp.log(pi) + entropy), pi).subs(pi, sp.exp(-1 - entropy))
            ),
        }

    def constructed(self, rng):
        return two_answers(rng)

    def claims(self, case: Case):
        log_probs, h = case.population.log_probs, case.step_size
        direction = token_entropy_direction(log_probs)
        yield Claim.equal(
            "the gradient of -H is pi (log pi + H)", complex_step(certainty, log_probs), direction
        )
        after = normalised(log_probs + h * direction)
        softmax = np.asarray(
            SoftmaxGradient(h).step(log_probs, np.where(log_probs > -np.inf, log_probs, 0.0))
        )
        yield Claim.equal("a step is the softmax gradient's under log pi", after, softmax)
        yield Claim.at_most("no sum of smallest masses grows", log_tails(after), log_tails(log_probs))
        leading = direction.max(axis=1, keepdims=True)
        first = log_probs == log_probs.max(axis=1, keepdims=True)
        yield Claim.equal(
            "no answer's logit rises faster than the mode's", np.where(first, direction, leading), leading
        ).where((~first & (log_probs > -np.inf)).any(axis=1))
        entropy = _entropy(log_probs)
        low = log_probs < -1 - entropy[:, None]
        order = np.argsort(log_probs, axis=1)
        ordered = np.take_along_axis(np.where(low, direction, -np.inf), order, axis=1)
        yield Claim.at_most(
            "below e^(-1-H) the rarer answer gains on the likelier",
            ordered[:, 1:],
            np.maximum(ordered[:, :-1], -1e9),
        ).where(low.sum(axis=1) > 1)
        if log_probs.shape[1] == 2:
            odds = np.where(np.isfinite(log_probs).all(axis=1), log_probs[:, 0] - log_probs[:, 1], 0.0)
            both = log_logistic(odds) + log_logistic(-odds)
            rate = np.where(odds != 0, direction[:, 0] - direction[:, 1], 0.0)
            yield Claim.equal(
                "two answers: L' = 2p(1-p)L", rate, 2 * odds * np.exp(both), absolute=1e-15, relative=1e-9
            ).where(odds != 0)
