"""Plain TRL runs on a shipped tiny transformer, as a user's script makes them."""

import random

from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

from llm_bridge import built_in_folder, majority_reward

TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


def sums(count: int = 120, *, chat: bool = False, labelled: bool = True) -> Dataset:
    """Sums of two numbers, as texts or as chats, with their true answers in the column `answer`."""
    pairs = [(a, b) for a in range(1, 40) for b in range(1, 20)]
    rows = []
    for a, b in random.Random(0).sample(pairs, count):
        prompt = f"{a}+{b}="
        row = {"prompt": [{"role": "user", "content": prompt}] if chat else prompt}
        rows.append(row | ({"answer": str(a + b)} if labelled else {}))
    return Dataset.from_list(rows)


def short(completions, **_):
    """A second reward: short completions."""
    texts = [one if isinstance(one, str) else one[-1]["content"] for one in completions]
    return [-0.01 * len(text) for text in texts]


def vote():
    return majority_reward(lambda text: text.strip() or None, 8)


def config(folder, **changes) -> GRPOConfig:
    """Eight prompts of eight completions a step, on the CPU."""
    plain = dict(
        output_dir=str(folder),
        per_device_train_batch_size=64,
        num_generations=8,
        max_completion_length=4,
        learning_rate=5e-4,
        max_steps=6,
        use_cpu=True,
        bf16=False,
        activation_checkpointing=False,
        report_to=[],
        logging_steps=1,
        save_strategy="no",
        disable_tqdm=True,
    )
    return GRPOConfig(**(plain | changes))


def trainer_of(
    folder, *, kind=GRPOTrainer, data=None, rewards=None, optimizers=(None, None), peft=None, **changes
):
    """A trainer that has not trained."""
    name = built_in_folder("addition-uncertain")
    tokenizer = AutoTokenizer.from_pretrained(name)
    tokenizer.chat_template = TEMPLATE
    model = AutoModelForCausalLM.from_pretrained(name)
    if callable(optimizers):
        optimizers = optimizers(model)
    return kind(
        model=model,
        args=config(folder, **changes),
        reward_funcs=vote() if rewards is None else rewards,
        train_dataset=sums() if data is None else data,
        processing_class=tokenizer,
        optimizers=optimizers,
        peft_config=peft,
    )


def lora(**changes):
    from peft import LoraConfig

    return LoraConfig(**(dict(r=4, lora_alpha=8, target_modules="all-linear") | changes))
