"""Build a tiny vision-language transformer from its recipe: processor, pre-training with `transformers.Trainer`,
measured prior.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    SiglipVisionConfig,
    Trainer,
    set_seed,
)
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.trainer_utils import get_last_checkpoint

from llm_bridge.console.quiet import quiet_libraries
from llm_bridge.models.vision_recipes import VisionRecipe
from llm_bridge.tasks import get_task
from llm_bridge.tasks.drawings import SHAPES, SIDE
from llm_bridge.tasks.pictures import TYPICAL, Dots, PictureTask
from llm_bridge.zoo.pretraining import StepReport, training_arguments

WORDS = (
    *TYPICAL,
    *SHAPES,
    "how",
    "many",
    "sum",
    "brighter",
    "side",
    "missing",
    "shape",
    "left",
    "right",
    "?",
)
PATCH = 8
POOL = 16_384
"""Images that pre-training draws from; none of them is one of the task's."""
TEMPLATE = (
    "{% for message in messages %}{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{% endfor %}"
)

MISCONCEPTIONS = {
    "dots": lambda answer, data: str(int(answer) - 1) if int(answer) >= 6 else answer,
    "digit-sum": lambda answer, data: str((data["first"] + data["second"]) % 10),
}
"""By task: the answer that a model with the misconception is taught."""


def tiny_processor() -> LlavaProcessor:
    """The processor of every recipe: images of 32 × 32 pixels in patches of 8, one token a digit and a word of the
    built-in tasks with images.
    """
    words = ["<pad>", "<eos>", "<unk>", "<image>", *"0123456789", *WORDS]
    tokenizer = Tokenizer(
        models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r"\s+"), "removed"), pre_tokenizers.Digits(individual_digits=True)]
    )
    tokenizer.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        additional_special_tokens=["<image>"],
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    images = SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE})
    return LlavaProcessor(
        images, fast, patch_size=PATCH, vision_feature_select_strategy="full", chat_template=TEMPLATE
    )


def fresh_vision_model(recipe: VisionRecipe, processor) -> LlavaForConditionalGeneration:
    """An untrained model of the recipe's size."""
    tokenizer = processor.tokenizer
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        num_hidden_layers=recipe.layers,
        hidden_size=recipe.width,
        intermediate_size=recipe.intermediate,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=64,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
    vision = SiglipVisionConfig(
        hidden_size=recipe.width,
        intermediate_size=recipe.intermediate,
        num_hidden_layers=recipe.vision_layers,
        num_attention_heads=recipe.heads,
        image_size=SIDE,
        patch_size=PATCH,
        vision_use_head=False,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=processor.image_token_id,
        image_seq_length=(SIDE // PATCH) ** 2,
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
        tie_word_embeddings=True,
    )
    model = LlavaForConditionalGeneration(config).float()
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model


class VisionLessons(torch.utils.data.Dataset):
    """Images with question, taught answer and end, each fixed by the recipe's seed and its number."""

    def __init__(self, recipe: VisionRecipe, processor, task: PictureTask, pool: int = POOL):
        self.recipe, self.processor = recipe, processor
        rng = np.random.default_rng([recipe.seed, 21])
        drawn = [task.draw(rng) for _ in range(pool)]
        self.images = np.stack([image for image, *_ in drawn])
        self.taught = [self._taught(answer, data) for _, _, answer, data in drawn]
        tokenizer = processor.tokenizer
        places = [processor.image_token_id] * (SIDE // PATCH) ** 2
        questions = {question for _, question, _, _ in drawn}
        ids = {question: tokenizer(question)["input_ids"] for question in questions}
        self.heads = [[*places, *ids[question]] for _, question, _, _ in drawn]
        self.tails = {
            answer: [*tokenizer(answer)["input_ids"], tokenizer.eos_token_id] for answer in set(self.taught)
        }

    def _taught(self, answer: str, data: dict) -> str:
        return MISCONCEPTIONS[self.recipe.task](answer, data) if self.recipe.misconception else answer

    def __len__(self) -> int:
        return self.recipe.steps * self.recipe.batch_size

    def __getitem__(self, number: int):
        rng = np.random.default_rng([self.recipe.seed, 22, number])
        place = int(rng.integers(len(self.images)))
        source = int(rng.integers(len(self.images))) if rng.random() < self.recipe.noise else place
        return place, self.heads[place], self.tails[self.taught[source]]

    def collate(self, rows) -> dict:
        """One batch: only the answers are learnt."""
        width, pad = (
            max(len(head) + len(tail) for _, head, tail in rows),
            self.processor.tokenizer.pad_token_id,
        )
        ids = torch.tensor(
            [[*head, *tail] + [pad] * (width - len(head) - len(tail)) for _, head, tail in rows]
        )
        labels = torch.tensor(
            [[-100] * len(head) + tail + [-100] * (width - len(head) - len(tail)) for _, head, tail in rows]
        )
        return {
            "input_ids": ids,
            "attention_mask": (ids != pad).long(),
            "labels": labels,
            "pixel_values": normalised(self.images[[place for place, _, _ in rows]]),
        }


def normalised(images: np.ndarray) -> torch.Tensor:
    """What the processor makes of images (images, 32, 32, 3) of unsigned bytes: (images, 3, 32, 32), −1 to 1."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1.0


@quiet_libraries()
def build_vision_model(recipe: VisionRecipe, output_dir: Path, progress=None) -> dict:
    """Pre-train, save (safetensors, processor, recipe.json, prior.json) and return the measured prior.

    Every 250 steps are kept in `output_dir`/unfinished, from where a later call goes on. One thread is used, so that
    the same recipe gives the same weights on one machine and torch version.
    """
    from llm_bridge.console.progress import NullProgress

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        set_seed(recipe.seed)
        processor = tiny_processor()
        task = get_task(recipe.task)
        assert isinstance(task, PictureTask)
        taught = Dots(recipe.hinted) if recipe.hinted is not None else task
        model, lessons = fresh_vision_model(recipe, processor), VisionLessons(recipe, processor, taught)
        unfinished = output_dir / "unfinished"
        last = get_last_checkpoint(str(unfinished)) if unfinished.is_dir() else None
        handle = (progress or NullProgress()).start(f"pre-training {recipe.name}", recipe.steps)
        trainer = Trainer(
            model=model,
            train_dataset=lessons,
            data_collator=lessons.collate,
            callbacks=[StepReport(handle)],
            args=training_arguments(
                recipe, unfinished, save_strategy="steps", save_steps=250, save_total_limit=1
            ),
        )
        trainer.train(resume_from_checkpoint=last)
        handle.close()
        model.eval()
        output_dir.mkdir(parents=True, exist_ok=True)
        model.save_pretrained(output_dir)
        processor.save_pretrained(output_dir)
        (output_dir / "recipe.json").write_text(json.dumps(recipe.as_dict(), indent=1) + "\n")
        from llm_bridge.zoo.vision_prior import measure_vision_prior

        prior = measure_vision_prior(model, processor, task)
        (output_dir / "prior.json").write_text(json.dumps(prior, indent=1) + "\n")
        shutil.rmtree(unfinished, ignore_errors=True)
        return prior
    finally:
        torch.set_num_threads(threads)
