"""S3: trajectory-entropy reward and KL-prox raise the policy to a growing power."""

from __future__ import annotations

import numpy as np

from sharpening.logspace import log_sum
from sharpening.theorems.base import Assumption, Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.numerics import path
from sharpening.theorems.registry import register_theorem
from sharpening.updates import KLProx

STEPS, RESOLUTION = 3, 1e-6


def _resolved_powers(case: Case) -> np.ndarray:
    log_probs = case.population.log_probs
    deepest = -np.where(log_probs > -np.inf, log_probs, 0.0).min(axis=1)
    log_size = np.log(np.maximum(deepest, 1.0)) + STEPS * np.log1p(case.step_size)
    return log_size + np.log(np.finfo(np.float64).eps) < np.log(RESOLUTION)


RESOLVED_POWERS = Assumption(
    "resolved powers",
    f"log pi_0 (1+1/beta)^{STEPS} is small enough that float64 keeps it to {RESOLUTION:g} nats",
    _resolved_powers,
)


@register_theorem
class EntropyPowers(Theorem):
    """pi_k ∝ pi_0^((1 + 1/beta)^k) for r = log pi: log-odds grow geometrically, ties stay ties."""

    name = "S3"
    title = "Trajectory entropy: powers of the prior"
    statement = (
        "Under the reward r = log pi, k KL-prox steps give pi_k ∝ pi_0^((1+1/beta)^k): log-odds grow"
        " geometrically, so mass on a unique mode converges doubly exponentially; exact ties stay ties."
    )
    source = "proved here; EM-RL for the reward"
    assumptions = (RESOLVED_POWERS,)
    rewards = ("trajectory-entropy",)

    def formula(self):
        import sympy as sp

        now, start, beta = sp.symbols("L_k L_0 beta")  # L = log pi(a)/pi(b), for any two answers
        k = sp.Symbol("k", integer=True, nonnegative=True)
        return sp.Eq(now, start * (1 + 1 / beta) ** k)

    def derivation(self):
        import sympy as sp

        beta, c = sp.symbols("beta c", positive=True)
        k = sp.Symbol("k", integer=True, nonnegative=True)
        x, y = sp.symbols("x y", real=True)
        power = sp.Function("c")
        solved = sp.rsolve(power(k + 1) - power(k) * (1 + 1 / beta), power(k), {power(0): 1})
        return {
            "one step multiplies every log-ratio by 1 + 1/beta": (
                sp.expand((c * x + c * x / beta) - (c * y + c * y / beta))
                - sp.expand(c * (1 + 1 / beta) * (x - y))
            ),
            "c_{k+1} = c_k (1 + 1/beta) with c_0 = 1 has the solution (1 + 1/beta)^k": sp.simplify(
                solved - (1 + 1 / beta) ** k
            ),
        }

    def claims(self, case: Case):
        population, beta = case.population, 1 / case.step_size
        start = population.log_probs
        possible = start > -np.inf
        tied = (start[:, :, None] == start[:, None, :]) & possible[:, :, None]
        for k, now in enumerate(
            path(KLProx(beta), case.reward, start, STEPS, no_answer=population.no_answer), start=1
        ):
            power = np.where(possible, start, 0.0) * (1 + 1 / beta) ** k
            power = np.where(possible, power, -np.inf)
            lost = np.finfo(np.float64).eps * -np.where(possible, power, 0.0).min(axis=1, keepdims=True)
            yield Claim.equal(
                f"log pi_{k} is log pi_0 (1+1/beta)^{k}, normalised",
                now,
                power - log_sum(power)[:, None],
                absolute=1e-9 + 8 * lost,
            )
            broken = (tied & (now[:, :, None] != now[:, None, :])).sum(axis=(1, 2))
            yield Claim.equal(f"no exact tie is broken at step {k}", broken, 0.0, absolute=0.0).where(
                tied.sum(axis=(1, 2)) > possible.sum(axis=1)
            )
