"""The tiny transformers that ship with the package: names, folders, tasks, priors. Needs no torch."""

import json
from pathlib import Path

from llm_bridge.models.recipes import RECIPES
from llm_bridge.models.vision_recipes import SHIPPED_VISION, VISION_RECIPES
from sharpening.errors import InputError

DEFAULT_MODEL = "addition-uncertain"


SHIPPED = Path(__file__).parent / "shipped"


def names() -> tuple[str, ...]:
    """The built-in models, in the order in which `sharpening zoo list` shows them."""
    return (*RECIPES, *SHIPPED_VISION)


def built_in_folder(name: str) -> Path:
    """Folder of a shipped model, in Hugging Face format.

    Raises:
        InputError: no such name, or its weights are missing from the installation.
    """
    if name not in names():
        raise InputError("model", name, f"built-in models are {', '.join(names())}", "Choose one of them")
    folder = SHIPPED / name
    if not (folder / "model.safetensors").is_file():
        raise InputError(
            "model",
            name,
            "its weights are not in this installation",
            f"Make them with `sharpening zoo build {name}`",
        )
    return folder


def default_task(name: str) -> str | None:
    """The task a built-in model was pre-trained for; None for any other model."""
    recipe = RECIPES.get(name) or VISION_RECIPES.get(name)
    return recipe.task if recipe and name in names() else None


def list_models() -> list[dict]:
    """One record a model: name, task, architecture, recipe and, where the weights are shipped, the measured
    prior.
    """
    told = [(recipe.name, recipe.task, recipe.architecture, recipe.about) for recipe in RECIPES.values()]
    seeing = [VISION_RECIPES[name] for name in SHIPPED_VISION]
    told += [(recipe.name, recipe.task, "llava", recipe.about) for recipe in seeing]
    return [
        {"name": name, "task": task, "architecture": architecture, "about": about} | _prior(name)
        for name, task, architecture, about in told
    ]


def _prior(name: str) -> dict:
    card = SHIPPED / name / "prior.json"
    return json.loads(card.read_text()) if card.is_file() else {}
