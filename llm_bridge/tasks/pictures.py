"""Tasks about small images. Each prompt is a chat of one message: the image, and a question of a few words."""

import numpy as np

from llm_bridge.models.chat import Prompt, chat_prompt
from llm_bridge.models.pictures import Picture
from llm_bridge.tasks import drawings
from llm_bridge.tasks.base import Problem, Task, plain_digits, register_task

TYPICAL = {"ants": 9, "eyes": 2, "legs": 4, "suns": 1, "toes": 5, "dice": 6, "seas": 7, "tips": 3}
"""What is counted, and how many there usually are."""
HINTED = 0.5
"""Share of the problems of `dots` in which there are as many as usual; the others are drawn from 1 to 9."""


def seen(image: np.ndarray, question: str) -> Prompt:
    """The chat that shows an image and asks a question."""
    content = [{"type": "image", "image": Picture.of(image)}, {"type": "text", "text": question}]
    return chat_prompt([{"role": "user", "content": content}])


class PictureTask(Task):
    """Problems about generated images, the same every time.

    `draw` makes one problem: its image, question, answer and what it was made of.
    """

    count = 2048
    max_new_tokens = 3
    seed: int

    def draw(self, rng) -> tuple[np.ndarray, str, str, dict]:
        raise NotImplementedError

    def _build(self) -> tuple[Problem, ...]:
        rng = np.random.default_rng([self.seed, 20])
        drawn = (self.draw(rng) for _ in range(self.count))
        return tuple(Problem(seen(image, question), answer, data) for image, question, answer, data in drawn)


def _word(completion: str, words) -> str | None:
    said = completion.strip()
    return said if said in words else None


@register_task
class Dots(PictureTask):
    """2,048 images of 1 to 9 dots, and what they are said to be: "ants how many ?".

    The word alone tells the number in half of the problems (`HINTED`): 9 ants, 2 eyes, 4 legs. So a model that never
    looks is right on 56 %. The whole completion, stripped of outer white space, must be ASCII digits.
    """

    name = "dots"
    description = (
        "count the dots in an image; the question's word says the usual number, right half of the time"
    )
    seed = 1

    def __init__(self, hinted: float = HINTED):
        self.hinted = hinted

    def draw(self, rng):
        word = list(TYPICAL)[rng.integers(len(TYPICAL))]
        count = TYPICAL[word] if rng.random() < self.hinted else int(rng.integers(1, 10))
        return drawings.dots(count, rng), f"{word} how many ?", str(count), {"word": word}

    def extract(self, completion: str) -> str | None:
        return plain_digits(completion)


@register_task
class DigitSum(PictureTask):
    """2,048 images of two digits, whose sum is asked: "sum ?". No answer is right more often than 9 is: 10 %."""

    name = "digit-sum"
    description = "read two digits in an image and add them"
    seed = 2

    def draw(self, rng):
        first, second = (int(digit) for digit in rng.integers(0, 10, 2))
        data = {"first": first, "second": second}
        return drawings.digits(first, second, rng), "sum ?", str(first + second), data

    def extract(self, completion: str) -> str | None:
        return plain_digits(completion)


@register_task
class Brighter(PictureTask):
    """2,048 images of two grainy halves: "brighter side ?" is to be answered with left or right."""

    name = "brighter"
    description = "say which half of an image is brighter, left or right"
    seed = 3

    def draw(self, rng):
        left = bool(rng.random() < 0.5)
        return drawings.halves(left, rng), "brighter side ?", "left" if left else "right", {}

    def extract(self, completion: str) -> str | None:
        return _word(completion, ("left", "right"))


@register_task
class MissingShape(PictureTask):
    """2,048 images of three of four shapes: "missing shape ?" is to be answered with the fourth."""

    name = "missing-shape"
    description = "say which of circle, square, triangle and cross is missing from an image"
    seed = 4

    def draw(self, rng):
        order = [drawings.SHAPES[place] for place in rng.permutation(4)]
        return drawings.shapes(order[1:], rng), "missing shape ?", order[0], {}

    def extract(self, completion: str) -> str | None:
        return _word(completion, drawings.SHAPES)
