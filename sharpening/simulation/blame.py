"""Curves that are not finite: whether the reward or the step size is to blame.

The compiled loop looks at no value: a reward that is not finite makes everything after it NaN, which costs
nothing to let happen. Only then is the run repeated with `plan.watch`, which reports every reward that is not
finite although the policy still is.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager

import jax
import jax.numpy as jnp
import numpy as np

from sharpening.errors import InputError
from sharpening.rewards import Reward
from sharpening.rewards.asking import NotFiniteError

_SEEN: list[list[int]] = []


@contextmanager
def _watching():
    _SEEN.append([])
    try:
        yield _SEEN[-1]
    finally:
        _SEEN.pop()


def watch_rewards(rewards: jax.Array, policy: jax.Array, possible: jax.Array | None, step: jax.Array) -> None:
    """Report `step` to the watcher if rewards of `possible` answers are not finite and the policy has no NaN.

    Shapes: (prompts, answers) or (prompts, rollouts); `policy`: log-probabilities; for plans with `watch`.
    """
    bad = ~jnp.isfinite(rewards) if possible is None else ~jnp.isfinite(rewards) & possible
    ill = jnp.any(bad) & ~jnp.any(jnp.isnan(policy))
    jax.debug.callback(_report, ill, step)


def _report(ill, step) -> None:
    if _SEEN and bool(ill):
        _SEEN[-1].append(int(step))


def check_finite(
    curves: dict[str, np.ndarray],
    reward: Reward,
    again: Callable[[], object],
    *,
    argument: str = "update",
    value: object = "a step size at which logits overflow",
    fix: str = "Use a smaller step size",
) -> None:
    """InputError if a curve is not finite: about `reward` if that was so first, else about `argument`.

    `again`: repeats the run with `plan.watch`.
    """
    bad = [name for name, values in curves.items() if not np.isfinite(values).all()]
    if not bad:
        return
    with _watching() as steps:
        jax.block_until_ready(again())
        jax.effects_barrier()
    if steps:
        rule = f"it is not a finite number at step {min(steps)}, for an answer that can be given"
        raise NotFiniteError(
            "reward", reward.spec, rule, "Bound the reward, or return 0 where it says nothing"
        )
    raise InputError(argument, value, f"logits overflow: {', '.join(bad)} are not finite", fix)
