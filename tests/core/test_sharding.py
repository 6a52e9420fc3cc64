"""Prompts shared out over two host devices: the same curves. In a process of its own, since devices are
counted once.
"""

import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from sharpening import GRPO, InputError, Population, simulate

CODE = """
import json, jax, numpy as np
from sharpening import GRPO, CompoundSymmetric, Population, simulate
from sharpening.simulation.devices import share_out

prior = Population.synthetic(1, 64, 6, coupling=CompoundSymmetric(1.0, 1.0))
told = {"devices": len(jax.devices())}
told["rows"] = [shard.data.shape[0] for shard in share_out(prior, "float32", jax.devices()).log_probs.addressable_shards]
for name, settings in {
    "exact": {}, "mean field": {"method": "mean_field"}, "data set, Adam": {"dataset_size": 24, "optimizer": "adam"},
    "sampled": {"method": "sampled", "dataset_size": 23, "prompts_per_step": 8},
}.items():
    one, two = (simulate(prior, "majority", GRPO(1.0), num_steps=12, devices=devices, **settings) for devices in (None, jax.devices()))
    told[name] = [max(float(np.abs(one[m] - two[m]).max()) for m in one.metrics), float(np.ptp(one["kl"]))]
print(json.dumps(told))
"""


@pytest.mark.thorough
def test_two_devices_give_the_curves_of_one():
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "JAX_PLATFORMS": "cpu",
    }
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told.pop("devices") == 2 and told.pop("rows") == [32, 32] and len(told) == 4
    for name, (error, moved) in told.items():
        assert error < 1e-12 and moved > 1e-3, name


@pytest.mark.parametrize("devices", [[], "twice"])
def test_devices_that_cannot_share_the_prompts_are_refused(devices):
    prior = Population.from_logits(np.zeros((4, 3)))
    with pytest.raises(InputError, match="devices"):
        simulate(
            prior, "majority", GRPO(1.0), num_steps=1, devices=jax.devices()[:1] * 2 if devices else devices
        )
