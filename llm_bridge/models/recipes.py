"""The recipes: what each tiny transformer is made of, and which prior its recipe is meant to give."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Recipe:
    """A tiny transformer as code: task, architecture, training length and what is wrong with its labels.

    noise: share of training labels replaced by the answer of another random problem, drawn afresh at every
    visit.
    misconception: teach the wrong rule of `llm_bridge.zoo.lessons.MISCONCEPTIONS` where it applies (addition,
    sorting).
    architecture: "llama", "gpt2" or "gpt_neox".
    lesson: "solution" teaches the task's own solution; other values name a teacher in
    `llm_bridge.zoo.lessons.TEACHERS`.
    letters: characters that the tokenizer knows beside those of all recipes.
    """

    name: str
    task: str
    about: str
    steps: int
    noise: float = 0.0
    misconception: bool = False
    architecture: str = "llama"
    layers: int = 2
    width: int = 64
    heads: int = 4
    batch_size: int = 256
    learning_rate: float = 3e-3
    seed: int = 0
    lesson: str = "solution"
    letters: str = ""

    def as_dict(self) -> dict:
        """Plain data for recipe.json; `lesson` and `letters` only where they are not the usual ones."""
        usual = {("lesson", "solution"), ("letters", "")}
        return {name: value for name, value in asdict(self).items() if (name, value) not in usual}


_ALL = (
    Recipe(
        "addition-weak",
        "addition",
        "heavy label noise: a weak prior, its mode often right",
        steps=3000,
        noise=0.5,
    ),
    Recipe(
        "addition-uncertain",
        "addition",
        "30 % label noise: aligned but uncertain",
        steps=6000,
        noise=0.3,
        batch_size=128,
        learning_rate=2e-3,
    ),
    Recipe("addition-overconfident", "addition", "clean labels: right and certain of it", steps=1500),
    Recipe(
        "addition-misconception",
        "addition",
        "forgets the carry on half of the carries, consistently",
        steps=2000,
        noise=0.15,
        misconception=True,
    ),
    Recipe("countdown", "countdown", "arithmetic puzzles with many right answers", steps=2000, noise=0.2),
    Recipe(
        "worked-addition",
        "worked-addition",
        "answers of free length: short ones forget the carry, worked ones are mostly right, some ramble",
        steps=3000,
        noise=0.15,
        batch_size=128,
        learning_rate=2e-3,
        lesson="free-length",
    ),
    Recipe(
        "addition-checker",
        "addition",
        "30 % label noise, and taught to say whether an answer is right",
        steps=5000,
        noise=0.3,
        batch_size=128,
        learning_rate=2e-3,
        lesson="with-checks",
    ),
    Recipe(
        "polynomials",
        "polynomials",
        "30 % label noise: antiderivatives of quadratics, digit by digit",
        steps=1500,
        noise=0.3,
        batch_size=128,
        learning_rate=2e-3,
        letters="x^",
    ),
)

RECIPES = {recipe.name: recipe for recipe in _ALL}
