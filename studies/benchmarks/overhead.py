"""What our reward, evaluation and monitor cost beside bare TRL: alternating runs in one process, in processor
seconds, so that other work on the machine changes little.

    python studies/benchmarks/overhead.py [--steps 60] [--rounds 3] [--model NAME] [--prompts 32]

Bare: GRPOTrainer with its own generation and a five-line vote as reward. The same with equal evaluation: a callback
that draws as many completions of the same evaluation prompts with `model.generate` at the same steps, and counts
correct answers. Ours: the monitor added to the bare trainer; `majority_reward` beside it; and
`llm_bridge.training.measure.measure`.
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


KINDS = {
    "bare TRL": (False, False, False),
    "bare TRL, equal evaluation": (False, True, False),
    "TRL with our monitor": (False, False, True),
    "TRL with our monitor and reward": (True, False, True),
}
"""(our reward, evaluation by generate, our monitor)"""


def trained(kind, settings, options, folder) -> float:
    ours, evaluates, watches = kind
    loaded, task = load_model(options.model), get_task("addition")
    train, evaluation = schedule(task, settings)
    config = GRPOConfig(
        output_dir=str(folder),
        max_steps=settings.max_steps,
        per_device_train_batch_size=8 * options.prompts,
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
    trainer = GRPOTrainer(
        model=loaded.model,
        reward_funcs=majority_reward(task.extract, 8) if ours else vote,
        args=config,
        processing_class=loaded.tokenizer,
        train_dataset=Dataset.from_list([{"prompt": str(problem.prompt)} for problem in train]),
    )
    if watches:
        watch = CollapseMonitor(
            [p.prompt for p in evaluation],
            [p.answer for p in evaluation],
            task.extract,
            max_new_tokens=4,
            eval_every=settings.eval_every,
            stop=False,
            strict=True,
            tell=lambda sentence: None,
        )
        trainer.add_callback(watch)
    if evaluates:
        trainer.add_callback(GenerateEvaluation(evaluation, loaded.tokenizer, settings.eval_every))
    start = time.process_time()
    trainer.train()
    return time.process_time() - start


def measured(settings, options, folder) -> float:
    start = time.process_time()
    measure(options.model, get_task("addition"), settings, output_dir=Path(folder) / "run")
    return time.process_time() - start


@quiet_libraries()
def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="addition-uncertain")
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--eval-prompts", type=int, default=256)
    parser.add_argument("--eval-every", type=int, default=15)
    parser.add_argument("--no-measure", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = RunSettings(
        learning_rate=1e-4,
        max_steps=options.steps,
        eval_every=options.eval_every,
        prompts_per_step=options.prompts,
        eval_prompts=options.eval_prompts,
    )
    runs = {name: lambda f, kind=kind: trained(kind, settings, options, f) for name, kind in KINDS.items()}
    if not options.no_measure:
        runs["measure"] = lambda f: measured(settings, options, f)
    seconds = {name: [] for name in runs}
    for _ in range(options.rounds):
        for name, run in runs.items():
            with tempfile.TemporaryDirectory() as folder:
                seconds[name].append(run(folder))
    for name, values in seconds.items():
        told = [f"{name}: {statistics.median(values) / options.steps:.3f} s a step"]
        for base in ("bare TRL", "bare TRL, equal evaluation"):
            ratios = [value / reference for value, reference in zip(values, seconds[base], strict=True)]
            told.append(
                f"over {base} {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            )
        print("; ".join(told), flush=True)


if __name__ == "__main__":
    main()
