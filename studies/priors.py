"""The priors of the ground truth: three architectures, five tasks, one to six layers, noise, misconceptions,
under- and over-training.
"""

from pathlib import Path

from llm_bridge.zoo import RECIPES, Recipe


def _recipe(name: str, steps: int, about: str, **changes) -> Recipe:
    task, architecture, *_ = name.split("-")
    architecture = {"neox": "gpt_neox"}.get(architecture, architecture)
    return Recipe(name, task, about, steps, architecture=architecture, **changes)


_SHIPPED = tuple(recipe for recipe in RECIPES.values() if recipe.name != "worked-addition")
"""Free-length answers take ten times the tokens; their failure has a study of its own."""

PRIORS = {
    recipe.name: recipe
    for recipe in (
        *_SHIPPED,
        _recipe("addition-gpt2-noisy", 3000, "30 % label noise", noise=0.3),
        _recipe("addition-gpt2-deep", 1500, "four layers, clean labels", layers=4),
        _recipe("addition-gpt2-shallow", 3000, "one layer, half of the labels noise", layers=1, noise=0.5),
        _recipe("addition-neox-noisy", 3000, "30 % label noise", noise=0.3),
        _recipe(
            "addition-neox-misconception",
            2000,
            "three layers, forgets the carry on half of the carries",
            layers=3,
            noise=0.15,
            misconception=True,
        ),
        _recipe("addition-llama-shallow", 3000, "one layer, 20 % label noise", layers=1, noise=0.2),
        _recipe("addition-llama-deep", 2000, "four layers, 30 % label noise", layers=4, noise=0.3),
        _recipe("addition-llama-early", 600, "clean labels, stopped early"),
        _recipe("addition-llama-long", 5000, "clean labels, trained for long"),
        _recipe(
            "modmul-llama-clean",
            6000,
            "clean labels, hardly learnt: label accuracy .04",
            width=128,
            learning_rate=1e-3,
        ),
        _recipe("countdown-gpt2-deep", 2000, "three layers, 20 % label noise", layers=3, noise=0.2),
        _recipe("countdown-neox-clean", 2000, "clean labels"),
        _recipe("countdown-llama-early", 700, "clean labels, stopped early"),
        _recipe("sorting-llama-noisy", 2500, "30 % label noise", noise=0.3),
        _recipe(
            "sorting-llama-misconception",
            2000,
            "three layers, sorts downwards after an even first digit",
            layers=3,
            noise=0.15,
            misconception=True,
        ),
        _recipe("sorting-gpt2-clean", 1500, "clean labels"),
        _recipe(
            "sorting-gpt2-narrow",
            2000,
            "six layers, 48 wide, 30 % label noise",
            layers=6,
            width=48,
            noise=0.3,
        ),
        _recipe("sorting-neox-weak", 2500, "half of the labels noise", noise=0.5),
        _recipe("sorting-neox-early", 400, "clean labels, stopped early"),
    )
}


def build_prior(name: str, folder: Path, progress=None) -> str:
    """What `measure` is to load for a prior: a shipped model's name, or a folder below `folder`, pre-trained
    there unless it already is.
    """
    from llm_bridge.zoo.pretraining import build_model

    if name in RECIPES:
        return name
    target = folder / "priors" / name
    if not (target / "prior.json").is_file():
        build_model(PRIORS[name], target, progress)
    return str(target)
