"""The tiny transformers that ship with the package: names, folders, tasks, priors. Needs no torch."""

import json
from pathlib import Path

from llm_bridge.models.recipes import RECIPES
from sharpening.errors import InputError

DEFAULT_MODEL = "addition-uncertain"


SHIPPED = Path(__file__).parent / "shipped"


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
    return RECIPES[name].task if name in RECIPES else None


def list_models() -> list[dict]:
    """One record a model: name, task, architecture, recipe and, where the weights are shipped, the measured
    prior.
    """
    return [
        {"name": name, "task": recipe.task, "architecture": recipe.architecture, "about": recipe.about}
        | _prior(name)
        for name, recipe in RECIPES.items()
    ]


def _prior(name: str) -> dict:
    card = SHIPPED / name / "prior.json"
    return json.loads(card.read_text()) if card.is_file() else {}
