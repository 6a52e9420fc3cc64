"""X6: the gate: verify a prompt only while no answer holds a share of at least gamma, then let the vote
finish.
"""

from __future__ import annotations

import numpy as np

from sharpening.logspace import log_mass, normalised
from sharpening.rewards import MajorityReward
from sharpening.rewards.hybrid import HybridReward
from sharpening.theorems.assumptions import LABELLED, ONE_CORRECT, UNIQUE_MODE
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.registry import register_theorem
from sharpening.theorems.x1_noisy_verifier import ALWAYS_ANSWERS, OPEN
from sharpening.updates import KLProx
from sharpening.verification.thresholds import gated_steps

GATES, RATES, STEPS = (0.55, 0.9), (0.9, 0.4), 8


@register_theorem
class Gate(Theorem):
    """A wrong mode below the gate is corrected, at a finite number of calls; one above it is never looked
    at.
    """

    name = "X6"
    title = "The gate"
    statement = (
        "Reward a prompt by the verifier (J > 0) while its majority answer has mass below gamma >= 1/2, by"
        " the vote once it has more (KL-prox, one correct answer). Then a prompt ends right iff it is aligned"
        " or its wrong mode starts below gamma: Accuracy(inf) = alpha + P(misaligned, pi_m < gamma). It is"
        " verified for exactly ceil(beta (logit gamma - logit pi_c)/J) steps, for ever after never: the cost"
        " stays bounded, where X2's uniform share pays at every step. Every prompt with a reachable truth is"
        " kept on the right side iff gamma exceeds the mass of the most confident wrong mode."
    )
    source = "proved here, gating rule"
    assumptions = (LABELLED, ONE_CORRECT, UNIQUE_MODE, OPEN, ALWAYS_ANSWERS)

    def formula(self):
        import sympy as sp

        c, gamma, j, beta = sp.symbols("pi_c gamma J beta", positive=True)
        logit = lambda x: sp.log(x / (1 - x))  # noqa: E731
        return sp.Eq(sp.Symbol("steps"), sp.ceiling(beta * (logit(gamma) - logit(c)) / j))

    def derivation(self):
        import sympy as sp

        c, h, j, wrong = sp.symbols("pi_c h J pi_w", positive=True)
        k = sp.Symbol("k", positive=True)
        gamma = sp.Symbol("gamma", positive=True)
        odds = c / (1 - c) * sp.exp(k * h * j)
        needed = sp.log(gamma / (1 - gamma) * (1 - c) / c) / (h * j)
        return {
            "verified, the truth's odds grow by exp(hJ) a step and reach gamma/(1-gamma) at k = (logit gamma - logit pi_c)/(hJ)": sp.simplify(
                odds.subs(k, needed) - gamma / (1 - gamma)
            ),
            "and every wrong answer shrinks: its mass is pi_w/(1-pi_c) of what is left, 1/(1+odds)": sp.simplify(
                wrong / (1 - c) / (1 + odds) - wrong / (1 - c + c * sp.exp(k * h * j))
            ),
        }

    def claims(self, case: Case):
        population = case.population
        start, correct, leaders = population.log_probs, population.labels, population.leaders
        tpr, fpr = RATES
        j = tpr - fpr
        aligned, top = (leaders & correct).any(axis=1), np.exp(start.max(axis=1))
        with np.errstate(invalid="ignore"):
            logit = np.where(case.applies, log_mass(start, correct) - log_mass(start, ~correct), 0.0)
        depth = 20.0 - float(logit.min())
        h = depth / (j * (STEPS - 2))
        for gate in GATES:
            now, verified = start, np.zeros(len(start))
            for _ in range(STEPS):
                checked = np.exp(now.max(axis=1)) < gate
                verified += checked
                now = _gated_step(now, correct, checked, tpr, fpr, h)
            needed = gated_steps(logit, gate, tpr, fpr, beta=1 / h)
            spared = top >= gate
            told = f"(gate {gate})"
            near = np.abs((np.log(gate / (1 - gate)) - logit) / (h * j) % 1.0 - 0.5) > 0.5 - 1e-9
            yield Claim.equal(
                f"verified steps are ceil(beta (logit gamma - logit pi_c)/J) {told}",
                np.where(near, 0, verified),
                np.where(near | spared, 0, needed),
            ).where(~near & ~spared)
            rescued = aligned | ~spared
            end = normalised(now + 4 * depth * (now == now.max(axis=1, keepdims=True)))
            yield Claim.equal(
                f"right in the end iff aligned or below the gate {told}",
                np.exp(log_mass(end, correct)),
                rescued.astype(float),
                absolute=1e-6,
            ).iff(rescued)


def _gated_step(now, correct, checked, tpr, fpr, h) -> np.ndarray:
    rewards = np.where(
        checked[:, None],
        np.asarray(HybridReward(tpr, fpr, 0.0).exact(now, correct)),
        np.asarray(MajorityReward().exact(now)),
    )
    return np.asarray(KLProx(1 / h).step(now, rewards))
