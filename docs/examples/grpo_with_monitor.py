"""Majority-vote GRPO with TRL, stopped by CollapseMonitor when the model starts to forget what it knew. Runs
on a CPU in half a minute.
"""

import re
import tempfile

from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

from llm_bridge import CollapseMonitor, built_in_folder, majority_reward


def last_number(text):
    numbers = re.findall(r"\d+", text)
    return numbers[-1] if numbers else None


model_folder = built_in_folder("addition-uncertain")  # any Hugging Face folder or hub id
prompts = [f"{a}+{b}=" for a in range(20, 80, 3) for b in range(20, 80, 3)]
training, held_out = prompts[::2], prompts[1::12]

trainer = GRPOTrainer(
    model=AutoModelForCausalLM.from_pretrained(model_folder),
    processing_class=AutoTokenizer.from_pretrained(model_folder),
    # no labels: the majority answer of each group earns 1
    reward_funcs=majority_reward(last_number, num_generations=8),
    train_dataset=Dataset.from_dict({"prompt": training}),
    args=GRPOConfig(
        output_dir=tempfile.mkdtemp(),
        max_steps=60,
        learning_rate=5e-4,
        lr_scheduler_type="constant",
        per_device_train_batch_size=64,
        num_generations=8,
        max_completion_length=4,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to=[],
        disable_tqdm=True,
        logging_strategy="no",
        save_strategy="no",
    ),
)
monitor = CollapseMonitor(prompts=held_out, extract=last_number, max_new_tokens=4, eval_every=2)
trainer.add_callback(monitor)  # this line is all that the monitor needs
trainer.train()

for step, mass, kept, excess in zip(
    monitor.trajectory.step,
    monitor.trajectory["mode_mass"],
    monitor.trajectory["mode_retention"],
    monitor.trajectory["excess_kl"],
    strict=True,
):
    print(f"step {step:3d}   mode_mass {mass:.2f}   mode_retention {kept:.2f}   excess_kl {excess:.2f} nats")
if monitor.advised is None and monitor.collapsed is None:
    print("no collapse")
else:
    print(f"stopped at step {trainer.state.global_step} of 60")
if monitor.advised is not None:
    print(monitor.advised.message)
if monitor.collapsed is not None:
    print(f"collapsed at step {monitor.collapsed.step} ({monitor.collapsed.criterion})")
