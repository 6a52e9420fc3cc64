"""Accelerated failure time: the step of a criterion as a log-logistic whose centre is linear in the features."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path

from llm_bridge.forecast.calibration.outcome import Chance, Fates, Rise

DATED = ("relative", "half_life", "mode_retention", "excess_kl")
"""The criteria that have a failure time."""

ALSO_DATED = ("loss_spike",)
"""Criteria that have one in the calibration that ships, and need none in one of your own."""

KINDS = {"labelled": ("better", "rises", "beats_voting"), "label-free": ("better", "rises")}
"""What is fitted apart, by what a forecast can read, and the chances that each has."""

CALIBRATED = ("majority", "trajectory-entropy", "self-certainty")
"""Rewards whose runs are in the ground truth."""

SHIPPED = Path(__file__).parent / "coefficients.json"
"""The calibration fitted on the ground truth."""

FARTHEST = 300.0
"""A failure time's log steps are cut off here."""

LEVEL = 0.9
"""Intervals should hold the measured step with this probability."""

SMALLEST_SPREAD = 0.05
"""No fit is believed to know a step better: seeds differ by more."""


@dataclass(frozen=True)
class FailureTime:
    """P(T ≤ t) = 1/(1 + (median/t)^(1/s)), log median = intercept + Σ weights[name] · feature, T in optimizer
    steps: the log-logistic accelerated failure time model, fitted on interval-censored runs.

    spread: s where features are as in the fit, from forecasts of priors that the fit had not seen. doubt:
    covariance of (intercept, weights in their order), from fits that left out one prior each (jackknife);
    None: not known. typical: mean variance xᵀ·doubt·x of the log median among the fitted runs. Beyond what
    is typical, that variance widens s (`spread_at`). runs: on how many it was fitted.
    """

    criterion: str
    intercept: float
    weights: dict[str, float]
    spread: float
    runs: int
    doubt: tuple[tuple[float, ...], ...] | None = None
    typical: float = 0.0

    def log_median(self, features: dict[str, float]) -> float:
        """log of the steps until the criterion is met, in the median."""
        log_steps = self.intercept + sum(weight * features[name] for name, weight in self.weights.items())
        # Far beyond any run either way, and still a number that can be multiplied.
        return max(-FARTHEST, min(FARTHEST, log_steps))

    def median(self, features: dict[str, float]) -> float:
        """Steps until the criterion is met, in the median."""
        return math.exp(self.log_median(features))

    def spread_at(self, features: dict[str, float]) -> float:
        """s for these features: √(spread² + 3/π² · max(0, xᵀ·doubt·x − typical)), since the variance of a
        logistic law is π²/3 s²; so a forecast of what is unlike everything fitted says that it knows less.
        """
        if self.doubt is None:
            return self.spread
        x = [1.0, *(features[name] for name in self.weights)]
        variance = sum(
            a * b * value
            for a, row in zip(x, self.doubt, strict=True)
            for b, value in zip(x, row, strict=True)
        )
        return math.sqrt(self.spread**2 + 3 / math.pi**2 * max(0.0, variance - self.typical))

    def probability(self, features: dict[str, float], horizon: float) -> float:
        """Chance that the criterion is met within `horizon` steps."""
        z = (math.log(horizon) - self.log_median(features)) / self.spread_at(features)
        return 1 / (1 + math.exp(-z)) if z > -FARTHEST else 0.0

    def quantile(self, features: dict[str, float], probability: float) -> float:
        """The steps within which the criterion is met with this chance: the inverse of `probability`."""
        logit = math.log(probability / (1 - probability))
        log_steps = self.log_median(features) + self.spread_at(features) * logit
        return math.exp(max(-2 * FARTHEST, min(2 * FARTHEST, log_steps)))

    def interval(self, features: dict[str, float]) -> tuple[float, float]:
        """(low, high) steps that should hold the measured one with probability LEVEL."""
        return self.quantile(features, (1 - LEVEL) / 2), self.quantile(features, (1 + LEVEL) / 2)

    @property
    def factors(self) -> tuple[float, float]:
        """Both ends of an interval over the median, for features as in the fit."""
        logit = math.log((1 + LEVEL) / (1 - LEVEL))
        return math.exp(-self.spread * logit), math.exp(self.spread * logit)

    def as_dict(self) -> dict:
        """Plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict) -> "FailureTime":
        doubt = data.get("doubt")
        return cls(**data | {"doubt": None if doubt is None else tuple(map(tuple, doubt))})


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
    fates: the chances of `llm_bridge.forecast.calibration.outcome.FATES`; None: not fitted.
    """

    heads: dict[str, FailureTime]
    chances: dict[str, Chance]
    rise: Rise
    origin: "Origin | None" = None
    fates: Fates | None = None

    def fate(self, features: dict[str, float], horizon: float) -> dict[str, float]:
        """The chance of every fate of a run of `horizon` steps; empty where they were not fitted, or where no run
        that was fitted moved so little (`moves`).
        """
        if self.fates is None or not self.moves(features, horizon):
            return {}
        return self.fates.of(features | {"log_lives": lives(self.heads["half_life"], features, horizon)})

    def moves(self, features: dict[str, float], horizon: float) -> bool:
        """Whether a budget of `horizon` steps goes at least as far (`way`) as that of the fitted run that went least
        far. Below it the chances speak of nothing that was measured: in the limit of no step at all a run stays as it
        is.
        """
        shortest = self.fates.shortest_way if self.fates is not None else None
        return shortest is None or way(features, horizon) >= shortest

    def chance(self, name: str, features: dict[str, float], horizon: float) -> float:
        """One of `chances` for a run of `horizon` steps."""
        return self.chances[name].of(
            features | {"log_lives": lives(self.heads["half_life"], features, horizon)}
        )


def way(features: dict[str, float], horizon: float) -> float:
    """log of `horizon` steps over the steps in which the pilot and weight noise lose answers (`log_free_steps`)."""
    return math.log(horizon) - features["log_free_steps"]


def lives(half_life: FailureTime, features: dict[str, float], horizon: float) -> float:
    """log of the forecast half-life over the budget: the feature `log_lives`."""
    return half_life.log_median(features) - math.log(horizon)


def load_calibration(kind: str, file: Path = SHIPPED) -> Calibration:
    """The calibration for features that are "labelled" or "label-free": the shipped one, or that of a file
    which `sharpening calibrate` wrote.

    Raises: InputError if the file cannot be read, is no calibration, or has none of this kind.
    """
    from llm_bridge.forecast.calibration.file import read_calibration

    return read_calibration(file).calibration(kind, file)
