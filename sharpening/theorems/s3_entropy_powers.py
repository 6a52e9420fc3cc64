"""S3: trajectory-entropy reward and KL-prox raise the policy to a growing power."""

from __future__ import annotations

import numpy as np

from sharpening.logspace import log_sum
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.numerics import path
from sharpening.theorems.registry import register_theorem
from sharpening.updates import KLProx

STEPS = 3


@register_theorem
class EntropyPowers(Theorem):
    """pi_k ∝ pi_0^((1 + 1/beta)^k) for r = log pi: log-odds grow geometrically, ties stay ties."""

    name = "S3"
    title = "Trajectory entropy: powers of the prior"
    statement = (
        "Under the reward r = log pi, k KL-prox steps give pi_k ∝ pi_0^((1+1/beta)^k): log-odds grow"
        " geometrically, so mass on a unique mode converges doubly exponentially; exact ties stay ties."
    )
    source = "theory: S3; EM-RL for the reward"
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
            yield Claim.equal(
                f"log pi_{k} is log pi_0 (1+1/beta)^{k}, normalised", now, power - log_sum(power)[:, None]
            )
            broken = (tied & (now[:, :, None] != now[:, None, :])).sum(axis=(1, 2))
            yield Claim.equal(f"no exact tie is broken at step {k}", broken, 0.0, absolute=0.0)
