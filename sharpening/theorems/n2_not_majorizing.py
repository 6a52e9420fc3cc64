"""N2: rewarding the mode most is not enough: a reward that is highest at the mode, but not comonotone, can
raise the rarest answer.
"""

from __future__ import annotations

import numpy as np

from sharpening.metrics import exact_metrics
from sharpening.theorems.assumptions import UNIQUE_MODE
from sharpening.theorems.base import Assumption, Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.constructed import few_answers
from sharpening.theorems.numerics import log_tails
from sharpening.theorems.registry import register_theorem
from sharpening.updates import KLProx

EXAMPLE = np.log([[0.46, 0.45, *[0.01] * 9]])
EXAMPLE_REWARDS = np.array([[1.0, 0.0, *[1.0] * 9]])
RESOLUTION = 1e-6


def _rarest(log_probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rarest possible answer, (prompts,), and how many nats the next one is above it."""
    possible = np.where(log_probs > -np.inf, log_probs, np.inf)
    ordered = np.sort(possible, axis=1)
    with np.errstate(invalid="ignore"):
        return possible.argmin(axis=1), ordered[:, 1] - ordered[:, 0]


def _three_apart(case: Case) -> np.ndarray:
    log_probs = case.population.log_probs
    _, gap = _rarest(log_probs)
    silent = case.population.no_answer
    clear = True if silent is None else np.isneginf(log_probs[:, silent])
    return clear & ((log_probs > -np.inf).sum(axis=1) >= 3) & (gap > RESOLUTION)


THREE_APART = Assumption(
    "a rarest answer",
    "at least three answers are possible, the rarest by more than 1e-6 nats, and giving no answer is not",
    _three_apart,
)


@register_theorem
class NotMajorizing(Theorem):
    """r = 1 at the mode and at the rarest answer, 0 elsewhere: the mode gains, and so does the smallest mass,
    so nothing majorizes.
    """

    name = "N2"
    title = "Counterexample: rewarding the mode most is not sharpening"
    statement = (
        "'A reward that is highest at the mode sharpens' is false beyond the mode itself. With r = 1 at the"
        " mode and at the rarest answer and 0 elsewhere, a KL-prox step raises the mode's mass and the"
        " smallest mass alike, both by the factor e^eta/Z > 1: majorization fails. With (.46, .45, .01 nine"
        " times) and r = 0 at the second only, the mode gains and entropy rises. S4 needs comonotone, not"
        " mode-monotone."
    )
    source = "here, against a weaker reading of S4"
    assumptions = (UNIQUE_MODE, THREE_APART)

    def formula(self):
        import sympy as sp

        new, old, eta, share = sp.symbols("p'_K p_K eta R", positive=True)
        return sp.Eq(new, old * sp.exp(eta) / (1 + share * (sp.exp(eta) - 1)))

    def derivation(self):
        import sympy as sp

        eta, share, p = sp.symbols("eta R p", positive=True)
        total = share * sp.exp(eta) + 1 - share
        log_pi, r = sp.symbols("l_0:3", real=True), sp.symbols("r_0:3", real=True)
        pi = sp.symbols("pi_0:3", positive=True)
        mean = sum(x * y for x, y in zip(pi, r, strict=True))
        slope = -sum(x * (y - mean) * (one + 1) for x, y, one in zip(pi, r, log_pi, strict=True))
        covariance = sum(x * y * one for x, y, one in zip(pi, r, log_pi, strict=True)) - mean * sum(
            x * one for x, one in zip(pi, log_pi, strict=True)
        )
        return {
            "the factor e^eta/Z, Z = R e^eta + 1 - R, exceeds 1 by (1-R)(e^eta - 1)/Z, R the rewarded mass": (
                sp.simplify(sp.exp(eta) / total - 1 - (1 - share) * (sp.exp(eta) - 1) / total)
            ),
            "entropy moves at rate -Cov(r, log pi) (3 answers)": sp.expand(
                (slope + covariance).subs(pi[2], 1 - pi[0] - pi[1])
            ),
        }

    def constructed(self, rng):
        return few_answers(rng)

    def claims(self, case: Case):
        log_probs, rows = case.population.log_probs, np.arange(case.population.num_prompts)
        rarest, gap = _rarest(log_probs)
        chosen = case.population.leaders.copy()
        chosen[rows, rarest] = True
        safe = np.where(case.applies, gap, 1.0)
        size = float(min(case.step_size, safe.min() / 2))
        after = np.asarray(KLProx(1 / size).step(log_probs, chosen.astype(float)))
        rewarded = (np.exp(log_probs) * chosen).sum(axis=1)
        factor = size - np.log1p(rewarded * np.expm1(size))
        mode = case.population.mode
        yield Claim.equal(
            "the rarest answer gains e^eta/Z",
            after[rows, rarest] - log_probs[rows, rarest],
            factor,
            absolute=1e-12,
        )
        yield Claim.equal(
            "and so does the mode", after[rows, mode] - log_probs[rows, mode], factor, absolute=1e-12
        )
        impossible = (log_probs == -np.inf).sum(axis=1)
        last = np.minimum(impossible, log_probs.shape[1] - 2)
        with np.errstate(invalid="ignore"):
            grown = log_tails(after)[rows, last] - log_tails(log_probs)[rows, last]
        yield Claim.equal(
            "so the smallest masses' sum grows, and majorization fails", grown, factor, absolute=1e-12
        )
        then = np.asarray(KLProx(10.0).step(EXAMPLE, EXAMPLE_REWARDS))
        entropy = exact_metrics(then)["entropy"][0] - exact_metrics(EXAMPLE)["entropy"][0]
        yield Claim.at_most("the example's entropy rises", np.float64(-entropy), -0.005).about_constants()
        yield Claim.at_most(
            "while its mode gains", np.float64(EXAMPLE[0, 0] - then[0, 0]), -0.03
        ).about_constants()
