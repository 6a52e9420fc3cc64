"""Hypothesis strategies for policies, rewards, groups and populations, hard cases first; for our tests and for yours.

Needs the package hypothesis. A policy is drawn with everything that breaks naive code: faces (answers of probability 0), vertices
(one answer has it all), exact ties, near ties down to one part in 10^15, and probabilities down to 1e-300.
"""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from sharpening.coupling import CompoundSymmetric, NoCoupling
from sharpening.metrics import NO_ANSWER
from sharpening.population import Population

LOWEST = float(np.log(1e-300))


@st.composite
def policy_rows(draw, num_answers: int, *, faces: bool = True) -> np.ndarray:
    """Logits of one policy, (answers,), nats, not normalised; `faces` allows -infinity, never everywhere."""
    kinds = ["plain", "plain", "tiny", "tie", "near_tie"] + (["impossible"] if faces else [])
    logits: list[float] = []
    for _ in range(num_answers):
        kind = draw(st.sampled_from(kinds))
        finite = [value for value in logits if value > -np.inf]
        if kind in ("tie", "near_tie") and finite:
            value = draw(st.sampled_from(finite))
            gap = 0.0 if kind == "tie" else draw(st.sampled_from([-1.0, 1.0])) * 10.0 ** draw(st.integers(-15, -2))
            logits.append(value + gap)
        elif kind == "impossible":
            logits.append(-np.inf)
        elif kind == "tiny":
            logits.append(draw(st.floats(LOWEST, -30.0)))
        else:
            logits.append(draw(st.floats(-5.0, 5.0)))
    if max(logits) == -np.inf:
        logits[draw(st.integers(0, num_answers - 1))] = 0.0
    return np.array(logits)


@st.composite
def policies(draw, num_prompts: int | None = None, num_answers: int | None = None, *, faces: bool = True) -> np.ndarray:
    """Log-probabilities (prompts, answers) in float64, rows normalised; sizes up to 4 and 7 where they are not given.

    Exact ties stay exact. `faces` = False leaves every answer possible, down to about 1e-300.
    """
    num_prompts = num_prompts or draw(st.integers(1, 4))
    num_answers = num_answers or draw(st.integers(1, 7))
    rows = np.stack([draw(policy_rows(num_answers, faces=faces)) for _ in range(num_prompts)])
    rows -= rows.max(axis=1, keepdims=True)
    return rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))


@st.composite
def comonotone_rewards(draw, log_probs: np.ndarray) -> np.ndarray:
    """Rewards (prompts, answers) that are a nondecreasing function of each row of `log_probs`: equal masses get equal rewards
    (theory: S4).
    """
    rewards = np.zeros(log_probs.shape)
    for row, out in zip(log_probs, rewards, strict=True):
        levels, index = np.unique(row, return_inverse=True)
        rises = st.one_of(st.just(0.0), st.floats(1e-9, 3.0))
        first = draw(st.floats(-3.0, 3.0))
        steps = [draw(rises) for _ in levels[1:]]
        out[:] = (first + np.concatenate([[0.0], np.cumsum(steps)]))[index]
    return rewards


@st.composite
def answer_groups(
    draw, num_prompts: int | None = None, rollouts: int | None = None, *, num_answers: int = 4, silent: bool = True
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
    """Populations of `policies`, each prompt with 0 to 2 correct answers, at times weighted, at times with a no-answer column.

    `silent` says whether the last column stands for no answer (None: drawn). `coupling`: a fixed one, else drawn from
    `couplings`.
    """
    log_probs = draw(policies(num_prompts, num_answers or draw(st.integers(2, 7)), faces=faces))
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
