"""F7: lucky hits: a wrong vote rewards most rollouts as the truth would, and teaches nothing of it; lucky votes can."""

from __future__ import annotations

import numpy as np

from sharpening.logspace import log_mass
from sharpening.metrics import exact_metrics
from sharpening.population import Population
from sharpening.theorems.assumptions import CORRECT_POSSIBLE, LABELLED, MISALIGNED, ONE_CORRECT, UNIQUE_MODE
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.constructed import PROMPTS
from sharpening.theorems.finite_votes import SHORT_LIST, group_directions, group_weights
from sharpening.theorems.numerics import take_step
from sharpening.theorems.registry import register_theorem
from sharpening.theorems.x1_noisy_verifier import ALWAYS_ANSWERS
from sharpening.updates import GRPO, KLProx, SoftmaxGradient

THREE = 3


def hits_of_label(probs: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Share of rollouts that label b rewards as the truth would, (prompts, answers): 1 - pi_b - pi_c for b wrong, 1 for
    the truth; `truth` (prompts, answers) bool.
    """
    right = np.where(truth, probs, 0.0).sum(axis=1, keepdims=True)
    return np.where(truth, 1.0, 1.0 - probs - right)


def accuracy_lost(probs: np.ndarray, mode: np.ndarray | float, right: np.ndarray) -> np.ndarray:
    """-d pi_c/dt of the softmax gradient on the vote of a misaligned prompt, (prompts,): pi_c pi_m (pi_c + pi_m - sum
    pi²); `mode`, `right` the two masses.
    """
    return right * mode * (right + mode - (probs**2).sum(axis=1))


def accuracy_of_three(probs: np.ndarray, right: np.ndarray) -> np.ndarray:
    """E[d pi_c] of a sampled softmax-gradient step on the vote of three, per unit of learning rate, to first order,
    (prompts,): (2/3) pi_c (pi_c² - pi_c S_2 - S_3 + S_2²), S_k the sum of pi^k.
    """
    second, third = ((probs**k).sum(axis=1) for k in (2, 3))
    return 2 / 3 * right * (right**2 - right * second - third + second**2)


@register_theorem
class LuckyHits(Theorem):
    """A vote for the wrong answer m gives reward 0 to all others, the truth among them: right rewards, no direction.

    Proof. On a misaligned prompt only answers m and c are rewarded wrongly, so 1 - pi_m - pi_c are hits; of all wrong
    labels the mode has fewest. All losers have one advantage, so KL-prox keeps their ratios. Under the softmax gradient d pi_c =
    pi_c (dz_c - sum pi dz) with dz_c = -pi_c pi_m, sum pi dz = pi_m (pi_m - sum pi²), and pi_m >= sum pi². GRPO divides by a
    positive number. Three rollouts: the mean step is (2/3) pi_a (pi_a - S_2) (F6, without the std), put into the same d pi_c.
    """

    name = "F7"
    title = "Lucky hits, and lucky votes"
    statement = (
        "TTRL's lucky hits: on a prompt whose vote m is wrong, rollouts that are neither m nor the truth c are rewarded as the truth would"
        " have it, a share 1 - pi_m - pi_c, near 1 for flat policies; yet the vote is the wrong label that has fewest, and hits do not"
        " help: with many rollouts KL-prox leaves the ratio of c to every other loser and lowers it to m by 1/beta, accuracy falls at"
        " pi_c pi_m (pi_c + pi_m - sum pi²) under the softmax gradient (divided by the std under GRPO), and hits themselves fall to 0. What"
        " can help are lucky votes of few rollouts: from votes of three, pi_c changes at first by (2/3) pi_c (pi_c² - pi_c S_2 - S_3 + S_2²)"
        " on average, S_k = sum pi^k, which is positive for a truth close behind the mode, negative for a rare one."
    )
    source = "proved here; Zuo et al. 2025 (TTRL, arXiv:2504.16084) for the name"
    assumptions = (LABELLED, ONE_CORRECT, UNIQUE_MODE, MISALIGNED, CORRECT_POSSIBLE, ALWAYS_ANSWERS)

    def formula(self):
        import sympy as sp

        m, c = sp.symbols("pi_m pi_c", positive=True)
        return sp.Eq(sp.Symbol("hits"), 1 - m - c)

    def derivation(self):
        import sympy as sp

        p = sp.symbols("pi_0:3", positive=True)  # mode, truth, other
        m, c = p[0], p[1]
        total = {p[2]: 1 - m - c}
        square, cube = (sum(one**k for one in p) for k in (2, 3))
        pushed = [m * (1 - m), -c * m, -p[2] * m]
        change = c * (pushed[1] - sum(one * push for one, push in zip(p, pushed, strict=True)))
        three = [sp.Rational(2, 3) * one * (one - square) for one in p]
        lucky = c * (three[1] - sum(one * push for one, push in zip(p, three, strict=True)))
        law = [3 * m**2 * (c + p[2]), 3 * c**2 * (m + p[2])]  # the vote is m, is c, not unanimous
        return {
            "softmax gradient: d pi_c = -pi_c pi_m (pi_c + pi_m - sum pi²) (3 answers)": sp.expand(
                (change + c * m * (c + m - square)).subs(total)
            ),
            "pi_m - sum pi² is the sum of pi_b (pi_m - pi_b) >= 0": sp.expand(
                (m - square - sum(one * (m - one) for one in p)).subs(total)
            ),
            "three rollouts: pi_c (pi_c² - pi_c S_2 - S_3 + S_2²), times 2/3": sp.expand(
                lucky - sp.Rational(2, 3) * c * (c**2 - c * square - cube + square**2)
            ),
            "f_c (s_c - M) over groups of three is (2/3) pi_c (pi_c - S_2): 2/9 a win of c, -2/9 a loss (3 answers)": sp.expand(
                (
                    sp.Rational(2, 9) * law[1]
                    - sp.Rational(2, 9) * 3 * c * (m**2 + p[2] ** 2)
                    - sp.Rational(2, 3) * c * (c - square)
                ).subs(total)
            ),
        }

    def constructed(self, rng):
        """The truth behind the mode, close or far, among few answers or many."""
        num_answers = int(rng.choice([3, 5]))
        logits = rng.choice([0.2, 1.0]) * rng.standard_normal((PROMPTS, num_answers))
        logits[:, 0] = logits.max(axis=1) + rng.uniform(1e-3, 0.5, size=PROMPTS)
        close = rng.random(PROMPTS) < 0.5
        logits[:, 1] = np.where(
            close, logits[:, 0] - rng.uniform(1e-4, 0.05, size=PROMPTS), logits[:, 1] - 1.0
        )
        return Population.from_logits(logits, np.arange(num_answers) == np.ones((PROMPTS, 1)))

    def claims(self, case: Case):
        population, h = case.population, case.step_size
        start, truth, probs = population.log_probs, population.labels, population.probs
        rows, mode = np.arange(len(start)), population.leaders
        right, top = (np.where(one, probs, 0.0).sum(axis=1) for one in (truth, mode))
        hits = hits_of_label(probs, truth)
        found = exact_metrics(start, truth)
        yield Claim.equal(
            "hits are a share 1 - pi_m - pi_c", found["reward_accuracy"], 1 - top - right, absolute=1e-12
        )
        yield Claim.equal("though the label is wrong", found["label_accuracy"], 0.0)
        wrong = np.where(truth, np.inf, hits)
        yield Claim.at_most(
            "no wrong label has fewer hits than the vote", hits[rows, population.mode], wrong.min(axis=1)
        )
        after = take_step(KLProx(1 / h), case.reward, start)
        others = ~(truth | mode) & (start > -np.inf)
        with np.errstate(invalid="ignore"):
            moved = np.where(start > -np.inf, after - start, 0.0)
        lead = log_mass(np.where(truth, moved, -np.inf), truth)
        ratio = np.where(others, moved - lead[:, None], 0.0)
        yield Claim.equal(
            "KL-prox keeps the ratio of the truth to other losers", np.abs(ratio).max(axis=1), 0.0
        ).where(others.any(axis=1))
        yield Claim.equal(
            "and lowers it to the mode by 1/beta",
            moved[rows, population.mode] - lead,
            h,
            relative=1e-9,
            absolute=1e-8,
        )
        yield Claim.at_most(
            "hits fall",
            exact_metrics(after, truth)["reward_accuracy"],
            found["reward_accuracy"],
            absolute=1e-12,
        )
        rewards = np.asarray(case.rewards())
        for update, scale in ((SoftmaxGradient(), 1.0), (GRPO(1.0, eps=0.0), np.sqrt(top * (1 - top)))):
            drift = _accuracy_drift(probs, np.asarray(update.direction(start, rewards)), right, truth)
            lost = accuracy_lost(probs, top, right)
            yield Claim.equal(
                f"accuracy falls at pi_c pi_m (pi_c + pi_m - sum pi²) under {update.name}",
                -drift * scale,
                lost,
                absolute=1e-12,
            )
        if not SHORT_LIST.holds(case):
            return
        table = group_directions(SoftmaxGradient(), case.reward, start[0], THREE)
        drift = _accuracy_drift(probs, group_weights(start, THREE) @ table, right, truth)
        law = accuracy_of_three(probs, right)
        yield Claim.equal(
            "votes of three change accuracy as the sums of powers say", drift, law, absolute=1e-12
        )
        yield (
            Claim.equal(
                "a truth gains from votes of three iff that is positive", np.sign(drift), np.sign(law)
            )
            .where(np.abs(law) > 1e-9)
            .iff(law > 0)
        )


def _accuracy_drift(probs, direction, right, truth) -> np.ndarray:
    """d pi_c/dt = pi_c (dz_c - sum pi dz), (prompts,)."""
    mean = (probs * direction).sum(axis=1)
    return right * (np.where(truth, direction, 0.0).sum(axis=1) - mean)
