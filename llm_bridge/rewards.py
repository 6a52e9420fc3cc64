"""TRL reward functions from the rewards of `sharpening.rewards`: the same definition, on the answers of each group."""

from collections.abc import Callable

import numpy as np

from llm_bridge.tasks import Problem, read_answers
from sharpening.errors import InputError
from sharpening.rewards import get_reward


def check_labels(reward: str, task) -> None:
    """Raise InputError if the reward reads true answers and the task has none."""
    if "labels" in get_reward(reward).card.needs and not task.labelled:
        raise InputError("reward", reward, f"it compares with true answers, and task {task.name} has none",
                         "Use --reward majority, or give every line of the data set an answer")


def task_reward(name: str, task, rollouts: int, problem_of: Callable[[int], object]):
    """A reward function for GRPOTrainer; `problem_of` maps the data set's `row` column to its problem.

    Groups are the consecutive `rollouts` completions of one prompt, as TRL lays them out on one rank.
    """
    reward = get_reward(name)

    def reward_function(prompts, completions, row, **_):
        if len(completions) % rollouts:
            raise InputError("completions", len(completions), f"a batch must hold whole groups of {rollouts} rollouts on every rank",
                             "Make per_device_train_batch_size × steps_per_generation divisible by num_generations")
        problems = [problem_of(index) for index in row[::rollouts]]
        texts = [completions[i:i + rollouts] for i in range(0, len(completions), rollouts)]
        answers = read_answers(problems, texts, task)
        return np.asarray(reward.group(answers.ids, answers.correct), dtype=float).reshape(-1).tolist()

    reward_function.__name__ = f"{name}_reward"
    return reward_function


def majority_reward(extract, num_generations: int):
    """The majority vote as a TRL reward function for your own script: `extract(text) -> answer or None`."""
    from llm_bridge.monitor import PromptTask

    def reward_function(prompts, completions, **_):
        texts = [c if isinstance(c, str) else c[-1]["content"] for c in completions]
        if len(texts) % num_generations:
            raise InputError("completions", len(texts), f"a batch must hold whole groups of {num_generations} rollouts on every rank",
                             "Make per_device_train_batch_size × steps_per_generation divisible by num_generations")
        groups = [texts[i:i + num_generations] for i in range(0, len(texts), num_generations)]
        task = PromptTask(["prompt"], extract=extract)
        answers = read_answers([Problem("prompt", None)] * len(groups), groups, task)
        return np.asarray(get_reward("majority").group(answers.ids), dtype=float).reshape(-1).tolist()

    reward_function.__name__ = "majority_reward"
    return reward_function
