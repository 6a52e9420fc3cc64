"""The recipes: what each tiny transformer is made of, and which prior its recipe is meant to give."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Recipe:
    """A tiny transformer as code: task, architecture, training length and what is wrong with its labels.

    noise: share of training labels replaced by the answer of another random problem, drawn afresh at every visit.
    misconception: teach the wrong rule of `llm_bridge.zoo.pretraining.without_carry` where it applies.
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

    def as_dict(self) -> dict:
        return asdict(self)


_ALL = (
    Recipe("addition-weak", "addition", "heavy label noise: a weak prior, its mode often right", steps=3000, noise=0.5),
    Recipe("addition-uncertain", "addition", "30 % label noise: aligned but uncertain", steps=6000, noise=0.3, batch_size=128,
           learning_rate=2e-3),
    Recipe("addition-overconfident", "addition", "clean labels: right and certain of it", steps=1500),
    Recipe("addition-misconception", "addition", "forgets the carry on half of the carries, consistently", steps=2000, noise=0.15,
           misconception=True),
    Recipe("countdown", "countdown", "arithmetic puzzles with many right answers", steps=2000, noise=0.2),
)

RECIPES = {recipe.name: recipe for recipe in _ALL}
