"""C7: coupling is not enough for collapse: under GRPO confident prompts fall silent, and two answers can
coexist for ever.
"""

from __future__ import annotations

import numpy as np

from sharpening.coupling import CompoundSymmetric
from sharpening.logspace import logistic, normalised
from sharpening.theorems.assumptions import RESOLVED_MODE, UNIQUE_MODE, WEIGHTED
from sharpening.theorems.base import Assumption, Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.constructed import two_camps
from sharpening.theorems.coupled import FULL_SUPPORT
from sharpening.theorems.registry import register_theorem
from sharpening.updates import GRPO, NaturalGradient, SoftmaxGradient

GRID, EDGE, LOUDEST = 9, 1e-6, 15.0
POWERS = {  # loudness of a prompt at log-odds d: c / cosh(d/2)^power
    "GRPO": (GRPO(1.0, "group", 0.0), 1.0, 1.0),
    "softmax gradient": (SoftmaxGradient(), 0.5, 2.0),
    "natural gradient": (NaturalGradient(), 1.0, 0.0),
    "natural gradient / std": (NaturalGradient(1.0, "group", 0.0), 2.0, -1.0),
}


def log_cosh(x: np.ndarray) -> np.ndarray:
    """log cosh x without overflow."""
    size = np.abs(x)
    return size + np.log1p(np.exp(-2 * size)) - np.log(2)


def two_group_drift(share, first, second, u, scale: float, power: float) -> np.ndarray:
    """Drift of u_1 - u_2 of fresh prompts: a share at log-odds +first for answer 1, the others at -second,
    both moved by u.
    """
    loud = lambda d: scale * np.exp(-power * log_cosh(d / 2))  # noqa: E731
    return share * np.sign(first + u) * loud(first + u) + (1 - share) * np.sign(u - second) * loud(u - second)


def coexistence_point(share, first, second, power: float) -> np.ndarray:
    """u* in (-first, second) where the two groups push equally, exp(u*) = (e^(b/2) - r e^(-a/2))/(r e^(a/2) -
    e^(-b/2)), r = ((1-w)/w)^(1/power); NaN where one group outshouts the other all the way.
    """
    ratio = ((1 - np.asarray(share, np.float64)) / share) ** (1 / power)
    half = (np.asarray(first, np.float64) + second) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        # both terms divided by e^(b/2) and e^(a/2): no overflow for confident groups
        point = (
            np.log((1 - ratio * np.exp(-half)) / (ratio - np.exp(-half))) + (np.asarray(second) - first) / 2
        )
        return np.where((log_cosh(half) > np.abs(np.log(ratio))), point, np.nan)


def _labels_only(case: Case) -> bool:
    return case.population.num_answers == 2 and case.population.no_answer is None


TWO_LABELS = Assumption(
    "two labels", "the population has two answers, the same for every prompt, and no other", _labels_only
)


@register_theorem
class Coexistence(Theorem):
    """Two groups collapse to one answer under GRPO iff their odds exceed cosh of half the sum of their
    margins.
    """

    name = "C7"
    title = "Coupled, and no collapse: silent majorities"
    statement = (
        "Fresh prompts, two answers, shared logits only: a share w at log-odds a > 0 for answer 1, the others"
        " at b > 0 for answer 2. u_1 - u_2 drifts at w phi(a+u) - (1-w) phi(b-u), phi(d) = sech(d/2) under"
        " GRPO, sech²(d/2)/2 under softmax gradient, 1 under KL-prox and natural gradient, 2 cosh(d/2) if"
        " that is divided by the std. Under GRPO and softmax gradient the drift falls in u between the"
        " groups: those who are ahead fall silent. So answer 1 takes all iff w/(1-w) > cosh((a+b)/2) (its"
        " square for softmax gradient), answer 2 iff (1-w)/w is; in between both stay for ever, at a stable"
        " u*: coupling without collapse, and confident priors are safe. Under natural gradient any majority"
        " takes all; divided by the std the loud confident win. If the log-odds have a density f, the drift's"
        " slope in u is the integral of -sign(y) phi(y) f'(y-u): a law with one peak is unstable at its"
        " balance, two confident groups are stable."
    )
    source = "proved here, corrected: the law MCS = margin / drift needs a drift that does not change sign"
    assumptions = (TWO_LABELS, UNIQUE_MODE, RESOLVED_MODE, WEIGHTED, FULL_SUPPORT)

    def formula(self):
        import sympy as sp

        w, a, b = sp.symbols("w a b", positive=True)
        return sp.Gt(w / (1 - w), sp.cosh((a + b) / 2))

    def derivation(self):
        import sympy as sp

        w, a, b, r = sp.symbols("w a b r", positive=True)
        u = sp.Symbol("u", real=True)
        phi = lambda d: 1 / sp.cosh(d / 2)  # noqa: E731
        drift = w * phi(a + u) - (1 - w) * phi(b - u)
        point = sp.log((sp.exp(b / 2) - r * sp.exp(-a / 2)) / (r * sp.exp(a / 2) - sp.exp(-b / 2)))
        balance = (sp.exp(b / 2) / sp.exp(u) + sp.exp(-b / 2)) - r * (
            sp.exp(a / 2) + sp.exp(-a / 2) / sp.exp(u)
        )
        slope = -w * sp.tanh((a + u) / 2) * phi(a + u) / 2 - (1 - w) * sp.tanh((b - u) / 2) * phi(b - u) / 2
        return {
            "the drift falls in u while -a < u < b: every term of its slope is negative there": sp.simplify(
                sp.diff(drift, u) - slope
            ),
            "at the edge u = b it is w sech((a+b)/2) - (1-w): positive iff w/(1-w) > cosh((a+b)/2)": (
                sp.simplify(drift.subs(u, b) - (w * phi(a + b) - (1 - w)))
            ),
            "u* solves cosh((b-u)/2) = r cosh((a+u)/2), r = (1-w)/w": sp.simplify(balance.subs(u, point)),
            "softmax gradient: sech² = sech² needs r² = (1-w)/w": sp.simplify(
                (phi(a) ** 2 / phi(b) ** 2) - (sp.cosh(b / 2) / sp.cosh(a / 2)) ** 2
            ),
        }

    def constructed(self, rng):
        return two_camps(rng)

    def claims(self, case: Case):
        population, weights = case.population, case.restricted().prompt_weights
        odds = np.clip(population.log_probs[:, 0] - population.log_probs[:, 1], -LOUDEST, LOUDEST)
        clipped = normalised(np.stack([odds / 2, -odds / 2], axis=1))
        for name, (update, scale, power) in POWERS.items():
            loud = scale * np.exp(-power * log_cosh(odds / 2))
            found = _drift(case, update, clipped, weights)
            wanted = float(weights @ np.where(case.applies, np.sign(odds) * loud, 0.0))
            yield Claim.equal(
                f"the drift is everyone's loudness ({name})",
                found,
                wanted,
                absolute=1e-9 * (1 + float(weights @ loud)),
            )
        one, other = np.flatnonzero(case.applies & (odds > 0)), np.flatnonzero(case.applies & (odds < 0))
        if not len(one) or not len(other):
            return
        first, second, pair = one[0], other[-1], np.zeros(len(odds))
        pair[[first, second]] = weights[[first, second]] / weights[[first, second]].sum()
        share, a, b = pair[first], odds[first], -odds[second]
        if a + b <= 4 * EDGE:  # what happens between the groups is looked at EDGE inside of them
            return
        for name in ("GRPO", "softmax gradient"):
            yield from self._two(case, name, pair, first, a, b, clipped)
        ends = [two_group_drift(share, a, b, u, 2.0, -1.0) for u in np.linspace(-a, b, GRID)[1:-1]]
        yield Claim.at_most(
            "natural gradient / std: the drift rises between the groups, so it never balances stably",
            -np.diff(ends).min(),
            0.0,
        )

    def _two(self, case, name, pair, first, a, b, clipped):
        share = pair[first]
        update, scale, power = POWERS[name]
        inside = np.linspace(-a + EDGE, b - EDGE, GRID)
        drift = two_group_drift(share, a, b, inside, scale, power)
        yield Claim.at_most(f"{name}: the drift falls between the groups", np.diff(drift).max(), 0.0)
        edge = share / np.cosh((a + b) / 2) ** power - (1 - share)
        if abs(edge) > 1e-4:
            taken = two_group_drift(share, a, b, b - EDGE, scale, power) > 0
            yield Claim.equal(
                f"{name}: answer 1 takes all iff w/(1-w) > cosh((a+b)/2)^{power:g}",
                float(taken),
                float(edge > 0),
            ).iff(edge > 0)
        for part in (0.3, 0.6):
            point = -a + part * (a + b)
            # log w/(1-w) that balances at the point
            log_ratio = power * (log_cosh((a + point) / 2) - log_cosh((b - point) / 2))
            weight = logistic(log_ratio)
            found = coexistence_point(weight, a, b, power)
            yield Claim.equal(
                f"{name}: the closed form finds the balance", float(found), point, absolute=1e-6
            )
            balanced = np.where(pair > 0, 1 - weight, 0.0)
            balanced[first] = weight
            at = normalised(clipped + point * np.array([0.5, -0.5]))
            loud = weight * scale * np.exp(-power * log_cosh((a + point) / 2))
            yield Claim.equal(
                f"{name}: no drift there", _drift(case, update, at, balanced) / loud, 0.0, absolute=1e-6
            )


def _drift(case: Case, update, log_probs, weights) -> float:
    rewards = np.asarray(case.reward.exact(log_probs))
    shared = np.asarray(
        CompoundSymmetric(0.0, 1.0).mix(np.asarray(update.direction(log_probs, rewards)), weights)[1]
    )
    return float(shared[0] - shared[1])
