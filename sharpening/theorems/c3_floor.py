"""C3: where collapse ends: the base rate of the answer that everyone gives, so a fixed threshold may never be
met.
"""

from __future__ import annotations

import numpy as np

from sharpening.collapse import Outcome, collapse_step, get_criterion
from sharpening.logspace import normalised
from sharpening.metrics import exact_metrics
from sharpening.theorems.assumptions import LABELLED, WEIGHTED
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.coupled import FULL_SUPPORT
from sharpening.theorems.numerics import beyond
from sharpening.theorems.registry import register_theorem
from sharpening.trajectory import Trajectory

FAR = 2000.0


@register_theorem
class Floor(Theorem):
    """If every prompt gives answer a, accuracy and reward accuracy are P(a is correct), about 1/K, not 0."""

    name = "C3"
    title = "The floor"
    statement = (
        "Let every prompt put mass at least 1-e on one answer a (e < 1/2). Then accuracy and reward accuracy"
        " are within e of a's base rate b_a = P(a is correct), and label accuracy is b_a. Over the answers"
        " b_a sums to the mean number of correct ones, so it averages 1/K for one correct answer, and the"
        " most that a collapse to one answer can leave is max b_a. Hence a threshold below the final answer's"
        " base rate, such as 1 %, is never met although the model is gone; one between the floor and the"
        " start is."
    )
    source = "proved here; He et al. 2026 for the threshold of 1 %"
    assumptions = (LABELLED, WEIGHTED, FULL_SUPPORT)

    def formula(self):
        import sympy as sp

        a = sp.Symbol("a")
        return sp.Eq(sp.Symbol("RewardAccuracy"), sp.Function("P")(sp.Function("correct")(a)), evaluate=False)

    def derivation(self):
        import sympy as sp

        e, rest = sp.symbols("e c", positive=True)  # e: mass off a; c: correct mass off a, at most e
        pi = (1 - e, rest, e - rest)
        vote = (1, 0, 0)
        accuracy = lambda truth: 1 - sum(p * abs(v - t) for p, v, t in zip(pi, vote, truth, strict=True))  # noqa: E731
        return {
            "a correct: reward accuracy is 1 - c, c <= e the correct mass off a": (
                accuracy((1, 1, 0)) - (1 - rest)
            ),
            "a wrong: it is e - c": accuracy((0, 1, 0)) - (e - rest),
        }

    def claims(self, case: Case):
        population, weights = case.population, case.restricted().prompt_weights
        start, correct, silent = population.log_probs, population.labels, population.no_answer
        base = weights @ correct
        yield Claim.equal(
            "base rates sum to the mean number of correct answers", base.sum(), weights @ correct.sum(axis=1)
        )
        far = beyond(start, FAR)
        names = ("accuracy", "reward_accuracy", "label_accuracy")
        for a in range(population.num_answers):
            if a == silent:
                continue
            curves: dict[str, list[float]] = {name: [] for name in names}
            for shift in (0.0, 5.0, far, far + 10.0):
                policy = normalised(start + shift * (np.arange(population.num_answers) == a))
                found = exact_metrics(policy, correct, no_answer=silent)
                off = -np.expm1(np.minimum(policy[:, a], 0.0))
                for name in names:
                    value = np.asarray(found[name])
                    curves[name].append(float(weights @ value))
                    if name == "accuracy":
                        value = np.where(off < 0.5, value, correct[:, a])
                    else:
                        value = np.where((off < 0.5) & (policy.argmax(axis=1) == a), value, correct[:, a])
                    slack = 0.0 if name == "label_accuracy" else np.minimum(off, 1.0)
                    yield Claim.at_most(
                        f"{name} of a prompt is within e of 1[a is correct]",
                        np.abs(value - correct[:, a]),
                        slack,
                    )
            yield Claim.equal(
                "at consensus all three are the base rate",
                max(abs(c[-1] - base[a]) for c in curves.values()),
                0.0,
            )
            yield from self._criteria(curves["reward_accuracy"], float(base[a]), float(base.max()))

    def _criteria(self, curve, rate: float, floor: float):
        run = Trajectory(
            np.arange(len(curve)), {"reward_accuracy": np.array(curve)}, min(1.0, max(0.0, floor))
        )
        absolute, relative = get_criterion("absolute"), get_criterion("relative")
        if rate > absolute.amount + 1e-9:
            gone = collapse_step(run, absolute).outcome is Outcome.COLLAPSED
            yield Claim.equal("a threshold below the base rate is never met", float(gone), 0.0)
        if rate < relative.threshold(np.array(curve), floor) - 1e-9 and curve[0] > floor + 1e-6:
            gone = collapse_step(run, relative).outcome is Outcome.COLLAPSED
            yield Claim.equal("one between the floor and the start is", float(gone), 1.0)
