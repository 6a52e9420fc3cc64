"""S12: at fixed rewards KL-prox and natural gradient are one map, beta = 1/learning rate; softmax gradient is
the same flow times pi.
"""

from __future__ import annotations

import numpy as np

from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.finite_votes import sampled_answers
from sharpening.theorems.registry import register_theorem
from sharpening.updates import KLProx, NaturalGradient, SoftmaxGradient

ROLLOUTS = 6


@register_theorem
class OneMap(Theorem):
    """pi e^{r/beta}/Z = softmax(z + eta (r - mean r)) for eta = 1/beta: a constant per prompt does not move a
    softmax.
    """

    name = "S12"
    title = "KL-prox is the natural gradient"
    statement = (
        "At fixed rewards, the policy that maximises E[r] - beta KL(pi' || pi) is the natural-gradient step"
        " of size eta = 1/beta, for every reward, every policy and every step size, sampled groups included;"
        " both discretise the replicator equation pi' = pi (r - mean r) exactly at fixed rewards: n steps of"
        " size eta are one of size n eta. The softmax gradient is the same direction times pi."
    )
    source = "proved here, update rules"
    rewards = ("majority", "trajectory-entropy")
    any_reward = True

    def formula(self):
        import sympy as sp

        pi, r, mean, eta, total = sp.symbols("pi_a r_a rbar eta Z", positive=True)
        return sp.Eq(
            pi * sp.exp(eta * r) / total,
            pi * sp.exp(eta * (r - mean)) / (total * sp.exp(-eta * mean)),
            evaluate=False,
        )

    def derivation(self):
        import sympy as sp

        pi, r = sp.symbols("pi_0:3", positive=True), sp.symbols("r_0:3", real=True)
        eta, t = sp.symbols("eta t", positive=True)
        mean = sum(x * y for x, y in zip(pi, r, strict=True))
        prox = pi[0] * sp.exp(eta * r[0]) / sum(x * sp.exp(eta * y) for x, y in zip(pi, r, strict=True))
        natural = (
            pi[0]
            * sp.exp(eta * (r[0] - mean))
            / sum(x * sp.exp(eta * (y - mean)) for x, y in zip(pi, r, strict=True))
        )
        slope = sp.diff(prox, eta).subs(eta, 0)
        ratio = lambda size: pi[0] * sp.exp(size * r[0]) / (pi[1] * sp.exp(size * r[1]))  # noqa: E731
        return {
            "the two steps are equal (3 answers)": prox / natural - 1,
            "at eta = 0 both move by pi (r - mean r), pi summing to 1": sp.simplify(
                slope.subs(pi[2], 1 - pi[0] - pi[1]) - (pi[0] * (r[0] - mean)).subs(pi[2], 1 - pi[0] - pi[1])
            ),
            "a step of size eta + t is one of size eta, then one of size t: log-ratios add": (
                (ratio(eta + t) / ratio(eta)).rewrite(sp.exp) - sp.exp(t * (r[0] - r[1]))
            ),
        }

    def claims(self, case: Case):
        log_probs, h, rewards = case.population.log_probs, case.step_size, case.rewards()
        answers = sampled_answers(log_probs, ROLLOUTS)
        other = np.random.default_rng(log_probs.shape).standard_normal(log_probs.shape)
        for what, fixed in (("the reward", rewards), ("arbitrary rewards", other)):
            prox = np.asarray(KLProx(1 / h).step(log_probs, fixed))
            scale = np.maximum(1.0, h * np.ptp(fixed, axis=1))[:, None]
            slack = dict(absolute=1e-12, relative=1e-12)
            natural = np.asarray(NaturalGradient(h).step(log_probs, fixed))
            yield Claim.equal(f"one step is the same under {what}", natural / scale, prox / scale, **slack)
            half = np.asarray(KLProx(2 / h).step(log_probs, fixed))
            twice = np.asarray(KLProx(2 / h).step(half, fixed))
            yield Claim.equal(f"two half steps are one under {what}", twice / scale, prox / scale, **slack)
            softmax = np.asarray(SoftmaxGradient().direction(log_probs, fixed))
            times_pi = np.exp(log_probs) * np.asarray(NaturalGradient().direction(log_probs, fixed))
            yield Claim.equal(
                f"softmax gradient is pi times it under {what}", softmax, times_pi, absolute=1e-12
            )
            group = np.take_along_axis(fixed, answers, axis=1)
            sampled = [
                np.asarray(update.group_direction(log_probs, answers, group))
                for update in (KLProx(), NaturalGradient())
            ]
            yield Claim.equal(f"and from sampled groups under {what}", *sampled, **slack)
