"""Tiny models of other kinds than ours that see, random weights: Idefics3 (tiles, masks of pixels), SmolVLM, Qwen2-VL and
Qwen2.5-VL (patches of every image in one row, positions in three dimensions).
"""

from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3Processor,
    PreTrainedTokenizerFast,
    ProcessorMixin,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.qwen2_vl.processing_qwen2_vl import Qwen2VLProcessor

from llm_bridge.zoo.vision import TEMPLATE, WORDS

TILES = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
IDEFICS = ("<image>", "<fake_token_around_image>", "<end_of_utterance>", "<global-img>", *TILES)
QWEN = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")


class StillProcessor(ProcessorMixin):
    """That of Qwen2-VL without the part for videos, which alone needs torchvision."""

    return_mm_token_type_ids = True
    replace_image_token = Qwen2VLProcessor.replace_image_token

    def __init__(self, image_processor=None, tokenizer=None, chat_template=None):
        self.image_token = "<|image_pad|>"
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        super().__init__(image_processor, tokenizer, chat_template=chat_template)


def words(special) -> PreTrainedTokenizerFast:
    """One token a digit and a word of the built-in tasks with images."""
    known = ["<pad>", "<eos>", "<unk>", *special, *"0123456789", *WORDS]
    made = Tokenizer(models.WordLevel({word: place for place, word in enumerate(known)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r"\s+"), "removed"), pre_tokenizers.Digits(individual_digits=True)]
    )
    made.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        additional_special_tokens=list(special),
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def text_config(tokenizer) -> dict:
    return {
        "vocab_size": len(tokenizer),
        "num_hidden_layers": 2,
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def louder(model, tokenizer):
    """Weights larger than at the beginning of a training, so that what is seen and what is asked both matter."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4.0) if parameter.dim() > 1 else None
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model.eval()


def tiled(smol: bool = False):
    """An Idefics3, or a SmolVLM, and its processor: images of more than 32 pixels are cut into tiles."""
    tokenizer, side = words(IDEFICS), 32
    sizes = {"size": {"longest_edge": 2 * side}, "max_image_size": {"longest_edge": side}}
    told = {"image_seq_len": 4, "chat_template": TEMPLATE}
    if smol:
        from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil
        from transformers.models.smolvlm.processing_smolvlm import SmolVLMProcessor
        from transformers.models.smolvlm.video_processing_smolvlm import SmolVLMVideoProcessor

        images = SmolVLMImageProcessorPil(**sizes)
        processor = SmolVLMProcessor(images, tokenizer, SmolVLMVideoProcessor(), **told)
    else:
        processor = Idefics3Processor(Idefics3ImageProcessorPil(**sizes), tokenizer, **told)
    kind, made = (
        (SmolVLMConfig, SmolVLMForConditionalGeneration)
        if smol
        else (Idefics3Config, Idefics3ForConditionalGeneration)
    )
    vision = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = kind(
        vision_config=vision | {"image_size": side, "patch_size": 8},
        text_config={"model_type": "llama", **text_config(tokenizer)},
        scale_factor=2,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    return louder(made(config), tokenizer), processor


def patched(later: bool = False, videos: bool = False):
    """A Qwen2-VL, or with `later` a Qwen2.5-VL, and its processor; videos: the whole one, which needs torchvision."""
    tokenizer = words(QWEN)
    sizes = {"patch_size": 4, "merge_size": 2, "temporal_patch_size": 2}
    images = Qwen2VLImageProcessorPil(**sizes, size={"shortest_edge": 64, "longest_edge": 2304})
    template = TEMPLATE.replace("<image>", "<|vision_start|><|image_pad|><|vision_end|>")
    if videos:
        from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor
        from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor

        whole = Qwen2_5_VLProcessor if later else Qwen2VLProcessor
        processor = whole(images, tokenizer, Qwen2VLVideoProcessor(**sizes), chat_template=template)
    else:
        processor = StillProcessor(images, tokenizer, chat_template=template)
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}
    vision = {"num_heads": 2, "patch_size": 4, "spatial_merge_size": 2, "temporal_patch_size": 2}
    vision |= (
        {"depth": 2, "hidden_size": 32, "intermediate_size": 32, "out_hidden_size": 32}
        | {"window_size": 16, "fullatt_block_indexes": [1]}
        if later
        else {"depth": 1, "embed_dim": 32, "hidden_size": 32, "mlp_ratio": 1}
    )
    kind, made = (
        (Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration)
        if later
        else (Qwen2VLConfig, Qwen2VLForConditionalGeneration)
    )
    names = {"image": "image_pad", "video": "video_pad", "vision_start": "vision_start"}
    names["vision_end"] = "vision_end"
    config = kind(
        text_config=text_config(tokenizer) | {"rope_parameters": rope},
        vision_config=vision,
        **{f"{of}_token_id": tokenizer.convert_tokens_to_ids(f"<|{name}|>") for of, name in names.items()},
    )
    torch.manual_seed(0)
    return louder(made(config), tokenizer), processor


def saved(folder: Path, made) -> str:
    """A model and its processor as a folder."""
    for one in made:
        one.save_pretrained(folder)
    return str(folder)
