"""Tiny transformers with known priors: `names`, `list_models`, `build`, `built_in_folder`, `import_gguf`.

This module stays light (no torch), so that `sharpening zoo list` answers at once; building and importing load torch when called.
"""

import json
from pathlib import Path

from llm_bridge.zoo.recipes import RECIPES, Recipe
from sharpening.errors import InputError

DEFAULT_MODEL = "addition-uncertain"
_HERE = Path(__file__).parent / "models"


def names() -> tuple[str, ...]:
    """The built-in models, in the order in which `sharpening zoo list` shows them."""
    return tuple(RECIPES)


def built_in_folder(name: str) -> Path:
    """Folder of a shipped model, in Hugging Face format.

    Raises:
        InputError: no such name, or its weights are missing from the installation.
    """
    if name not in RECIPES:
        raise InputError("model", name, f"built-in models are {', '.join(RECIPES)}", "Choose one of them")
    folder = _HERE / name
    if not (folder / "model.safetensors").is_file():
        raise InputError("model", name, "its weights are not in this installation", f"Make them with `sharpening zoo build {name}`")
    return folder


def default_task(name: str) -> str | None:
    """The task a built-in model was pre-trained for; None for any other model."""
    return RECIPES[name].task if name in RECIPES else None


def list_models() -> list[dict]:
    """One record a model: name, task, architecture, recipe and, where the weights are shipped, the measured prior."""
    return [
        {"name": name, "task": recipe.task, "architecture": recipe.architecture, "about": recipe.about} | _prior(name)
        for name, recipe in RECIPES.items()
    ]


def _prior(name: str) -> dict:
    card = _HERE / name / "prior.json"
    return json.loads(card.read_text()) if card.is_file() else {}


def build(name: str, output_dir: Path | str | None = None, progress=None) -> dict:
    """Pre-train the model from its recipe on the CPU and measure its prior; returns the record written to prior.json."""
    from llm_bridge.zoo.pretraining import build_model

    if name not in RECIPES:
        raise InputError("name", name, f"built-in models are {', '.join(RECIPES)}", "Choose one of them")
    return build_model(RECIPES[name], Path(output_dir) if output_dir else _HERE / name, progress)


def import_gguf(file: str, output_dir: str) -> Path:
    """Write a trainable Hugging Face copy (safetensors, tokenizer) of a GGUF model."""
    from llm_bridge.zoo.gguf import import_gguf as convert

    return convert(Path(file), Path(output_dir))


__all__ = ["DEFAULT_MODEL", "RECIPES", "Recipe", "build", "built_in_folder", "default_task", "import_gguf", "list_models", "names"]
