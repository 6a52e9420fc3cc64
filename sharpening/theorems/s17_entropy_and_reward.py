"""S17: how much accuracy a nat of entropy buys along sharpening: an exact exchange rate, its sign that of alignment,
and no law R = -a e^H + b that reaches consensus.
"""

from __future__ import annotations

import numpy as np

from sharpening.logspace import log_logistic, log_mass, log_odds, log_sum
from sharpening.metrics import exact_metrics
from sharpening.theorems.assumptions import HEARD_MODE, LABELLED, UNIQUE_MODE
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.constructed import few_answers
from sharpening.theorems.coupled import RIVAL
from sharpening.theorems.numerics import path
from sharpening.theorems.registry import register_theorem
from sharpening.updates import KLProx

STEPS, NEAR, FAR = 3, 1e-4, 30.0


def entropy_of_losers(log_probs: np.ndarray, mode: np.ndarray) -> np.ndarray:
    """Entropy of the answer given that it is not the mode, (prompts,), nats; `mode` (prompts, answers) bool."""
    rest = np.where(mode, -np.inf, log_probs)
    with np.errstate(invalid="ignore"):
        given = rest - log_sum(rest)[:, None]
        return -np.where(rest > -np.inf, np.exp(given) * given, 0.0).sum(axis=1)


def entropy_on_the_path(odds: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """H = h(P) + (1-P) H_rest at log-odds `odds` of the mode, nats; h the entropy of two answers."""
    log_p, log_q = log_logistic(odds), log_logistic(-odds)
    return -np.exp(log_p) * log_p - np.exp(log_q) * log_q + np.exp(log_q) * rest


def exchange_rate(odds: np.ndarray, rest: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """a = -dR/d(e^H) = (s - c)/(e^H (L + H_rest)) along the majority reward; `gain` is s - c."""
    return gain / (np.exp(entropy_on_the_path(odds, rest)) * (odds + rest))


@register_theorem
class EntropyAndReward(Theorem):
    """dR = (s - c) dP and dH = -(L + H_rest) dP along the path, so accuracy is bought at (s - c)/(L + H_rest) a nat.

    Proof. Majority steps leave the ratios of the losers, so H = h(P) + (1-P) H_rest with H_rest fixed, h'(P) = -L,
    and R = R_0 + (s - c)(P - P_0) (U2, U3), s = 1 if the mode is correct, c the correct share of the rest. No loser
    outweighs the mode, q (1-P) <= P for its share q of the rest, so H_rest >= -log max q >= -log(P/(1-P)) = -L: the
    entropy falls as long as one loser is lighter. Near consensus e^H - 1 >= H >= (1-P)(-log(1-P)) >= (1-P) L.
    """

    name = "S17"
    title = "What a nat of entropy buys"
    statement = (
        "Under the majority reward, KL-prox trades entropy H for accuracy R at an exact rate: -dR/d(e^H) = (s -"
        " c)/(e^H (L + H_rest)), L the mode's log-odds, H_rest the entropy of the other answers among themselves,"
        " s = 1 if the mode is correct, else 0, c the correct share of the rest. So R = -a e^H + b, fitted on whole"
        " runs by Cui et al., is the chord of a curve, often close in the middle of a run: with a >= 0 on aligned"
        " prompts, and a <= 0 on misaligned ones, which lose accuracy with entropy. The curve does not end along"
        " its chord: what R still lacks at log-odds L > 0 is at most |s - c| (e^H - 1)/L, so the slope falls to 0"
        " like 1/L."
    )
    source = "proved here; Cui et al. 2025 (arXiv:2505.22617) for the fit R = -a e^H + b"
    assumptions = (LABELLED, UNIQUE_MODE, HEARD_MODE, RIVAL)

    def formula(self):
        import sympy as sp

        s, c, entropy, odds, rest = sp.symbols("s c H L H_rest")
        return sp.Eq(-sp.Symbol("dR") / sp.Symbol("d(e^H)"), (s - c) / (sp.exp(entropy) * (odds + rest)))

    def derivation(self):
        import sympy as sp

        p, rest, s, c = sp.symbols("P H_rest s c", positive=True)
        pi = sp.symbols("q_0:3", positive=True)  # the losers' shares of the rest, the last one 1 - the others
        entropy = -p * sp.log(p) - (1 - p) * sp.log(1 - p) + (1 - p) * rest
        whole = -p * sp.log(p) - sum((1 - p) * q * (sp.log(1 - p) + sp.log(q)) for q in pi)
        split = entropy.subs(rest, -sum(q * sp.log(q) for q in pi))
        odds = sp.log(p) - sp.log(1 - p)
        accuracy = s * p + c * (1 - p)
        return {
            "H = h(P) + (1-P) H_rest, the shares adding up to 1 (3 losers)": sp.expand(
                sp.expand(whole - split) - (-(1 - p) * sp.log(1 - p) * (sum(pi) - 1)).expand()
            ),
            "dH/dP = -(L + H_rest)": sp.diff(entropy, p) + odds + rest,
            "dR/dP = s - c": sp.diff(accuracy, p) - (s - c),
            "so -dR/d(e^H) is (s - c)/(e^H (L + H_rest))": sp.simplify(
                -sp.diff(accuracy, p) / sp.diff(sp.exp(entropy), p)
                - (s - c) / (sp.exp(entropy) * (odds + rest))
            ),
        }

    def constructed(self, rng):
        return few_answers(rng)

    def claims(self, case: Case):
        population = case.population
        start, mode, correct = population.log_probs, population.leaders, population.labels
        odds = np.where(case.applies, log_odds(start, mode), 1.0)
        rest = np.where(case.applies, entropy_of_losers(start, mode), 0.0)
        with np.errstate(invalid="ignore"):
            right = log_mass(start, correct & ~mode) - log_mass(start, ~mode)
        aligned = (mode & correct).any(axis=1)
        gain = np.where(case.applies, aligned - np.exp(right), 0.0)
        measure = lambda now: exact_metrics(now, correct, no_answer=population.no_answer)  # noqa: E731
        first = measure(start)
        steps = path(KLProx(1 / case.step_size), case.reward, start, STEPS, no_answer=population.no_answer)
        for k, now in enumerate(steps, start=1):
            then, found = np.where(case.applies, odds + k * case.step_size, 1.0), measure(now)
            told = entropy_on_the_path(then, rest)
            yield Claim.equal(f"H is h(P) + (1-P) H_rest at step {k}", found["entropy"], told)
            change = (found["accuracy"] - first["accuracy"]) * (first["entropy"] - told)
            telling = (gain != 0) & (np.abs(change) > 1e-12)
            yield (
                Claim.at_most(
                    f"accuracy rises as entropy falls iff the mode is correct, by step {k}",
                    np.where(aligned, -change, change),
                    0.0,
                    absolute=1e-12,
                )
                .where(telling)
                .iff(aligned)
            )
            missing = np.abs(gain) * np.exp(log_logistic(-then))
            bound = np.abs(gain) * np.expm1(told) / np.where(then > 0, then, 1.0)
            yield Claim.at_most(
                f"what is missing is at most |s - c| (e^H - 1)/L at step {k}", missing, bound
            ).where((then > 0) & (gain != 0))
        before, after = (
            measure(
                next(path(KLProx(1 / (NEAR * side)), case.reward, start, 1, no_answer=population.no_answer))
            )
            for side in (1, 2)
        )
        bought = after["accuracy"] - before["accuracy"]
        spent = np.exp(after["entropy"]) - np.exp(before["entropy"])
        middle = exchange_rate(odds + 1.5 * NEAR, rest, gain)
        seen = (np.abs(spent) > 1e-8) & (np.abs(odds) < FAR)
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = np.where(seen, -bought / np.where(seen, spent, 1.0), middle)
        yield Claim.equal(
            "a short step buys accuracy at the exact rate", rate, middle, absolute=1e-6, relative=1e-5
        ).where(seen & (gain != 0))
