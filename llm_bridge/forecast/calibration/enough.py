"""Whether measured runs suffice for a fit: the rule, and in words what is missing.

A quantile of one run in twenty needs twenty runs, and a weight that is told by few events is told by chance
(five to ten events for each variable are usual: Vittinghoff and McCulloch 2007).
"""

import math
from collections import Counter
from dataclasses import replace

import numpy as np

from llm_bridge.forecast.calibration.features import FATE, NEED_LABELS, OUTCOME, read_for
from llm_bridge.forecast.calibration.fit import ENDS, Group, fate_of, measured_runs
from llm_bridge.forecast.calibration.outcome import GAIN

LEAST_RUNS, LEAST_SETTINGS, EVENTS, LEAST_PRIORS = 20, 5, 5, 3
"""A fit takes this many runs, in this many models or settings, and for each feature that differs between them
this many runs in which it happened. Intervals leave out priors, from this many of them on, otherwise settings.
"""


def once(chosen: list[Group]) -> list[Group]:
    """Each group once, with the means of what the pilots read."""
    same: dict[str, list[Group]] = {}
    for group in chosen:
        same.setdefault(group.label, []).append(group)
    return [
        replace(found[0], features=_means([group.features for group in found])) for found in same.values()
    ]


def _means(read: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([one[name] for one in read])) for name in read[0]}


def of_kind(chosen: list[Group], kind: str) -> list[Group]:
    """The groups whose features a fit of this kind can read."""
    return [group for group in chosen if kind != "labelled" or set(NEED_LABELS) <= set(group.features)]


def events(chosen: list[Group], criterion: str) -> int:
    """Runs that met a criterion."""
    return sum(math.isfinite(high) for group in once(chosen) for _, high in group.told(criterion))


def failure_shortage(chosen: list[Group], criterion: str, kind: str) -> str | None:
    """What is missing for the failure time of a criterion; None if nothing is."""
    groups = [group for group in once(chosen) if group.told(criterion)]
    runs, met = measured_runs(groups, criterion), events(groups, criterion)
    differ = _differing(groups, read_for(kind, criterion))
    if (found := _few(runs, groups, differ)) is not None:
        return found
    if met < EVENTS * len(differ):
        return _rare(met, runs, "met it", differ)
    steps = {high for group in groups for _, high in group.told(criterion) if math.isfinite(high)}
    if len(steps) < 2:
        return f"all {met} runs that met it did so at step {steps.pop():g}: nothing varies"
    for prior in dict.fromkeys(group.prior for group in groups):
        rest = events([group for group in groups if group.prior != prior], criterion)
        if rest < EVENTS:
            return (
                f"without {_short(prior)} {rest} runs met it, and intervals, for which it is left out,"
                f" need {EVENTS}"
            )
    return None


def chance_shortage(chosen: list[Group], end: str, kind: str) -> str | None:
    """What is missing for the chance of one of ENDS; None if nothing is."""
    groups = [group for group in once(chosen) if group.end]
    told = [ENDS[end](group, seed) for group in groups for seed in range(len(group.end))]
    # How long a run should live differs wherever anything does that a failure time reads.
    lives = ["log_lives"] if _differing(groups, read_for(kind, "half_life")) else []
    differ = lives + _differing(groups, [name for name in OUTCOME[kind] if name != "log_lives"])
    if (found := _few(len(told), groups, differ)) is not None:
        return found
    rarer = min(sum(told), len(told) - sum(told))
    if rarer < EVENTS * len(differ):
        return _rare(rarer, len(told), "did so" if sum(told) <= len(told) / 2 else "did not", differ)
    return None


def fates_shortage(chosen: list[Group], kind: str) -> str | None:
    """What is missing for the chances of fates: as for a chance, of the second most frequent one; None if
    nothing is.
    """
    groups = [group for group in once(chosen) if group.end]
    told = Counter(fate_of(group, seed) for group in groups for seed in range(len(group.end)))
    differ = _differing(groups, read_for(kind, "half_life")) and ["log_lives"]
    differ = differ + _differing(groups, [name for name in FATE[kind] if name != "log_lives"])
    if (found := _few(told.total(), groups, differ)) is not None:
        return found
    second = told.most_common(2)[-1][1] if len(told) > 1 else 0
    if second < EVENTS * len(differ):
        return _rare(second, told.total(), "had another fate than most", differ)
    return None


def rise_shortage(chosen: list[Group]) -> str | None:
    """What is missing for where accuracy peaks; None if nothing is."""
    rose = [
        (group, seed)
        for group in once(of_kind(chosen, "labelled"))
        for seed in range(len(group.end))
        if ENDS["rises"](group, seed)
    ]
    fell = sum(0 < group.steps["half_life"][seed] < np.inf for group, seed in rose)
    led = sum(group.features["label_accuracy"] - group.start[seed] >= GAIN for group, seed in rose)
    if min(fell, led) < EVENTS:
        return (
            f"{fell} runs rose and lost half of it, {led} rose towards a better vote; {EVENTS} of each are"
            " needed"
        )
    return None


def _differing(groups: list[Group], names) -> list[str]:
    return [name for name in names if groups and np.ptp([group.features[name] for group in groups]) > 1e-9]


def _few(runs: int, groups: list[Group], differ: list[str]) -> str | None:
    if runs < LEAST_RUNS:
        return f"{runs} runs can tell it, and {LEAST_RUNS} are needed"
    if len(groups) < LEAST_SETTINGS:
        return f"the runs have {len(groups)} models or settings, and {LEAST_SETTINGS} are needed"
    if not differ:
        return "no feature that it reads differs between the runs"
    return None


def _rare(seen: int, runs: int, did: str, differ: list[str]) -> str:
    plural = "s" if len(differ) > 1 else ""
    return (
        f"{seen} of {runs} runs {did}, and {EVENTS * len(differ)} are needed: {EVENTS} for each of"
        f" {len(differ)} feature{plural} that differ{'' if plural else 's'}"
    )


def _short(prior: str) -> str:
    return prior if len(prior) <= 60 else "one setting"
