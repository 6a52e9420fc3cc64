"""The chance that a run ends well: a logistic in the features of a probe and in how long it should live."""

import math
from dataclasses import asdict, dataclass
from typing import Literal, get_args


@dataclass(frozen=True)
class Chance:
    """logit P = intercept + Σ weights[name] · feature, of whatever it was fitted on; `runs`: on how many."""

    intercept: float
    weights: dict[str, float]
    runs: int

    def of(self, features: dict[str, float]) -> float:
        """The chance for these features, 0..1."""
        logit = self.intercept + sum(weight * features[name] for name, weight in self.weights.items())
        return 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0

    def as_dict(self) -> dict:
        """Plain data for JSON."""
        return asdict(self)


GAIN = 0.03
"""Accuracy counts as gained or lost from this difference on."""

Fate = Literal["improves", "rises_then_falls", "dies", "stays"]
FATES: tuple[Fate, ...] = get_args(Fate)
"""How a run goes: it ends GAIN above where it began; it was GAIN above and is no longer; it never was and
ends GAIN below; or neither.
"""


def fate(start: float, end: float, best: float) -> str:
    """Which of FATES a run had, from its accuracy at the first, last and best evaluation."""
    if end >= start + GAIN:
        return "improves"
    if best >= start + GAIN:
        return "rises_then_falls"
    return "dies" if end < start - GAIN else "stays"


@dataclass(frozen=True)
class Fates:
    """P(fate) ∝ exp(intercepts[fate] + Σ weights[fate][name] · feature), of those of FATES that were seen;
    `runs`: on how many it was fitted; `shortest_way`: the least `way` among them, None where it was
    not kept.
    """

    intercepts: dict[str, float]
    weights: dict[str, dict[str, float]]
    runs: int
    shortest_way: float | None = None

    def of(self, features: dict[str, float]) -> dict[str, float]:
        """The chance of every fate for these features; they sum to 1, and one that no run had has none."""
        scores = {
            name: intercept + sum(weight * features[one] for one, weight in self.weights[name].items())
            for name, intercept in self.intercepts.items()
        }
        top = max(scores.values())
        shares = {name: math.exp(score - top) for name, score in scores.items()}
        return {name: shares.get(name, 0.0) / sum(shares.values()) for name in FATES}

    def as_dict(self) -> dict:
        """Plain data for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Rise:
    """Where accuracy peaks in runs that gain before they lose: at `when` of the half-life, in [low, high] of
    it with probability `level`.

    headroom: how much of the vote's lead, label accuracy − accuracy, has then been gained (median); `runs`:
    on how many the place rests.
    """

    when: float
    low: float
    high: float
    level: float
    headroom: float
    runs: int

    def height(self, accuracy: float, label_accuracy: float) -> float:
        """Accuracy at the peak, at most 1."""
        return min(1.0, accuracy + self.headroom * max(label_accuracy - accuracy, 0.0))

    def as_dict(self) -> dict:
        """Plain data for JSON."""
        return asdict(self)


def verdict(collapse: float, half: float, better: float, rises: float) -> str:
    """The code of VERDICTS for the chances that the criterion is met, that half is lost, that the run ends
    better, and that it first gains.

    "collapse" where half is lost more likely than not and a better end is unlikely, "rise_then_fall" where a
    gain before is likely; "improves" where a better end is likely and the loss is not; "stable" where neither
    is likely; "uncertain" otherwise.
    """
    ruined = max(collapse, half)
    if ruined >= 0.5:
        if better >= 0.5:
            return "uncertain"
        return "rise_then_fall" if rises >= 0.5 else "collapse"
    if better >= 0.5:
        return "improves"
    return "stable" if ruined < 0.2 else "uncertain"
