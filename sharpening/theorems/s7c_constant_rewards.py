"""S7c: as rewards on one-token answers, self-certainty and token entropy are the same for every sample, so
they move nothing.
"""

from __future__ import annotations

import numpy as np

from sharpening.logspace import normalised
from sharpening.rewards.tokens import TokenStatistics
from sharpening.theorems.assumptions import HAS_LEADER
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.finite_votes import sampled_answers
from sharpening.theorems.registry import register_theorem
from sharpening.theorems.s7a_self_certainty import self_certainty
from sharpening.updates import GRPO, KLProx, NaturalGradient, SoftmaxGradient

ROLLOUTS = 8


def second_token_rewards(log_probs: np.ndarray) -> np.ndarray:
    """Mean self-certainty of two tokens, (prompts, first tokens): after first token a, the policy is raised
    to the power 1 + a.
    """
    possible = np.maximum(log_probs, -700.0)
    powers = 1.0 + np.arange(log_probs.shape[1])[:, None]
    second = self_certainty(normalised(possible[:, None, :] * powers))
    return (self_certainty(normalised(possible))[:, None] + second) / 2


@register_theorem
class ConstantRewards(Theorem):
    """r_i = KL(uniform || pi) or -H(pi) for every rollout i: A_i = 0. They act only through sequences, on
    where the rest is certain.

    Without a baseline the mean motion is r E[grad log pi] = 0 too: what is left is noise of size r. On a tree
    of two tokens the reward of the first token is, up to a constant, the certainty of what follows it,
    whatever its own probability.
    """

    name = "S7c"
    title = "Constant as rewards on one token"
    statement = (
        "Self-certainty and token entropy read the next-token distribution, not the token drawn from it: as"
        " rewards on one-token answers they are equal for all samples, so with any baseline KL-prox, natural"
        " gradient, softmax gradient and GRPO do not move at all. On sequences they do: a first token gains"
        " when what follows it is more certain, also against the mode."
    )
    source = "proved here"
    assumptions = (HAS_LEADER,)
    rewards = ("self-certainty", "token-entropy")

    def formula(self):
        import sympy as sp

        i, n = sp.symbols("i N", integer=True, positive=True)
        reward = sp.Symbol("r")
        return sp.Eq(reward - sp.Sum(reward, (i, 1, n)) / n, 0, evaluate=False)

    def derivation(self):
        import sympy as sp

        z, r = sp.symbols("z_0:3", real=True), sp.Symbol("r", real=True)
        total = sum(sp.exp(one) for one in z)
        log_probs = [one - sp.log(total) for one in z]
        mean = sum(sp.exp(one) * r * sp.diff(one, z[0]) for one in log_probs)
        c, x = sp.symbols("c x", positive=True)
        scale = sp.log((sp.exp(c * x) + 1) / 2) - c * x / 2
        return {
            "without a baseline the mean motion of a constant reward is 0 (3 answers)": mean,
            "self-certainty of pi^c grows with c: its slope is (x/2) tanh(c x/2) for two answers x nats apart": (
                (sp.diff(scale, c) - x / 2 * sp.tanh(c * x / 2)).rewrite(sp.exp)
            ),
        }

    def claims(self, case: Case):
        log_probs, h = case.population.log_probs, case.step_size
        answers = sampled_answers(log_probs, ROLLOUTS)
        exact = case.rewards()
        group = np.asarray(
            case.reward.group(answers, tokens=TokenStatistics.of_categorical(log_probs, answers))
        )
        yield Claim.equal("the reward is the same for every answer", np.ptp(exact, axis=1), 0.0)
        for update in (KLProx(1 / h), NaturalGradient(h), SoftmaxGradient(h), GRPO(h)):
            after = np.asarray(update.step(log_probs, exact))
            told = f"it moves nothing under {update.name}"
            yield Claim.equal(told, np.exp(after), np.exp(log_probs), absolute=1e-14, relative=0.0)
            sampled = np.asarray(update.group_direction(log_probs, answers, group))
            yield Claim.equal(
                f"{told}, sampled", np.where(log_probs > -np.inf, sampled, 0.0), 0.0, absolute=1e-10
            )
        if case.reward.name != "self-certainty":
            return
        rewards = second_token_rewards(log_probs)
        direction = np.asarray(NaturalGradient(h).direction(np.maximum(log_probs, -700.0), rewards))
        yield Claim.at_most(
            "of two first tokens the one with the more certain sequel gains",
            direction[:, :-1],
            direction[:, 1:],
        )
        uneven = np.ptp(np.maximum(log_probs, -700.0), axis=1) > 1e-3
        gain = np.where(uneven, direction[:, -1] - direction[:, 0], 1.0)
        yield Claim.at_most("and strictly so unless the policy is uniform", 1e-12, gain, absolute=0.0).where(
            uneven
        )
