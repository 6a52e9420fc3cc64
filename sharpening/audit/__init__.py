"""Audit of a reward: which properties it has, and a minimal counterexample for each that it has not."""

from sharpening.audit.report import Finding, RewardAudit
from sharpening.audit.run import audit_reward

__all__ = ["Finding", "RewardAudit", "audit_reward"]
