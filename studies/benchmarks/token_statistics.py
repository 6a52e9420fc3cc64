"""Token statistics beside a plain chunked log-softmax-and-gather: processor seconds, alternating in one
process, and peak extra memory.

    python studies/benchmarks/token_statistics.py [--batch 64] [--tokens 71] [--vocabulary 49152] [--rounds 7]
    [--threads 1]

Plain: `logits[rows].float().log_softmax(-1).gather(-1, token_ids)`, for several numbers of rows; it returns
one number a token, ours four. How long plain takes depends on whether its temporaries come from memory that
the process already holds, hence its ranges. Memory: the rise of the process's peak resident size over the
size with the logits in place, each in a process of its own (Linux).
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from llm_bridge.sampling.token_statistics import token_statistics

ROWS = (1, 2, 4, 8, 16, 32)


def plain(logits, token_ids, rows):
    """log π of every token, `rows` tokens at a time."""
    batch, tokens = token_ids.shape
    parts = [
        logits[b, t : min(t + rows, tokens)]
        .float()
        .log_softmax(-1)
        .gather(-1, token_ids[b, t : t + rows, None])[:, 0]
        for b in range(batch)
        for t in range(0, tokens, rows)
    ]
    return torch.cat(parts).view(batch, tokens)


def inputs(options):
    generator = torch.Generator().manual_seed(0)
    logits = torch.empty(options.batch, options.tokens + 1, options.vocabulary).normal_(
        std=3.0, generator=generator
    )
    return logits, torch.randint(options.vocabulary, (options.batch, options.tokens), generator=generator)


def seconds(work) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def resident(field: str) -> float:
    """VmRSS or VmHWM of this process in MB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1000


def memory(options):
    logits, token_ids = inputs(options)
    small = token_statistics(logits[:2], token_ids[:2], rollouts=2)
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    if options.memory == "ours":
        token_statistics(logits, token_ids, rollouts=small.mask.shape[1])
    else:
        plain(logits, token_ids, options.tokens)
    print(f"{resident('VmHWM') - before:.1f}")


def summary(values) -> str:
    return f"median {statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main():
    parser = argparse.ArgumentParser()
    for name, default in (
        ("batch", 64),
        ("tokens", 71),
        ("vocabulary", 49152),
        ("rounds", 7),
        ("threads", 1),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--memory", choices=("ours", "plain"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.memory:
        memory(options)
        return
    logits, token_ids = inputs(options)
    work = {
        f"plain, {rows} rows": lambda rows=rows: plain(logits, token_ids, rows)
        for rows in (*ROWS, options.tokens)
    }
    work["ours"] = lambda: token_statistics(logits, token_ids, rollouts=options.batch)
    with torch.no_grad():
        ours, theirs = work["ours"]().log_prob[0], plain(logits, token_ids, options.tokens)
        found = {name: [] for name in work}
        for warm in (False, *[True] * options.rounds):
            for name, run in work.items():
                spent = seconds(run)
                if warm:
                    found[name].append(spent)
    print(
        f"batch {options.batch} × {options.tokens} tokens × {options.vocabulary:,} vocabulary, float32,"
        f" {options.threads} thread(s); largest difference of log π: {(ours - theirs).abs().max():.1e} nats"
    )
    for name, values in found.items():
        ratios = [a / b for a, b in zip(found["ours"], values, strict=True)]
        print(
            f"{name}: {summary(values)} s" + ("" if name == "ours" else f"; ours / this: {summary(ratios)}")
        )
    sizes = [f"--{key}={getattr(options, key)}" for key in ("batch", "tokens", "vocabulary", "threads")]
    for name in ("ours", "plain"):
        done = subprocess.run(
            [sys.executable, __file__, "--memory", name, *sizes], capture_output=True, text=True, check=True
        )
        print(f"peak extra memory, {name}: {done.stdout.strip()} MB")


if __name__ == "__main__":
    main()
