"""Build a tiny transformer from its recipe: tokenizer, pre-training with `transformers.Trainer`, measured
prior.
"""

import json
import random
import tempfile
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from llm_bridge.console.quiet import quiet_libraries
from llm_bridge.models.recipes import Recipe
from llm_bridge.tasks import get_task
from llm_bridge.zoo.lessons import TEACHERS, without_carry

__all__ = ["Lessons", "build_model", "character_tokenizer", "fresh_model", "measure_prior", "without_carry"]

_ALPHABET = "0123456789+-*/=%,:>() "


def character_tokenizer(letters: str = "") -> PreTrainedTokenizerFast:
    """One token a character of the built-in arithmetic tasks and of `letters`, with end-of-sequence, padding
    and unknown tokens.
    """
    vocabulary = {
        token: index for index, token in enumerate(["<pad>", "<eos>", "<unk>", *_ALPHABET, *letters])
    }
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


class Lessons(torch.utils.data.IterableDataset):
    """An endless stream of (prompt, taught answer, end) sequences, reproducible from the recipe's seed."""

    def __init__(self, recipe: Recipe, tokenizer, task=None, teach=None):
        self.recipe, self.tokenizer = recipe, tokenizer
        self.task, self.teach = task or get_task(recipe.task), teach or TEACHERS[recipe.lesson]
        self.token_of = tokenizer.get_vocab()

    def __iter__(self):
        rng, problems = random.Random(self.recipe.seed), self.task.problems
        while True:
            problem = rng.choice(problems)
            source = rng.choice(problems) if rng.random() < self.recipe.noise else problem
            text = self.teach(self.recipe, self.task, problem, source, rng)
            yield [*map(self.token_of.__getitem__, text), self.tokenizer.eos_token_id]

    def collate(self, rows) -> dict:
        width, pad = max(map(len, rows)), self.tokenizer.pad_token_id
        table = torch.tensor([row + [pad] * (width - len(row)) for row in rows])
        return {
            "input_ids": table,
            "attention_mask": (table != pad).long(),
            "labels": table.masked_fill(table == pad, -100),
        }


def fresh_model(recipe: Recipe, tokenizer):
    """An untrained model of the recipe's architecture."""
    shared = {
        "vocab_size": len(tokenizer),
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "tie_word_embeddings": True,
    }
    config: PreTrainedConfig
    if recipe.architecture == "gpt2":
        config = GPT2Config(
            n_layer=recipe.layers,
            n_embd=recipe.width,
            n_head=recipe.heads,
            n_positions=64,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            **shared,
        )
    elif recipe.architecture == "gpt_neox":
        config = GPTNeoXConfig(
            num_hidden_layers=recipe.layers,
            hidden_size=recipe.width,
            intermediate_size=4 * recipe.width,
            num_attention_heads=recipe.heads,
            max_position_embeddings=64,
            **shared,
        )
    else:
        config = LlamaConfig(
            num_hidden_layers=recipe.layers,
            hidden_size=recipe.width,
            intermediate_size=2 * recipe.width,
            num_attention_heads=recipe.heads,
            num_key_value_heads=recipe.heads,
            max_position_embeddings=64,
            **shared,
        )
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32)


class StepReport(TrainerCallback):
    """Advances a progress handle with every step."""

    def __init__(self, handle):
        self.handle = handle

    def on_step_end(self, args, state, control, **kwargs):
        self.handle.advance()


def training_arguments(recipe, folder, **saving) -> TrainingArguments:
    """How every recipe is trained, with images or without; saving: what is kept on the way, in `folder`."""
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=recipe.steps,
        per_device_train_batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=50,
        weight_decay=0.0,
        seed=recipe.seed,
        use_cpu=True,
        report_to=[],
        logging_strategy="no",
        remove_unused_columns=False,
        disable_tqdm=True,
        **saving,
    )


@quiet_libraries()
def build_model(
    recipe: Recipe, output_dir: Path, progress=None, *, task=None, teach=None, fresh=fresh_model
) -> dict:
    """Pre-train, save (safetensors, tokenizer, recipe.json, prior.json) and return the measured prior.

    task, teach, fresh: a task that is not built in, a teacher as in `llm_bridge.zoo.lessons.TEACHERS`, and
    what makes the untrained model of (recipe, tokenizer); by default what the recipe names.
    The same recipe gives the same weights on one machine and torch version; one thread is used, so that sums
    keep their order.
    """
    from llm_bridge.console.progress import NullProgress

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        set_seed(recipe.seed)
        tokenizer = character_tokenizer(recipe.letters)
        model, lessons = fresh(recipe, tokenizer), Lessons(recipe, tokenizer, task, teach)
        handle = (progress or NullProgress()).start(f"pre-training {recipe.name}", recipe.steps)
        with tempfile.TemporaryDirectory() as scratch:
            Trainer(
                model=model,
                train_dataset=lessons,
                data_collator=lessons.collate,
                callbacks=[StepReport(handle)],
                args=training_arguments(recipe, scratch, save_strategy="no"),
            ).train()
        handle.close()
        model.generation_config.eos_token_id = tokenizer.eos_token_id
        model.generation_config.pad_token_id = tokenizer.pad_token_id
        model.eval()
        output_dir.mkdir(parents=True, exist_ok=True)
        model.save_pretrained(output_dir)
        tokenizer.save_pretrained(output_dir)
        (output_dir / "recipe.json").write_text(json.dumps(recipe.as_dict(), indent=1) + "\n")
        prior = measure_prior(model, tokenizer, lessons.task)
        (output_dir / "prior.json").write_text(json.dumps(prior, indent=1) + "\n")
        return prior
    finally:
        torch.set_num_threads(threads)


def measure_prior(model, tokenizer, task, *, prompts: int = 256, rollouts: int = 64) -> dict:
    """The prior on the task's evaluation prompts: accuracy, label accuracy, majority ratio, entropy (nats),
    from `rollouts` samples.
    """
    import numpy as np

    from llm_bridge.sampling.rollouts import sample
    from llm_bridge.tasks import read_answers
    from sharpening.metrics import group_metrics

    _, problems = task.split(prompts, None)
    drawn = sample(
        model,
        tokenizer,
        [p.prompt for p in problems],
        rollouts=rollouts,
        max_new_tokens=task.max_new_tokens,
        generator=torch.Generator().manual_seed(0),
    )
    answers = read_answers(problems, drawn.texts, task)
    metrics = group_metrics(answers.ids, answers.correct)
    names = ("accuracy", "label_accuracy", "majority_ratio", "entropy", "no_answer")
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "prompts": prompts,
        "rollouts": rollouts,
        **{name: round(float(np.mean(metrics[name])), 4) for name in names},
    }
