"""Majority votes on images: a vision-language model, TRL's GRPOTrainer, and a monitor that sees whether it still looks."""

from datasets import Dataset
from transformers import AutoModelForImageTextToText, AutoProcessor
from trl import GRPOConfig, GRPOTrainer

import llm_bridge

folder = llm_bridge.built_in_folder("dots-uncertain")  # any vision-language model that TRL trains
rows = [
    {"prompt": [{"role": "user", "content": f"{problem.data['word']} how many ?"}],
     "image": problem.prompt.pictures[0].image(), "answer": problem.answer}
    for problem in llm_bridge.get_task("dots").problems[:160]
]  # fmt: skip
trainer = GRPOTrainer(
    model=AutoModelForImageTextToText.from_pretrained(folder),
    processing_class=AutoProcessor.from_pretrained(folder),
    reward_funcs=llm_bridge.majority_reward(lambda text: text.strip() or None, num_generations=8),
    train_dataset=Dataset.from_list(rows[32:]),
    args=GRPOConfig(
        output_dir="run", max_steps=8, learning_rate=1e-3, per_device_train_batch_size=64, num_generations=8,
        max_completion_length=3, use_cpu=True, bf16=False, report_to=[], save_strategy="no",
    ),
)  # fmt: skip
monitor = llm_bridge.CollapseMonitor(prompts=Dataset.from_list(rows[:32]), max_new_tokens=3, eval_every=4)
trainer.add_callback(monitor)
trainer.train()
print(monitor.trajectory)
