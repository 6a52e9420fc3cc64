"""A plain TRL run: chat data, LoRA, cosine schedule, two rewards. One line forecasts it before it trains."""

from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

import llm_bridge

folder = llm_bridge.built_in_folder("addition-uncertain")
tokenizer = AutoTokenizer.from_pretrained(folder)
tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
sums = [(a, b) for a in range(1, 25) for b in range(1, 25)]
rows = [{"prompt": [{"role": "user", "content": f"{a}+{b}="}], "answer": str(a + b)} for a, b in sums]


def short(completions, **_):
    return [-0.01 * len(completion[-1]["content"]) for completion in completions]


trainer = GRPOTrainer(
    model=AutoModelForCausalLM.from_pretrained(folder),
    args=GRPOConfig(
        output_dir="run", max_steps=100, learning_rate=2e-3, lr_scheduler_type="cosine", warmup_steps=5,
        per_device_train_batch_size=64, num_generations=8, max_completion_length=4, use_cpu=True, bf16=False,
    ),
    reward_funcs=[llm_bridge.majority_reward(lambda text: text.strip() or None, 8), short],
    train_dataset=Dataset.from_list(rows).shuffle(seed=0),
    processing_class=tokenizer,
    peft_config=LoraConfig(r=8, target_modules="all-linear"),
)  # fmt: skip

forecast = llm_bridge.forecast_trainer(trainer)  # before trainer.train()

print(forecast.verdict, *forecast.reasons, *forecast.notes, sep="\n")
