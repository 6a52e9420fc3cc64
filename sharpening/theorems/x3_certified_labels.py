"""X3: certify a label by a sequential test, then train on it: error at most the level you choose, and a cost
that does not grow with the run.
"""

from __future__ import annotations

import numpy as np

from sharpening.logspace import log_mass
from sharpening.rewards import TrueReward
from sharpening.theorems.assumptions import LABELLED, WEIGHTED
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.numerics import path
from sharpening.theorems.registry import register_theorem
from sharpening.theorems.x1_noisy_verifier import OPEN
from sharpening.updates import KLProx
from sharpening.verification.closed_form import certified_plan, wrong_answers_before
from sharpening.verification.sequential_test import SequentialTest

FIRST, LEAST_J = (0.9, 0.1, 0.05, 0.05), 0.2


def drawn_tests(rng: np.random.Generator) -> list[tuple[float, float, float, float]]:
    """(TPR, FPR, a, b): one in which nothing is certain, one without false positives, one without misses."""
    tpr = rng.uniform(LEAST_J + 0.05, 0.95)
    rates = [
        (tpr, rng.uniform(0.02, tpr - LEAST_J)),
        (rng.uniform(LEAST_J, 0.95), 0.0),
        (1.0, rng.uniform(0.02, 0.8)),
    ]
    levels = [rng.uniform(0.01, 0.2, size=2) for _ in rates]
    return [(float(t), float(f), float(a), float(b)) for (t, f), (a, b) in zip(rates, levels, strict=True)]


@register_theorem
class CertifiedLabels(Theorem):
    """Wald's test of the mode: errors a and b, A/KL calls; a label certified once needs no more
    verification.
    """

    name = "X3"
    title = "Certified labels"
    statement = (
        "Test a prompt's answers in order of votes with a noisy verifier (J > 0, calls independent given the"
        " answer) until the log-likelihood ratio leaves (log b, -log a). Then a wrong answer is accepted with"
        " probability at most a and a right one rejected with at most b, so a prompt whose truth is proposed"
        " after m wrong answers gets its true label with probability at least 1 - m a - b. The expected calls"
        " lie between kl(1-b||a)/KL(TPR||FPR), which no test can beat, and (log(1/a) +"
        " log(TPR/FPR))/KL(TPR||FPR). Rewarding the label moves its log-odds by 1/beta a step without another"
        " call: O(log 1/a) calls a prompt, where the uniform share of X2 needs more than G/(1+J) at every"
        " visit."
    )
    source = "proved here; Wald 1945, Wald and Wolfowitz 1948"
    assumptions = (LABELLED, OPEN, WEIGHTED)

    def formula(self):
        import sympy as sp

        a, m, b = sp.symbols("a m b", positive=True)
        return sp.Ge(sp.Function("P")(sp.Symbol("right")), 1 - m * a - b)

    def derivation(self):
        import sympy as sp

        p, q, a, n = sp.symbols("TPR FPR a n", positive=True)
        k = sp.Symbol("k", positive=True)
        right, wrong = p**k * (1 - p) ** (n - k), q**k * (1 - q) ** (n - k)
        walk = k * sp.log(p / q) + (n - k) * sp.log((1 - p) / (1 - q))
        drift = p * sp.log(p / q) + (1 - p) * sp.log((1 - p) / (1 - q))
        m = sp.Symbol("m", integer=True, positive=True)
        return {
            "change of measure: a path that ends at S is exp(-S) times as likely if wrong, so P(accept|wrong) <= a P(accept|right)": sp.simplify(
                sp.expand_log(sp.log(right) - sp.log(wrong) - walk, force=True)
            ),
            "Wald's identity: the walk drifts at KL(TPR||FPR) a call": sp.simplify(
                sp.expand_log(sp.diff(walk, n) + p * sp.diff(walk, k) - drift, force=True)
            ),
            "(1-a)^m (1-b) >= 1 - m a - b: at m = 0 they agree": (
                ((1 - a) ** m * (1 - n) - (1 - m * a - n)).subs(m, 0)
            ),
            "and m more costs at most a: the left falls by a (1-a)^m (1-b) <= a": sp.expand(
                ((1 - a) ** m - (1 - a) ** (m + 1)) * (1 - n) - a * (1 - a) ** m * (1 - n)
            ),
        }

    def claims(self, case: Case):
        population, weights = case.population, case.restricted().prompt_weights
        ahead = np.where(case.applies, wrong_answers_before(population), 0.0)
        for tpr, fpr, a, b in drawn_tests(case.rng()):
            test = SequentialTest(tpr, fpr, a, b)
            right, wrong = test.characteristics(True), test.characteristics(False)
            told = f"(TPR {tpr:.3f}, FPR {fpr:.3f}, a {a:.3f}, b {b:.3f})"
            yield Claim.at_most(f"a wrong answer is accepted at most at rate a {told}", wrong.accepted, a)
            yield Claim.at_most(f"a right answer is rejected at most at rate b {told}", 1 - right.accepted, b)
            for told_, one, is_right in (("right", right, True), ("wrong", wrong, False)):
                yield Claim.at_most(
                    f"calls on a {told_} answer within Wald's bound {told}",
                    one.calls,
                    test.most_calls(is_right),
                    absolute=1e-6,
                )
                yield Claim.at_most(
                    f"and no fewer than any test needs {told}",
                    test.least_calls(is_right),
                    one.calls,
                    absolute=1e-6,
                )
            one_right = (1 - wrong.accepted) ** ahead * right.accepted
            yield Claim.at_most(
                f"a prompt is certified right with probability 1 - m a - b {told}",
                1 - ahead * a - b,
                one_right,
            ).where(1 - ahead * a - b > 0)
        tested = SequentialTest(*FIRST)
        plan = certified_plan(
            *FIRST[:2], 1.0, ahead[case.applies], num_prompts=1, weights=weights[case.applies], error=FIRST[2]
        )
        truth, wrong = tested.characteristics(True), tested.characteristics(False)
        order = np.arange(int(ahead.max(initial=0)) + 1)[:, None]
        spent = ((order < ahead) * (1 - wrong.accepted) ** order).sum(axis=0) * wrong.calls + (
            1 - wrong.accepted
        ) ** ahead * truth.calls
        yield Claim.equal(
            "expected calls: one test after another, until one accepts",
            plan.calls_per_prompt,
            float(weights @ spent),
        )
        start, label = population.log_probs, population.labels
        (after,) = path(
            KLProx(1 / case.step_size), TrueReward(), start, 1, correct=label, no_answer=population.no_answer
        )
        odds = lambda log_probs: log_mass(log_probs, label) - log_mass(log_probs, ~label)  # noqa: E731
        with np.errstate(invalid="ignore"):
            grown = np.where(case.applies, odds(after) - odds(start), case.step_size)
        yield Claim.equal("the certified label's log-odds grow by 1/beta a step", grown, case.step_size)
