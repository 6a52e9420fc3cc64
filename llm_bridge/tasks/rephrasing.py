"""Questions with their rephrasings, as rewards that vote across rephrasings need them: side by side in one
batch.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from llm_bridge.tasks.base import Problem, Task


def with_rephrasings(
    task: Task, problems: list[Problem], kept_out: Sequence[Problem] = (), seed: int = 0
) -> list[Problem]:
    """Each problem, then the same question in other words, drawn evenly from `task.rephrase`; twice as many
    problems.

    Both carry the question in `data["question"]`. A wording that is one of the `kept_out` prompts (those of
    the evaluation) is never used; where no other is left, the problem's own wording stands twice.
    """
    forbidden, rng, found = {problem.prompt for problem in kept_out}, np.random.default_rng([seed, 9]), []
    for problem in problems:
        chance = rng.random()  # one number a problem: a longer list begins like a shorter one
        wordings = [text for text in task.rephrase(problem) if text not in forbidden] or [problem.prompt]
        data = {**problem.data, "question": problem.prompt}
        found += [
            replace(problem, data=data),
            replace(problem, prompt=wordings[int(chance * len(wordings))], data=data),
        ]
    return found
