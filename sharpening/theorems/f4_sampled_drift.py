"""F4: what a sampled majority step does on average: REINFORCE and GRPO favour the mode at any number of
rollouts above two.
"""

from __future__ import annotations

import numpy as np

from sharpening.logspace import log_logistic
from sharpening.theorems.assumptions import HAS_LEADER
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.constructed import few_answers
from sharpening.theorems.finite_votes import SHORT_LIST, group_directions, group_weights, log_binomials
from sharpening.theorems.registry import register_theorem
from sharpening.updates import GRPO, KLProx, NaturalGradient, SoftmaxGradient

GROUPS = (2, 5)


def all_votable(case: Case) -> np.ndarray:
    """Prompts where no mass is on giving no answer, (prompts,) bool."""
    population = case.population
    return (
        np.isneginf(population.log_probs[:, population.no_answer])
        if population.no_answer is not None
        else case.applies
    )


def odds_drift(log_odds: np.ndarray, rollouts: int, *, softmax: bool = False) -> np.ndarray:
    """Mean change of the log-odds of one of two answers per unit step size, (...,), nats.

    KL-prox and natural gradient: P(N/2 < n < N) - P(0 < n < N/2), n the votes it gets; softmax gradient: 2
    E[sign(n - N/2) f(1-f)], f = n/N. Odd in the log-odds, 0 for N = 2; tends to sign and to 2p(1-p) sign as N
    grows.
    """
    n = np.arange(rollouts + 1)
    odds = np.asarray(log_odds, np.float64)[..., None]
    log_law = log_binomials(rollouts) + n * log_logistic(odds) + (rollouts - n) * log_logistic(-odds)
    share = n / rollouts
    moved = 2 * share * (1 - share) if softmax else ((n > 0) & (n < rollouts)).astype(float)
    return (np.exp(log_law) * np.sign(2 * n - rollouts) * moved).sum(axis=-1)


@register_theorem
class SampledDrift(Theorem):
    """The direction is f_a (s_a - M): f_a the share of rollouts, s_a = 1[a leads]/m, M the largest share; its
    mean is largest at the mode.

    Proof. M = sum f_b s_b, so f_a (s_a - M) = sum over b of f_a f_b (s_a - s_b). For a mode x and another
    answer z the mean difference is 2 E[f_x f_z (s_x - s_z)], >= 0 by swapping their counts, plus for each
    third answer y of E[f_y (f_x (s_x - s_y) - f_z (s_z - s_y))]. Give the counts c >= i >= j to x, y, z in
    all six ways, weights x^.y^.z^.; with a leader's share s = 1 (c > i): the sum is c times i y^i (xz)^j
    (x^(c-j) - z^(c-j)) + j y^j (xz)^i (x^(c-i) - z^(c-i)) - (i-j) y^c (xz)^j (x^(i-j) - z^(i-j)), and x^(c-j)
    - z^(c-j) >= x^(c-i) (x^(i-j) - z^(i-j)) >= y^(c-i) (x^(i-j) - z^(i-j)) makes it >= 0; ties c = i leave c
    j y^c (x^c z^j - x^j z^c) >= 0, and three equal counts 0. The group's std depends on the counts' values
    only, not on who has which, so GRPO has the same sign.
    """

    name = "F4"
    title = "The average sampled step favours the mode"
    statement = (
        "With N rollouts and the majority reward the softmax-gradient step moves answer a by f_a (s_a - M) on"
        " average over groups; the mode's logit rises at least as fast as any other's, for any number of"
        " answers, with or without GRPO's std. Two answers: the log-odds drift by 2 E[sign(n - N/2) f(1-f)]"
        " (softmax gradient) and P(N/2 < n < N) - P(0 < n < N/2) (KL-prox, natural gradient), odd in the"
        " log-odds; two rollouts teach nothing."
    )
    source = "proved here, for more than two answers"
    assumptions = (HAS_LEADER, SHORT_LIST)

    def formula(self):
        import sympy as sp

        step, f, s, top = sp.symbols("dz_a f_a s_a M")
        return sp.Eq(step, sp.Function("E")(f * (s - top)))

    def derivation(self):
        import sympy as sp

        f, s = sp.symbols("f_0:3", nonnegative=True), sp.symbols("s_0:3", nonnegative=True)
        top = sum(x * y for x, y in zip(f, s, strict=True))
        pairs = sum(f[0] * f[b] * (s[0] - s[b]) for b in range(3))
        p, odds = sp.symbols("p L", positive=True)
        groups = [(sp.binomial(3, n) * p**n * (1 - p) ** (3 - n), sp.Rational(n, 3)) for n in range(4)]
        sign = lambda share: sp.sign(share - sp.Rational(1, 2))  # noqa: E731
        drift = sum(law * sign(share) for law, share in groups if 0 < share < 1)
        softmax = sum(law * sign(share) * 2 * share * (1 - share) for law, share in groups)
        x, y, z = sp.symbols("x y z", positive=True)
        c, i, j = 5, 3, 1
        six = (
            c * i * (x**c * y**i * z**j - x**j * y**i * z**c)
            + c * j * (x**c * y**j * z**i - x**i * y**j * z**c)
            - c * (i - j) * (x**i * y**c * z**j - x**j * y**c * z**i)
        )
        told = c * (
            i * y**i * (x * z) ** j * (x ** (c - j) - z ** (c - j))
            + j * y**j * (x * z) ** i * (x ** (c - i) - z ** (c - i))
            - (i - j) * y**c * (x * z) ** j * (x ** (i - j) - z ** (i - j))
        )
        return {
            "f_a (s_a - sum f s) is a sum over pairs, the shares summing to 1 (3 answers)": sp.expand(
                (f[0] * (s[0] - top) - pairs).subs(f[2], 1 - f[0] - f[1])
            ),
            "the six ways to deal three counts, collected (counts 5, 3, 1)": sp.expand(six - told),
            "3 rollouts, two answers, KL-prox: the drift is 3p(1-p)(2p-1)": sp.expand(
                drift - 3 * p * (1 - p) * (2 * p - 1)
            ),
            "softmax gradient: 4/9 of it, all four groups listed": sp.expand(
                softmax - sp.Rational(4, 9) * drift
            ),
            "and odd about 1/2": sp.expand(drift + drift.subs(p, 1 - p)),
        }

    def constructed(self, rng):
        return few_answers(rng)

    def claims(self, case: Case):
        population, rows = case.population, np.arange(case.population.num_prompts)
        log_probs, mode = population.log_probs, population.mode
        voting = all_votable(case)
        two = voting & ((log_probs > -np.inf).sum(axis=1) == 2)
        second = np.where(np.arange(population.num_answers) == mode[:, None], -np.inf, log_probs).argmax(
            axis=1
        )
        odds = np.where(two, log_probs[rows, mode] - log_probs[rows, second], 0.0)
        for n in GROUPS:
            weights = np.where(voting[:, None], group_weights(log_probs, n), 0.0)
            for update in (SoftmaxGradient(), GRPO(), KLProx(), NaturalGradient()):
                table = group_directions(update, case.reward, log_probs[0], n)
                drift = weights @ table
                told = f"{update.name} from {n} rollouts"
                if n == 2:
                    yield Claim.equal(
                        f"{told} moves nothing", np.float64(np.abs(table).max()), 0.0, absolute=1e-12
                    )
                if update.name in ("softmax_gradient", "grpo"):
                    yield Claim.at_most(
                        f"{told} favours no answer over the mode",
                        drift,
                        drift[rows, mode][:, None],
                        absolute=1e-14,
                    )
                if update.name == "grpo":
                    continue
                wanted = odds_drift(odds, n, softmax=update.name == "softmax_gradient")
                found = np.where(two, drift[rows, mode] - drift[rows, second], wanted)
                yield Claim.equal(
                    f"{told} moves the log-odds of two answers", found, wanted, absolute=1e-12
                ).where(two)
