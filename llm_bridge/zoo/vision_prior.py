"""The prior of a tiny vision-language transformer on its task, with and without its eyes."""

import numpy as np
import torch

from llm_bridge.models.chat import blind, rendered
from llm_bridge.sampling.rollouts import sample
from llm_bridge.tasks import read_answers
from sharpening.metrics import group_metrics


def measure_vision_prior(model, processor, task, *, prompts: int = 256, rollouts: int = 64) -> dict:
    """As `llm_bridge.zoo.pretraining.measure_prior`, and of greedy answers when each image is grey: `blind_accuracy`,
    the share that is right, and `blind_retention`, the share that is the same as with the image.
    """
    _, problems = task.split(prompts, None)
    asked = [rendered(processor, problem.prompt) for problem in problems]

    def drawn(asked, **options):
        found = sample(model, processor.tokenizer, asked, max_new_tokens=task.max_new_tokens, **options)
        return read_answers(problems, found.texts, task)

    answers = drawn(asked, rollouts=rollouts, generator=torch.Generator().manual_seed(0))
    metrics = group_metrics(answers.ids, answers.correct)
    names = ("accuracy", "label_accuracy", "majority_ratio", "entropy", "no_answer")
    looking = drawn(asked, rollouts=1, greedy=True)
    unseeing = drawn([blind(prompt) for prompt in asked], rollouts=1, greedy=True)
    said = [
        [found.labels[row[0]] if row[0] >= 0 else None for row in found.ids] for found in (looking, unseeing)
    ]
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "prompts": prompts,
        "rollouts": rollouts,
        **{name: round(float(np.mean(metrics[name])), 4) for name in names},
        "blind_accuracy": round(float(np.mean(unseeing.correct)), 4),
        "blind_retention": round(
            float(np.mean([a is not None and a == b for a, b in zip(*said, strict=True)])), 4
        ),
    }
