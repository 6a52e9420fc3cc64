"""simulate(population, reward, update) -> Trajectory: the coupled population of theorems C, exact, sampled or
in the mean field.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np

from sharpening.errors import InputError
from sharpening.population import Population, check_key
from sharpening.rewards import REWARDS, Reward, get_reward
from sharpening.rewards.function import function_reward
from sharpening.simulation import blocks
from sharpening.simulation.blame import check_finite
from sharpening.simulation.blocks import run_blocks
from sharpening.simulation.devices import share_out
from sharpening.simulation.loop import run_loop
from sharpening.simulation.plan import Plan
from sharpening.simulation.precision import precision_context
from sharpening.simulation.settings import Settings, plain_settings
from sharpening.trajectory import Trajectory, evaluation_steps
from sharpening.updates import Update, get_update

SMALLER = {"float64": "Use a smaller step size", "float32": "Use a smaller step size or precision='float64'"}


def simulate(
    population: Population,
    reward: Reward | str | Callable,
    update: Update | str,
    *,
    num_steps: int,
    key=None,
    method: str = "exact",
    prompts_per_step: int = 32,
    rollouts: int = 8,
    dataset_size: int | None = None,
    eval_every: int = 1,
    optimizer: str = "sgd",
    precision: str = "float64",
    temperature: float = 1.0,
    devices: Sequence[jax.Device] | None = None,
) -> Trajectory:
    """Train a population and return its metrics at steps 0, eval_every, 2 eval_every, ..., num_steps.

    Formula: z_x = z0_x + v_x + u; a visit with direction g_x (the update's, for this reward) gives v_x += s *
    private * g_x and each step u += s * shared * mean_batch(g), s the update's step size, private and shared
    those of `population.coupling`.

    `method` says what a step sees:
    - "exact": every trained prompt, infinitely many rollouts. Without `dataset_size` all are trained and
      evaluated.
    - "sampled": `prompts_per_step` prompts with `rollouts` rollouts each (whole questions, where the reward
      compares `population.questions`). Without `dataset_size` prompts are fresh: the private part of a
      visited one is never seen again, and evaluation is on prompts never visited, z = z0 + u, the population
      being their law. With it, the first `dataset_size` prompts keep their v; they come in shuffled epochs
      (by weight, if there are weights).
    - "mean_field": the expectation over prompts, infinitely many rollouts, deterministic: u moves by the
      population's mean direction, and with `dataset_size` each v_x by prompts_per_step/dataset_size of a
      visit. (For few rollouts use "sampled" with many prompts per step.)

    With `dataset_size` the plain metrics are those of the other prompts, z = z0 + u, and the trained ones'
    are there as train_*. `optimizer` "adam" is a scalar Adam without momentum: directions are divided by
    sqrt(EMA of their mean square), beta2 = 0.999, relative to its value at the first step, so that a fading
    gradient does not end the drift (theorem C5). "sgd" leaves them.
    `key`: a JAX key or an integer seed (default 0), used by "sampled" only. `precision`: "float64" or
    "float32".

    Evaluation is by the population vote (infinitely many rollouts, `sharpening.metrics.exact_metrics`)
    against the initial policies. The trajectory's floor is the largest base rate of one true answer among the
    evaluated prompts. `reward` may be a plain function of log_probs (prompts, answers), or one whose first
    parameter is called `answers` (prompts, rollouts) for "sampled" (`sharpening.rewards.function`); `update` may be
    a text such as "grpo(learning_rate=0.5)" (`get_update`). Memory is linear in prompts * answers: no policy but the initial and the present one is
    kept. Updates see one prompt at a time, and rewards too unless their card lists `questions`: what a prompt
    gets cannot depend on the other rows of the arrays they are given (large populations come in blocks of
    prompts).

    `temperature` T divides logits where rollouts are drawn and where gradients are taken, as TRL does: the run of
    `population.tempered(T)`, whose metrics these are; gradient updates only.

    `devices`: JAX devices that share the prompts, the same number each (`jax.sharding`); None: the default
    one. Sums over prompts then come in another order: float64 curves agree to about 1e-12, as long as that
    does not break a tie.

    Small data sets end at their alignment, fresh prompts at the floor:

    >>> from sharpening.coupling import CompoundSymmetric
    >>> from sharpening.population import Population
    >>> from sharpening.updates import GRPO
    >>> prior = Population.synthetic(0, 1024, 50, coupling=CompoundSymmetric(private=1.0, shared=4.5))
    >>> run = dict(num_steps=300, method="sampled", prompts_per_step=64, eval_every=300)
    >>> small = simulate(prior, "majority", GRPO(1.0), dataset_size=32, **run)["train_reward_accuracy"]
    >>> fresh = simulate(prior, "majority", GRPO(1.0), **run)["reward_accuracy"]
    >>> bool(small[-1] > 0.3), bool(fresh[-1] < 0.1)
    (True, True)

    Warns: UserWarning where no evaluated policy can move: fresh prompts without coupling.

    Raises: InputError for unknown names, sizes that do not fit, a reward that needs labels the population
    lacks, or one that gives another shape than asked for, no real or finite numbers, or cannot be traced by
    JAX. Source: theorems C.
    """
    settings = Settings(
        num_steps,
        method,
        prompts_per_step,
        rollouts,
        dataset_size,
        eval_every,
        optimizer,
        precision,
        temperature,
    )
    return _simulate(population, reward, update, [0 if key is None else key], 1, settings, devices)[0]


def simulate_many(
    population: Population,
    reward: Reward | str | Callable,
    update: Update | str,
    keys,
    *,
    together: int = 8,
    devices: Sequence[jax.Device] | None = None,
    **settings,
) -> list[Trajectory]:
    """One trajectory per key: the same as `simulate` with each key, compiled once.

    `keys`: a batch of JAX keys, or a sequence of keys or integer seeds. `together`: how many runs advance at
    once (vmap); memory grows with it. `settings`: as `simulate`'s keyword arguments. Raises: InputError as
    `simulate`, and without keys.
    """
    keys = list(keys)
    if not keys or together < 1:
        raise InputError(
            "keys, together",
            (len(keys), together),
            "there is at least one run, and one at a time",
            "Give a list of seeds",
        )
    return _simulate(
        population, reward, update, keys, min(together, len(keys)), Settings(**settings), devices
    )


def _simulate(
    population: Population,
    reward: Reward | str | Callable,
    update: Update | str,
    keys: Sequence,
    together: int,
    settings: Settings,
    devices,
) -> list[Trajectory]:
    reward = as_reward(reward)
    update = get_update(update)
    settings.check(population, reward, update)
    settings.warn_if_still(population.coupling)
    tempered = population.tempered(settings.temperature)
    plan = settings.plan(population, reward, update)
    steps = evaluation_steps(settings.num_steps, settings.eval_every)
    with precision_context(settings.precision):
        arrays = share_out(tempered, settings.precision, devices)
        stacked = jnp.stack([as_key(key) for key in keys])
        schedules = settings.schedules(population, stacked, plan.rephrasings)
        moving = None if plan.update is not None else update
        parts = (arrays, moving, tempered.coupling)
        if blocks.apply(plan, arrays, tempered.coupling):
            alone = run_blocks(plan, *parts, steps, settings.precision)
            curves = {name: np.repeat(values, len(keys), axis=0) for name, values in alone.items()}
        else:
            looped = (jnp.asarray(steps, jnp.int32), stacked, schedules)
            curves = run_loop(plan, *parts, *looped, together=together)
        curves = {name: np.asarray(values, dtype=np.float64) for name, values in curves.items()}
        again = lambda: watched_again(plan, parts, steps, stacked, schedules, curves)  # noqa: E731
        check_finite(curves, reward, again, fix=SMALLER[settings.precision])
    return [
        told_trajectory(
            population, reward, update, settings, key, {name: rows[i] for name, rows in curves.items()}
        )
        for i, key in enumerate(keys)
    ]


def told_trajectory(
    population: Population, reward: Reward, update: Update, settings: Settings, key, curves: dict
) -> Trajectory:
    """The trajectory of one run: its curves (evaluations,) with the floor of the evaluated prompts and its settings
    as plain data.
    """
    trained = settings.trained(population)
    evaluated = (
        population if trained in (0, population.num_prompts) else population.select(slice(trained, None))
    )
    told = dataclasses.asdict(settings) | {
        "reward": reward.spec,
        "update": plain_settings(update),
        "coupling": plain_settings(population.coupling),
        "seed": _seed(key),
    }
    floor = None if population.correct is None else evaluated.base_rate_floor
    steps = evaluation_steps(settings.num_steps, settings.eval_every)
    return Trajectory(steps, curves, floor, "simulated", told)


def as_reward(reward: Reward | str | Callable) -> Reward:
    """The reward of a name or of a plain function; equal ones are one object where they can be."""
    if isinstance(reward, str):
        return get_reward(reward)
    if callable(reward) and not isinstance(reward, Reward) and not hasattr(reward, "card"):
        return function_reward(reward)
    return _canonical(reward) if isinstance(reward, Reward) else cast(Reward, reward)


def _canonical(reward: Reward) -> Reward:
    """The registered instance of a stateless reward, so that two equal ones share one compilation."""
    known = REWARDS.get(getattr(reward, "name", ""))
    return known if type(known) is type(reward) and not vars(reward) else reward


def watched_again(plan: Plan, parts: tuple, steps: np.ndarray, keys: jax.Array, schedules, curves: dict):
    """The run that first came out not finite again, as far as it has to go, with its rewards watched."""
    ill = ~np.logical_and.reduce([np.isfinite(values) for values in curves.values()])
    run = int(ill.any(axis=1).argmax())
    one = slice(run, run + 1)
    until = jnp.asarray(steps[: int(ill[run].argmax()) + 1], jnp.int32)
    mine = None if schedules is None else schedules[one]
    return run_loop(dataclasses.replace(plan, watch=True), *parts, until, keys[one], mine, together=1)


def as_key(key) -> jax.Array:
    """The JAX key of a seed, of key data, or itself."""
    check_key(key)
    if isinstance(key, (int, np.integer)):
        return jax.random.key(int(key))
    return (
        key
        if jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key)
        else jax.random.wrap_key_data(jnp.asarray(key, jnp.uint32))
    )


def _seed(key) -> int | list[int]:
    return (
        int(key)
        if isinstance(key, (int, np.integer))
        else np.asarray(jax.random.key_data(as_key(key))).tolist()
    )
