"""The chance that a run ends better than it began: a logistic in the features of a probe."""

import math
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Chance:
    """logit P = intercept + Σ weights[name] · feature: that accuracy at the run's end is above accuracy at its start."""

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


def verdict(collapse: float, half: float, better: float) -> str:
    """The code of VERDICTS for the chances that the criterion is met, that half is lost, and that the run ends better, all within the budget.

    "collapse" where half is lost more likely than not and a better end is unlikely; "improves" where a better end is likely and the loss is
    not; "stable" where neither is likely; "uncertain" otherwise.
    """
    ruined = max(collapse, half)
    if ruined >= 0.5:
        return "collapse" if better < 0.5 else "uncertain"
    if better >= 0.5:
        return "improves"
    return "stable" if ruined < 0.2 else "uncertain"
