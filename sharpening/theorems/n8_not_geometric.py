"""N8: 'the majority's mass converges geometrically' is KL-prox's law, not the policy gradient's: there the
rate tends to 1.
"""

from __future__ import annotations

import numpy as np

from sharpening.logspace import log_mass, log_odds
from sharpening.theorems.assumptions import UNIQUE_MODE
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.numerics import path
from sharpening.theorems.registry import register_theorem
from sharpening.updates import GRPO, KLProx, SoftmaxGradient

STEPS = 4


def _log_add(*terms) -> np.ndarray:
    return np.logaddexp.reduce(np.broadcast_arrays(*terms), axis=0)


@register_theorem
class NotGeometric(Theorem):
    """A softmax-gradient step adds at most 2 eta p(1-p) to the log-odds, a GRPO step 2 eta sqrt(p(1-p)): less
    and less near consensus.

    Proof, any number of answers, majority reward 1 at the mode m. Delta z_m = eta p(1-p); Delta z_b = -eta
    pi_b p >= -eta p(1-p). The log-odds of m change by Delta z_m minus the log of the others' mean of e^(Delta
    z_b), so by at most 2 eta p(1-p); GRPO divides Delta by sqrt(p(1-p)) or more. With y = 1/(1-p): y' <= y
    e^(2 eta/y) <= y + 2 eta e^(2 eta), since e^x <= 1 + x e^x and y >= 1; for GRPO the same with sqrt(y') <=
    sqrt(y) e^(eta/sqrt(y)) <= sqrt(y) + eta e^eta. Summed over k steps these are the bounds.
    """

    name = "N8"
    title = "Counterexample: policy gradient does not converge geometrically"
    statement = (
        "'The majority's mass tends to 1 geometrically, at rate e^(-1/beta)' holds for KL-prox only. Under"
        " the softmax gradient 1 - p_k >= 1/(1/(1-p_0) + 2 eta k e^(2 eta)), under GRPO 1 - p_k >="
        " 1/(1/sqrt(1-p_0) + eta k e^eta)²: for any number of answers and any step size the ratio of"
        " successive 1 - p_k tends to 1."
    )
    source = "against He et al. 2026, Theorem 1, applied to GRPO; proved here for two answers"
    assumptions = (UNIQUE_MODE,)

    def formula(self):
        import sympy as sp

        pk, p0, k, eta = sp.symbols("p_k p_0 k eta", positive=True)
        return sp.Ge(1 - pk, 1 / (1 / (1 - p0) + 2 * eta * k * sp.exp(2 * eta)))

    def derivation(self):
        import sympy as sp

        p, share, eta, x, y = sp.symbols("p s eta x y", positive=True)
        top = eta * p * (1 - p)
        loser = eta * share * (1 - p) * (0 - p)
        slack = 1 + x * sp.exp(x) - sp.exp(x)
        return {
            "a loser with share s of the rest moves by -s eta p(1-p), s <= 1": sp.expand(loser + share * top),
            "GRPO's 2 eta p(1-p)/std is 2 eta sqrt(p(1-p))": (
                2 * top / sp.sqrt(p * (1 - p)) - 2 * eta * sp.sqrt(p * (1 - p))
            ),
            "1 + x e^x - e^x is 0 at 0": slack.subs(x, 0),
            "and rises: its slope is x e^x": sp.diff(slack, x) - x * sp.exp(x),
            "y e^(2 eta/y) <= y (1 + (2 eta/y) e^(2 eta/y)) = y + 2 eta e^(2 eta/y)": sp.expand(
                y * (1 + 2 * eta / y * sp.exp(2 * eta / y)) - y - 2 * eta * sp.exp(2 * eta / y)
            ),
        }

    def claims(self, case: Case):
        population, h = case.population, case.step_size
        start, mode = population.log_probs, population.leaders
        rest = np.where(case.applies, log_mass(start, ~mode), np.log(0.5))
        silent = dict(no_answer=population.no_answer)
        for update, power in ((SoftmaxGradient(h), 1), (GRPO(h), 2)):
            before = start
            for k, now in enumerate(path(update, case.reward, start, STEPS, **silent), start=1):
                left, had = log_mass(now, ~mode), log_mass(before, ~mode)
                ceiling = np.log(2 * h) + (log_mass(before, mode) + had) / power
                with np.errstate(invalid="ignore"):
                    gain = np.where(had > -np.inf, log_odds(now, mode) - log_odds(before, mode), 0.0)
                yield Claim.at_most(
                    f"step {k} of {update.name} adds little to the log-odds",
                    gain,
                    np.exp(ceiling),
                    absolute=1e-9,
                )
                bound = -power * _log_add(
                    -rest / power, np.log((2 if power == 1 else 1) * h * k) + 2 * h / power
                )
                yield Claim.at_most(
                    f"1 - p after {k} steps of {update.name} is not geometric", bound, left, absolute=1e-9
                )
                before = now
        *_, now = path(KLProx(1 / h), case.reward, start, STEPS, **silent)
        with np.errstate(invalid="ignore"):
            ceiling = np.where(rest > -np.inf, rest - log_mass(start, mode) - STEPS * h, -np.inf)
        yield Claim.at_most(
            f"while KL-prox is below e^(-k/beta) (1-p_0)/p_0, k = {STEPS}",
            log_mass(now, ~mode),
            ceiling,
            absolute=1e-9,
        )
