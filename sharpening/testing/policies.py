"""Strategies for policies: small ones drawn answer by answer, large ones from a seed and a recipe."""

from __future__ import annotations

from functools import partial

import numpy as np
from hypothesis import strategies as st

from sharpening.logspace import normalised

LOWEST = float(np.log(1e-300))
LAWS = ("uniform", "normal", "zipf", "geometric")
PLANTED = ("nothing", "tied top", "near-tied top", "faces", "vertex", "near vertex")


def _kinds(faces: bool) -> st.SearchStrategy:
    """How one answer's logit is made, as (kind, values): drawn apart from the others, so that a shrinker can
    take it out whole.
    """
    index, exponent = st.integers(0, 5), st.integers(-15, -2)
    return st.one_of(
        st.tuples(st.just("plain"), st.floats(-5.0, 5.0)),
        st.tuples(st.just("plain"), st.floats(-5.0, 5.0)),
        st.tuples(st.just("tie"), index),
        st.tuples(st.just("near tie"), index, st.sampled_from([1.0, -1.0]), exponent),
        st.tuples(st.just("plain"), st.floats(LOWEST, -30.0)),
        *([st.tuples(st.just("impossible"))] if faces else []),
    )


def _logits(made: list[tuple]) -> np.ndarray:
    logits: list[float] = []
    for kind, *values in made:
        earlier = [value for value in logits if value > -np.inf]
        if kind == "plain" or (kind != "impossible" and not earlier):
            logits.append(values[0] if kind == "plain" else 0.0)
        elif kind == "impossible":
            logits.append(-np.inf)
        else:
            gap = 0.0 if kind == "tie" else values[1] * 10.0 ** values[2]
            logits.append(earlier[values[0] % len(earlier)] + gap)
    return np.array(logits) if max(logits) > -np.inf else np.append(logits[1:], 0.0)


def policy_rows(
    num_answers: int | None = None, *, min_answers: int = 1, max_answers: int = 7, faces: bool = True
) -> st.SearchStrategy[np.ndarray]:
    """Logits of one policy, (answers,), nats, not normalised; `faces` allows -infinity, never everywhere.

    Rows mix plain, tiny (down to 1e-300), tied, nearly tied and impossible answers; some are a vertex, or
    close to one.
    """
    low, high = (min_answers, max_answers) if num_answers is None else (num_answers, num_answers)
    mixed = st.lists(_kinds(faces), min_size=low, max_size=high).map(_logits)
    others, place = partial(st.lists, min_size=low - 1, max_size=high - 1), st.integers(0, high - 1)
    near_vertex = st.builds(_vertex, others(st.floats(LOWEST, -30.0)), place)
    vertex = st.builds(_vertex, others(st.just(-np.inf)), place)
    return st.one_of(mixed, mixed, mixed, near_vertex, *([vertex] if faces else []))


def _vertex(others: list[float], place: int) -> np.ndarray:
    return np.array([*others[:place], 0.0, *others[place:]])


@st.composite
def policies(
    draw,
    num_prompts: int | None = None,
    num_answers: int | None = None,
    *,
    min_answers: int = 1,
    faces: bool = True,
) -> np.ndarray:
    """Log-probabilities (prompts, answers) in float64, rows normalised; up to 4 prompts and `min_answers` to
    7 answers where no number is given.

    Exact ties stay exact. `faces` = False leaves every answer possible, down to about 1e-300. Without
    `num_answers` the rows are drawn at their own widths and the shorter ones filled with answers of logit 0.
    """
    row = policy_rows(num_answers, min_answers=min_answers, faces=faces)
    rows = draw(st.lists(row, min_size=num_prompts or 1, max_size=num_prompts or 4))
    width = max(map(len, rows))
    return normalised(np.stack([np.append(row, np.zeros(width - len(row))) for row in rows]))


def large_policy(seed: int, num_answers: int, law: str = "normal", planted: str = "nothing") -> np.ndarray:
    """One policy over many answers, (1, answers) log-probabilities, made from a recipe; the same arguments
    give the same policy.

    `law`: how masses fall off ("uniform", "normal": logits of standard deviation 3, "zipf": 1/rank,
    "geometric": evenly from 1 down to 1e-300), in shuffled order. `planted`: what is put in besides ("tied
    top", "near-tied top": 1e-13 nats apart, "faces": half of the answers impossible, "vertex", "near vertex":
    all others below 1e-290).
    """
    rng = np.random.default_rng(seed)
    ranks = np.arange(num_answers)
    laws = {
        "uniform": lambda: np.zeros(num_answers),
        "normal": lambda: 3.0 * rng.standard_normal(num_answers),
        "zipf": lambda: -np.log1p(ranks),
        "geometric": lambda: LOWEST * ranks / max(num_answers - 1, 1),
    }
    logits = laws[law]()[rng.permutation(num_answers)]
    top = int(logits.argmax())
    other = (top + 1 + int(rng.integers(num_answers - 1))) % num_answers if num_answers > 1 else top
    if planted == "tied top":
        logits[other] = logits[top]
    elif planted == "near-tied top":
        logits[other] = logits[top] + (1e-13 if other != top else 0.0)
    elif planted == "faces":
        logits[(rng.random(num_answers) < 0.5) & (ranks != top)] = -np.inf
    elif planted in ("vertex", "near vertex"):
        logits = np.where(
            ranks == top, 0.0, -np.inf if planted == "vertex" else LOWEST + 20.0 * rng.random(num_answers)
        )
    return normalised(logits[None])


def large_sizes(max_answers: int) -> st.SearchStrategy[int]:
    """Numbers of answers from 2 to `max_answers`: small ones, any, and round large ones."""
    round_ones = [size for size in (10, 100, 1_000, 10_000, 100_000) if size < max_answers]
    return st.one_of(
        st.integers(2, min(64, max_answers)),
        st.integers(2, max_answers),
        st.sampled_from([*round_ones, max_answers]),
    )


def large_policies(max_answers: int = 100_000, *, faces: bool = True) -> st.SearchStrategy:
    """Policies over 2 to `max_answers` answers, (1, answers) log-probabilities: a seed and a recipe are
    drawn, not the masses, so that a large one costs no more choices than a small one and shrinks to the
    uniform policy over two answers.
    """
    sizes = large_sizes(max_answers)
    planted = [name for name in PLANTED if faces or name not in ("faces", "vertex")]
    return st.builds(
        large_policy, st.integers(0, 2**32 - 1), sizes, st.sampled_from(LAWS), st.sampled_from(planted)
    )
