"""A prior over short reasoning: thoughts, then an answer; it may fall into a loop of one thought."""

from __future__ import annotations

import numpy as np

from sharpening.coupling import Coupling, NoCoupling
from sharpening.errors import InputError
from sharpening.trees.population import TreePopulation
from sharpening.trees.shape import TreeShape
from sharpening.trees.ties import by_run_length, last_tokens, run_lengths

LOOP = 2  # equal thoughts in a row that make a loop


def thinking_prior(
    seed: int,
    num_prompts: int = 32,
    *,
    num_thoughts: int = 3,
    num_answers: int = 4,
    max_length: int = 6,
    guess: float = 0.3,
    reasoned: float = 0.6,
    gap: float = 1.5,
    noise: float = 0.5,
    think: float = 1.0,
    loop: float = 0.9,
    grammar: float = 12.0,
    popular: bool = False,
    tied: bool = True,
    coupling: Coupling | None = None,
) -> TreePopulation:
    """Sequences of thoughts (content tokens) that end with an answer (an end token), or are cut off without
    one.

    Each prompt prefers one answer before any thought and one after: right with probability `guess` and
    `reasoned`, else another, which with `popular` is answer 0 for every prompt (then never right). Logits,
    nats: answers `gap` for the preferred one, 0 for the others, normalised to 0 together; thoughts `think`
    together, so one step thinks on with probability e^think/(1 + e^think); one thought, drawn for each
    prefix, is ruled out by `grammar`; a repeated thought costs 1; normal noise of standard deviation `noise`
    on all.
    After two equal thoughts the prior is in a loop: the same thought again with probability `loop`, all other
    tokens alike.

    Short answers are likely, loops have the largest mean log-probability and the least entropy, and
    self-certainty is large where something is ruled out: `grammar` decides whether it prefers loops (small)
    or not (large). `tied` shares logits by the length of the run (`by_run_length`), so that "think the same
    again" is one habit; else they are tabular. Raises: InputError for sizes or shares that are none. Source:
    He et al. 2026, failure modes; the self-reinforcement of repetition (Xu et al. 2022).
    """
    for name, value in (("guess", guess), ("reasoned", reasoned), ("loop", loop)):
        if not 0 <= value <= 1 or (name == "loop" and not 0 < value < 1):
            raise InputError(name, value, "it is a probability")
    if num_answers < 2 or num_thoughts < 2 or num_prompts < 1:
        raise InputError(
            "num_answers, num_thoughts, num_prompts",
            (num_answers, num_thoughts, num_prompts),
            "at least 2, 2 and 1",
        )
    shape, rng = TreeShape(num_thoughts, max_length, num_answers), np.random.default_rng(seed)
    last, run, vocab = last_tokens(shape), run_lengths(shape), shape.vocab_size
    answers, thoughts = np.arange(num_answers), np.arange(num_thoughts)
    truth = rng.integers(popular, num_answers, size=num_prompts)
    wrong = (
        np.zeros_like(truth)
        if popular
        else (truth + 1 + rng.integers(num_answers - 1, size=num_prompts)) % num_answers
    )
    preferred = [np.where(rng.random(num_prompts) < share, truth, wrong) for share in (guess, reasoned)]
    logits = noise * rng.standard_normal((num_prompts, shape.num_nodes, vocab))
    for stage, choice in enumerate(preferred):
        nodes = np.minimum(shape.node_depths, 1) == stage
        logits[:, nodes, num_thoughts:] += gap * (answers == choice[:, None])[:, None, :] - np.log(
            np.exp(gap) + num_answers - 1
        )
    ruled_out = rng.integers(num_thoughts, size=(num_prompts, shape.num_nodes))
    ruled_out = np.where(ruled_out == last, (ruled_out + 1) % num_thoughts, ruled_out)
    again = last[:, None] == thoughts
    logits[:, :, :num_thoughts] += (
        think - np.log(num_thoughts - 1) - again - grammar * (ruled_out[:, :, None] == thoughts)
    )
    stay, leave = float(np.log(loop)), float(np.log((1 - loop) / (vocab - 1)))
    looping = np.where(np.pad(again, ((0, 0), (0, num_answers))), stay, leave)
    logits = np.where((run >= LOOP)[None, :, None], looping[None], logits)
    names = tuple("xyzuvw"[i] if num_thoughts <= 6 else f"t{i}" for i in thoughts) + tuple(
        f"{i}." for i in answers
    )
    return TreePopulation.from_logits(
        shape,
        logits,
        answers == truth[:, None],
        answers="end",
        ties=by_run_length(shape, LOOP + 1) if tied else None,
        coupling=NoCoupling() if coupling is None else coupling,
        token_names=names,
    )
