"""U6: when sharpening helps in the long run, and what it can never beat: the vote and the pass@k of the
untrained model.
"""

from __future__ import annotations

import numpy as np

from sharpening.logspace import log_mass, logistic
from sharpening.metrics import exact_metrics
from sharpening.theorems.assumptions import HAS_LEADER, LABELLED, RESOLVED_MODE, UNCOUPLED, WEIGHTED
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.constructed import two_answers
from sharpening.theorems.numerics import path
from sharpening.theorems.registry import register_theorem
from sharpening.theorems.u2_gained_minus_lost import correct_share
from sharpening.updates import KLProx

DRAWS = (1, 2, 8, 64)


def pass_at(log_probs: np.ndarray, correct: np.ndarray, draws: int) -> np.ndarray:
    """pass@k = 1 - (1 - pi_c)^k of k independent answers, (prompts,), exact also where pi_c or 1 - pi_c is
    1e-300.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return -np.expm1(draws * log_mass(log_probs, ~correct))


def vote_of(log_odds: np.ndarray, rollouts: int) -> np.ndarray:
    """P(the better of two answers wins a vote of an odd number of rollouts), (prompts,): the binomial upper
    tail at p = sigma(log_odds).
    """
    from math import comb

    p, q = logistic(log_odds), logistic(-log_odds)
    return sum(comb(rollouts, k) * p**k * q ** (rollouts - k) for k in range(rollouts // 2 + 1, rollouts + 1))


@register_theorem
class BetterThanVoting(Theorem):
    """Accuracy(inf) = alpha = the accuracy of an unlimited vote without training; pass@k falls wherever alpha
    < pass@k(0).
    """

    name = "U6"
    title = "Never better than the vote of the untrained model"
    statement = (
        "Uncoupled prompts under the majority reward. (a) Training helps in the long run iff alpha >"
        " Accuracy(0); prompt by prompt it never lowers an aligned prompt and never raises a misaligned one."
        " (b) Its end is the accuracy of the unlimited majority vote of the untrained model, maj@inf = alpha:"
        " training only makes the vote cheap. (c) At the end every pass@k equals alpha (unique modes), so"
        " pass@k was raised iff alpha > pass@k(0), for small k only: pass@k(0) rises with k to the share of"
        " prompts that can answer right at all. (d) With two answers maj@N of odd N moves monotonically to"
        " its end."
    )
    source = "proved here; (d) Condorcet's jury theorem"
    assumptions = (LABELLED, HAS_LEADER, RESOLVED_MODE, WEIGHTED, UNCOUPLED)

    def formula(self):
        import sympy as sp

        accuracy = sp.Function("Accuracy")
        vote = sp.Symbol("maj@infinity")
        return sp.And(
            sp.Eq(accuracy(sp.oo), sp.Symbol("alpha")), sp.Eq(sp.Symbol("alpha"), vote), evaluate=False
        )

    def derivation(self):
        import sympy as sp

        p, k = sp.symbols("p k", positive=True)
        n = sp.Symbol("n", integer=True, positive=True)

        def binomial(n_):
            return sum(sp.binomial(n_, j) * p**j * (1 - p) ** (n_ - j) for j in range(n_ // 2 + 1, n_ + 1))  # noqa: E731

        jury = {
            f"maj@{n_ + 2} - maj@{n_} = C({n_}, {n_ // 2 + 1}) (p(1-p))^{n_ // 2 + 1} (2p - 1)": sp.expand(
                binomial(n_ + 2)
                - binomial(n_)
                - sp.binomial(n_, n_ // 2 + 1) * (p * (1 - p)) ** (n_ // 2 + 1) * (2 * p - 1)
            )
            for n_ in (1, 3, 5, 7)
        }
        return jury | {
            "pass@k rises with k: one more draw adds p (1-p)^k": sp.expand(
                ((1 - (1 - p) ** (n + 1)) - (1 - (1 - p) ** n)) - p * (1 - p) ** n
            ),
            "and tends to 1 wherever p > 0 (at p = 1/2)": (
                sp.limit(1 - (1 - sp.Rational(1, 2)) ** k, k, sp.oo) - 1
            ),
        }

    def constructed(self, rng):
        return two_answers(rng)

    def claims(self, case: Case):
        population, weights = case.population, case.restricted().prompt_weights
        start, correct, leaders = population.log_probs, population.labels, population.leaders
        labels = dict(correct=correct, no_answer=population.no_answer)
        s, before = correct_share(population), population.probs
        before = np.where(correct, before, 0.0).sum(axis=1)
        far = leaders.sum(axis=1).max() * (50.0 - 2 * float(start[start > -np.inf].min()))
        (once,) = path(KLProx(1 / case.step_size), case.reward, start, 1, **labels)
        (end,) = path(KLProx(1 / far), case.reward, start, 1, **labels)
        now, last = (
            exact_metrics(policy, correct, no_answer=population.no_answer)["accuracy"]
            for policy in (once, end)
        )
        vote = exact_metrics(start, correct, no_answer=population.no_answer)["label_accuracy"]
        yield Claim.at_most(
            "(a) an aligned prompt is never lowered", np.where(s == 1, before - now, 0.0), 0.0
        ).where(s == 1)
        yield Claim.at_most(
            "(a) a misaligned prompt is never raised", np.where(s == 0, now - before, 0.0), 0.0
        ).where(s == 0)
        alpha, accuracy = float(weights @ s), float(weights @ before)
        gain = float(weights @ (last - before))
        if abs(alpha - accuracy) > 1e-9:
            yield Claim.equal(
                "(a) training helps iff alpha > Accuracy(0)", float(gain > 0), float(alpha > accuracy)
            ).iff(alpha > accuracy)
        yield Claim.equal("(b) the end is the unlimited vote of the untrained model", last, vote)
        unique = leaders.sum(axis=1) == 1
        earlier = np.zeros(len(s))
        for k in DRAWS:
            ended = pass_at(end, correct, k)
            yield (
                Claim.equal(f"(c) pass@{k} ends at 1 if aligned, 0 if not", np.where(unique, ended, s), s)
                .where(unique)
                .iff(s == 1)
            )
            initial = pass_at(start, correct, k)
            yield Claim.at_most(f"(c) pass@k of the untrained model rises up to k = {k}", earlier, initial)
            yield Claim.at_most(
                f"(c) no misaligned prompt ends above its pass@{k}",
                np.where(unique & (s == 0), ended - initial, 0.0),
                0.0,
            ).where(unique & (s == 0))
            earlier = initial
        two = ((start > -np.inf).sum(axis=1) == 2) & (population.no_answer is None)
        odds = log_mass(start, correct) - log_mass(start, ~correct) if two.any() else np.zeros(len(s))
        decided = two & np.isfinite(odds)
        direction, odds = np.where(decided, np.sign(odds), 0.0), np.where(decided, odds, 0.0)
        votes = [vote_of(odds, n) for n in (1, 3, 9)]
        for fewer, more, n in zip(votes[:-1], votes[1:], (3, 9), strict=True):
            yield Claim.at_most(
                f"(d) maj@{n} is nearer its end than with fewer rollouts",
                -direction * (more - fewer),
                0.0,
                absolute=1e-12,
            ).where(decided & (odds != 0))
