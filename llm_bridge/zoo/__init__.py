"""Tiny transformers with known priors: `names`, `list_models`, `build`, `built_in_folder`, `import_gguf`.

This module stays light (no torch), so that `sharpening zoo list` answers at once; building and importing load
torch when called.
"""

from pathlib import Path

from llm_bridge.models.built_in import (
    DEFAULT_MODEL,
    SHIPPED,
    built_in_folder,
    default_task,
    list_models,
    names,
)
from llm_bridge.models.recipes import RECIPES, Recipe
from llm_bridge.models.vision_recipes import VISION_RECIPES, VisionRecipe
from sharpening.errors import InputError


def build(name: str, output_dir: Path | str | None = None, progress=None) -> dict:
    """Pre-train the model from its recipe on the CPU and measure its prior; returns the record written to
    prior.json.
    """
    folder = Path(output_dir) if output_dir else SHIPPED / name
    if name in VISION_RECIPES:
        from llm_bridge.zoo.vision import build_vision_model

        return build_vision_model(VISION_RECIPES[name], folder, progress)
    if name not in RECIPES:
        raise InputError(
            "name",
            name,
            f"built-in models are {', '.join(names())}; other recipes {', '.join(others())}",
            "Choose one of them",
        )
    from llm_bridge.zoo.pretraining import build_model

    return build_model(RECIPES[name], folder, progress)


def others() -> tuple[str, ...]:
    """Recipes whose weights are not shipped."""
    return tuple(name for name in VISION_RECIPES if name not in names())


def import_gguf(file: str, output_dir: str) -> Path:
    """Write a trainable Hugging Face copy (safetensors, tokenizer) of a GGUF model."""
    from llm_bridge.zoo.gguf import import_gguf as convert

    return convert(Path(file), Path(output_dir))


__all__ = [
    "DEFAULT_MODEL",
    "RECIPES",
    "VISION_RECIPES",
    "Recipe",
    "VisionRecipe",
    "build",
    "built_in_folder",
    "default_task",
    "import_gguf",
    "list_models",
    "names",
    "others",
]
