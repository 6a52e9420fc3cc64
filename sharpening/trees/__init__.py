"""Policies over sequences of tokens: where certainty rewards act at all, and where length and repetition
collapse (theorems S7a to S7c).
"""

from sharpening.trees.objectives import Objective
from sharpening.trees.population import TreePopulation
from sharpening.trees.priors import thinking_prior
from sharpening.trees.shape import TreeShape
from sharpening.trees.simulate import simulate_tree, train_tree
from sharpening.trees.ties import by_last_tokens, by_run_length
from sharpening.trees.updates import LeafStep, TreeGradient

__all__ = [
    "LeafStep",
    "Objective",
    "TreeGradient",
    "TreePopulation",
    "TreeShape",
    "by_last_tokens",
    "by_run_length",
    "thinking_prior",
    "simulate_tree",
    "train_tree",
]
