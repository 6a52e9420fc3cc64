"""What our reward, evaluation and monitor cost beside bare TRL at equal evaluation: alternating runs in one
process.

    python studies/benchmarks/overhead.py [--steps 60] [--rounds 3]

Bare: GRPOTrainer with its own generation, a five-line vote as reward, and a callback that draws as many
completions of the same evaluation prompts with `model.generate` at the same steps and counts correct answers.
Ours: `llm_bridge.training.measure.measure` and, separately, the monitor and `majority_reward` added to the
bare trainer (TRL's own generation), as a user's script would.
"""

import argparse
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch
from datasets import Dataset
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from llm_bridge import CollapseMonitor, RunSettings, get_task, load_model, majority_reward, measure
from llm_bridge.console.quiet import quiet_libraries
from llm_bridge.training.trainer import schedule

MODEL = "addition-uncertain"


def vote(completions, **_):
    rewards = []
    for start in range(0, len(completions), 8):
        group = [completion.strip() for completion in completions[start : start + 8]]
        leader = Counter(group).most_common(1)[0][0]
        rewards += [float(answer == leader) for answer in group]
    return rewards


class GenerateEvaluation(TrainerCallback):
    def __init__(self, problems, tokenizer, every):
        self.problems, self.tokenizer, self.every = problems, tokenizer, every

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        # as many as the monitor draws at step 0: 64 for the modes, 16 for their own retention, 8 to evaluate
        self.evaluate(model, 88)

    def on_step_end(self, args, state, control, model=None, **kwargs):
        if state.global_step % self.every == 0:
            self.evaluate(model, 8)

    def evaluate(self, model, rollouts):
        batch = self.tokenizer(
            [problem.prompt for problem in self.problems], return_tensors="pt", padding=True
        )
        with torch.no_grad():
            for _ in range(rollouts // 8):
                ids = model.generate(
                    **batch, do_sample=True, top_k=0, max_new_tokens=4, num_return_sequences=8
                )
        texts = self.tokenizer.batch_decode(ids[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
        return sum(text == self.problems[i // 8].answer for i, text in enumerate(texts)) / len(texts)


def bare(settings, monitor: bool, folder):
    loaded, task = load_model(MODEL), get_task("addition")
    train, evaluation = schedule(task, settings)
    config = GRPOConfig(
        output_dir=str(folder),
        max_steps=settings.max_steps,
        per_device_train_batch_size=256,
        num_generations=8,
        max_completion_length=4,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="constant",
        report_to=[],
        logging_strategy="no",
        save_strategy="no",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        disable_tqdm=True,
        shuffle_dataset=False,
    )
    extract = task.extract
    trainer = GRPOTrainer(
        model=loaded.model,
        reward_funcs=majority_reward(extract, 8) if monitor else vote,
        args=config,
        processing_class=loaded.tokenizer,
        train_dataset=Dataset.from_list([{"prompt": problem.prompt} for problem in train]),
    )
    if monitor:
        trainer.add_callback(
            CollapseMonitor(
                [p.prompt for p in evaluation],
                [p.answer for p in evaluation],
                extract,
                max_new_tokens=4,
                eval_every=settings.eval_every,
                stop=False,
            )
        )
    else:
        trainer.add_callback(GenerateEvaluation(evaluation, loaded.tokenizer, settings.eval_every))
    start = time.perf_counter()
    trainer.train()
    return time.perf_counter() - start


def ours(settings, folder):
    start = time.perf_counter()
    measure(MODEL, get_task("addition"), settings, output_dir=Path(folder) / "run")
    return time.perf_counter() - start


@quiet_libraries()
def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = RunSettings(learning_rate=1e-4, max_steps=options.steps, eval_every=15)
    kinds = {
        "bare TRL": lambda f: bare(settings, False, f),
        "TRL with our reward and monitor": lambda f: bare(settings, True, f),
        "measure": lambda f: ours(settings, f),
    }
    seconds = {name: [] for name in kinds}
    for _ in range(options.rounds):
        for name, run in kinds.items():
            with tempfile.TemporaryDirectory() as folder:
                seconds[name].append(run(folder))
    base = seconds["bare TRL"]
    for name, values in seconds.items():
        ratios = [value / reference for value, reference in zip(values, base, strict=True)]
        print(
            f"{name}: {statistics.median(values) / options.steps:.3f} s a step, ratio to bare"
            f" {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
