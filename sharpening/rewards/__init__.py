"""Rewards, one per small file; `get_reward(spec)` finds one, `list_rewards()` gives the taxonomy."""

import importlib
import pkgutil

from sharpening.rewards.base import BRANCHES, GRANULARITIES, NEEDS, PSI, Reward, RewardCard, UnifiedForm
from sharpening.rewards.entropy_reduction import EntropyReductionReward
from sharpening.rewards.hybrid import HybridReward
from sharpening.rewards.hybrid_gated import HybridGatedReward
from sharpening.rewards.hybrid_scheduled import HybridScheduledReward
from sharpening.rewards.kl_previous import KLPreviousReward
from sharpening.rewards.kl_reference import KLReferenceReward
from sharpening.rewards.kl_uniform import KLUniformReward
from sharpening.rewards.majority import MajorityReward
from sharpening.rewards.next_token import NextTokenReward
from sharpening.rewards.noisy_verifier import NoisyVerifierReward
from sharpening.rewards.probability import ProbabilityReward
from sharpening.rewards.probability_disparity import ProbabilityDisparityReward
from sharpening.rewards.pseudo_label_confidence import PseudoLabelConfidenceReward
from sharpening.rewards.registry import REWARDS, get_reward, list_rewards, register_reward
from sharpening.rewards.rephrased_majority import RephrasedMajorityReward
from sharpening.rewards.self_certainty import SelfCertaintyReward
from sharpening.rewards.self_contrastive import SelfContrastiveReward
from sharpening.rewards.semantic_clusters import SemanticClustersReward
from sharpening.rewards.token_entropy import TokenEntropyReward
from sharpening.rewards.tokens import TokenStatistics
from sharpening.rewards.trajectory_consistency import TrajectoryConsistencyReward
from sharpening.rewards.trajectory_entropy import TrajectoryEntropyReward
from sharpening.rewards.true_answers import TrueReward
from sharpening.rewards.verified import (
    AntiderivativeReward,
    ExhaustiveTeacherReward,
    JudgeReward,
    SelfVerificationReward,
    SymbolicVerifierReward,
)
from sharpening.rewards.weighted_majority import WeightedMajorityReward

__all__ = [
    "BRANCHES",
    "GRANULARITIES",
    "NEEDS",
    "PSI",
    "REWARDS",
    "AntiderivativeReward",
    "EntropyReductionReward",
    "ExhaustiveTeacherReward",
    "HybridGatedReward",
    "HybridReward",
    "HybridScheduledReward",
    "JudgeReward",
    "KLPreviousReward",
    "KLReferenceReward",
    "KLUniformReward",
    "MajorityReward",
    "NextTokenReward",
    "NoisyVerifierReward",
    "ProbabilityDisparityReward",
    "ProbabilityReward",
    "PseudoLabelConfidenceReward",
    "RephrasedMajorityReward",
    "Reward",
    "RewardCard",
    "SelfCertaintyReward",
    "SelfContrastiveReward",
    "SelfVerificationReward",
    "SemanticClustersReward",
    "SymbolicVerifierReward",
    "TokenEntropyReward",
    "TokenStatistics",
    "TrajectoryConsistencyReward",
    "TrajectoryEntropyReward",
    "TrueReward",
    "UnifiedForm",
    "WeightedMajorityReward",
    "get_reward",
    "list_rewards",
    "register_reward",
]

# A new reward is one new file here with one decorated class: whatever lies in this package is imported.
for _found in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_found.name}")
