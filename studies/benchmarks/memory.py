"""Peak memory of `simulate` on large populations, each size in a process of its own.

    python studies/benchmarks/memory.py [--answers 32] [--steps 10] [--prompts 125000 250000 500000 1000000]

The peak is the operating system's (maximum resident set size), Python, JAX and the population included; it is
told in gigabytes and in copies of the population's array (prompts * answers float64), less what the process
held before the population was made.
"""

import argparse
import json
import resource
import subprocess
import sys
import time


def peak() -> float:
    """Largest resident set so far, bytes."""
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else 1024 * size


def measure(prompts: int, answers: int, steps: int, method: str, coupled: bool) -> dict:
    import jax.numpy as jnp

    from sharpening import GRPO, CompoundSymmetric, NoCoupling, Population, simulate

    small = Population.synthetic(0, 64, answers)
    simulate(small, "majority", GRPO(1.0), num_steps=1)
    jnp.zeros(1).block_until_ready()
    before = peak()
    coupling = CompoundSymmetric(1.0, 2.0) if coupled else NoCoupling()
    population = Population.synthetic(0, prompts, answers, coupling=coupling)
    made = peak()
    start = time.perf_counter()
    run = simulate(
        population,
        "majority",
        GRPO(1.0),
        num_steps=steps,
        eval_every=steps,
        method=method,
        prompts_per_step=4096,
    )
    return {
        "seconds": time.perf_counter() - start,
        "peak": peak(),
        "population": made - before,
        "grown": peak() - before,
        "copies": (peak() - before) / (8 * prompts * answers),
        "accuracy": [float(run["accuracy"][0]), float(run["accuracy"][-1])],
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--prompts", type=int, nargs="+", default=[125_000, 250_000, 500_000, 1_000_000])
    parser.add_argument("--answers", type=int, default=32)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--method", default="exact")
    parser.add_argument("--coupled", action="store_true")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        print(
            json.dumps(
                measure(options.prompts[0], options.answers, options.steps, options.method, options.coupled)
            )
        )
        return
    flags = [
        f"--answers={options.answers}",
        f"--steps={options.steps}",
        f"--method={options.method}",
        *["--coupled"] * options.coupled,
    ]
    for prompts in options.prompts:
        command = [sys.executable, __file__, "--inside", f"--prompts={prompts}", *flags]
        told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        print(
            f"{prompts} x {options.answers}, {options.method}, {options.steps} steps: peak"
            f" {told['peak'] / 1e9:.2f} GB ({told['copies']:.1f} copies of the array, making the population"
            f" {told['population'] / 8 / prompts / options.answers:.1f}), {told['seconds']:.1f} s, accuracy"
            f" {told['accuracy'][0]:.3f} to {told['accuracy'][1]:.3f}"
        )


if __name__ == "__main__":
    main()
