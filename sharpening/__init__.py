"""Sharpening: when do intrinsic rewards improve a language model, and when do they break it?

Public names are imported when first used, so `import sharpening` loads neither JAX nor torch.
"""

import importlib

__version__ = "0.1.0"

_MODULES = {
    "sharpening.collapse": (
        "CRITERIA",
        "CollapseStep",
        "Criterion",
        "Outcome",
        "collapse_step",
        "collapse_steps",
        "get_criterion",
    ),
    "sharpening.coupling": (
        "CompoundSymmetric",
        "Coupling",
        "CouplingFit",
        "LowRankPlusDiagonal",
        "NoCoupling",
        "fit_compound_symmetric",
    ),
    "sharpening.errors": ("InputError",),
    "sharpening.simulation.flow": ("flow",),
    "sharpening.voices": ("Forecast", "forecast"),
    "sharpening.metrics": (
        "NO_ANSWER",
        "Vote",
        "distinct_answers",
        "exact_metrics",
        "exact_vote",
        "group_metrics",
        "leading_answers",
        "majority_share",
        "summarize",
        "vote",
    ),
    "sharpening.simulation.vote_path": ("critical_ratio", "critical_size", "earliest_turn", "vote_path"),
    "sharpening.population": ("Population",),
    "sharpening.rewards": (
        "REWARDS",
        "get_reward",
        "list_rewards",
        "register_reward",
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
    ),
    "sharpening.verification.closed_form": (
        "CertifiedPlan",
        "Schedule",
        "certified_plan",
        "compare_schedules",
    ),
    "sharpening.verification.sequential_test": ("SequentialTest",),
    "sharpening.simulation.run": ("simulate", "simulate_many"),
    "sharpening.theorems": (
        "Assumption",
        "Claim",
        "Theorem",
        "TheoremReport",
        "Verdict",
        "VerdictStatus",
        "Witness",
        "check_theorems",
        "get_theorem",
        "list_theorems",
        "random_population",
        "register_theorem",
    ),
    "sharpening.trajectory": ("METRICS", "Metric", "Trajectory"),
    "sharpening.trees": (
        "LeafStep",
        "Objective",
        "TreeGradient",
        "TreePopulation",
        "TreeShape",
        "by_last_tokens",
        "by_run_length",
        "simulate_tree",
        "thinking_prior",
        "train_tree",
    ),
    "sharpening.updates": (
        "GRPO",
        "KLProx",
        "NaturalGradient",
        "SoftmaxGradient",
        "UPDATES",
        "Update",
        "get_update",
    ),
    "sharpening.verification.thresholds": (
        "ThresholdCheck",
        "VerificationPlan",
        "check_threshold",
        "hybrid_threshold",
        "uniform_plan",
        "uniform_share",
        "verification_cost",
        "youden",
    ),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
