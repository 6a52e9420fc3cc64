"""The probe's rollouts of prompts with images against `generate(num_return_sequences=8)`, side by side, alternating, in
one process; then the peak memory of each, and of a whole probe, in a process of its own.

    python studies/benchmarks/vision_probe.py [--model dots-uncertain] [--rounds 7] [--json FILE]

128 problems of `dots` × 8 rollouts, 3 new tokens, one thread. "whole" counts what the processor does to text and
images; "prepared" finds that done.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

PROMPTS, ROLLOUTS, LENGTH = 128, 8, 3


class Work:
    """The same completions by `generate` and by the sampler; `probe` takes gradients and weight noise beside them."""

    def __init__(self, model: str):
        import torch

        from llm_bridge import RunSettings, get_task, load_model
        from llm_bridge.training.prepare import prepared

        torch.set_num_threads(1)
        self.loaded = load_model(model)
        self.settings = RunSettings(
            learning_rate=1e-3, rollouts=ROLLOUTS, eval_prompts=PROMPTS, max_new_tokens=LENGTH
        )
        self.task = prepared(get_task("dots"), self.loaded, self.settings)
        self.problems = self.task.split(PROMPTS, None)[1]
        self.prepared = None

    def batch(self) -> dict:
        from llm_bridge.models.chat import shown_messages

        chats = [shown_messages(problem.prompt) for problem in self.problems]
        return self.loaded.processor.apply_chat_template(
            chats,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            add_generation_prompt=True,
            padding=True,
        )

    def generate(self, whole: bool) -> None:
        import torch

        if whole or self.prepared is None:
            self.prepared = self.batch()
        with torch.no_grad():
            self.loaded.model.generate(
                **self.prepared,
                do_sample=True,
                top_k=0,
                top_p=1.0,
                max_new_tokens=LENGTH,
                num_return_sequences=ROLLOUTS,
            )

    def sample(self, whole: bool) -> None:
        from llm_bridge.models import vision
        from llm_bridge.sampling.rollouts import sample

        if whole:
            vision._kept.clear()
        sample(
            self.loaded.model,
            self.loaded.tokenizer,
            [problem.asked for problem in self.problems],
            rollouts=ROLLOUTS,
            max_new_tokens=LENGTH,
        )

    def probe(self, whole: bool) -> None:
        from llm_bridge.forecast.probe import probe_model

        probe_model(self.loaded, self.task, self.settings, prompts=PROMPTS, rollouts=ROLLOUTS)


def speed(model: str, rounds: int) -> dict:
    """Medians of seconds, and ratios of neighbours, the smallest and largest beside the median."""
    work, found = Work(model), {}
    for kind in ("whole", "prepared"):
        seconds: dict[str, list[float]] = {"generate": [], "sample": []}
        for name in ("generate", "sample") * (rounds + 1):
            start = time.perf_counter()
            getattr(work, name)(kind == "whole")
            seconds[name].append(time.perf_counter() - start)
        # The first of each warms caches.
        told = {name: values[1:] for name, values in seconds.items()}
        ratios = [a / b for a, b in zip(told["generate"], told["sample"], strict=True)]
        found[kind] = {
            "seconds": {name: round(statistics.median(values), 3) for name, values in told.items()},
            "ratio": [round(pick(ratios), 2) for pick in (statistics.median, min, max)],
        }
    start = time.perf_counter()
    work.probe(False)
    return found | {"whole_probe_seconds": round(time.perf_counter() - start, 1)}


def peak() -> int:
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else 1024 * size


def memory(model: str, name: str) -> dict:
    """Bytes of the largest resident set, and by how much the work raised it above that of the loaded model."""
    work = Work(model)
    before = peak()
    getattr(work, name)(True)
    return {"peak": peak(), "grown": peak() - before}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="dots-uncertain")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--memory", choices=("generate", "sample", "probe"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        print(json.dumps(memory(options.model, options.memory)))
        return
    found = {"command": "python studies/benchmarks/vision_probe.py", "date": time.strftime("%Y-%m-%d")}
    found |= {"model": options.model, "prompts": PROMPTS, "rollouts": ROLLOUTS, "new_tokens": LENGTH}
    load, found["memory"] = [os.getloadavg()[0]], {}
    # Before this process grows: a child's peak is told to be at least its parent's.
    for name in ("generate", "sample", "probe"):
        asked = [sys.executable, __file__, "--model", options.model, "--memory", name]
        said = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
        found["memory"][name] = json.loads(said.strip().splitlines()[-1])
    found |= {"rounds": options.rounds, "speed": speed(options.model, options.rounds)}
    load.append(os.getloadavg()[0])
    found |= {"cores": os.cpu_count(), "load": [round(min(load), 1), round(max(load), 1)]}
    print(json.dumps(found, indent=1))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
