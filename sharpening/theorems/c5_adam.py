"""C5: Adam keeps drifting where SGD stops: near consensus the gradient fades, and Adam rescales it."""

from __future__ import annotations

import numpy as np

from sharpening.logspace import log_odds, normalised
from sharpening.simulation.vote_path import adam_factors
from sharpening.theorems.assumptions import UNIQUE_MODE
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.constructed import two_answers
from sharpening.theorems.coupled import FULL_SUPPORT, RIVAL
from sharpening.theorems.registry import register_theorem
from sharpening.updates import GRPO, SoftmaxGradient

BETA2, STEPS, LONG = 0.9, 3, 200
RATES, POWERS = (0.999, 0.99, 0.8), (2.0, 3.0)  # of geometric and of power-law decay


@register_theorem
class AdamDrift(Theorem):
    """Drift per step sqrt(S_0 S_t/v_t): it dies only if the gradient dies faster than Adam forgets."""

    name = "C5"
    title = "Adam keeps drifting"
    statement = (
        "Scalar Adam without momentum multiplies the direction of step t by sqrt(S_0/v_t), S its mean square"
        " and v the bias-corrected running mean: the rms drift, relative to the first step, is rho_t ="
        " sqrt(S_t/v_t). It is at most 1 while S falls, and Adam moves at least as far as SGD, which moves"
        " sqrt(S_t/S_0). If S_t = S_0 r^(2t) with r² > beta_2, rho tends to sqrt((1 - beta_2/r²)/(1-beta_2))"
        " > 0: the total drift grows without end, linear in t, where SGD's stops at 1/(1-r) first steps. If"
        " r² < beta_2 rho falls as (r/sqrt(beta_2))^t, still slower than r^t. Consensus by softmax gradient"
        " or GRPO dies as a power of t, slower than any r^t: rho_t tends to 1, as 1 - k/(2(1-beta_2)t) for S"
        " ~ t^(-k)."
    )
    source = "proved here; Kingma and Ba 2015 for the optimizer"
    assumptions = (UNIQUE_MODE, RIVAL, FULL_SUPPORT)

    def formula(self):
        import sympy as sp

        b, r = sp.symbols("beta_2 r", positive=True)
        return sp.Eq(
            sp.Limit(sp.Function("rho")(sp.Symbol("t")), sp.Symbol("t"), sp.oo),
            sp.sqrt((1 - b / r**2) / (1 - b)),
        )

    def derivation(self):
        import sympy as sp

        b, x = sp.symbols("beta_2 x", positive=True)  # x = r²
        t, i = sp.symbols("t i", integer=True, positive=True)
        closed = (1 - b) * (x ** (t + 1) - b ** (t + 1)) / (x - b)
        step = b * closed + (1 - b) * x ** (t + 1)
        ratio = sp.Rational(9, 10)  # beta_2/r² < 1
        k, m = sp.symbols("k m", positive=True)
        e = sp.Symbol("e", positive=True)  # 1/t
        lag = 1 / (1 - e * m) ** k  # S_(t-m)/S_t for S ~ t^(-k)
        return {
            "v's sum of a geometric S: the closed form obeys v_(t+1) = beta_2 v_t + (1-beta_2) S_(t+1)": (
                sp.simplify(sp.expand(step - closed.subs(t, t + 1), power_exp=True))
            ),
            "r² > beta_2: S_t/v_t tends to (1 - beta_2/r²)/(1-beta_2), at beta_2/r² = 9/10": sp.simplify(
                1 / sp.limit((1 - b) * (1 - ratio ** (t + 1)) / (1 - ratio), t, sp.oo) - (1 - ratio) / (1 - b)
            ),
            "a constant S gives factor 1: the weights (1-beta_2) beta_2^m sum to 1": (
                sp.summation((1 - b) * b**i, (i, 0, sp.oo)).subs(b, sp.Rational(1, 2)) - 1
            ),
            "a power law: the mean of S_(t-m)/S_t is 1 + k E[m]/t + ..., E[m] = beta_2/(1-beta_2)": (
                sp.series(lag, e, 0, 2).removeO() - (1 + k * m * e)
            ),
        }

    def constructed(self, rng):
        return two_answers(rng)

    def claims(self, case: Case):
        for update in (SoftmaxGradient(), GRPO(1.0, "group", 0.0)):
            sgd, adam, squares, factors = self._run(case, update)
            falling = (np.diff(squares, axis=1) <= 0).all(axis=1) & (squares[:, 0] > 1e-250)
            two = (case.population.log_probs > -np.inf).sum(axis=1) == 2
            yield Claim.at_most(
                f"{update.name}: while the gradient falls the drift is at most the first step's",
                np.where(falling, np.sqrt(squares[:, -1]) * factors[:, -1], 0.0),
                np.sqrt(squares[:, 0]),
            ).where(falling)
            yield Claim.at_most(
                f"{update.name}: and at least SGD's", np.where(falling, 1.0, factors[:, -1]), factors[:, -1]
            ).where(falling)
            yield Claim.at_most(
                f"{update.name}: Adam is never behind SGD",
                np.where(falling & two, sgd, adam),
                adam,
                absolute=1e-9,
            ).where(falling & two)
        decays = np.stack(
            [rate ** np.arange(LONG) for rate in RATES]
            + [np.arange(1.0, LONG + 1) ** (-k / 2) for k in POWERS]
        )
        drifts = adam_factors(decays**2, BETA2) * decays
        yield Claim.at_most(
            "never more than the first step, never less than SGD",
            max(drifts.max() - 1, (decays - drifts).max()),
            0.0,
        ).about_constants()
        for r, rho in zip(RATES, drifts, strict=False):
            if r**2 > BETA2:
                wanted = np.sqrt((1 - BETA2 / r**2) / (1 - BETA2))
                yield Claim.equal(
                    f"geometric decay r = {r}: rho tends to sqrt((1 - beta_2/r²)/(1-beta_2))",
                    rho[-1],
                    wanted,
                    absolute=1e-6,
                ).about_constants()
            else:
                wanted = r / np.sqrt(BETA2)
                yield Claim.equal(
                    f"r = {r} < sqrt(beta_2): rho falls as r/sqrt(beta_2)",
                    rho[-1] / rho[-2],
                    wanted,
                    absolute=1e-6,
                ).about_constants()
        # mean and mean square of the memory
        lag, lag2 = BETA2 / (1 - BETA2), BETA2 * (1 + BETA2) / (1 - BETA2) ** 2
        for k, rho in zip(POWERS, drifts[len(RATES) :], strict=True):
            second = 3 / 8 * (k * lag) ** 2 - k * (k + 1) / 4 * lag2
            wanted = 1 - k * lag / (2 * LONG) + second / LONG**2
            yield Claim.equal(
                f"power law t^-{k:g}: rho = 1 - k beta_2/(2(1-beta_2)t) + O(1/t²)",
                rho[-1],
                wanted,
                absolute=3e-3,
            ).about_constants()

    def _run(self, case: Case, update):
        """Log-odds of the mode under SGD and under scalar Adam, each prompt on its own, after STEPS steps;
        Adam's mean squares and factors.
        """
        start, leaders, h = case.population.log_probs, case.population.leaders, min(case.step_size, 1.0)
        ends, squares, factors = [], [], None
        for adam in (False, True):
            now = start
            for _ in range(STEPS):
                rewards = np.asarray(case.reward.exact(now, no_answer=case.population.no_answer))
                direction = np.asarray(update.direction(now, rewards))
                if adam:
                    squares.append((direction**2).mean(axis=1))
                    factors = adam_factors(np.stack(squares, axis=1), BETA2)
                    direction = factors[:, -1:] * direction
                now = normalised(now + h * direction)
            ends.append(log_odds(now, leaders))
        return *ends, np.stack(squares, axis=1), factors
