"""Sequential tests of one answer with a noisy verifier: Wald's SPRT, its exact error rates and expected
calls.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sharpening.errors import InputError
from sharpening.verification.thresholds import youden

_LEFT = 1e-13  # mass still undecided at which the exact computation stops


def binary_kl(p: float, q: float) -> float:
    """KL(Bernoulli(p) || Bernoulli(q)), nats; infinity where q excludes what p allows."""
    total = 0.0
    for a, b in ((p, q), (1 - p, 1 - q)):
        if a > 0:
            total += a * math.log(a / b) if b > 0 else math.inf
    return total


@dataclass(frozen=True)
class Characteristics:
    """What a test does to an answer that is right or wrong: probability of accepting it, expected verifier
    calls.
    """

    accepted: float
    calls: float


@dataclass(frozen=True)
class SequentialTest:
    """Call a noisy verifier on one answer until the log-likelihood ratio of "right" against "wrong" leaves
    (-B, A).

    `tpr`, `fpr`: acceptance rates of right and wrong answers, tpr > fpr, calls independent given the answer;
    A = log(1/false_accept), B = log(1/false_reject). Then P(accept | wrong) <= false_accept and P(reject |
    right) <= false_reject, whatever the rates, and no test with these errors needs fewer calls than
    `least_calls`; the SPRT is within one overshoot of it. Raises: InputError for J <= 0 or errors outside (0,
    1/2]. Source: Wald 1945; Wald and Wolfowitz 1948 for optimality; theorem X3.
    """

    tpr: float
    fpr: float
    false_accept: float = 0.05
    false_reject: float = 0.05

    def __post_init__(self):
        if not youden(self.tpr, self.fpr) > 0:
            raise InputError(
                "tpr, fpr",
                (self.tpr, self.fpr),
                "the verifier's J = tpr - fpr must be > 0 to certify anything",
            )
        for name in ("false_accept", "false_reject"):
            if not 0 < getattr(self, name) <= 0.5:
                raise InputError(name, getattr(self, name), "an error level lies in (0, 1/2]")

    @property
    def upper(self) -> float:
        """A = log(1/false_accept), nats: accept the answer at or above."""
        return -math.log(self.false_accept)

    @property
    def lower(self) -> float:
        """-B = log(false_reject), nats: reject it at or below."""
        return math.log(self.false_reject)

    @property
    def gain(self) -> float:
        """Log-likelihood ratio of one acceptance, log(tpr/fpr) > 0, nats; infinity if wrong answers are never
        accepted.
        """
        return math.log(self.tpr / self.fpr) if self.fpr > 0 else math.inf

    @property
    def loss(self) -> float:
        """Log-likelihood ratio of one refusal, log((1-tpr)/(1-fpr)) < 0, nats; -infinity if right answers are
        never refused.
        """
        return math.log((1 - self.tpr) / (1 - self.fpr)) if self.tpr < 1 else -math.inf

    def decide(self, verdicts) -> tuple[bool | None, int]:
        """(accepted, calls used) on a sequence of verdicts (True: the verifier accepted); accepted is None if
        they run out.
        """
        total = 0.0
        for calls, verdict in enumerate(verdicts, start=1):
            total += self.gain if verdict else self.loss
            if total >= self.upper:
                return True, calls
            if total <= self.lower:
                return False, calls
        return None, len(verdicts)

    def characteristics(self, right: bool) -> Characteristics:
        """Exact probability of acceptance and expected calls for a right or a wrong answer, by summing over
        the number of acceptances.

        The mass still undecided falls geometrically; what is left below 1e-13 is counted as rejected.
        """
        rate = self.tpr if right else self.fpr
        outcomes = [(wins, chance) for wins, chance in ((1, rate), (0, 1 - rate)) if chance > 0]
        # acceptances so far -> probability of being undecided with them
        alive, accepted, calls, number = {0: 1.0}, 0.0, 0.0, 0
        while alive and (left := sum(alive.values())) > _LEFT:
            calls += left
            number += 1
            moved: dict[int, float] = {}
            for before, mass in alive.items():
                for won, chance in outcomes:
                    wins = before + won
                    ratio = (wins * self.gain if wins else 0.0) + (
                        (number - wins) * self.loss if number > wins else 0.0
                    )
                    if ratio >= self.upper:
                        accepted += mass * chance
                    elif ratio > self.lower:
                        moved[wins] = moved.get(wins, 0.0) + mass * chance
            alive = moved
        return Characteristics(accepted, calls)

    def most_calls(self, right: bool) -> float:
        """Wald's bound on the expected calls: (A + gain) / KL(tpr||fpr) if right, (B - loss) / KL(fpr||tpr)
        if wrong.

        With a verifier that never accepts wrong answers the first acceptance decides: 1/tpr; and likewise
        1/(1-fpr) for tpr = 1.
        """
        if right:
            return 1 / self.tpr if self.fpr == 0 else (self.upper + self.gain) / binary_kl(self.tpr, self.fpr)
        return (
            1 / (1 - self.fpr) if self.tpr == 1 else (-self.lower - self.loss) / binary_kl(self.fpr, self.tpr)
        )

    def least_calls(self, right: bool) -> float:
        """No test with these error levels, sequential or not, expects fewer calls: kl(1-b||a)/KL(tpr||fpr) if
        right, kl(a||1-b)/KL(fpr||tpr) if wrong.
        """
        a, b = self.false_accept, self.false_reject
        if right:
            return binary_kl(1 - b, a) / binary_kl(self.tpr, self.fpr)
        return binary_kl(a, 1 - b) / binary_kl(self.fpr, self.tpr)
