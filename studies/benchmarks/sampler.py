"""Shared-computation sampling against `generate(num_return_sequences=8)`, side by side, alternating, in one
process.

    python studies/benchmarks/sampler.py MODEL [--rounds 5] [--threads 2]

37-token few-shot prompts on capitals, 4 new tokens, 16 prompts × 8 rollouts = 128 completions.
"""

import argparse
import statistics
import time

import torch

from llm_bridge import get_task, load_model
from llm_bridge.sampling.rollouts import sample

SHOTS = (
    "The capital of France is Paris. The capital of Japan is Tokyo. The capital of Peru is Lima. "
    "The capital of Kenya is Nairobi. In Italy it is Rome. "
)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    loaded = load_model(options.model)
    model, tokenizer = loaded.model, loaded.tokenizer
    prompts = [SHOTS + problem.prompt for problem in get_task("capitals").problems[:16]]
    batch = tokenizer(prompts, return_tensors="pt", padding=True)
    lengths = [len(ids) for ids in tokenizer(prompts)["input_ids"]]
    print(f"prompt tokens: {min(lengths)} to {max(lengths)}")

    def theirs():
        with torch.no_grad():
            model.generate(
                **batch, do_sample=True, top_k=0, top_p=1.0, max_new_tokens=4, num_return_sequences=8
            )

    def ours():
        sample(model, tokenizer, prompts, rollouts=8, max_new_tokens=4)

    seconds = {"generate": [], "sample": []}
    for name, run in [("generate", theirs), ("sample", ours)] * (options.rounds + 1):
        start = time.perf_counter()
        run()
        seconds[name].append(time.perf_counter() - start)
    # The first of each warms caches.
    medians = {name: statistics.median(values[1:]) for name, values in seconds.items()}
    ratios = [a / b for a, b in zip(seconds["generate"][1:], seconds["sample"][1:], strict=True)]
    print({name: round(value, 2) for name, value in medians.items()}, "seconds for 128 completions")
    print(
        f"ratio: median {statistics.median(ratios):.2f}, from {min(ratios):.2f} to {max(ratios):.2f} over"
        f" {options.rounds} rounds"
    )


if __name__ == "__main__":
    main()
