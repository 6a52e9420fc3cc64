"""X7: the replicator flow of GRPO under a noisy verifier, solved: noise costs time until J = 0, where the time diverges."""

from __future__ import annotations

import numpy as np

from sharpening.logspace import log_mass, logistic, normalised
from sharpening.population import Population
from sharpening.theorems.assumptions import LABELLED
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.constructed import PROMPTS
from sharpening.theorems.registry import register_theorem
from sharpening.theorems.x1_noisy_verifier import ALWAYS_ANSWERS, GROUP, OPEN, expected_group_pull
from sharpening.updates import GRPO, SoftmaxGradient
from sharpening.updates.advantages import group_advantages

SEEN, STEPS, AHEAD, WEAK = 12.0, 60, 2.0, 1e-3


def accepted(right: np.ndarray, tpr: float, fpr: float) -> np.ndarray:
    """r = FPR + J pi_c, the share of rollouts that the verifier accepts; same shape."""
    return fpr + (tpr - fpr) * right


def verdict_std(right: np.ndarray, tpr: float, fpr: float) -> np.ndarray:
    """sqrt(r (1-r)), the standard deviation of one random verdict; same shape."""
    rate = accepted(right, tpr, fpr)
    return np.sqrt(rate * (1 - rate))


def _primitive(rate: np.ndarray, pole: float) -> np.ndarray:
    """An antiderivative of sqrt(r(1-r))/(r - pole) in r, for 0 < pole < 1."""
    std, edge = np.sqrt(rate * (1 - rate)), np.sqrt(pole * (1 - pole))
    gap = rate - pole
    inside = (2 * edge**2 + (1 - 2 * pole) * gap + 2 * edge * std) / np.abs(gap)
    return std + (0.5 - pole) * np.arcsin(2 * rate - 1) - edge * np.log(inside)


def time_between(start: np.ndarray, end: np.ndarray, tpr: float, fpr: float) -> np.ndarray:
    """Time of the flow from pi_c = start to pi_c = end, (...,), in units of 1/eta, J != 0: (1/J) times the integral of
    sqrt(r(1-r)) (1/(r - FPR) + 1/(TPR - r)) over r.
    """
    first, last = (accepted(one, tpr, fpr) for one in (start, end))
    grown = sum(
        side * (_primitive(last, pole) - _primitive(first, pole)) for side, pole in ((1, fpr), (-1, tpr))
    )
    return grown / (tpr - fpr)


def flow_of_odds(odds: np.ndarray, time: np.ndarray, tpr: float, fpr: float) -> np.ndarray:
    """The log-odds after `time` (...,) of d logit pi_c/dt = J/sqrt(r(1-r)): Runge-Kutta of fourth order."""
    speed = lambda x: (tpr - fpr) / verdict_std(logistic(x), tpr, fpr)  # noqa: E731
    step, now = time / STEPS, odds
    for _ in range(STEPS):
        first = speed(now)
        second = speed(now + step / 2 * first)
        third = speed(now + step / 2 * second)
        now = now + step / 6 * (first + 2 * second + 2 * third + speed(now + step * third))
    return now


def draw_verifier(rng: np.random.Generator) -> tuple[float, float]:
    """TPR and FPR in .05 to .95, at least .1 apart, in either order."""
    while True:
        tpr, fpr = (float(one) for one in rng.uniform(0.05, 0.95, size=2))
        if abs(tpr - fpr) > 0.1:
            return tpr, fpr


@register_theorem
class NoiseFlow(Theorem):
    """Each answer's log-mass grows at (q_a - r)/sqrt(r(1-r)), q_a its rate of acceptance: logit pi_c at J/sqrt(r(1-r)).

    Proof. Right answers are accepted at TPR, wrong ones at FPR, so q - r is J (1-pi_c) and -J pi_c: the difference is J, and
    ratios inside either side do not change. With r = FPR + J pi_c, pi_c (1-pi_c) is (r-FPR)(TPR-r)/J², dt = sqrt(r(1-r)) d
    pi_c/(J pi_c (1-pi_c)) = sqrt(r(1-r)) (1/(r-FPR) + 1/(TPR-r)) dr/J, whose antiderivative is elementary. sqrt(r(1-r)) lies
    between its values at FPR and TPR (or reaches 1/2 between), which bounds the time; as J -> 0 at fixed FPR it tends to the std at FPR.
    """

    name = "X7"
    title = "A noisy verifier's flow and its phase transition"
    statement = (
        "GRPO's replicator flow, d log pi_a/dt = (q_a - r)/sqrt(r(1-r)), under a verifier that accepts right answers at rate TPR and"
        " wrong ones at FPR, r = FPR + J pi_c, J = TPR - FPR: logit pi_c drifts at J/sqrt(r(1-r)), ratios among right answers and"
        " among wrong ones stay. So J > 0 ends at the right answers and J < 0 at the wrong ones, whatever the noise; the time"
        " from one accuracy to another has a closed form, at least Delta logit min(std)/|J| and at most Delta logit/(2|J|). J = 0 is a"
        " phase transition: |J| times the time tends to sqrt(FPR(1-FPR)) Delta logit, so learning slows without end, and at J = 0 only"
        " the noise of groups moves, without a mean. It ends where steps are softmax gradients: then the heavier of two right answers gains on"
        " the lighter if J > 0, and competition inside each side goes on."
    )
    source = "Rad et al. 2026 (arXiv:2601.04411) for the flow and its transition; proved here, with the time"
    assumptions = (LABELLED, OPEN, ALWAYS_ANSWERS)

    def formula(self):
        import sympy as sp

        j, r = sp.symbols("J r", positive=True)
        speed = sp.Derivative(sp.Function("logit")(sp.Symbol("pi_c")), sp.Symbol("t"))
        return sp.Eq(speed, j / sp.sqrt(r * (1 - r)))

    def derivation(self):
        import sympy as sp

        c, tpr, fpr, r, pole = sp.symbols("pi_c TPR FPR r q", positive=True)
        j = tpr - fpr
        rate = fpr + j * c
        edge, std = sp.sqrt(pole * (1 - pole)), sp.sqrt(r * (1 - r))
        inside = (2 * edge**2 + (1 - 2 * pole) * (r - pole) + 2 * edge * std) / (r - pole)
        primitive = std + (sp.Rational(1, 2) - pole) * sp.asin(2 * r - 1) - edge * sp.log(inside)
        values = {r: sp.Rational(9, 10), pole: sp.Rational(1, 5)}
        slope = sp.diff(primitive, r) - std / (r - pole)
        return {
            "right answers gain J (1-pi_c) on the mean": sp.expand(tpr - rate - j * (1 - c)),
            "wrong ones -J pi_c, so logit pi_c grows at J over the std": sp.expand(fpr - rate + j * c),
            "J/(pi_c (1-pi_c)) = J² (1/(r-FPR) + 1/(TPR-r))": sp.simplify(
                j / (c * (1 - c)) - j**2 * (1 / (rate - fpr) + 1 / (tpr - rate))
            ),
            "the antiderivative of sqrt(r(1-r))/(r-q) (at r = 9/10, q = 1/5)": sp.nsimplify(
                sp.simplify(slope.subs(values))
            ),
            "softmax gradient: two right answers part at J (1-pi_c) (pi_a - pi_b)": sp.expand(
                (sp.Symbol("a") - sp.Symbol("b")) * (tpr - rate)
                - j * (1 - c) * (sp.Symbol("a") - sp.Symbol("b"))
            ),
        }

    def constructed(self, rng):
        """Accuracies from a few to most, two right answers and two wrong."""
        logits = rng.choice([1.0, 3.0]) * rng.standard_normal((PROMPTS, 4))
        return Population.from_logits(logits, np.arange(4) < 2 * np.ones((PROMPTS, 1)))

    def claims(self, case: Case):
        population, rng = case.population, case.rng()
        start, correct = population.log_probs, population.labels
        odds = np.where(case.applies, log_mass(start, correct) - log_mass(start, ~correct), 0.0)
        seen = case.applies & (np.abs(odds) < SEEN)
        odds = np.where(seen, odds, 0.0)
        tpr, fpr = draw_verifier(rng)
        there = odds + AHEAD * np.sign(tpr - fpr)
        time = time_between(logistic(odds), logistic(there), tpr, fpr)
        found = flow_of_odds(odds, time, tpr, fpr)
        yield Claim.equal(
            "after the closed form's time the flow is there", found, there, absolute=1e-7
        ).where(seen)
        ends = [verdict_std(logistic(one), tpr, fpr) for one in (odds, there)]
        least = AHEAD * np.minimum(*ends) / abs(tpr - fpr)
        yield Claim.at_most("no sooner than Delta logit min(std)/|J|", least, time, absolute=1e-8).where(seen)
        yield Claim.at_most(
            "and no later than Delta logit/(2|J|)", time, AHEAD / (2 * abs(tpr - fpr)), absolute=1e-8
        ).where(seen)
        slow = time_between(logistic(odds), logistic(odds + AHEAD), fpr + WEAK, fpr)
        limit = AHEAD * np.sqrt(fpr * (1 - fpr))
        yield Claim.equal(
            "near J = 0, |J| times the time is sqrt(FPR(1-FPR)) Delta logit",
            WEAK * slow,
            limit,
            absolute=20 * WEAK,
        ).where(seen)
        yield from self._direction(case, start, correct, tpr, fpr, seen)
        right = np.minimum(np.exp(log_mass(start, correct)), 1.0)
        advantages = np.asarray(group_advantages(np.tri(GROUP + 1, GROUP, -1), "group", 0.0))
        pull = expected_group_pull(fpr, fpr, right, advantages)
        yield Claim.equal("at J = 0 groups have no mean pull", pull, 0.0, absolute=1e-12)
        spread = expected_group_pull(fpr, fpr, right, advantages**2)
        yield Claim.at_most("but their noise moves", 1e-6 * right, spread).where(right > 1e-6)

    @staticmethod
    def _direction(case, start, correct, tpr, fpr, seen):
        """The package's own directions: log-masses of the replicator, and of the softmax gradient."""
        rewards = np.where(correct, tpr, fpr)
        right = np.exp(log_mass(start, correct))
        grown = rewards - (np.exp(start) * rewards).sum(axis=1, keepdims=True)
        now = normalised(start + 1e-6 * grown / verdict_std(right, tpr, fpr)[:, None])
        logit = lambda z: log_mass(z, correct) - log_mass(z, ~correct)  # noqa: E731
        with np.errstate(invalid="ignore"):
            moved = logit(now) - logit(start)
        speed = (tpr - fpr) / verdict_std(right, tpr, fpr)
        yield Claim.equal(
            "a short step moves logit pi_c at J/sqrt(r(1-r))", moved * 1e6, speed, absolute=1e-5
        ).where(seen)
        for update in (SoftmaxGradient(), GRPO(1.0, eps=0.0)):
            direction = np.asarray(update.direction(start, rewards))
            given = correct & (start > -np.inf)
            heavy, light = (np.where(given, side * start, -np.inf).argmax(axis=1) for side in (1, -1))
            rows = np.arange(len(start))
            with np.errstate(invalid="ignore"):
                apart = start[rows, heavy] - start[rows, light]
            gained = direction[rows, heavy] - direction[rows, light]
            sure = seen & (apart > 1e-6) & (np.abs(gained) > 1e-12)
            yield (
                Claim.equal(
                    f"{update.name}: the heavier of two right answers gains iff J > 0",
                    np.sign(gained),
                    np.full(len(start), np.sign(tpr - fpr)),
                )
                .where(sure)
                .iff(np.full(len(start), tpr > fpr))
            )
