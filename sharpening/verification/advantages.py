"""What a verification schedule pays, as the mean field of GRPO sees it, with settings that JAX may trace
(theorem X1-X3, X6).
"""

from __future__ import annotations

import copy

import jax.numpy as jnp

from sharpening.rewards import (
    HybridGatedReward,
    HybridScheduledReward,
    MajorityReward,
    NoisyVerifierReward,
    Reward,
)
from sharpening.rewards.asking import exact_rewards
from sharpening.updates.advantages import divide_by_std, policy_advantages, policy_std
from sharpening.updates.policy import Policy, row_sum

EPS = 1e-4


class ScheduledAdvantage(Reward):
    """(m_a - E m) / (std + eps), m_a the mean reward of an answer, std that of the single rollouts' rewards,
    whose verdicts are 0 or 1 and which are verified or not. Formula: std² = Var_pi(m) + E_pi[E[r²|a] - m_a²].

    A group divides by the noise of its verdicts, so a verifier with a small J moves a policy slowly. The
    registered hybrid rewards give the mean alone: divided by the std of the mean, a verifier with J = 0.05
    would look as strong as a perfect one. Source: theorem X1.
    """

    def __init__(self, hybrid: Reward, intrinsic: Reward):
        self.card, self.hybrid = hybrid.card, hybrid
        self.square = setting(hybrid, intrinsic=_Squared(intrinsic))

    def exact(self, log_probs, correct=None, **signals):
        policy, mean = Policy.of(log_probs), self.hybrid.exact(log_probs, correct, **signals)
        advantages = policy_advantages(policy, mean)
        within = row_sum(policy.probs * (self.square.exact(log_probs, correct, **signals) - mean * mean))
        std = jnp.sqrt(policy_std(policy, advantages) ** 2 + jnp.maximum(within, 0.0))
        return divide_by_std(advantages, std, EPS)

    def verified(self, log_probs, correct=None, **signals):
        """Share of each prompt's rollouts that the verifier sees, (prompts,)."""
        meter = setting(self.hybrid, intrinsic=_Constant(0.0), external=_Constant(1.0))
        return meter.exact(log_probs, correct, **signals)[:, 0]


class GroupedAdvantage(Reward):
    """`ScheduledAdvantage` of groups in which whole rollouts are verified: floor(share * rollouts) in each,
    and one more in as many groups as the share needs. A share below 1/rollouts so leaves most groups without
    a verdict, instead of giving all of them a trace of its noise.
    """

    def __init__(self, hybrid: Reward, intrinsic: Reward, share, rollouts):
        self.card, self.share = hybrid.card, share
        whole = jnp.floor(share * rollouts + 1e-9)
        self.part = jnp.clip(share * rollouts - whole, 0.0, 1.0)
        counts = whole, jnp.minimum(whole + 1, rollouts)
        self.fewer, self.more = (
            ScheduledAdvantage(setting(hybrid, share=count / rollouts), intrinsic) for count in counts
        )

    def exact(self, log_probs, correct=None, **signals):
        fewer, more = (one.exact(log_probs, correct, **signals) for one in (self.fewer, self.more))
        return (1 - self.part) * fewer + self.part * more

    def verified(self, log_probs, correct=None, **signals):
        """As `ScheduledAdvantage.verified`."""
        fewer, more = (one.verified(log_probs, correct, **signals) for one in (self.fewer, self.more))
        return (1 - self.part) * fewer + self.part * more


class CertifiedAdvantage(Reward):
    """For a certified prompt the mean over its label l of (1[a = l] - pi_l) / (sqrt(pi_l (1 - pi_l)) + eps),
    up to a constant; for the others the intrinsic advantage. Rows are those of the whole population.

    `law` (prompts, answers): probability that an answer becomes the label; `chosen` (prompts,): whether the
    prompt is certified, 0..1.
    """

    def __init__(self, intrinsic: Reward, law, chosen):
        self.card, self.intrinsic, self.law, self.chosen = intrinsic.card, intrinsic, law, chosen[:, None]

    def exact(self, log_probs, correct=None, **signals):
        policy = Policy.of(log_probs)
        alone = policy_advantages(policy, exact_rewards(self.intrinsic, log_probs, correct, **signals))
        alone = divide_by_std(alone, policy_std(policy, alone), EPS)
        std = jnp.sqrt(policy.probs * -jnp.expm1(jnp.minimum(log_probs, 0.0)))
        return self.chosen * divide_by_std(self.law, std, EPS) + (1 - self.chosen) * alone


class _Constant(Reward):
    """The same amount for every answer. Its card is that of a reward that reads answers only."""

    card = MajorityReward.card

    def __init__(self, amount: float):
        self.amount = amount

    def exact(self, log_probs, correct=None, **_):
        return jnp.full_like(log_probs, self.amount)


class _Squared(Reward):
    """The square of a reward."""

    def __init__(self, reward: Reward):
        self.card, self.reward = reward.card, reward

    def exact(self, log_probs, correct=None, **signals):
        return exact_rewards(self.reward, log_probs, correct, **signals) ** 2


def setting(reward: Reward, **changes) -> Reward:
    """The same reward with settings that may be traced: its checks, which compare numbers, are not run
    again.
    """
    changed = copy.copy(reward)
    for name, value in changes.items():
        object.__setattr__(changed, name, value)
    return changed


def scheduled_reward(
    kind: str, intrinsic: Reward, values: dict
) -> ScheduledAdvantage | GroupedAdvantage | CertifiedAdvantage:
    """The reward of a kind of schedule ("scheduled", "gated" or "certified"): normalised advantages, for GRPO
    with scale "none".

    `values`: `law` and `chosen` for "certified"; `tpr`, `fpr` and `threshold` for "gated"; `tpr`, `fpr`,
    `every`, `share` and `rollouts` for "scheduled".
    """
    if kind == "certified":
        return CertifiedAdvantage(intrinsic, **values)
    model = NoisyVerifierReward()
    verifier = setting(model, tpr=values["tpr"], fpr=values["fpr"])
    if kind == "gated":
        hybrid = setting(
            HybridGatedReward(intrinsic=intrinsic, external=model),
            external=verifier,
            threshold=values["threshold"],
        )
        return ScheduledAdvantage(hybrid, intrinsic)
    hybrid = setting(
        HybridScheduledReward(intrinsic=intrinsic, external=model), external=verifier, every=values["every"]
    )
    return GroupedAdvantage(hybrid, intrinsic, values["share"], values["rollouts"])
