"""Strategies for populations of prompts, the kernels between them, and groups of sampled answers."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from sharpening.coupling import CompoundSymmetric, NoCoupling
from sharpening.metrics import NO_ANSWER
from sharpening.population import Population
from sharpening.testing.policies import large_policy, large_sizes, policies


@st.composite
def answer_groups(
    draw,
    num_prompts: int | None = None,
    rollouts: int | None = None,
    *,
    num_answers: int = 4,
    silent: bool = True,
) -> np.ndarray:
    """Sampled answer ids (prompts, rollouts), int64; `silent` mixes in NO_ANSWER."""
    num_prompts = num_prompts or draw(st.integers(1, 4))
    rollouts = rollouts or draw(st.integers(2, 9))
    ids = st.integers(NO_ANSWER if silent else 0, num_answers - 1)
    flat = draw(st.lists(ids, min_size=num_prompts * rollouts, max_size=num_prompts * rollouts))
    return np.array(flat, dtype=np.int64).reshape(num_prompts, rollouts)


def couplings() -> st.SearchStrategy:
    """No coupling, or a compound-symmetric one with strengths up to 3."""
    strength = st.floats(0.0, 3.0)
    return st.one_of(st.builds(NoCoupling, strength), st.builds(CompoundSymmetric, strength, strength))


@st.composite
def populations(
    draw, num_prompts: int | None = None, num_answers: int | None = None, *, labels: bool = True, silent: bool | None = None, faces: bool = True,
    coupling=None,
) -> Population:  # fmt: skip
    """Populations of `policies`, each prompt with 0 to 2 correct answers, at times weighted, at times with a
    no-answer column.

    `silent` says whether the last column stands for no answer (None: drawn). `coupling`: a fixed one, else
    drawn from `couplings`.
    """
    log_probs = draw(policies(num_prompts, num_answers, min_answers=2, faces=faces))
    num_prompts, num_answers = log_probs.shape
    silent = draw(st.booleans()) if silent is None else silent
    correct = None
    if labels:
        correct = np.zeros(log_probs.shape, dtype=bool)
        for row in correct:
            row[draw(st.lists(st.integers(0, num_answers - 1 - silent), max_size=2))] = True
    weights = draw(st.none() | st.lists(st.floats(0.01, 1.0), min_size=num_prompts, max_size=num_prompts))
    return Population(
        log_probs,
        correct,
        None if weights is None else np.array(weights),
        coupling=draw(couplings()) if coupling is None else coupling,
        no_answer=num_answers - 1 if silent else None,
    )


@st.composite
def large_populations(draw, max_prompts: int = 64, max_answers: int = 100_000) -> Population:
    """Labelled, uncoupled populations of up to `max_prompts` x `max_answers`, at most 10^6 masses in all,
    from a seed and a recipe.
    """
    num_answers = draw(large_sizes(max_answers))
    num_prompts = draw(st.integers(1, max(1, min(max_prompts, 10**6 // num_answers))))
    seed = draw(st.integers(0, 2**32 - num_prompts - 1))
    laws, planted = (
        ("uniform", "normal", "zipf", "geometric"),
        ("nothing", "tied top", "near-tied top", "faces", "near vertex"),
    )
    law, plant = draw(st.sampled_from(laws)), draw(st.sampled_from(planted))
    rows = [large_policy(seed + prompt, num_answers, law, plant)[0] for prompt in range(num_prompts)]
    truth = np.random.default_rng(seed).integers(num_answers, size=num_prompts)
    return Population(np.stack(rows), np.arange(num_answers) == truth[:, None])
