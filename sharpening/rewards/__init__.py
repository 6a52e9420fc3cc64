"""Rewards, one per small file; `get_reward(name)` finds one, `list_rewards()` gives the taxonomy."""

from sharpening.rewards.base import BRANCHES, REWARDS, Reward, RewardCard, UnifiedForm, get_reward, list_rewards, register_reward
from sharpening.rewards.majority import MajorityReward
from sharpening.rewards.trajectory_entropy import TrajectoryEntropyReward
from sharpening.rewards.verifier import TrueReward

__all__ = [
    "BRANCHES",
    "REWARDS",
    "MajorityReward",
    "Reward",
    "RewardCard",
    "TrajectoryEntropyReward",
    "TrueReward",
    "UnifiedForm",
    "get_reward",
    "list_rewards",
    "register_reward",
]
