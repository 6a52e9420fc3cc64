"""The population as JAX arrays, whole or shared out over several devices."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from sharpening.errors import InputError
from sharpening.population import Population
from sharpening.simulation.plan import Arrays


def share_out(population: Population, precision: str, devices: Sequence[jax.Device] | None) -> Arrays:
    """The population's arrays in that precision; with `devices` each holds an equal share of the prompts.

    Raises: InputError if `devices` is empty, repeats one, or does not divide the number of prompts.
    """
    log_probs, weights = (
        population.log_probs.astype(precision, copy=False),
        population.prompt_weights.astype(precision),
    )
    host = (log_probs, population.correct, weights, population.questions)
    if devices is None:
        return Arrays(*jax.tree.map(jnp.asarray, host))
    devices = list(devices)
    if not devices or len(set(devices)) < len(devices) or population.num_prompts % len(devices):
        rule = (
            f"they are different JAX devices whose number divides {population.num_prompts}, the number of"
            " prompts"
        )
        raise InputError(
            "devices", devices, rule, "Use population.select(...) to drop a few prompts, or fewer devices"
        )
    rows = NamedSharding(Mesh(np.array(devices), ("prompts",)), PartitionSpec("prompts"))
    return Arrays(*jax.tree.map(lambda array: jax.device_put(array, rows), host))
