"""The chance that a run ends well: a logistic in the features of a probe and in how long it should live."""

import math
from dataclasses import asdict, dataclass


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
