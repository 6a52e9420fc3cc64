"""The grid of a sweep: what may be varied, and the settings of each point."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sharpening.coupling import CompoundSymmetric, NoCoupling
from sharpening.errors import InputError
from sharpening.population import Population
from sharpening.rewards import Reward
from sharpening.simulation.run import as_reward
from sharpening.simulation.settings import Settings
from sharpening.updates import Update, get_update

RUN = tuple(field.name for field in dataclasses.fields(Settings))
COUPLING = ("private", "shared")
Grid = Mapping[str, Sequence] | list[Mapping[str, Any]] | tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, eq=False)
class Point:
    """One run of a sweep: what was set for it, and what it is made of."""

    told: dict[str, Any]
    population: Population
    reward: Reward
    update: Update
    settings: Settings
    key: Any

    @property
    def tempered(self) -> Population:
        """The population at the run's temperature."""
        return self.population.tempered(self.settings.temperature)


def grid_points(grid: Grid) -> list[dict[str, Any]]:
    """The settings of every run, {name: value} each: all combinations of {name: values}, the last name changing
    fastest; a sequence of settings as it is.

    Raises: InputError for an empty grid, or values that are no sequence.
    """
    if isinstance(grid, Mapping):
        for name, values in grid.items():
            if isinstance(values, str) or not isinstance(values, (Sequence, np.ndarray)) or not len(values):
                rule = "a grid has a list of at least one value for each name"
                raise InputError(f"grid[{name}]", values, rule, f"Write {{{name!r}: [...]}}")
        return [
            dict(zip(grid, values, strict=True)) for values in itertools.product(*map(_plain, grid.values()))
        ]
    points = list(grid) if isinstance(grid, (list, tuple)) else []
    if not points or not all(isinstance(point, Mapping) for point in points):
        rule = "it is {name: values}, or a list of at least one {name: value}"
        raise InputError("grid", grid, rule, 'Use e.g. {"dataset_size": [32, 128], "beta": [0, 0.1]}')
    return [dict(point) for point in points]


def _plain(values) -> list:
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


def make_point(
    told: dict[str, Any], population: Population, reward, update: Update | str, common: dict[str, Any]
) -> Point:
    """The run of these settings on top of the `common` ones. Raises: InputError for a name that nothing has."""
    twice = sorted(set(told) & set(common))
    if twice:
        raise InputError(twice[0], common[twice[0]], "the grid varies it already", f"Leave out {twice[0]}=")
    given = common | told
    own = get_update(given.pop("update", update))
    reward = as_reward(given.pop("reward", reward))
    key = given.pop("key", 0)
    run = {name: given.pop(name) for name in RUN if name in given}
    pull = {name: given.pop(name) for name in COUPLING if name in given}
    of_update: set[str] = (
        {field.name for field in dataclasses.fields(own)} if dataclasses.is_dataclass(own) else set()
    )
    for name, value in given.items():
        if name not in of_update:
            known = ["reward", "update", "key", *RUN, *COUPLING, *sorted(of_update)]
            raise InputError(name, value, f"what a sweep can set is {', '.join(known)}")
    if "num_steps" not in run:
        raise InputError("num_steps", None, "every run needs its number of steps", "Give num_steps=...")
    own = get_update(own, **given) if given else own
    coupled = population.replace(coupling=_coupling(population.coupling, pull)) if pull else population
    return Point(told, coupled, reward, own, Settings(**run), 0 if key is None else key)


def _coupling(coupling, pull: dict[str, float]):
    if isinstance(coupling, NoCoupling) and "shared" in pull:
        coupling = CompoundSymmetric(coupling.private)
    known = (
        {field.name for field in dataclasses.fields(coupling)}
        if dataclasses.is_dataclass(coupling)
        else set()
    )
    for name, value in pull.items():
        if name not in known:
            rule = f"a coupling of the kind {type(coupling).__name__} has no such strength"
            raise InputError(name, value, rule, "Make one population for each coupling")
    return dataclasses.replace(coupling, **pull)
