"""The reward under audit, whatever form it comes in, asked for one prompt at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sharpening.audit.cases import Case, log_of
from sharpening.audit.text import numbers
from sharpening.errors import InputError
from sharpening.rewards import Reward, TokenStatistics, get_reward
from sharpening.rewards.asking import listed, reads_labels
from sharpening.rewards.function import SIGNALS, parameters


class Subject:
    """A reward instance, the spec of a registered one, or a function of log_probs (prompts, answers) that
    gives rewards of that shape.

    `reads`: which of correct, clusters, reference, previous, no_answer and step (always 0) it is given: what
    the card lists, or what a function names among its parameters. Raises: InputError for anything else.
    """

    def __init__(self, reward: Reward | str | Callable):
        self._known: dict[tuple, np.ndarray] = {}
        self.reward: Reward | None = None
        if isinstance(reward, (Reward, str)):
            self.reward = known = get_reward(reward) if isinstance(reward, str) else reward
            self.name, self._call = getattr(known, "spec", known.name), known.exact
            needs = set(known.card.needs)
            self.needs = frozenset(needs)
            self.reads = frozenset(name for name, need in SIGNALS.items() if need in needs) | {"no_answer"}
            self.reads |= {"correct"} if reads_labels(known) else set()
            self.reads |= {"step"} if "step" in needs else set()
        elif callable(reward):
            self._call, self.needs = reward, frozenset()
            self.name = getattr(reward, "__name__", type(reward).__name__)
            self.reads = frozenset(parameters(reward)) & {*SIGNALS, "no_answer", "step"}
        else:
            raise InputError(
                "reward",
                reward,
                "it is a reward, the name of one, or a function of log_probs (prompts, answers)",
            )

    def batch(self, cases: list[Case], *, silent: bool = False) -> np.ndarray:
        """Rewards of several prompts with as many answers, (prompts, answers); `silent`: the last answer
        stands for "no answer".

        What an impossible answer earns is never read: it is set to 0.
        """
        signals = _signals(cases)
        if silent:
            signals["correct"] = signals["correct"] & (
                np.arange(len(cases[0].weights)) < len(cases[0].weights) - 1
            )
        given = {name: value for name, value in signals.items() if name in self.reads}
        if silent and "no_answer" in self.reads:
            given["no_answer"] = len(cases[0].weights) - 1
        log_probs = np.stack([case.log_probs for case in cases])
        with np.errstate(all="ignore"):
            rewards = np.asarray(self._call(log_probs, **given), dtype=np.float64)
        if rewards.shape != log_probs.shape:
            raise InputError(
                "reward", rewards.shape, f"it gives rewards of the shape of log_probs, here {log_probs.shape}"
            )
        return np.where(log_probs > -np.inf, rewards, 0.0)

    def rewards(self, case: Case, *, silent: bool = False) -> np.ndarray:
        """Rewards of one prompt, (answers,); asked once for each case."""
        key = (
            case.weights,
            silent,
            *(getattr(case, name) for name in ("correct", "clusters") if name in self.reads),
            case.reference,
        )
        if key not in self._known:
            self._known[key] = self.batch([case], silent=silent)[0]
        return self._known[key]

    def secret_labels(self, case: Case) -> str:
        """A sentence if the reward reads which answers are correct although its card does not list that, ""
        if not: its forms are asked twice, with the case's labels and with none correct.
        """
        if self.reward is None or reads_labels(self.reward):
            return ""
        possible = np.flatnonzero(case.log_probs > -np.inf)
        right = ", ".join(str(a) for a in np.flatnonzero(case.correct))
        for form, ask in (("exact", _exact_with), ("group", _group_with)):
            told, untold = (
                _tried(ask, self.reward, case, labels)
                for labels in (np.array(case.correct), np.zeros(len(case.correct), bool))
            )
            if told is None or untold is None:
                continue
            if not np.allclose(told[possible], untold[possible], rtol=1e-9, atol=1e-9, equal_nan=True):
                return (
                    f"its `{form}` reads labels, and its card does not list them: r ="
                    f" {numbers(told)} if answer {right} is correct, {numbers(untold)} if none is"
                )
        return ""

    def at(self, case: Case, log_probs: np.ndarray, previous: np.ndarray) -> np.ndarray:
        """Rewards of the case's answers under another policy and the one before it, (answers,), for the steps
        after the first.
        """
        signals = _signals([case]) | {"previous": previous[None]}
        given = {name: value for name, value in signals.items() if name in self.reads}
        with np.errstate(all="ignore"):
            found = self._call(log_probs[None], **given)
        return np.where(log_probs > -np.inf, np.asarray(found, dtype=np.float64)[0], 0.0)


def _signals(cases: list[Case]) -> dict:
    reference = np.stack([log_of(case.reference) for case in cases])
    correct, clusters = (
        np.array([case.correct for case in cases]),
        np.array([case.clusters for case in cases]),
    )
    return {
        "correct": correct,
        "clusters": clusters,
        "reference": reference,
        "previous": reference,
        "step": 0,
    }


def _exact_with(reward: Reward, case: Case, labels: np.ndarray) -> np.ndarray:
    told = listed(reward, {name: value for name, value in _signals([case]).items() if name != "correct"})
    return reward.exact(case.log_probs[None], labels[None], no_answer=None, **told)


def _group_with(reward: Reward, case: Case, labels: np.ndarray) -> np.ndarray:
    signals, columns = _signals([case]), np.arange(len(case.weights))[None]
    at_first = signals["reference"]
    told = {
        "tokens": TokenStatistics.of_categorical(case.log_probs[None], columns),
        "reference_log_probs": at_first,
        "previous_log_probs": at_first,
        "clusters": signals["clusters"],
        "states": np.zeros((*columns.shape, 0), columns.dtype),
        "step": 0,
    }
    return reward.group(columns, labels[None], **listed(reward, told))


def _tried(ask: Callable, reward: Reward, case: Case, labels: np.ndarray) -> np.ndarray | None:
    try:
        with np.errstate(all="ignore"):
            found = np.asarray(ask(reward, case, labels), dtype=np.float64)
    except Exception:
        return None
    return found[0] if found.shape == (1, len(case.weights)) else None
