"""Greedy completions, the answers in them, and how many of them are still the initial ones."""

from typing import NamedTuple

import numpy as np

from llm_bridge.sampling.rollouts import end_token_ids, sample


class Reply(NamedTuple):
    """A completion, the answer read from it (None: none), and whether it ended by itself, not at the length
    limit.
    """

    text: str
    answer: str | None
    ended: bool = True


def greedy_answers(model, tokenizer, task, problems, max_new_tokens, cost) -> list[str | None]:
    """The label of each problem's greedy completion, None for no answer; `cost`
    (llm_bridge.sampling.cost.Cost) is charged.
    """
    return [reply.answer for reply in greedy_replies(model, tokenizer, task, problems, max_new_tokens, cost)]


def greedy_replies(model, tokenizer, task, problems, max_new_tokens, cost) -> list[Reply]:
    """Each problem's greedy completion, the answer in it, and whether it ended by itself; `cost`
    (llm_bridge.sampling.cost.Cost) is charged.
    """
    drawn = sample(
        model, tokenizer, [p.prompt for p in problems], rollouts=1, max_new_tokens=max_new_tokens, greedy=True
    )
    cost.add(drawn)
    ends = end_token_ids(model, tokenizer)
    return [
        Reply(text, task.extract(text), bool(ids) and ids[-1] in ends)
        for (text,), (ids,) in zip(drawn.texts, drawn.token_ids, strict=True)
    ]


def share_kept(answers, initial) -> float:
    """Share of prompts whose answer is there and still the initial one."""
    return float(np.mean([a is not None and a == b for a, b in zip(answers, initial, strict=True)]))
