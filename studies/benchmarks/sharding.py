"""`simulate` with its prompts shared out over host devices, beside one device: the same curves, and the time.

    python studies/benchmarks/sharding.py [--devices 2] [--prompts 16384] [--answers 64] [--steps 20]
    [--rounds 5]

Host devices are made with XLA_FLAGS=--xla_force_host_platform_device_count, so this shows that sharding is
right, not that it is fast: on one machine the default device already uses all cores.
"""

import argparse
import os
import statistics
import time


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--devices", type=int, default=2)
    parser.add_argument("--prompts", type=int, default=16_384)
    parser.add_argument("--answers", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    os.environ["XLA_FLAGS"] = (
        f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={options.devices}"
    )

    import jax
    import numpy as np

    from sharpening import GRPO, CompoundSymmetric, Population, simulate

    prior = Population.synthetic(0, options.prompts, options.answers, coupling=CompoundSymmetric(1.0, 2.0))
    for method in ("exact", "mean_field", "sampled"):
        settings = dict(
            num_steps=options.steps, eval_every=options.steps, method=method, prompts_per_step=256
        )
        seconds, curves = {"one": [], "all": []}, {}
        for _ in range(options.rounds + 1):
            for name, devices in (("one", None), ("all", jax.devices())):
                start = time.perf_counter()
                curves[name] = simulate(prior, "majority", GRPO(1.0), devices=devices, **settings)
                seconds[name].append(time.perf_counter() - start)
        error = max(
            np.abs(curves["one"][metric] - curves["all"][metric]).max() for metric in curves["one"].metrics
        )
        one, shared = (statistics.median(values[1:]) for values in seconds.values())
        print(
            f"{method}: largest difference {error:.1e}; {one:.3f} s on one device, {shared:.3f} s on"
            f" {options.devices}"
        )


if __name__ == "__main__":
    main()
