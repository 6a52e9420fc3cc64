"""How rewards move a tree policy: gradient through the tokens, a step on the sequences, or an objective that
is differentiated itself.

Each is a direction of the node logits for one step, (prompts, nodes, vocab), step size included.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from sharpening.errors import InputError
from sharpening.trees.passes import factorise, leaf_log_probs, score_gradient, softmax_gradient
from sharpening.trees.plan import Policies, TreePlan
from sharpening.updates import GRPO, KLProx, NaturalGradient, SoftmaxGradient, Update
from sharpening.updates.advantages import divide_by_std, exact_advantages, exact_std, group_advantages
from sharpening.updates.kl_term import check_initial_reference
from sharpening.updates.reuse import check_fresh_rollouts

LOSS_TYPES = ("sum", "grpo", "dapo", "dr_grpo")


@dataclass(frozen=True)
class TreeGradient:
    """Policy gradient through every token of a sequence: z_{n,v} += learning_rate * P(n) pi(v|n) (Q(n, v) -
    V(n)).

    Q(n, v) is the mean over the sequences through (n, v) of c(y) A(y), A the advantage of the whole sequence
    as `update` (GRPO or SoftmaxGradient) scales it, rewards held fixed. `loss_type` is TRL's normalisation
    over tokens, T the length of y:

    - "sum": c = 1, the gradient of E[r] itself;
    - "grpo": c = 1/T, each sequence's tokens averaged. It is the gradient of E[A/T]: with A > 0 short
      sequences gain, with A < 0 long ones lose least, so right answers shorten and wrong ones lengthen (Liu
      et al. 2025, "Dr. GRPO");
    - "dapo": c = 1/(mean length of the step's rollouts), each token counts alike: "sum" with another step
      size;
    - "dr_grpo": c = 1/max_length, a constant: "sum" with another step size.

    A tree of one level gives the flat update for each. Raises: InputError for another update or loss type, or one with
    a KL term.
    Source: TRL's GRPOTrainer.
    """

    update: GRPO | SoftmaxGradient = GRPO()
    loss_type: str = "sum"
    name = "tree_gradient"

    def __post_init__(self):
        if isinstance(self.update, Update) and not isinstance(self.update, (GRPO, SoftmaxGradient)):
            raise InputError(
                "update",
                self.update,
                "a gradient through tokens is GRPO or SoftmaxGradient",
                "Use LeafStep for other updates",
            )
        if getattr(self.update, "has_kl", False):
            rule = "the gradient through tokens has no KL term"
            raise InputError(
                "beta", self.update.beta, rule, "Use LeafStep(NaturalGradient(beta=...)), or beta=0"
            )
        check_fresh_rollouts(self.update, "the gradient through tokens")
        if self.loss_type not in LOSS_TYPES:
            raise InputError("loss_type", self.loss_type, f"known ones are {', '.join(LOSS_TYPES)}")

    @property
    def _scale(self) -> tuple[str, float]:
        return (self.update.scale, self.update.eps) if isinstance(self.update, GRPO) else ("none", 0.0)

    def _token_weights(
        self, plan: TreePlan, drawn_lengths: jax.Array, mean_length: jax.Array
    ) -> jax.Array | float:
        if self.loss_type == "grpo":
            return 1.0 / drawn_lengths
        weights: dict[str, jax.Array | float] = {
            "sum": 1.0,
            "dapo": 1.0 / mean_length,
            "dr_grpo": 1.0 / plan.shape.max_length,
        }
        return weights[self.loss_type]

    def move(self, plan: TreePlan, now: Policies, rewards: jax.Array) -> jax.Array:
        """The change of the node logits, (prompts, nodes, vocab), from the rewards of all leaves (prompts,
        leaves).
        """
        leaves = leaf_log_probs(plan.shape, now.log_probs)
        scale, eps = self._scale
        advantages = exact_advantages(leaves, rewards)
        if scale == "group":
            advantages = divide_by_std(advantages, exact_std(leaves, advantages), eps)
        lengths = jnp.asarray(plan.shape.lengths, leaves.dtype)
        mean_length = jnp.sum(now.weights * (jnp.exp(leaves) @ lengths)) / jnp.sum(now.weights)
        weighted = advantages * self._token_weights(plan, lengths[None, :], mean_length)
        return self.update.learning_rate * softmax_gradient(plan.shape, now.log_probs, weighted)

    def group_move(self, plan: TreePlan, now: Policies, drawn: jax.Array, rewards: jax.Array) -> jax.Array:
        """The same from sampled leaves and their rewards, both (prompts, rollouts)."""
        lengths = jnp.asarray(plan.shape.lengths, rewards.dtype)[drawn]
        weighted = group_advantages(rewards, *self._scale) * self._token_weights(
            plan, lengths, jnp.mean(lengths)
        )
        return self.update.learning_rate * score_gradient(plan.shape, now.log_probs, drawn, weighted)


@dataclass(frozen=True)
class LeafStep:
    """A flat update on the distribution over finished sequences, written back as a tree policy.

    pi'(y) = softmax(log pi(y) + step size * direction(y)), then pi'(v|n) = sum of pi' through (n, v) /
    through n. For KLProx it is pi'(y) proportional to pi(y) exp(r(y)/beta); for NaturalGradient the natural
    gradient. Every distribution over leaves is a tree policy, so with tabular logits nothing is lost, and all
    theorems on flat policies hold with sequences as answers. For small steps it is z_{n,v} += step size *
    (Q(n, v) - V(n)): the natural gradient in the node logits, since along a sequence Q(n_t, y_t) =
    V(n_{t+1}), so the sum of Q - V telescopes to r(y) - V(root). Needs a tree without ties.
    """

    update: Update = NaturalGradient()
    name = "leaf_step"

    def __post_init__(self):
        check_initial_reference(self.update, "an update on sequences")
        check_fresh_rollouts(self.update, "an update on sequences")

    def _written_back(
        self, plan: TreePlan, now: Policies, leaves: jax.Array, directions: jax.Array
    ) -> jax.Array:
        moved = jax.nn.log_softmax(leaves + self.update.step_size * directions, axis=-1)
        after = factorise(plan.shape, moved, now.log_probs)
        return jnp.where(now.log_probs > -jnp.inf, after - now.log_probs, 0.0)

    def move(self, plan: TreePlan, now: Policies, rewards: jax.Array) -> jax.Array:
        """The change of the node logits, (prompts, nodes, vocab), from the rewards of all leaves (prompts,
        leaves).
        """
        leaves, first = leaf_log_probs(plan.shape, now.log_probs), leaf_log_probs(plan.shape, now.initial)
        return self._written_back(plan, now, leaves, self.update.direction(leaves, rewards, first))

    def group_move(self, plan: TreePlan, now: Policies, drawn: jax.Array, rewards: jax.Array) -> jax.Array:
        """The same from sampled leaves and their rewards, both (prompts, rollouts)."""
        leaves, first = leaf_log_probs(plan.shape, now.log_probs), leaf_log_probs(plan.shape, now.initial)
        return self._written_back(
            plan, now, leaves, self.update.group_direction(leaves, drawn, rewards, first)
        )


jax.tree_util.register_dataclass(TreeGradient, data_fields=["update"], meta_fields=["loss_type"])
jax.tree_util.register_dataclass(LeafStep, data_fields=["update"], meta_fields=[])


def tree_update(update, loss_type: str):
    """The update as one on trees: GRPO and SoftmaxGradient through the tokens, KLProx and NaturalGradient on
    the sequences, others as they are. Raises: InputError for what is none of these.
    """
    if isinstance(update, (GRPO, SoftmaxGradient)):
        return TreeGradient(update, loss_type)
    if isinstance(update, (KLProx, NaturalGradient)):
        return LeafStep(update)
    if not (hasattr(update, "move") and hasattr(update, "group_move")):
        raise InputError(
            "update",
            update,
            "it is GRPO, SoftmaxGradient, KLProx, NaturalGradient, or an update on trees",
            "Use e.g. GRPO(1.0)",
        )
    return update
