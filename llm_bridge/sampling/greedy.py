"""Greedy completions, the answers in them, and how many of them are still the initial ones."""

from typing import NamedTuple

import numpy as np

from llm_bridge.models.chat import blind, pictures_of
from llm_bridge.models.stop_strings import stop_strings
from llm_bridge.sampling.rollouts import end_token_ids, sample, stopped
from llm_bridge.tasks.base import Problem


class Reply(NamedTuple):
    """A completion, the answer read from it (None: none), and whether it ended by itself, not at the length
    limit. blind: of a prompt with images, the answer to it when they are grey (None: none, or not asked).
    """

    text: str
    answer: str | None
    ended: bool = True
    blind: str | None = None


def greedy_answers(model, tokenizer, task, problems, max_new_tokens, cost, masked=False) -> list[str | None]:
    """The label of each problem's greedy completion, None for no answer; `cost`
    (llm_bridge.sampling.cost.Cost) is charged. masked: a completion that was cut off gives none.
    """
    replies = greedy_replies(model, tokenizer, task, problems, max_new_tokens, cost, masked)
    return [reply.answer for reply in replies]


def greedy_replies(
    model, tokenizer, task, problems, max_new_tokens, cost, masked=False, grey=False
) -> list[Reply]:
    """Each problem's greedy completion, the answer in it, and whether it ended by itself; `cost`
    (llm_bridge.sampling.cost.Cost) is charged. masked: a completion that was cut off gives no answer. grey: prompts
    with images are asked once more with grey ones, for `blind`.
    """
    drawn = sample(
        model, tokenizer, [p.asked for p in problems], rollouts=1, max_new_tokens=max_new_tokens, greedy=True
    )
    cost.add(drawn)
    ends, stops = end_token_ids(model, tokenizer), stop_strings(model)
    replies = []
    for (text,), (ids,) in zip(drawn.texts, drawn.token_ids, strict=True):
        ended = bool(ids) and (ids[-1] in ends or bool(stops) and stopped(tokenizer, ids, stops))
        replies.append(Reply(text, task.extract(text) if ended or not masked else None, ended))
    places = [place for place, problem in enumerate(problems) if grey and pictures_of(problem.prompt)]
    if not places:
        return replies
    plain = [Problem(blind(problems[place].prompt), problems[place].answer) for place in places]
    answers = greedy_answers(model, tokenizer, task, plain, max_new_tokens, cost, masked)
    for place, answer in zip(places, answers, strict=True):
        replies[place] = replies[place]._replace(blind=answer)
    return replies


def share_kept(answers, initial) -> float:
    """Share of prompts whose answer is there and still the initial one."""
    return float(np.mean([a is not None and a == b for a, b in zip(answers, initial, strict=True)]))
