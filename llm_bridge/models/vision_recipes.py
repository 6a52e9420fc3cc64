"""The recipes of the tiny vision-language transformers: what each is made of, and which prior it is meant to give."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class VisionRecipe:
    """A tiny LLaVA (SigLIP vision tower, Llama) as code: task, size, training length, what is wrong with its labels.

    noise: share of training labels replaced by the answer of another random problem, drawn afresh at every visit.
    misconception: teach the wrong rule of `llm_bridge.zoo.vision.MISCONCEPTIONS`. hinted: share of training problems of
    `dots` whose question tells the answer; None as in the task. layers: of the language model.
    """

    name: str
    task: str
    about: str
    steps: int
    noise: float = 0.0
    misconception: bool = False
    hinted: float | None = None
    vision_layers: int = 2
    layers: int = 2
    width: int = 80
    intermediate: int = 208
    heads: int = 4
    batch_size: int = 128
    learning_rate: float = 2e-3
    seed: int = 0

    def as_dict(self) -> dict:
        """Plain data for recipe.json."""
        return asdict(self)


_ALL = (
    VisionRecipe(
        "dots-uncertain", "dots", "30 % label noise: looks, aligned but uncertain", steps=1500, noise=0.3
    ),
    VisionRecipe("dots-clean", "dots", "clean labels: looks, right and certain of it", steps=1000),
    VisionRecipe(
        "dots-misconception",
        "dots",
        "looks, but counts one too few from six on, consistently",
        steps=1000,
        noise=0.15,
        misconception=True,
    ),
    VisionRecipe(
        "dots-shortcut",
        "dots",
        "answers from the question's word alone: its images agreed with the word nearly always",
        steps=500,
        noise=0.3,
        hinted=0.97,
    ),
    VisionRecipe(
        "digit-sum-uncertain",
        "digit-sum",
        "30 % label noise; should read two digits and add, and in these steps does not learn to: right on .09",
        steps=2500,
        noise=0.3,
    ),
    VisionRecipe(
        "digit-sum-misconception",
        "digit-sum",
        "should forget the carry (7 and 8 make 5); its like without does not learn to read, so do not count on it",
        steps=2500,
        noise=0.15,
        misconception=True,
    ),
    VisionRecipe("brighter-uncertain", "brighter", "30 % label noise: two answers", steps=600, noise=0.3),
    VisionRecipe(
        "missing-shape-uncertain", "missing-shape", "30 % label noise: four answers", steps=1500, noise=0.3
    ),
)

VISION_RECIPES = {recipe.name: recipe for recipe in _ALL}

SHIPPED_VISION = ("dots-uncertain",)
"""Those whose weights come with the package; `sharpening zoo build NAME --output DIR` makes the others."""
