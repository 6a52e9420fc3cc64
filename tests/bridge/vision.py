"""Tiny vision-language models with random weights, and image files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from llm_bridge.models.vision_recipes import VISION_RECIPES
from llm_bridge.zoo.vision import fresh_vision_model, tiny_processor

SMALL = replace(VISION_RECIPES["dots-clean"], width=16, intermediate=16, heads=2, layers=1, vision_layers=1)


def small_model(seed: int = 0):
    """A LLaVA of a few thousand parameters, and its processor."""
    torch.manual_seed(seed)
    processor = tiny_processor()
    model = fresh_vision_model(SMALL, processor).eval()
    with torch.no_grad():
        # Larger than at the beginning of a training, so that what is seen and what is asked both matter.
        for parameter in model.parameters():
            parameter.mul_(4.0) if parameter.dim() > 1 else None
    return model, processor


def small_folder(folder: Path, seed: int = 0) -> str:
    """The same as a folder."""
    model, processor = small_model(seed)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


def noise(seed: int = 0, width: int = 20, height: int = 12) -> np.ndarray:
    """(height, width, 3) unsigned bytes."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def write_png(path: Path, seed: int = 0) -> np.ndarray:
    """An image file, and its pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(seed)).save(path)
    return noise(seed)
