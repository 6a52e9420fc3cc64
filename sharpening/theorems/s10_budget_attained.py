"""S10: the KL budget is attained in the limit, and m tied modes have a smaller one: -log(m max pi_0)."""

from __future__ import annotations

import numpy as np

from sharpening.logspace import log_logistic, log_mass, log_odds, logistic
from sharpening.theorems.assumptions import HAS_LEADER
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.numerics import path, relative_entropy
from sharpening.theorems.registry import register_theorem
from sharpening.updates import GRPO, KLProx, SoftmaxGradient

STEPS, NEGLIGIBLE = 3, 45.0  # e^-45 is below float64's resolution of 1


def unspent(log_odds_now: np.ndarray, log_odds_start: np.ndarray) -> np.ndarray:
    """Budget minus KL at mass P = logistic(now) on the leaders, P_0 at the start: h(P) - (1-P) logit P_0,
    nats, h binary entropy.

    Written as log(1 + e^-L) + (1-P)(L - L_0), L the log-odds now: it is O((1-P) log 1/(1-P)), and no digits
    cancel near P = 1.
    """
    rest = logistic(-log_odds_now)
    with np.errstate(invalid="ignore"):
        return -log_logistic(log_odds_now) + np.where(rest > 0, rest * (log_odds_now - log_odds_start), 0.0)


@register_theorem
class BudgetAttained(Theorem):
    """Along S1's law KL = d(P_t || P_0), which rises to -log P_0; with m tied modes P_0 = m pi_0(mode), and
    no comonotone path spends more.

    Proof of the bound with ties: equal masses earn equal rewards, so the m modes stay equal (S14) and each
    holds at most 1/m; the likelihood ratio is largest at the modes (S9), so it is at most (1/m)/pi_0(mode),
    and KL, its mean logarithm, at most -log(m pi_0(mode)).
    """

    name = "S10"
    title = "The budget is exact"
    statement = (
        "Under the majority reward and KL-prox, KL(pi_t || pi_0) = d(P_t || P_0), the binary divergence of"
        " the leaders' mass: it rises to -log P_0, so for a unique mode the supremum over sharpening is S9's"
        " budget exactly, with every smaller value passed on the way. With m exactly tied modes it is -log(m"
        " pi_0(mode)), log m nats less, and no comonotone path exceeds that."
    )
    source = "proved here, its tightness"
    assumptions = (HAS_LEADER,)

    def formula(self):
        import sympy as sp

        p, p0 = sp.symbols("P_t P_0", positive=True)
        return sp.Eq(sp.Symbol("KL"), p * sp.log(p / p0) + (1 - p) * sp.log((1 - p) / (1 - p0)))

    def derivation(self):
        import sympy as sp

        p, p0, share = sp.symbols("P P_0 s", positive=True)
        kl = p * sp.log(p / p0) + (1 - p) * sp.log((1 - p) / (1 - p0))
        gap = -p * sp.log(p) - (1 - p) * sp.log(1 - p) - (1 - p) * sp.log(p0 / (1 - p0))
        term = p * share * sp.log((p * share) / (p0 * share))
        return {
            "inside the leaders, and outside, all ratios stay, so each answer adds its share of the binary divergence": sp.simplify(
                term - share * p * sp.log(p / p0)
            ),
            "it rises in P above P_0: its slope is logit P - logit P_0": sp.expand_log(
                sp.diff(kl, p) - sp.log(p / p0) + sp.log((1 - p) / (1 - p0)), force=True
            ),
            "the limit is -log P_0": sp.expand_log(sp.limit(kl, p, 1, "-") + sp.log(p0), force=True),
            "budget minus KL is h(P) - (1-P) logit P_0": sp.simplify(
                sp.expand_log(-sp.log(p0) - kl - gap, force=True)
            ),
        }

    def claims(self, case: Case):
        population, h = case.population, case.step_size
        start, leaders = population.log_probs, population.leaders
        labels = dict(correct=population.correct, no_answer=population.no_answer)
        with np.errstate(invalid="ignore"):
            odds, budget = log_odds(start, leaders), -log_mass(start, leaders)
            for k, now in enumerate(path(KLProx(1 / h), case.reward, start, STEPS, **labels), start=1):
                left = np.where(odds < np.inf, unspent(log_odds(now, leaders), odds), 0.0)
                yield Claim.equal(
                    f"KL at step {k} is d(P_t || P_0)",
                    relative_entropy(now, start) + left,
                    budget,
                    absolute=1e-9,
                )
        away = np.where(case.applies & np.isfinite(odds), odds, 0.0)
        total = float((leaders.sum(axis=1) * (NEGLIGIBLE - away))[case.applies].max(initial=NEGLIGIBLE))
        *_, end = path(KLProx(STEPS / total), case.reward, start, STEPS, **labels)
        yield Claim.equal("at consensus KL is -log P_0", relative_entropy(end, start), budget, absolute=1e-9)
        top = start.max(axis=1, keepdims=True)
        sharpening = population.votable.max(axis=1) == top[:, 0]
        tied = np.log((start == top).sum(axis=1)) + top[:, 0]
        for update in (SoftmaxGradient(h), GRPO(h)):
            *_, end = path(update, case.reward, start, STEPS, **labels)
            spent = np.where(
                sharpening & (leaders.sum(axis=1) == (start == top).sum(axis=1)),
                relative_entropy(end, start),
                0.0,
            )
            yield Claim.at_most(f"{update.name} stays within -log(m max pi_0)", spent, -tied, absolute=1e-9)
