"""Speed of `simulate`, step for step, beside vectorised NumPy and beside bare exponentials in JAX:
interleaved rounds in one process.

    python studies/benchmarks/simulation.py [--prompts 4096] [--answers 256] [--steps 60] [--rounds 7]

GRPO on majority votes, float64. A time is that of one step: a run of `steps + 1` steps less a run of one,
both evaluated at the ends only. Ratios are taken within a round; the table gives their median and range.
NumPy: `plain` writes the formulas down on whole arrays, as one would; `in place` is tuned by hand for this
reward and update (two reward levels, no temporaries). An exponential pass is x <- exp(-x) over an array of
the same shape in one compiled loop.
"""

import argparse
import os
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

from sharpening import GRPO, CompoundSymmetric, Population, simulate

ROLLOUTS = 8


def numpy_plain(z, steps, eps=1e-4):
    for _ in range(steps):
        probs = np.exp(z - z.max(axis=1, keepdims=True))
        probs /= probs.sum(axis=1, keepdims=True)
        leader = probs == probs.max(axis=1, keepdims=True)
        rewards = leader / leader.sum(axis=1, keepdims=True)
        advantages = rewards - (probs * rewards).sum(axis=1, keepdims=True)
        std = np.sqrt((probs * advantages**2).sum(axis=1, keepdims=True))
        z = z + probs * advantages / (std + eps)
    return z


def numpy_in_place(z, steps, eps=1e-4):
    z, masses, rows = z.copy(), np.empty_like(z), np.arange(len(z))
    for _ in range(steps):
        mode = z.argmax(axis=1)
        np.subtract(z, z[rows, mode][:, None], out=masses)
        np.exp(masses, out=masses)
        leading = 1 / masses.sum(axis=1)
        scale = leading / (np.sqrt(leading * (1 - leading)) + eps)
        masses *= (-leading * scale)[:, None]
        masses[rows, mode] += scale
        z += masses
    return z


def numpy_sampled(z0, steps, prompts, shared, rng, eps=1e-4):
    """Fresh prompts, inverse-CDF sampling by one sorted search over all rows' cumulative sums."""
    total, answers = z0.shape
    u, offsets, rows = np.zeros(answers), np.arange(prompts)[:, None], np.arange(prompts)[:, None]
    for _ in range(steps):
        index = (rng.random(prompts) * total).astype(int)
        z = z0[index] + u
        z -= z.max(axis=1, keepdims=True)
        np.exp(z, out=z)
        cumulative = np.cumsum(z, axis=1)
        cumulative /= cumulative[:, -1:]
        z /= z.sum(axis=1, keepdims=True)
        drawn = np.searchsorted(
            (cumulative + offsets).ravel(), (rng.random((prompts, ROLLOUTS)) + offsets).ravel(), side="right"
        )
        drawn = np.minimum(drawn.reshape(prompts, ROLLOUTS) - rows * answers, answers - 1)
        counts = (drawn[:, :, None] == drawn[:, None, :]).sum(axis=2)
        top = counts.max(axis=1, keepdims=True)
        rewards = (counts == top) / ((counts == top).sum(axis=1, keepdims=True) // top)
        std = rewards.std(axis=1, ddof=1, keepdims=True)
        advantages = (rewards - rewards.mean(axis=1, keepdims=True)) / (std + eps)
        direction = np.bincount(
            (drawn + rows * answers).ravel(), advantages.ravel() / ROLLOUTS, prompts * answers
        ).reshape(z.shape)
        direction -= advantages.mean(axis=1, keepdims=True) * z
        u = u + shared * direction.mean(axis=0)
    return u


def per_step(run, steps):
    """Seconds of one step of run(number of steps), by the clock and of all threads on their cores."""
    clocks = []
    for count in (0, 1, steps + 1):
        run(count) if count else None
        clocks.append(np.array([time.perf_counter(), time.process_time()]))
    return (clocks[2] - clocks[1] - (clocks[1] - clocks[0])) / steps


def cases(population, steps):
    prompts, answers = population.log_probs.shape
    coupled = population.replace(coupling=CompoundSymmetric(1.0, 2.0))
    passes = jax.jit(lambda x, count: jax.lax.fori_loop(0, count, lambda _, x: jnp.exp(-x), x))
    array = jnp.asarray(population.log_probs)

    def ours(population, **settings):
        return lambda count: simulate(
            population, "majority", GRPO(1.0), num_steps=count, eval_every=count, **settings
        )

    def sampled(prompts):
        return ours(coupled, method="sampled", prompts_per_step=prompts, rollouts=ROLLOUTS)

    few, log_probs = min(64, prompts), population.log_probs
    return {
        "exponential pass": (lambda count: passes(array, count).block_until_ready(), steps),
        "NumPy exact, plain": (lambda count: numpy_plain(log_probs, count), max(2, steps // 5)),
        "NumPy exact, in place": (lambda count: numpy_in_place(log_probs, count), max(2, steps // 5)),
        "exact": (ours(population), steps),
        "exact, coupled": (ours(coupled), steps),
        f"NumPy sampled, {prompts} prompts": (
            lambda count: numpy_sampled(log_probs, count, prompts, 2.0, np.random.default_rng(0)),
            steps // 3,
        ),
        f"sampled, {prompts} prompts": (sampled(prompts), steps),
        f"NumPy sampled, {few} prompts": (
            lambda count: numpy_sampled(log_probs, count, few, 2.0, np.random.default_rng(0)),
            10 * steps,
        ),
        f"sampled, {few} prompts": (sampled(few), 10 * steps),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--prompts", type=int, default=4096)
    parser.add_argument("--answers", type=int, default=256)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    population = Population.synthetic(0, options.prompts, options.answers)
    kinds = cases(population, options.steps)
    for run, steps in kinds.values():
        run(1), run(steps + 1)  # compile
    seconds, load = {name: [] for name in kinds}, [os.getloadavg()[0]]
    for _ in range(options.rounds):
        for name, (run, steps) in kinds.items():
            seconds[name].append(per_step(run, steps))
        load.append(os.getloadavg()[0])
    print(
        f"{options.prompts} prompts x {options.answers} answers, {options.rounds} rounds, load"
        f" {min(load):.1f} to {max(load):.1f}"
    )
    for name, values in seconds.items():
        clock, cores = 1e3 * np.array(values).T
        told = f"{statistics.median(clock):8.3f} ms a step ({min(clock):.3f} to {max(clock):.3f})"
        print(f"{name:30s} {told}, on cores {statistics.median(cores):.3f} ms")
    few = min(64, options.prompts)
    for slow, fast, bar in (
        ("NumPy exact, plain", "exact", ">= 6"), ("NumPy exact, in place", "exact", ""), ("exact", "exponential pass", "<= 3"),
        ("exact, coupled", "exponential pass", ""), (f"NumPy sampled, {options.prompts} prompts", f"sampled, {options.prompts} prompts", ">= 2"),
        (f"NumPy sampled, {few} prompts", f"sampled, {few} prompts", ">= 2"),
    ):  # fmt: skip
        ratios, cores = (np.array(seconds[slow]) / np.array(seconds[fast])).T
        told = (
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), of core time"
            f" {statistics.median(cores):.2f}"
        )
        print(f"{slow} / {fast}: {told}{f'; the bar is {bar}' if bar else ''}")


if __name__ == "__main__":
    main()
