"""How far the groups of a run have come since it began, step by step and without labels.

Every sign is 0 where nothing has changed; one that the log does not hold is 0 too. A sign at a step reads that step and
those before it alone. Prompts that were seen before tell most: how often an answer of now is one of the prompt's first
group, pooled over POOLED steps, since a step may hold one such prompt only.
"""

from dataclasses import dataclass

import numpy as np

from llm_bridge.logs.run_log import RunLog, Series

START, NOW = 3, 5
"""Values that stand for the start, and for now."""
POOLED, SHRUNK = 10, 1.5
"""Steps whose prompts are pooled where they were seen before, and prompts that are taken to be unchanged."""
FEWEST = 5
"""Values before the first score."""


@dataclass(frozen=True)
class Signs:
    """Signs at `steps`: values (steps, signs), by `names`."""

    names: tuple[str, ...]
    steps: list[int]
    values: np.ndarray


def _grid(series: Series | None, steps: list[int]) -> np.ndarray | None:
    """Values of a series at each step, the last one before where a step has none; None without two values."""
    if series is None or len(series) < 2:
        return None
    at = np.searchsorted(series.steps, steps, side="right") - 1
    values = series.array[np.maximum(at, 0)]
    values[at < 0] = np.nan
    return values


def _recent(values: np.ndarray, width: int = NOW) -> np.ndarray:
    """Means of the last `width` values, of those there are at the beginning."""
    filled = np.where(np.isnan(values), 0.0, values)
    known = np.cumsum(np.concatenate([np.zeros(1), ~np.isnan(values)]))
    sums = np.cumsum(np.concatenate([np.zeros(1), filled]))
    low = np.maximum(0, np.arange(1, len(values) + 1) - width)
    count = known[1:] - known[low]
    return np.where(count > 0, (sums[1:] - sums[low]) / np.maximum(count, 1), np.nan)


def _first(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known[:START].mean()) if len(known) else float("nan")


def _pooled(series: Series | None, steps: list[int]) -> np.ndarray:
    """Sums over the last POOLED steps; a step without a value adds nothing."""
    values = np.array([0.0 if series is None else series.values.get(step, 0.0) for step in steps])
    sums = np.cumsum(np.concatenate([np.zeros(1), values]))
    return sums[1:] - sums[np.maximum(0, np.arange(1, len(steps) + 1) - POOLED)]


def _logit(share: np.ndarray | float) -> np.ndarray:
    share = np.clip(share, 0.05, 0.95)
    return np.log(share / (1 - share))


def is_vote(log: RunLog) -> bool | None:
    """Whether the logged reward is the agreement itself, as a majority vote pays it; None where it cannot be told."""
    reward, agreement = log.get("reward"), log.get("majority_ratio")
    if reward is None or agreement is None:
        return None
    both = [step for step in reward.values if step in agreement.values]
    if len(both) < FEWEST:
        return None
    gaps = [abs(reward.values[step] - agreement.values[step]) for step in both[: 4 * FEWEST]]
    return bool(np.median(gaps) < 0.03)


def signs_over_time(log: RunLog) -> Signs | None:
    """Every sign at every step of the training batches; None where there are no groups to read."""
    base = log.get("majority_ratio", at_least=FEWEST)
    if base is None or not base.lag:
        return None
    steps = base.steps
    grid = {name: _grid(series, steps) for name, series in log.series.items()}
    zero = np.zeros(len(steps))

    def change(name, of=lambda values: values):
        values = grid.get(name)
        if values is None:
            return zero
        return np.nan_to_num(of(_recent(values)) - of(np.float64(_first(values))))

    again, overlap, at_first = (
        _pooled(log.get(name, at_least=1), steps) for name in ("_seen_again", "_overlap", "_overlap_at_first")
    )
    agreement = change("majority_ratio", _logit)
    entropy = change("token_entropy", lambda values: np.log(np.maximum(values, 0.1)))
    reward = _outside(log, grid.get("reward"))
    made = {
        "lost_answers": (at_first - overlap) / (at_first + SHRUNK),
        "lost_share": np.log((at_first + SHRUNK) / (overlap + SHRUNK)),
        "fewer_answers": np.clip(
            -change("_distinct_share", lambda values: np.log(np.maximum(values, 0.02))), 0, 2
        ),
        "one_answer": np.maximum(change("top_answer_share"), 0.0),
        "agreement_risen": np.maximum(agreement, 0.0),
        "agreement_fallen": np.maximum(-agreement, 0.0),
        "length_changed": np.abs(change("mean_length", lambda values: np.log(np.maximum(values, 0.1)))),
        "entropy_risen": np.maximum(entropy, 0.0),
        "no_answer": np.maximum(change("no_answer_rate"), 0.0),
        "cut_off": np.maximum(change("truncated"), 0.0),
        "seen_again": again / (again + 8.0),
        "reward_risen": np.maximum(reward - _first(reward), 0.0),
        "reward_fallen": np.maximum(_first(reward) - reward, 0.0),
        "reward_below_best": np.maximum.accumulate(reward) - reward,
    }
    return Signs(tuple(made), steps, np.stack(list(made.values()), 1))


def _outside(log: RunLog, reward: np.ndarray | None) -> np.ndarray:
    """The reward of now where it is a share that is not the agreement itself, 0 elsewhere: a vote that pays itself
    says nothing of what it pays for.
    """
    steps = log.series["majority_ratio"].steps
    bare = log.get("reward")
    if (
        reward is None
        or bare is None
        or is_vote(log) is not False
        or bare.array.min() < 0
        or bare.array.max() > 1
    ):
        return np.zeros(len(steps))
    return np.nan_to_num(_recent(reward))
