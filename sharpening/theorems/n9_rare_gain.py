"""N9: 'sampling only adds noise' is false: a sampled KL-prox step lifts, on average, the answers that nobody
gives.
"""

from __future__ import annotations

import numpy as np

from sharpening.theorems.assumptions import HAS_LEADER
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.finite_votes import group_directions, group_weights, log_binomials
from sharpening.theorems.registry import register_theorem
from sharpening.updates import GRPO, KLProx, NaturalGradient, SoftmaxGradient

GROUPS, RAREST = (3, 8), 1e-3


def tied_pair(log_probs: np.ndarray) -> np.ndarray:
    """Policies ((1-e)/2, (1-e)/2, e), log, (prompts, 3), with e the prompt's smallest mass > 0, at most
    RAREST.
    """
    least = np.where(log_probs > -np.inf, log_probs, 0.0).min(axis=1)
    rare = np.minimum(least, np.log(RAREST))
    pair = np.log1p(-np.exp(rare)) - np.log(2)
    return np.stack([pair, pair, rare], axis=1)


def mean_excess(rollouts: int) -> float:
    """E[M - 1/2] over groups from (1/2, 1/2) that neither agree nor tie, times their chance; M the larger
    share: what each leader loses.
    """
    votes = np.arange(rollouts + 1)
    share = np.maximum(votes, rollouts - votes) / rollouts
    return float(
        (np.exp(log_binomials(rollouts)) / 2**rollouts * np.where(share < 1, share - 0.5, 0.0)).sum()
    )


@register_theorem
class RareGain(Theorem):
    """Leaders that are sampled are compared with each other, (s - M) with mean < 0; an answer that nobody
    gave keeps its logit.
    """

    name = "N9"
    title = "Counterexample: sampling can flatten"
    statement = (
        "'Finite groups add noise, not bias' is false for sampled KL-prox and natural-gradient steps that"
        " move only the answers drawn. From two tied leaders and an answer of mass e the log-odds of the rare"
        " answer against either leader rise on average by E[M - 1/2; mixed groups] > 0 per unit step (1/8 for"
        " N = 3), up to 2 N e: the tail gains, though infinitely many rollouts would leave it falling. The"
        " softmax gradient and GRPO have no such bias (F4)."
    )
    source = "proved here"
    assumptions = (HAS_LEADER,)

    def formula(self):
        import sympy as sp

        return sp.Eq(sp.Symbol("Delta"), sp.Function("E")(sp.Symbol("M") - sp.Rational(1, 2)))

    def derivation(self):
        import sympy as sp

        n = 3
        win, lose = 1 - sp.Rational(2, 3), -sp.Rational(2, 3)
        mean = (sp.binomial(n, 2) * win + sp.binomial(n, 1) * lose) / 2**n
        top = sp.Symbol("M", positive=True)
        return {
            "3 rollouts, the two leaders: 3/8 (1/3) - 3/8 (2/3) = -1/8": mean + sp.Rational(1, 8),
            "a mixed group gives its winner 1 - M and its loser -M, on average 1/2 - M < 0": (
                ((1 - top) - top) / 2 - (sp.Rational(1, 2) - top)
            ),
        }

    def claims(self, case: Case):
        policies = tied_pair(case.population.log_probs)
        rare = np.exp(policies[:, 2])
        for n in GROUPS:
            weights = group_weights(policies, n)
            for update in (KLProx(), NaturalGradient(), SoftmaxGradient(), GRPO()):
                drift = weights @ group_directions(update, case.reward, policies[0], n)
                gain = drift[:, 2] - drift[:, 0]
                told = f"{update.name} from {n} rollouts"
                if update.name in ("kl_prox", "natural_gradient"):
                    bias = np.abs(gain - mean_excess(n))
                    yield Claim.at_most(
                        f"{told}: the rare answer gains E[M - 1/2] on the leaders",
                        bias,
                        2 * n * rare,
                        absolute=1e-12,
                    )
                else:
                    yield Claim.at_most(f"{told}: it does not", gain, 0.0, absolute=1e-15)
                yield Claim.equal(f"{told}: the leaders stay level", drift[:, 0], drift[:, 1], absolute=1e-12)
