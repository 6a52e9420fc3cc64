"""Policies over sequences of tokens: where certainty rewards act at all, and where length and repetition collapse (theory: S7)."""

from sharpening.token_trees.objectives import Objective
from sharpening.token_trees.population import TreePopulation
from sharpening.token_trees.priors import thinking_prior
from sharpening.token_trees.shape import TreeShape
from sharpening.token_trees.simulate import simulate_tree, train_tree
from sharpening.token_trees.ties import by_last_tokens, by_run_length
from sharpening.token_trees.updates import LeafStep, TreeGradient

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
