"""Properties of a reward on one prompt: each says what is wrong with a case, in a sentence, or that nothing
is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sharpening.audit.cases import Case, log_of
from sharpening.audit.steps import ALL, STEP_SIZES, STEPS, limit_share
from sharpening.audit.subject import Subject
from sharpening.audit.text import numbers, share
from sharpening.logspace import log_sum

SLACK = 1e-9
CLEAR_LEAD = 0.1


@dataclass(frozen=True)
class Property:
    """`broken(subject, case)`: a sentence if the case breaks the property, "" if it does not, None if it says
    nothing about it.

    `always`: asked too of cases for which the reward gives no finite numbers. `reads`: signals that the
    property needs varied besides those that the reward reads.
    """

    name: str
    meaning: str
    broken: Callable[[Subject, Case], str | None]
    reads: frozenset[str] = frozenset()
    always: bool = False


def _close(one: np.ndarray, other: np.ndarray) -> bool:
    return bool((np.abs(one - other) <= SLACK * (1 + np.abs(other))).all())


def _finite(subject: Subject, case: Case) -> str:
    try:
        rewards = subject.rewards(case)
    except Exception as error:
        return f"raises {type(error).__name__}: {error}"
    bad = [a for a in np.flatnonzero(case.log_probs > -np.inf) if not np.isfinite(rewards[a])]
    return f"answer {bad[0]} is possible and earns {rewards[bad[0]]}" if bad else ""


def _relabelling(subject: Subject, case: Case) -> str:
    rewards = subject.rewards(case)
    for a in range(len(rewards) - 1):
        order = list(range(len(rewards)))
        order[a], order[a + 1] = a + 1, a
        swapped = subject.rewards(case.take(order))
        if not _close(swapped, rewards[order]):
            return f"r = {numbers(rewards)}; with answers {a} and {a + 1} exchanged it is {numbers(swapped)}"
    return ""


def _alone(subject: Subject, case: Case) -> str:
    rewards = subject.rewards(case)
    for other in (case, case.take(range(len(rewards))[::-1])):
        beside = subject.batch([case, other])[0]
        if not _close(beside, rewards):
            return (
                f"alone r = {numbers(rewards)}; beside a prompt with weights {numbers(other.weights)} it is"
                f" {numbers(beside)}"
            )
    return ""


def _label_free(subject: Subject, case: Case) -> str | None:
    if "correct" not in subject.reads:
        return subject.secret_labels(case)
    if _finite(subject, case):
        return None
    rewards, wrong = (
        subject.rewards(case),
        Case(case.weights, (False,) * len(case.correct), case.clusters, case.reference),
    )
    without = subject.rewards(wrong)
    right = ", ".join(str(a) for a in np.flatnonzero(case.correct))
    return (
        ""
        if _close(without, rewards)
        else f"r = {numbers(rewards)} if answer {right} is correct, {numbers(without)} if none is"
    )


def _constant(subject: Subject, case: Case) -> str:
    possible = case.log_probs > -np.inf
    rewards = subject.rewards(case)
    spread = np.ptp(rewards[possible])
    return f"r = {numbers(rewards)}" if spread > SLACK * (1 + np.abs(rewards[possible]).max()) else ""


def _comonotone(subject: Subject, case: Case) -> str:
    log_probs, rewards = case.log_probs, subject.rewards(case)
    possible = np.flatnonzero(log_probs > -np.inf)
    slack = SLACK * (1 + np.abs(rewards[possible]).max())
    for a in possible:
        for b in possible:
            if log_probs[a] == log_probs[b] and rewards[a] > rewards[b] + slack:
                return f"answers {a} and {b} have equal mass, yet earn {numbers(rewards[[a, b]])}"
            if log_probs[a] < log_probs[b] and rewards[a] > rewards[b] + slack:
                return f"answer {a} has less mass than answer {b}, yet earns more: r = {numbers(rewards)}"
    return ""


def _silence(subject: Subject, case: Case) -> str | None:
    if "no_answer" not in subject.reads or len(case.weights) < 2 or not case.weights[-1]:
        return None
    rewards = subject.rewards(case, silent=True)
    least = rewards[case.log_probs > -np.inf].min()
    return (
        f'answer {len(rewards) - 1} stands for "no answer", and r = {numbers(rewards)}'
        if rewards[-1] > least + SLACK
        else ""
    )


def _leaders(log_probs: np.ndarray) -> np.ndarray:
    return log_probs == log_probs.max()


def _moved(subject: Subject, case: Case, update: str):
    rewards = subject.rewards(case)
    for size in STEP_SIZES:
        yield f"r = {numbers(rewards)}, step {size:g}", STEPS[update](case.log_probs, rewards, size)


def _mode_monotone(update: str):
    def broken(subject: Subject, case: Case) -> str:
        start, leads = case.log_probs, _leaders(case.log_probs)
        for told, after in _moved(subject, case, update):
            if log_sum(after[~leads]) > log_sum(start[~leads]) + SLACK and log_sum(after[leads]) < log_sum(
                start[leads]
            ):
                return f"{told}: the mode's mass falls from {share(start[leads])} to {share(after[leads])}"
        return ""

    return broken


def _majorizing(update: str):
    def broken(subject: Subject, case: Case) -> str:
        start = np.sort(case.log_probs)
        for told, after in _moved(subject, case, update):
            after = np.sort(after)
            for k in range(1, len(start)):
                if log_sum(after[:k]) > log_sum(start[:k]) + SLACK:
                    what = "smallest mass grows" if k == 1 else f"{k} smallest masses together grow"
                    return f"{told}: the {what} from {share(start[:k])} to {share(after[:k])}"
        return ""

    return broken


def _order_preserving(update: str):
    def broken(subject: Subject, case: Case) -> str:
        start = case.log_probs
        possible = np.flatnonzero(start > -np.inf)
        for told, after in _moved(subject, case, update):
            for a in possible:
                for b in possible:
                    if start[a] >= start[b] and after[a] < after[b] - SLACK:
                        was = "as much mass as" if start[a] == start[b] else "more mass than"
                        return (
                            f"{told}: answer {a} had {was} answer {b}, now {share(after[[a]])} against"
                            f" {share(after[[b]])}"
                        )
        return ""

    return broken


def _fixes(subject: Subject, case: Case, members: np.ndarray, what: str) -> str | None:
    at_first = log_of(case.reference)
    end = limit_share(
        case.log_probs,
        members,
        lambda now, before: subject.at(case, now, at_first if before is None else before),
    )
    if end is None:
        return None
    began = share(case.log_probs[members])
    return (
        ""
        if end >= 1 - 2 * ALL
        else f"r = {numbers(subject.rewards(case))} at first; {what} goes from {began} to {end:.4g}"
    )


def _fixes_on_mode(subject: Subject, case: Case) -> str | None:
    leads, finite = _leaders(case.log_probs), case.log_probs[case.log_probs > -np.inf]
    below = finite[finite < finite.max()]
    if leads.all() or not len(below) or finite.max() - below.max() < CLEAR_LEAD:
        return None
    return _fixes(subject, case, leads, "the mode's mass")


def _fixes_on_cluster(subject: Subject, case: Case) -> str | None:
    ids = np.asarray(case.clusters)
    masses = np.array([log_sum(case.log_probs[ids == cluster]) for cluster in range(ids.max() + 1)])
    ordered = np.sort(masses)
    if (
        len(masses) < 2
        or len(masses) == len(ids)
        or ordered[-1] - ordered[-2] < CLEAR_LEAD
        or ordered[-2] == -np.inf
    ):
        return None
    heaviest = ids == masses.argmax()
    inside = ", ".join(str(a) for a in np.flatnonzero(heaviest))
    return _fixes(subject, case, heaviest, f"the heaviest cluster (answers {inside})")


PROPERTIES = (
    Property("finite", "every possible answer of every policy earns a finite number", _finite),
    Property("invariant to relabelling", "exchanging answers exchanges their rewards and nothing else", _relabelling),
    Property("prompt by prompt", "a prompt's rewards do not depend on the prompts beside it", _alone),
    Property("label-free", "the same reward whatever answers are correct", _label_free, always=True),
    Property("constant on one-token answers", "all answers earn the same, so no step moves a flat policy", _constant),
    Property("nothing for no answer", 'giving no answer earns no more than the worst answer', _silence),
    Property("comonotone", "the reward is a nondecreasing function of the answer's mass (theorem S4)", _comonotone),
    *(Property(f"mode-monotone ({update})", "the mode never loses mass in a step", _mode_monotone(update)) for update in STEPS),
    *(Property(f"majorizing ({update})", "no sum of smallest masses grows in a step: diversity falls", _majorizing(update)) for update in STEPS),
    *(Property(f"order-preserving ({update})", "a step keeps the order of masses, and ties", _order_preserving(update)) for update in STEPS),
    Property("fixes on the mode", "iterated KL-prox steps give all mass to the answers that led at first", _fixes_on_mode),
    Property("fixes on the heaviest cluster", "iterated KL-prox steps give all mass to the cluster of answers that led at first (theorem S8)",
             _fixes_on_cluster, frozenset({"clusters"})),
)  # fmt: skip
