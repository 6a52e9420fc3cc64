"""Collapse without labels: signs that each also happen in health, put together, relative to the run's own start.

A vote that learns agrees more and more, up to the prompts that it cannot solve. One that collapses agrees on
those too: the odds of agreeing grow without end. Alone that is no proof, as a true reward on a set that is
mastered does the same. So a second sign is asked for that agreement does not bring about by itself: completions
much shorter or longer than at the start, a token entropy that rises, a KL beyond any useful model, fewer
different answers, lost majority answers. A reward that dies while the KL explodes is the end of the same road.
"""

from dataclasses import dataclass

import numpy as np

from llm_bridge.logs.finding import Finding
from llm_bridge.logs.run_log import DISTINCT, RunLog, Series, fewer

WINDOW = 5
"""Values at the start and at the end that are averaged; fewer in a log of fewer than 20."""
SATURATED = 0.97
"""Agreement from which hardly a group disagrees."""
ODDS = 50.0
"""Growth of the odds of agreeing: from .5 to .95 it is 19, from .2 to .999 it is 4,000."""
SHORTER, LONGER = 0.6, 1 / 0.6
ENTROPY_RISEN = 2.0
KL_OF_ANOTHER_MODEL = 10.0
KL_JUMP = 10.0
REWARD_LEFT = 0.5
CUT_OFF_MORE = SHARE_MORE = 0.3
_LEAST = 1e-3


@dataclass(frozen=True)
class Saturation:
    """The finding, with the step at which the first sign was half way (`onset`) and the last one `before`: what
    came later is in doubt, and no label says how much of it was a gain.
    """

    finding: Finding
    metric: str
    onset: int | None = None
    before: int | None = None


def window_of(count: int) -> int:
    """How many values stand for the start, and for now."""
    return max(1, min(WINDOW, count // 4))


def moving(series: Series) -> np.ndarray:
    """Means of the last `window_of` values, at each of them."""
    values = series.array
    width = window_of(len(values))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return (sums[width:] - sums[:-width]) / width if len(values) else values


def odds(share) -> np.ndarray:
    """p / (1 - p), with both at least .001."""
    share = np.clip(share, _LEAST, 1 - _LEAST)
    return share / (1 - share)


def saturation(log: RunLog) -> Saturation | None:
    """The combined sign at the end of the log; None while agreement is not near one, and no KL explodes."""
    agreement = _agreement(log)
    if agreement is None:
        return _explosion(log)
    name, series = agreement
    means = moving(series)
    ratio = odds(means) / odds(means[0])
    if means[-1] < SATURATED or ratio[-1] < ODDS:
        return _explosion(log)
    steps = series.steps[window_of(len(series)) - 1 :]
    since = steps[int(np.flatnonzero((ratio < ODDS) | (means < SATURATED))[-1]) + 1]
    told = f"{name} goes from {means[0]:.2f} to {means[-1]:.3f}, since step {since}"
    second, against = second_signs(log), _against(log)
    if against or not second:
        why = against or (
            "Alone this is no collapse: prompts that are mastered look the same. No other sign is in the log"
        )
        return Saturation(Finding("agreement", "info", f"{told}. {why}.", since), name)
    text = (
        f"{told}, and {'; '.join(second)}. Agreement near one on all prompts, with a second sign that agreement"
        " does not bring about, is how a vote collapses without labels being asked. If the reward comes from"
        " true answers, nothing is left to learn."
    )
    onset, before = _half_way(steps, np.log(ratio) / np.log(ODDS))
    if (length := log.get("mean_length", at_least=4)) is not None and _length(log):
        lengths = moving(length)
        towards = np.abs(np.log(np.maximum(lengths, _LEAST) / lengths[0])) / np.log(LONGER)
        earlier = _half_way(length.steps[window_of(len(length)) - 1 :], towards, first=True)
        onset, before = min((onset, before), earlier)
    return Saturation(Finding("collapse_signs", "critical", text, since), name, onset, before)


def _half_way(steps: list[int], share: np.ndarray, *, first: bool = False) -> tuple[int, int]:
    """(first step of the second half of the way, the one before); of the last or the first time it got
    there.
    """
    place = int(np.flatnonzero(share >= 0.5)[0]) if first else int(np.flatnonzero(share < 0.5)[-1]) + 1
    return steps[place], steps[max(0, place - 1)]


def _agreement(log: RunLog) -> tuple[str, Series] | None:
    for name in ("pseudo_reward", "majority_ratio", "reward"):
        series = log.get(name, at_least=4)
        if series is not None and series.array.min() >= 0 and series.array.max() <= 1:
            return name, series
    return None


def _against(log: RunLog) -> str:
    """Why an agreement near one is no collapse in this log, "" if nothing says so."""
    accuracy, retention, distinct = log.get("accuracy"), log.get("mode_retention"), log.first(*DISTINCT)
    if accuracy is not None and accuracy.ends()[1] >= accuracy.ends()[0] - 0.02:
        return "Accuracy has not fallen"
    if retention is not None and retention.ends()[1] > 0.5:
        return "Most prompts still have the majority answer that they began with"
    if distinct is not None and not fewer(distinct[1]):
        return "As many different answers win as at the start"
    return ""


def second_signs(log: RunLog) -> list[str]:
    """Signs that agreement alone does not bring about, in words."""
    found = [
        _length(log),
        _more(log, "token_entropy", ENTROPY_RISEN, "token entropy rises", "nats"),
        _kl(log),
        _narrow(log),
        _lost(log),
        _cut_off(log),
        _risen(log, "top_answer_share", "one answer wins on more and more prompts"),
        _risen(log, "flip_rate", "majority answers of prompts seen before flip more often"),
    ]
    return [text for text in found if text]


def _change(log: RunLog, name: str) -> tuple[float, float] | None:
    series = log.get(name, at_least=4)
    if series is None:
        return None
    means = moving(series)
    return float(means[0]), float(means[-1])


def _length(log: RunLog) -> str:
    series = log.get("mean_length", at_least=4)
    if series is None or (start := (means := moving(series))[0]) <= 0:
        return ""
    shortest, now = float(means.min()), float(means[-1])
    if shortest <= SHORTER * start:
        return f"completions fell to {shortest / start:.0%} of their length ({start:.0f} to {shortest:.0f} tokens)"
    if now >= LONGER * start:
        return f"completions grew to {now / start:.0%} of their length ({start:.0f} to {now:.0f} tokens)"
    return ""


def _more(log: RunLog, name: str, factor: float, what: str, unit: str) -> str:
    ends = _change(log, name)
    return (
        f"{what} ({ends[0]:.3g} to {ends[1]:.3g} {unit})" if ends and 0 < factor * ends[0] <= ends[1] else ""
    )


def _kl(log: RunLog) -> str:
    series = log.get("token_kl", at_least=8)
    if series is None:
        return ""
    means = moving(series)
    usual = float(np.median(np.abs(series.array[: len(series) // 2])))
    if means[-1] > KL_OF_ANOTHER_MODEL or (means[-1] > 0.1 and means[-1] >= KL_JUMP * usual > 0):
        return f"the trainer's KL jumps (usually {usual:.3g}, now {means[-1]:.3g} nats)"
    return ""


def _narrow(log: RunLog) -> str:
    distinct = log.first(*DISTINCT)
    if distinct is None or not fewer(distinct[1]):
        return ""
    many, few = distinct[1].ends()
    return f"fewer different answers win ({many:.3g} to {few:.3g})"


def _lost(log: RunLog) -> str:
    retention = log.get("mode_retention")
    if retention is None or retention.ends()[1] > 0.5:
        return ""
    return f"majority answers are lost (retention {retention.ends()[1]:.2f})"


def _cut_off(log: RunLog) -> str:
    ends = _change(log, "truncated")
    if ends is None or ends[1] < ends[0] + CUT_OFF_MORE:
        return ""
    return f"completions are cut off more often ({ends[0]:.0%} to {ends[1]:.0%})"


def _risen(log: RunLog, name: str, what: str) -> str:
    ends = _change(log, name)
    return f"{what} ({ends[0]:.0%} to {ends[1]:.0%})" if ends and ends[1] >= ends[0] + SHARE_MORE else ""


def _explosion(log: RunLog) -> Saturation | None:
    """The reward is gone and the KL is that of another model: what collapsed models end as."""
    kl, reward = log.get("token_kl", at_least=8), log.first("pseudo_reward", "reward")
    if kl is None or reward is None or (now := moving(kl)[-1]) <= KL_OF_ANOTHER_MODEL:
        return None
    means = moving(reward[1])
    best = float(means.max())
    if best <= 0 or means[-1] > REWARD_LEFT * best:
        return None
    steps = reward[1].steps[window_of(len(reward[1])) - 1 :]
    last = int(np.flatnonzero(means > REWARD_LEFT * best)[-1])
    text = (
        f"{reward[0]} fell from {best:.3g} to {means[-1]:.3g} while the trainer's KL is {now:.3g} nats:"
        " the model writes what the initial one never would, and earns nothing by it."
    )
    finding = Finding("collapse_signs", "critical", text, steps[last + 1])
    return Saturation(finding, reward[0], steps[last + 1], steps[last])
