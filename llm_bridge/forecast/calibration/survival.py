"""Accelerated failure time: the step of a criterion as a log-normal whose centre is linear in the features,
with conformal intervals.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist

from llm_bridge.forecast.calibration.outcome import Chance, Rise

DATED = ("relative", "half_life", "mode_retention", "excess_kl")
"""The criteria that have a failure time."""

KINDS = {"labelled": ("better", "rises", "beats_voting"), "label-free": ("better", "rises")}
"""What is fitted apart, by what a forecast can read, and the chances that each has."""

CALIBRATED = ("majority", "trajectory-entropy", "self-certainty")
"""Rewards whose runs are in the ground truth."""

SHIPPED = Path(__file__).parent / "coefficients.json"
"""The calibration fitted on the ground truth."""

FARTHEST = 300.0
"""A failure time's log steps are cut off here."""

_NORMAL = NormalDist()


@dataclass(frozen=True)
class FailureTime:
    """log T ~ Normal(intercept + Σ weights[name] · feature, spread²), T in optimizer steps; fitted on runs
    that may be censored.

    low, high: factors such that T lies in [low · median, high · median] with probability `level`: quantiles
    of measured over forecast step on priors that a fit had not seen (Kaplan-Meier, since some runs are
    censored). high = inf: the data set no upper bound.
    """

    criterion: str
    intercept: float
    weights: dict[str, float]
    spread: float
    low: float
    high: float
    level: float
    runs: int

    def median(self, features: dict[str, float]) -> float:
        """Steps until the criterion is met, in the median."""
        log_steps = self.intercept + sum(weight * features[name] for name, weight in self.weights.items())
        # Far beyond any run either way, and still a number that can be multiplied.
        return math.exp(max(-FARTHEST, min(FARTHEST, log_steps)))

    def probability(self, features: dict[str, float], horizon: float) -> float:
        """Chance that the criterion is met within `horizon` steps."""
        return _NORMAL.cdf((math.log(horizon) - math.log(self.median(features))) / self.spread)

    def median_for(self, probability: float, horizon: float) -> float:
        """The median that `probability` of meeting the criterion within `horizon` steps goes with: the
        inverse of `probability`.
        """
        return horizon * math.exp(-self.spread * _NORMAL.inv_cdf(probability))

    def interval(self, features: dict[str, float]) -> tuple[float, float]:
        """(low, high) steps that should hold the measured one with probability `level`."""
        return self.low * self.median(features), self.high * self.median(features)

    def as_dict(self) -> dict:
        """Plain data for JSON; an infinite bound becomes None."""
        return asdict(self) | {"high": None if math.isinf(self.high) else self.high}

    @classmethod
    def from_dict(cls, data: dict) -> "FailureTime":
        return cls(**data | {"high": math.inf if data["high"] is None else data["high"]})


@dataclass(frozen=True)
class Origin:
    """Which calibration speaks: its file ("shipped" for the one that comes with the package), its date, and
    the number of runs that it was fitted on.
    """

    file: str
    date: str
    runs: int

    def as_dict(self) -> dict:
        """Plain data for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Calibration:
    """What turns features into a forecast: a failure time for each criterion, chances of how the run goes,
    and where it peaks.

    chances: "better" (accuracy at the end above that at the start), "rises" (at its best .03 above) and, with
    labels, "beats_voting" (at its best above that of voting without training). origin: where it was read.
    """

    heads: dict[str, FailureTime]
    chances: dict[str, Chance]
    rise: Rise
    origin: "Origin | None" = None

    def chance(self, name: str, features: dict[str, float], horizon: float) -> float:
        """One of `chances` for a run of `horizon` steps."""
        return self.chances[name].of(
            features | {"log_lives": lives(self.heads["half_life"], features, horizon)}
        )


def lives(half_life: FailureTime, features: dict[str, float], horizon: float) -> float:
    """log of the forecast half-life over the budget: the feature `log_lives`."""
    return math.log(half_life.median(features) / horizon)


def load_calibration(kind: str, file: Path = SHIPPED) -> Calibration:
    """The calibration for features that are "labelled" or "label-free": the shipped one, or that of a file
    which `sharpening calibrate` wrote.

    Raises: InputError if the file cannot be read, is no calibration, or has none of this kind.
    """
    from llm_bridge.forecast.calibration.file import read_calibration

    return read_calibration(file).calibration(kind, file)
