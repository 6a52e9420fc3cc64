"""Hypothesis strategies for policies, rewards, groups and populations, hard cases first, and the audit of a
reward; for our tests and for yours.

Needs the package hypothesis. A policy is drawn with everything that breaks naive code: faces (answers of
probability 0), vertices (one answer has it all), exact ties, near ties down to one part in 10^15,
probabilities down to 1e-300, and up to 10^5 answers.
"""

from sharpening.audit import Finding, RewardAudit, audit_reward
from sharpening.testing.policies import LOWEST, large_policies, large_policy, policies, policy_rows
from sharpening.testing.populations import answer_groups, couplings, large_populations, populations
from sharpening.testing.rewards import arbitrary_rewards, comonotone_rewards, mode_monotone_rewards

__all__ = [
    "Finding",
    "LOWEST",
    "RewardAudit",
    "answer_groups",
    "arbitrary_rewards",
    "audit_reward",
    "comonotone_rewards",
    "couplings",
    "large_policies",
    "large_policy",
    "large_populations",
    "mode_monotone_rewards",
    "policies",
    "policy_rows",
    "populations",
]
