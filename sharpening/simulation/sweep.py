"""sweep(population, reward, update, grid): many settings, compiled once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sharpening.population import Population, check_population
from sharpening.rewards import Reward
from sharpening.simulation import blocks
from sharpening.simulation.blame import check_finite
from sharpening.simulation.devices import share_out
from sharpening.simulation.grid import Grid, Point, grid_points, make_point
from sharpening.simulation.loop import run_loop
from sharpening.simulation.plan import Arrays, Plan, Sizes
from sharpening.simulation.precision import precision_context
from sharpening.simulation.run import SMALLER, as_key, simulate, told_trajectory, watched_again
from sharpening.trajectory import Trajectory, evaluation_steps
from sharpening.updates import Update


class SweptRun(NamedTuple):
    """One run of a sweep: `setting`, what the grid set for it, and its trajectory."""

    setting: dict[str, Any]
    trajectory: Trajectory


class _Run(NamedTuple):
    """A point with what of it is compiled in (`plan`) and the update as the loop takes it."""

    point: Point
    plan: Plan
    update: Any


def sweep(
    population: Population, reward: Reward | str | Callable, update: Update | str, grid: Grid, **common
) -> list[SweptRun]:
    """`simulate` at every point of a grid, compiled once: the same trajectories to rounding, in the grid's order.

    `grid`: {name: values}, of which all combinations are run (the last name changes fastest), or a list of
    {name: value}. Names are the keyword arguments of `simulate` (`num_steps`, `dataset_size`, `key`, ...), settings of
    the update (`learning_rate`, `beta`, ...), `private` and `shared` of the coupling, and `reward` and `update`
    themselves. `common`: keyword arguments for every run.

    Compiled once for all values of numbers that the loop takes as arguments: `num_steps`, `eval_every`, `dataset_size`,
    `prompts_per_step`, `key`, `temperature`, `learning_rate`, `beta`, `private`, `shared` and others of their kind. Each
    `reward`, `rollouts`, `method`, `optimizer`, `precision` and setting that is a name or a switch compiles for
    itself; so does data set against fresh prompts. In the exact and the mean-field method a run costs what one of the
    grid's largest `dataset_size` does. Exact runs of large populations go one by one through `simulate`.

    >>> from sharpening.coupling import CompoundSymmetric
    >>> from sharpening.population import Population
    >>> from sharpening.updates import GRPO
    >>> prior = Population.synthetic(0, 256, 8, coupling=CompoundSymmetric(private=1.0, shared=2.0))
    >>> runs = sweep(prior, "majority", GRPO(1.0), {"dataset_size": [16, 128], "num_steps": [20, 60]}, method="sampled")
    >>> [(run.setting["dataset_size"], run.trajectory.horizon) for run in runs]
    [(16, 20), (16, 60), (128, 20), (128, 60)]

    Raises: InputError as `simulate`, before any run, for every point; for a name that nothing has, one that the grid
    and `common` both set, or an empty grid.
    """
    check_population(population)
    points = [make_point(told, population, reward, update, common) for told in grid_points(grid)]
    for point in points:
        point.settings.check(point.population, point.reward, point.update)
    points[0].settings.warn_if_still(points[0].population.coupling)
    kl = {type(point.update) for point in points if getattr(point.update, "has_kl", False)}
    runs = [_prepared(point, type(point.update) in kl) for point in points]
    groups: dict[Any, list[_Run]] = {}
    for run in runs:
        groups.setdefault(_compiled(run), []).append(run)
    found = {id(run): trajectory for group in groups.values() for run, trajectory in _run_group(group)}
    return [SweptRun(run.point.told, found[id(run)]) for run in runs]


def _prepared(point: Point, with_kl: bool) -> _Run:
    """`with_kl`: others of this update have a KL term, so that a beta of 0 is passed as an argument like theirs."""
    update: Any = point.update
    if with_kl and not update.has_kl:
        with precision_context(point.settings.precision):
            update = dataclasses.replace(update, beta=jnp.asarray(0.0))
    return _Run(point, point.settings.plan(point.population, point.reward, point.update), update)


def _is_part(run: _Run) -> bool:
    return 0 < run.plan.trained < run.point.population.num_prompts


def _compiled(run: _Run) -> tuple:
    """What runs must have in common to share a compilation."""
    part = _is_part(run)
    plan = dataclasses.replace(run.plan, trained=-1 if part else run.plan.trained, prompts_per_step=-1)
    trees = jax.tree.structure(run.update if plan.update is None else None), run.point.population.coupling
    return plan, part, trees[0], jax.tree.structure(trees[1]), run.point.settings.precision


def _run_group(group: list[_Run]):
    """(run, trajectory) of runs that share a compilation."""
    largest = {
        name: max(getattr(run.plan, name) for run in group) for name in ("trained", "prompts_per_step")
    }
    steps = [evaluation_steps(run.point.settings.num_steps, run.point.settings.eval_every) for run in group]
    most = max(map(len, steps)), max(run.point.settings.num_steps for run in group)
    plan = dataclasses.replace(group[0].plan, **largest, filled=len(set(map(len, steps))) > 1)
    varied = len({run.plan.prompts_per_step for run in group}) > 1
    precision = group[0].point.settings.precision
    with precision_context(precision):
        arrays = {
            one.settings.temperature: share_out(one.tempered, precision, None)
            for one in {run.point.settings.temperature: run.point for run in group}.values()
        }
        large = blocks.apply(plan, next(iter(arrays.values())), group[0].point.population.coupling)
    for run, own in zip(group, steps, strict=True):
        if large:
            yield run, _alone(run.point)
            continue
        with precision_context(precision):
            sizes = Sizes(
                jnp.asarray(run.plan.trained, jnp.int32) if _is_part(run) else None,
                jnp.asarray(run.plan.prompts_per_step, jnp.int32) if varied else None,
            )
            mine = arrays[run.point.settings.temperature]._replace(sizes=sizes)
            yield run, _one(run, plan, mine, own, most)


def _alone(point: Point) -> Trajectory:
    settings = dataclasses.asdict(point.settings)
    return simulate(point.population, point.reward, point.update, key=point.key, **settings)


def _one(run: _Run, plan: Plan, arrays: Arrays, steps: np.ndarray, most: tuple[int, int]) -> Trajectory:
    """One run in the shapes of the largest: evaluations repeat the last one, and prompts of the schedule that are not
    asked are the first of the data set, with weight 0.
    """
    point, settings = run.point, run.point.settings
    filled = jnp.asarray(np.concatenate([steps, np.full(most[0] - len(steps), steps[-1])]), jnp.int32)
    key = as_key(point.key)[None]
    schedules = settings.schedules(point.population, key, plan.rephrasings)
    if schedules is not None:
        missing = plan.prompts_per_step // plan.rephrasings - schedules.shape[2]
        schedules = np.pad(schedules, ((0, 0), (0, most[1] - schedules.shape[1]), (0, missing)))
    parts = (arrays, None if plan.update is not None else run.update, point.tempered.coupling)
    curves = run_loop(plan, *parts, filled, key, schedules, together=1)
    told = {name: np.asarray(rows, np.float64)[:, : len(steps)] for name, rows in curves.items()}
    again = lambda: watched_again(plan, parts, steps, key, schedules, told)  # noqa: E731
    check_finite(told, point.reward, again, fix=SMALLER[settings.precision])
    return told_trajectory(
        point.population,
        point.reward,
        point.update,
        settings,
        point.key,
        {name: rows[0] for name, rows in told.items()},
    )
