"""S9: sharpening spends at most the prior's min-entropy: KL(pi_t || pi_0) <= -log max pi_0."""

from __future__ import annotations

import numpy as np

from sharpening.rewards.asking import exact_rewards
from sharpening.theorems.assumptions import COMONOTONE, comonotone_rows
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.numerics import relative_entropy
from sharpening.theorems.registry import register_theorem
from sharpening.updates import GRPO, KLProx, NaturalGradient, SoftmaxGradient

STEPS = 3


@register_theorem
class KLBudget(Theorem):
    """If every step is comonotone, the likelihood ratio is largest at the mode, and at most 1/pi_0(mode)."""

    name = "S9"
    title = "KL budget"
    statement = (
        "As long as every step is comonotone, KL(pi_t || pi_0) <= -log max pi_0 for KL-prox, natural"
        " gradient, softmax gradient and GRPO: a prompt whose KL exceeds its prior's min-entropy has left"
        " sharpening, and no label is needed to say so."
    )
    source = "proved here"
    assumptions = (COMONOTONE,)
    rewards = ("majority", "trajectory-entropy")
    any_reward = True

    def formula(self):
        import sympy as sp

        return sp.Le(sp.Symbol("KL"), -sp.log(sp.Symbol("p_0", positive=True)))  # p_0 = max pi_0

    def derivation(self):
        import sympy as sp

        p, p0 = sp.symbols("p p_0", positive=True)
        pi, ratio = sp.symbols("pi_0:3", positive=True), sp.symbols("L_0:3", real=True)
        gap = ratio[0] - sum(x * y for x, y in zip(pi, ratio, strict=True))
        kl = p * sp.log(p / p0) + (1 - p) * sp.log((1 - p) / (1 - p0))
        return {
            "the largest log-ratio L_0 exceeds KL = sum pi L by sum pi (L_0 - L) >= 0 (3 answers)": sp.expand(
                gap.subs(pi[0], 1 - pi[1] - pi[2])
                - pi[1] * (ratio[0] - ratio[1])
                - pi[2] * (ratio[0] - ratio[2])
            ),
            "the bound is tight: KL tends to -log p_0 at consensus (2 answers)": sp.expand_log(
                sp.limit(kl, p, 1, "-") + sp.log(p0), force=True
            ),
        }

    def claims(self, case: Case):
        population, h = case.population, case.step_size
        start, budget = population.log_probs, -population.log_probs.max(axis=1)
        for update in (KLProx(1 / h), NaturalGradient(h), SoftmaxGradient(h), GRPO(h)):
            sharpening, now = np.ones(len(start), dtype=bool), start
            for k in range(1, STEPS + 1):
                rewards = np.asarray(
                    exact_rewards(case.reward, now, population.correct, no_answer=population.no_answer)
                )
                sharpening &= comonotone_rows(now, rewards)
                now = np.asarray(update.step(now, rewards))
                spent = np.where(sharpening, relative_entropy(now, start), 0.0)
                yield Claim.at_most(
                    f"KL at step {k} of {update.name} is within the budget", spent, budget, absolute=1e-9
                ).where(sharpening)
