"""What a sweep of 24 settings costs beside one cold setting, in wall time, side by side in fresh processes.

    python studies/benchmarks/sweep.py [--rounds 3] [--json studies/benchmarks/sweep.json]

A cold setting is one `simulate` in a process that has compiled nothing; the sweep runs in a process of its own, and so
do the same 24 settings as separate `simulate` calls (`--separate`, slow). Imports are not counted, the first use of
JAX is. Rounds alternate. The setting: 2,048 prompts, 50 answers, 32 prompts x 8 rollouts a step, KL to the initial policy.
"""

import argparse
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import jax
import numpy as np

import sharpening
from sharpening import GRPO, CompoundSymmetric, Population, simulate, sweep

GRID = {"dataset_size": [32, 128, 512, 1024], "num_steps": [200, 400, 600], "beta": [0.05, 0.2]}
COMMON = dict(method="sampled", prompts_per_step=32, rollouts=8, eval_every=10)


def population():
    return Population.synthetic(0, 2048, 50, coupling=CompoundSymmetric(1.0, 1.0))


def one(setting):
    told = dict(setting)
    return simulate(population(), "majority", GRPO(4.0, beta=told.pop("beta")), **told, **COMMON)


def points():
    return [dict(zip(GRID, values, strict=True)) for values in itertools.product(*GRID.values())]


def timed(kind):
    prior, start = population(), time.perf_counter()
    if kind == "cold":
        one(points()[-1])
    elif kind == "sweep":
        sweep(prior, "majority", GRPO(4.0), GRID, **COMMON)
    else:
        for setting in points():
            one(setting)
    return time.perf_counter() - start


def alone(kind):
    done = subprocess.run(
        [sys.executable, __file__, "--kind", kind], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def agreement():
    runs, worst = sweep(population(), "majority", GRPO(4.0), GRID, **COMMON), 0.0
    for run in (runs[0], runs[11], runs[23]):
        separate = one(run.setting)
        worst = max(
            worst, *(float(np.abs(run.trajectory[name] - separate[name]).max()) for name in separate.metrics)
        )
    return worst


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--separate", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--kind", choices=("cold", "sweep", "separate"))
    options = parser.parse_args()
    if options.kind:
        print(timed(options.kind))
        return
    kinds, load = ["cold", "sweep"] + ["separate"] * options.separate, [os.getloadavg()[0]]
    seconds = {kind: [] for kind in kinds}
    for _ in range(options.rounds):
        for kind in kinds:
            seconds[kind].append(round(alone(kind), 2))
        load.append(os.getloadavg()[0])
    ratios = [s / c for s, c in zip(seconds["sweep"], seconds["cold"], strict=True)]
    found = {
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {
            "sharpening": sharpening.__version__,
            "jax": jax.__version__,
            "python": platform.python_version(),
        },
        "cores": os.cpu_count(),
        "load": [round(min(load), 1), round(max(load), 1)],
        "settings": len(points()),
        "seconds": seconds,
        "sweep_over_cold": {
            "median": round(statistics.median(ratios), 2),
            "rounds": [round(r, 2) for r in ratios],
        },
        "largest_difference_from_separate_runs": agreement(),
    }
    print(json.dumps(found, indent=1))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
