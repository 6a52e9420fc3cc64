"""S15: at fixed rewards every update of any size raises the mean reward, whatever the reward: by the Jeffreys
divergence, or at rate Var r.
"""

from __future__ import annotations

import numpy as np

from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.numerics import relative_entropy
from sharpening.theorems.registry import register_theorem
from sharpening.updates import GRPO, KLProx, NaturalGradient, SoftmaxGradient
from sharpening.updates.base import ExactStep


def _mean(log_probs: np.ndarray, rewards: np.ndarray) -> np.ndarray:
    return (np.exp(log_probs) * rewards).sum(axis=1)


@register_theorem
class NoStepTooLong(Theorem):
    """E'[r] - E[r] = beta (KL(pi'||pi) + KL(pi||pi')) for KL-prox; softmax gradient and GRPO never lower E[r]
    either, at any step size.

    Proof for the softmax gradient, any reward, any eta > 0: with d_a = eta pi_a A_a, which sum to 0, and Z =
    sum pi e^d, eta Z (E'[r] - E[r]) = sum d_a e^{d_a} = sum d_a (e^{d_a} - 1) >= 0, each term a product of
    two numbers of one sign. Dividing A by the standard deviation (GRPO) changes only eta.
    """

    name = "S15"
    title = "No step is too long"
    statement = (
        "At fixed rewards, any at all: a KL-prox or natural-gradient step raises the mean reward by beta"
        " times the Jeffreys divergence of the two policies, E'[r] - E[r] = beta (KL(pi'||pi) + KL(pi||pi'));"
        " a softmax-gradient or GRPO step of any size never lowers it. To first order the gains are Var r,"
        " and sum pi² A² for the softmax gradient (Fisher's theorem)."
    )
    source = (
        "here; Fisher's fundamental theorem for the flow; compare Mei et al. 2020, whose proof needs learning"
        " rates below 2/5"
    )
    rewards = ("majority", "trajectory-entropy")
    any_reward = True

    def formula(self):
        import sympy as sp

        gain, beta, forward, back = sp.symbols("Delta_E beta KL_1 KL_2")
        return sp.Eq(gain, beta * (forward + back))

    def derivation(self):
        import sympy as sp

        pi, r = sp.symbols("pi_0:3", positive=True), sp.symbols("r_0:3", real=True)
        eta, d = sp.symbols("eta d", real=True)
        new, total = sp.symbols("q_0:3", positive=True), sp.Symbol("logZ")
        log_ratio = [eta * one - total for one in r]
        jeffreys = sum((q - p) * one for q, p, one in zip(new, pi, log_ratio, strict=True))
        gain = sum((q - p) * one for q, p, one in zip(new, pi, r, strict=True))
        ones = {pi[2]: 1 - pi[0] - pi[1], new[2]: 1 - new[0] - new[1]}
        mean = sum(x * y for x, y in zip(pi, r, strict=True))
        log_moment = sp.log(sum(x * sp.exp(eta * y) for x, y in zip(pi, r, strict=True)))
        variance = sum(x * y**2 for x, y in zip(pi, r, strict=True)) - mean**2
        return {
            "log pi'/pi = eta r - log Z, so KL(pi'||pi) + KL(pi||pi') = sum (pi'-pi) log pi'/pi = eta (E'[r] - E[r])": sp.expand(
                (jeffreys - eta * gain).subs(ones)
            ),
            "the gain's slope at 0 is Var r (3 answers)": sp.simplify(
                (sp.diff(log_moment, eta, 2).subs(eta, 0) - variance).subs(pi[2], 1 - pi[0] - pi[1])
            ),
            "softmax gradient: sum d e^d = sum d (e^d - 1) when the d sum to 0": sp.expand(
                sum(x * sp.exp(x) - x * (sp.exp(x) - 1) for x in (r[0], r[1], -r[0] - r[1]))
            ),
            "and d (e^d - 1) is least at d = 0, where it is 0: it falls before and rises after": (
                sp.diff(d * (sp.exp(d) - 1), d).subs(d, 0)
            ),
        }

    def claims(self, case: Case):
        log_probs, h, own = case.population.log_probs, case.step_size, case.rewards()
        possible = log_probs > -np.inf
        other = np.random.default_rng(log_probs.shape).standard_normal(log_probs.shape)
        for what, fixed in (("the reward", own), ("arbitrary rewards", other)):
            rewards = np.where(
                possible, fixed - np.where(possible, fixed, -np.inf).max(axis=1, keepdims=True), 0.0
            )
            before = _mean(log_probs, rewards)
            scale = np.maximum(1.0, np.abs(rewards).max(axis=1))
            update: ExactStep
            for update in (KLProx(1 / h), NaturalGradient(h)):
                after = np.asarray(update.step(log_probs, fixed))
                gain = h * (_mean(after, rewards) - before)
                jeffreys = relative_entropy(after, log_probs) + relative_entropy(log_probs, after)
                told = f"{update.name} gains beta times the Jeffreys divergence under {what}"
                yield Claim.equal(told, gain / scale, jeffreys / scale, absolute=1e-11, relative=1e-9)
            for update in (SoftmaxGradient(h), GRPO(h), NaturalGradient(h, "group")):
                after = np.asarray(update.step(log_probs, fixed))
                yield Claim.at_most(
                    f"{update.name} does not lower the mean of {what}",
                    before / scale,
                    _mean(after, rewards) / scale,
                    absolute=1e-13,
                )
            advantage = np.where(possible, rewards - before[:, None], 0.0)
            for update, wanted in (
                (NaturalGradient(), (np.exp(log_probs) * advantage**2).sum(axis=1)),
                (SoftmaxGradient(), (np.exp(log_probs) * advantage) ** 2 @ np.ones(log_probs.shape[1])),
            ):
                rate = (np.exp(log_probs) * np.asarray(update.direction(log_probs, fixed)) * advantage).sum(
                    axis=1
                )
                yield Claim.equal(
                    f"dE/dt under {update.name} is its square of advantages for {what}",
                    rate,
                    wanted,
                    absolute=1e-12,
                    relative=1e-9,
                )
