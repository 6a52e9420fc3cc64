"""Metrics of tree policies: those of their answers, and of their sequences (length, repetition,
perplexity).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from sharpening.metrics import exact_metrics
from sharpening.trees.passes import leaf_log_probs
from sharpening.trees.plan import TreePlan
from sharpening.trees.statistics import answer_log_masses


def tree_metrics(
    plan: TreePlan, columns: jax.Array, log_probs: jax.Array, initial: jax.Array, correct: jax.Array | None
) -> dict[str, jax.Array]:
    """Metrics per prompt, (prompts,), from node policies now and at first, (prompts, nodes, vocab), nats.

    Of the answers, by the vote of infinitely many rollouts: `sharpening.metrics.exact_metrics`, and
    no_answer. Of the sequences: mean_length = E[T], tokens, the end token included; repetition = E[share of
    the content tokens after the first that equal their predecessor], 0 for sequences with fewer than two, in
    0..1; sequence_entropy = H(pi over sequences), nats.
    """
    shape = plan.shape
    leaves, first = leaf_log_probs(shape, log_probs), leaf_log_probs(shape, initial)
    masses, first_masses = (
        answer_log_masses(values, columns, plan.num_columns) for values in (leaves, first)
    )
    metrics = exact_metrics(masses, correct, first_masses, no_answer=plan.no_answer)
    if plan.no_answer is not None:
        metrics["no_answer"] = jnp.exp(masses[:, plan.no_answer])
    probs = jnp.exp(leaves)
    metrics["mean_length"] = probs @ jnp.asarray(shape.lengths, leaves.dtype)
    metrics["repetition"] = probs @ jnp.asarray(shape.repetition, leaves.dtype)
    metrics["sequence_entropy"] = -jnp.sum(probs * jnp.where(probs > 0, leaves, 0.0), axis=1)
    return metrics


def with_perplexity(summary: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """perplexity = exp(E[-log pi(y)] / E[T]) over prompts and sequences, in place of the sequence entropy:
    every token counts alike.
    """
    nats = summary.pop("sequence_entropy") / summary["mean_length"]
    return summary | {"perplexity": jnp.exp(jnp.minimum(nats, 50.0))}
