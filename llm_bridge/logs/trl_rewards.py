"""Which columns of TRL's completions are rewards. Beside them stand those that a reward function logged
(`log_extra`), and neither which is which nor the reward weights are written.
"""

import itertools
import re
from dataclasses import dataclass

import numpy as np

from llm_bridge.logs.finding import Finding, named
from llm_bridge.logs.rollouts import Group, Rollouts
from llm_bridge.logs.values import number

_KEY = re.compile(r"rewards/(?!mean$|std$)(.+?)(/mean)?")
_NAME = re.compile(r"reward", re.IGNORECASE)
_LARGE = 10.0
"""Lengths, counts and difficulties go beyond; the rewards of public recipes do not."""
_MOST_COLUMNS = 8
_MOST_GROUPS = 200
_ENOUGH = 5
"""Groups with varying rewards from which advantages can tell columns apart."""
_WEIGHTS = "reward_weights are not written in these files"


@dataclass(frozen=True)
class LoggedRewards:
    """What trainer_state.json says: names of the reward functions, whether the logged reward is their plain
    sum, and whether it is logged at all.
    """

    names: frozenset[str]
    plain_sum: bool
    has_total: bool


def logged_rewards(history) -> LoggedRewards | None:
    """The rewards of a trainer's `log_history`, None if it names none."""
    rows = [row for row in history if isinstance(row, dict)] if isinstance(history, list) else []
    keys = {
        found[1]: key
        for row in rows
        for key in row
        if (found := _KEY.fullmatch(key)) and not key.endswith("/std")
    }
    if not keys:
        return None
    sums = []
    for row in rows:
        total, logged = number(row.get("reward")), [number(row.get(key, "")) for key in sorted(keys.values())]
        parts = [value for value in logged if value is not None]
        if total is not None and len(parts) == len(logged) and np.isfinite([total, *parts]).all():
            sums.append((total, sum(parts)))
    plain = all(abs(total - found) <= 1e-4 + 1e-3 * abs(found) for total, found in sums)
    return LoggedRewards(frozenset(keys), plain, bool(sums))


def choose_rewards(rollouts: Rollouts, known: LoggedRewards | None) -> list[Finding]:
    """Set `rollouts.rewards`, and say what was decided.

    First trainer_state.json, which names the reward functions; then advantages, which are the centred sum of
    the rewards up to a positive factor; then names. Where none of them decides, there is no reward.
    """
    columns = rollouts.columns
    if known is not None and known.names & set(columns):
        return _by_trainer(rollouts, known)
    if len(columns) < 2:
        return []
    groups = _sample(rollouts)
    proven, flat = _by_advantage(columns, groups)
    called = [name for name in columns if _NAME.search(name)]
    others = set(columns) - set(called)
    if proven and not set(flat) & set(called):
        chosen, why = proven, "advantages are made from them"
    elif not proven and len(called) == 1 and others <= set(flat) | set(_large(columns, groups)):
        chosen, why = called, "the only one called a reward; the others do not vary in a group, or are large"
    else:
        rollouts.rewards = None
        text = (
            f"Number columns: {named(columns)}. Which are reward functions, and with which weight each counts,"
            f" is not known ({_WEIGHTS}, and columns of log_extra stand beside rewards), so no reward was"
            " formed from them. Give the output folder with trainer_state.json, which names them."
        )
        return [Finding("reward_columns", "warning", text)]
    return _decided(rollouts, chosen, why, "info" if proven else "warning")


def _by_trainer(rollouts: Rollouts, known: LoggedRewards) -> list[Finding]:
    chosen = [name for name in rollouts.columns if name in known.names]
    if known.plain_sum and (known.has_total or len(known.names) == 1) and len(chosen) == len(known.names):
        return _decided(rollouts, chosen, "trainer_state.json names them", "info")
    rollouts.rewards = None
    taken = (
        "The reward taken is the one in trainer_state.json." if known.has_total else "No reward was formed."
    )
    text = (
        f"The run's reward is not known to be the plain sum of {named(chosen)}: {_WEIGHTS}, and"
        f" trainer_state.json does not log that sum. {taken}"
    )
    return [Finding("reward_columns", "info" if known.has_total else "warning", text)]


def _decided(rollouts: Rollouts, chosen: list[str], why: str, level: str) -> list[Finding]:
    rollouts.rewards = tuple(rollouts.columns.index(name) for name in chosen)
    others = [name for name in rollouts.columns if name not in chosen]
    if not others:
        return []
    weights = "" if "trainer_state" in why else f" ({_WEIGHTS})"
    text = (
        f"Taken as the reward: {named(chosen)} ({why}){weights}. Taken as columns of log_extra, which are no"
        f" rewards: {named(others)}."
    )
    return [Finding("reward_columns", level, text)]


def _by_advantage(columns: list[str], groups: list[Group]) -> tuple[list[str], list[str]]:
    """([columns whose sum advantages prove], [columns that do not vary within a group, of which they say
    nothing]).
    """
    scores = [_centred(_scores(group)) for group in groups]
    moves = [any(np.abs(found[:, place]).max() > 1e-9 for found in scores) for place in range(len(columns))]
    flat = [name for name, moved in zip(columns, moves, strict=True) if not moved]
    varying = [place for place, moved in enumerate(moves) if moved]
    if len(columns) > _MOST_COLUMNS or any(None in group.advantages for group in groups):
        return [], flat
    advantages = [np.array(group.advantages, dtype=float) for group in groups]
    subsets = [
        subset
        for count in range(1, len(varying) + 1)
        for subset in itertools.combinations(varying, count)
        if _explains([found[:, subset].sum(1) for found in scores], advantages)
    ]
    return [columns[place] for place in subsets[0]] if len(subsets) == 1 else [], flat


def _large(columns: list[str], groups: list[Group]) -> list[str]:
    return [
        name
        for place, name in enumerate(columns)
        if any(np.abs(_scores(group)[:, place]).max() > _LARGE for group in groups)
    ]


def _scores(group: Group) -> np.ndarray:
    """(rollouts, columns); a reward function that has nothing to say of a completion adds nothing."""
    return np.array([[value or 0.0 for value in row] for row in group.scores])


def _sample(rollouts: Rollouts) -> list[Group]:
    found: list[Group] = []
    for _, groups in rollouts.steps(lambda text: None):
        found += [group for group in groups if len(group.scores) > 1]
        if len(found) >= _MOST_GROUPS:
            break
    return found


def _centred(values: np.ndarray) -> np.ndarray:
    return values - values.mean(0)


def _explains(rewards: list[np.ndarray], advantages: list[np.ndarray]) -> bool:
    """Whether in every group the advantages are a positive multiple of the centred rewards, zero where these
    are.
    """
    varied = 0
    for reward, advantage in zip(rewards, advantages, strict=True):
        size, other = np.linalg.norm(reward), np.linalg.norm(advantage)
        if size < 1e-9 or other < 1e-9:
            if max(size, other) > 1e-4:
                return False
            continue
        varied += 1
        if reward @ advantage < (1 - 1e-6) * size * other:
            return False
    return varied >= _ENOUGH
