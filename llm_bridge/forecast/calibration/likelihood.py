"""Log-logistic failure times on interval-censored data, by penalised maximum likelihood.

A criterion is looked for at evaluations alone: that it was met is known to have happened after the last
evaluation that did not show it, and a run that ended without it tells that it lives longer. With
z = (log t − μ)/s and F(z) = 1/(1 + e^−z) a run adds log(F(z_high) − F(z_low)).
"""

import math

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit

from llm_bridge.forecast.calibration.survival import SMALLEST_SPREAD

RIDGE = 0.002
"""Weight of half the squared weights of standardised features, beside the mean log-likelihood of a run."""


def fit_log_logistic(features, low, high, counts=None) -> tuple[np.ndarray, float]:
    """(intercept and weights (k + 1,), spread) of log steps; features (runs, k), one that does not vary weighs
    nothing; low, high (runs,): steps between which the criterion was met, 0 ≤ low < high ≤ inf; counts (runs,):
    how much each says, any scale, all alike if None.
    """
    features, share = np.asarray(features, float), _shares(counts, len(features))
    middle = share @ features
    scale = np.sqrt(share @ (features - middle) ** 2)
    scale = np.where(scale > 1e-9, scale, np.inf)
    standard = (features - middle) / scale
    low, high = _logs(low, high)
    known = np.where(np.isfinite(high), np.where(np.isfinite(low), (low + high) / 2, high - 0.7), low + 0.7)
    start = np.concatenate([[share @ known], np.zeros(features.shape[1]), [0.0]])
    bounds = [(None, None)] * (len(start) - 1) + [(math.log(SMALLEST_SPREAD), 5.0)]
    found = minimize(
        objective, start, args=(standard, low, high, share), jac=True, method="L-BFGS-B", bounds=bounds
    ).x
    weights = found[1:-1] / scale
    return np.concatenate([[found[0] - weights @ middle], weights]), float(np.exp(found[-1]))


def fit_spread(log_medians, low, high, counts=None) -> float:
    """The spread that makes these forecasts likeliest, runs as of `fit_log_logistic`."""
    low, high = _logs(low, high)
    share = _shares(counts, len(low))
    nothing, log_medians = np.zeros((len(low), 0)), np.asarray(log_medians, float)

    def score(log_spread: float) -> float:
        theta = np.array([0.0, log_spread])
        return objective(theta, nothing, low - log_medians, high - log_medians, share)[0]

    bounds = (math.log(SMALLEST_SPREAD), 3.0)
    return float(np.exp(minimize_scalar(score, bounds=bounds, method="bounded").x))


def _shares(counts, runs: int) -> np.ndarray:
    counts = np.ones(runs) if counts is None else np.asarray(counts, float)
    return counts / counts.sum()


def _logs(low, high) -> tuple[np.ndarray, np.ndarray]:
    with np.errstate(divide="ignore"):
        return np.log(np.asarray(low, float)), np.log(np.asarray(high, float))


def objective(theta, features, low, high, share) -> tuple[float, np.ndarray]:
    """Mean negative log-likelihood of a run, weighed by `share` (runs,), which sums to 1, plus the ridge, and its
    gradient in (intercept, weights, log spread).
    """
    weights, spread = theta[1:-1], math.exp(theta[-1])
    centre = theta[0] + features @ weights
    low, high = (low - centre) / spread, (high - centre) / spread
    # Far to the right F is 1 on both sides, and 1 − F tells them apart.
    chance = np.where(low > 0, expit(-low) - expit(-high), expit(high) - expit(low))
    chance = np.maximum(chance, 1e-300)
    at_low, at_high = expit(low) * expit(-low), expit(high) * expit(-high)
    by_centre = share * (at_high - at_low) / chance / spread
    finite = [np.where(np.isfinite(z), z, 0.0) for z in (low, high)]
    by_spread = share * (at_high * finite[1] - at_low * finite[0]) / chance
    value = -share @ np.log(chance) + RIDGE / 2 * (weights**2).sum()
    slopes = features.T @ by_centre + RIDGE * weights
    return float(value), np.concatenate([[by_centre.sum()], slopes, [by_spread.sum()]])
