"""Certainty as an objective: differentiated itself, instead of held fixed as a reward (theorems S7a to S7c)."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from sharpening.errors import InputError
from sharpening.rewards.tokens import IMPOSSIBLE
from sharpening.trees.passes import edge_values, node_log_reach, softmax_gradient
from sharpening.trees.plan import Policies, TreePlan
from sharpening.trees.statistics import leaf_statistics
from sharpening.updates.base import check_positive

OBJECTIVES = ("self-certainty", "token-entropy", "trajectory-entropy")


@dataclass(frozen=True)
class Objective:
    """Gradient ascent on J = E_pi[(1/T) sum_t s(pi(.|y_<t))] in the node logits; rewards play no part.

    s is KL(uniform || pi) for "self-certainty", -H(pi) for "token-entropy", log pi(y_t|y_<t) for
    "trajectory-entropy". J depends on the policy in two ways, and `through` says which are differentiated,
    "tokens", "sampling" or "both":

    - tokens: the statistic at the nodes that are visited anyway, m(n) ds/dz with m(n) = P(n) E[1/T | n]: pi_v
      - 1/V for self-certainty, pi_v (log pi_v + H) for token entropy, and P(n) pi_v (E[1/T | n, v] - E[1/T |
      n]) for the sampled log-probability, which rewards nothing but ending soon;
    - sampling: which nodes are visited, P(n) pi_v (Q(n, v) - V(n)): the policy gradient of the reward of the
      same name.

    At one node the first is theorems S7a to S7c, z_a' = pi_a - 1/K and z_a' = pi_a (log pi_a + H), and the second is
    0: every sample has the same reward. Raises: InputError for unknown names. Source: theorems S7a to S7c; EM-FT
    (Agarwal et al. 2025) differentiates the tokens.
    """

    statistic: str = "self-certainty"
    learning_rate: float = 1.0
    through: str = "both"
    name = "objective"

    def __post_init__(self):
        check_positive("learning_rate", self.learning_rate)
        for name, known in (("statistic", OBJECTIVES), ("through", ("tokens", "sampling", "both"))):
            if getattr(self, name) not in known:
                raise InputError(name, getattr(self, name), f"known ones are {', '.join(known)}")

    def _token_values(self, plan: TreePlan, log_probs: jax.Array) -> jax.Array:
        tokens = leaf_statistics(plan.shape, log_probs)
        if self.statistic == "self-certainty":
            return tokens.mean(tokens.uniform_cross_entropy) - jnp.log(float(tokens.vocab_size))
        return (
            tokens.mean(tokens.log_prob)
            if self.statistic == "trajectory-entropy"
            else -tokens.mean(tokens.entropy)
        )

    def _through_tokens(self, plan: TreePlan, log_probs: jax.Array) -> jax.Array:
        shape, probs = plan.shape, jnp.exp(log_probs)
        inverse = jnp.broadcast_to(
            jnp.asarray(1.0 / shape.lengths, log_probs.dtype)[None], (len(log_probs), shape.num_leaves)
        )
        if self.statistic == "trajectory-entropy":
            return softmax_gradient(shape, log_probs, inverse)
        visits = jnp.exp(node_log_reach(shape, log_probs)) * jnp.sum(
            probs * edge_values(shape, log_probs, inverse), axis=-1
        )
        if self.statistic == "self-certainty":
            local = probs - jnp.where(log_probs > -jnp.inf, 1.0, 0.0) / shape.vocab_size
        else:
            finite = jnp.maximum(log_probs, IMPOSSIBLE)
            local = probs * (finite - jnp.sum(probs * finite, axis=-1, keepdims=True))
        return visits[..., None] * local

    def move(self, plan: TreePlan, now: Policies, rewards: jax.Array) -> jax.Array:
        """The change of the node logits, (prompts, nodes, vocab); `rewards` are not read."""
        change = jnp.asarray(0.0)  # without a type of its own: it takes that of what is added
        if self.through != "sampling":
            change = change + self._through_tokens(plan, now.log_probs)
        if self.through != "tokens":
            change = change + softmax_gradient(
                plan.shape, now.log_probs, self._token_values(plan, now.log_probs)
            )
        return self.learning_rate * change

    def group_move(self, plan: TreePlan, now: Policies, drawn: jax.Array, rewards: jax.Array) -> jax.Array:
        """Raises: InputError: objectives are exact."""
        raise InputError("method", "sampled", "an objective is differentiated exactly", 'Use method="exact"')


jax.tree_util.register_dataclass(
    Objective, data_fields=["learning_rate"], meta_fields=["statistic", "through"]
)
