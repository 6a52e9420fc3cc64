"""The direction of one update: rewards from the policies, known exactly or sampled, and what the update makes
of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Integer

from sharpening.metrics import NO_ANSWER
from sharpening.rewards.asking import exact_rewards, group_rewards
from sharpening.rewards.tokens import TokenStatistics
from sharpening.simulation.blame import watch_rewards
from sharpening.simulation.plan import Plan
from sharpening.simulation.sampling import sample_columns
from sharpening.updates.policy import Policy


def _wanted(plan: Plan, **signals) -> dict:
    """The signals that the reward's card lists."""
    return {name: make() for name, make in signals.items() if name in plan.reward.card.needs}


def _loud(plan: Plan, rewards, log_probs: jax.Array, step) -> jax.Array:
    """The rewards in the policies' precision, with NaN for -infinity, which a step would take for an answer
    that became impossible: so whatever is not finite ends in curves of NaN.
    """
    rewards = jnp.asarray(rewards, log_probs.dtype)
    if plan.watch:
        possible = (
            None if rewards.shape != log_probs.shape or plan.method == "sampled" else log_probs > -jnp.inf
        )
        watch_rewards(rewards, log_probs, possible, step)
    return jnp.where(rewards == -jnp.inf, jnp.nan, rewards)


class Seen(NamedTuple):
    """What rewards and updates may see of the prompts of a step besides the present policy.

    `correct` (prompts, answers) bool or None; log-probabilities (prompts, answers), nats, of three earlier policies:
    `initial`; `anchor`, towards which a KL term of the update pulls; `previous`, before the last update, or None;
    `step`: how many updates lie before this one; `questions` (prompts,) ids or None.
    """

    correct: Bool[Any, "prompts answers"] | None
    initial: Float[Any, "prompts answers"]
    anchor: Float[Any, "prompts answers"]
    previous: Float[Any, "prompts answers"] | None
    step: Any
    questions: Integer[Any, " prompts"] | None = None


def exact_direction(
    plan: Plan, update, policy: Policy, seen: Seen, old: Policy | None = None
) -> Float[Any, "prompts answers"]:
    """dz/dt under the exact reward, (prompts, answers); `old`: the policy that rewards and advantages are of, if not
    the present one.
    """
    paid = policy if old is None else old
    signals = _wanted(
        plan,
        reference_log_probs=lambda: seen.initial,
        previous_log_probs=lambda: seen.previous,
        questions=lambda: seen.questions,
        step=lambda: seen.step,
    )
    signals = {name.removesuffix("_log_probs"): value for name, value in signals.items()}
    rewards = exact_rewards(plan.reward, paid.log_probs, seen.correct, no_answer=plan.no_answer, **signals)
    rewards = _loud(plan, rewards, paid.log_probs, seen.step)
    if old is not None:
        return update.reused_direction(policy, old, rewards, seen.anchor)
    if hasattr(update, "policy_direction"):
        return update.policy_direction(policy, rewards, seen.anchor)
    return update.direction(policy.log_probs, rewards, seen.anchor)


def sampled_direction(
    plan: Plan,
    update,
    uniform: Float[Any, "prompts rollouts"],
    policy: Policy,
    seen: Seen,
    old: Policy | None = None,
) -> Float[Any, "prompts answers"]:
    """The same from one group of rollouts a prompt, drawn with `uniform` (prompts, rollouts) from the policy, or from
    `old`.
    """
    paid = policy if old is None else old
    log_probs = paid.log_probs
    columns = sample_columns(uniform, paid.probs)
    answers = columns if plan.no_answer is None else jnp.where(columns == plan.no_answer, NO_ANSWER, columns)
    of_drawn = lambda array: None if array is None else jnp.take_along_axis(array, columns, axis=1)  # noqa: E731
    signals = _wanted(
        plan,
        tokens=lambda: TokenStatistics.of_categorical(log_probs, columns),
        reference_log_probs=lambda: of_drawn(seen.initial),
        previous_log_probs=lambda: of_drawn(seen.previous),
        states=lambda: jnp.zeros((*columns.shape, 0), columns.dtype),
        questions=lambda: seen.questions,
        step=lambda: seen.step,
    )
    rewards = group_rewards(plan.reward, answers, of_drawn(seen.correct), **signals)
    rewards = _loud(plan, rewards, log_probs, seen.step)
    if old is not None:
        return update.reused_group_direction(policy, old, columns, rewards, seen.anchor)
    if hasattr(update, "policy_group_direction"):
        return update.policy_group_direction(policy, columns, rewards, seen.anchor)
    return update.group_direction(log_probs, columns, rewards, seen.anchor)
