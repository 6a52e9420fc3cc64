"""From groups of completions to the metrics of the vote, step by step."""

from collections import Counter
from functools import cached_property

import numpy as np

from llm_bridge.answers.equivalence import unit_of
from llm_bridge.answers.extraction import extractor, fold
from llm_bridge.answers.normal_form import normal_form
from llm_bridge.answers.numbers import number
from llm_bridge.logs.completions import Group, Rollouts
from llm_bridge.logs.finding import Finding
from llm_bridge.logs.run_log import RunLog
from llm_bridge.tasks import Problem, Task, equivalent, read_answers
from llm_bridge.tasks.jsonl import is_mathematics
from sharpening.metrics import group_metrics, leading_answers

RECURRING = 5
"""Fewest prompts seen before from which a step's mode retention is formed."""
_RESAMPLES = 64
_RATES = {"tie": "tie_rate", "no_answer": "no_answer_rate"}


class LoggedAnswers(Task):
    """How answers are read from logged completions; the problems come from the log."""

    name, description, max_new_tokens = "log", "completions of a log", 1

    def __init__(self, pattern: str, truths: list[str]):
        self._read, self._mathematics = extractor(pattern), is_mathematics(pattern, truths)
        self._numbers = not truths and pattern.partition(":")[0] in ("regex", "answer-tag")
        self.exact_labels = not self._mathematics

    def _build(self):
        return ()

    def extract(self, completion):
        label = self._read(completion)
        if label is None:
            return None
        if self._mathematics or self._numbers and number(normal_form(label)) is not None:
            return normal_form(label) or None
        return label

    def equivalent(self, first, second):
        return equivalent(first, second) if self._mathematics else first == second

    def unit(self, label):
        return unit_of(label) if self._mathematics else None

    def truth(self, text: str) -> str:
        """The label of a true answer, which may stand there bare."""
        return self.extract(text) or (normal_form(text) if self._mathematics else fold(text))


class Voted:
    """A group with its vote counted: `metrics` by name, the labels that lead, and how each label fared."""

    def __init__(
        self,
        group: Group,
        metrics: dict[str, float],
        leaders: set[str],
        labels: list[str | None],
        correct: int,
    ):
        self.group, self.metrics, self.leaders, self.labels, self.correct = (
            group,
            metrics,
            leaders,
            labels,
            correct,
        )

    @cached_property
    def fresh_retention(self) -> float:
        """Expected share of leaders that a fresh group with these answer frequencies would keep; the noise of
        a vote alone.
        """
        table = Counter(self.labels)
        draws = np.random.default_rng(0).multinomial(
            len(self.labels), np.array(list(table.values())) / len(self.labels), size=_RESAMPLES
        )
        names, shares = list(table), []
        for counts in draws:
            votes = {
                name: count for name, count in zip(names, counts, strict=True) if name is not None and count
            }
            top = max(votes.values(), default=0)
            leaders = {name for name, count in votes.items() if count == top}
            shares.append(len(leaders & self.leaders) / len(leaders) if leaders else 0.0)
        return float(np.mean(shares))


def groups_log(rollouts: Rollouts, source: str, answer_pattern: str | None) -> RunLog:
    """Metrics of every step from its groups; with true answers the labelled ones too.

    mode_retention: of prompts that recur, the share of majority answers that were already those of the
    prompt's first group, over the share that a fresh draw of that first group would keep; the first step is 1
    by definition.
    """
    log = RunLog(source, unknown=rollouts.unknown)
    if rollouts.repeated:
        log.findings.append(
            Finding(
                "repeated_rows",
                "info",
                f"{len(rollouts.repeated)} files repeat the completions of the one before and were left out.",
            )
        )
    whole = [group for group in rollouts.groups if len(group.completions) > 1]
    if len(whole) < len(rollouts.groups):
        single = len(rollouts.groups) - len(whole)
        log.findings.append(
            Finding(
                "single_rollouts",
                "warning",
                f"{single} of {len(rollouts.groups)} prompts have one completion in their step. "
                "A vote of one always agrees with itself, so they are left out.",
            )
        )
    for step in dict.fromkeys(group.step for group in rollouts.groups):
        if rewards := [reward for group in rollouts.groups if group.step == step for reward in group.rewards]:
            log.add("reward", step, np.mean(rewards), lag=1)
    truths = [group.truth for group in whole if group.truth is not None]
    task = LoggedAnswers(answer_pattern or "text", truths)
    voted = _vote(whole, task)
    if not voted or _unreadable(voted, answer_pattern, log):
        return log
    _check_labels(voted, answer_pattern, log)
    _fill(log, voted)
    return log


def _vote(groups: list[Group], task: LoggedAnswers) -> list[Voted]:
    labelled = bool(groups) and all(group.truth is not None for group in groups)
    voted = []
    for size in sorted({len(group.completions) for group in groups}):
        part = [group for group in groups if len(group.completions) == size]
        problems = [Problem(group.prompt, task.truth(group.truth) if labelled else None) for group in part]
        answers = read_answers(problems, [group.completions for group in part], task)
        metrics = group_metrics(answers.ids, answers.correct if labelled else None)
        leading = leading_answers(answers.ids)
        for row, group in enumerate(part):
            values = {_RATES.get(name, name): float(column[row]) for name, column in metrics.items()}
            if answers.undecided.any():
                values["undecided_rate"] = float(answers.undecided[row].mean())
            leaders = {answers.labels[i] for i in leading[row] if i >= 0}
            labels = [answers.labels[i] if i >= 0 else None for i in answers.ids[row]]
            voted.append(Voted(group, values, leaders, labels, int(answers.correct[row].sum())))
    return sorted(voted, key=lambda found: found.group.step)


def _unreadable(voted: list[Voted], answer_pattern: str | None, log: RunLog) -> bool:
    """True, and reported, if a vote on these labels means nothing: all differ, or there are none."""
    empty = float(np.mean([found.metrics["no_answer_rate"] for found in voted]))
    apart = float(np.mean([len(set(found.labels)) == len(found.labels) for found in voted]))
    pattern = answer_pattern or "text (the whole completion)"
    if empty < 0.95 and apart < 0.95:
        return False
    what = (
        f"{empty:.0%} of the completions have no answer"
        if empty >= 0.95
        else f"in {apart:.0%} of the groups all answers differ"
    )
    log.findings.append(
        Finding(
            "answer_pattern",
            "warning",
            f"Read by {pattern}, {what}, so the votes say nothing and were not judged. Give --answer-pattern"
            " last-number, boxed or regex:PATTERN, whichever finds the answer in a completion.",
        )
    )
    return True


def _check_labels(voted: list[Voted], answer_pattern: str | None, log: RunLog) -> None:
    labelled = [found for found in voted if "accuracy" in found.metrics]
    if not labelled:
        if any(found.group.truth is not None for found in voted):
            log.findings.append(
                Finding(
                    "labels_unused",
                    "info",
                    "Some prompts have a true answer and some do not: metrics that need labels were "
                    "not formed.",
                )
            )
        return
    if answer_pattern is None and not any(found.correct for found in labelled):
        for found in labelled:
            for name in ("accuracy", "label_accuracy", "reward_accuracy"):
                found.metrics.pop(name)
        log.findings.append(
            Finding(
                "labels_unused",
                "warning",
                "No whole completion equals its true answer, which more likely means that answers are not"
                " read than that all are wrong: metrics that need labels were not formed. Give"
                " --answer-pattern.",
            )
        )
        return
    truths = {found.group.prompt: found.group.truth for found in labelled}
    log.floor = max(Counter(truths.values()).values()) / len(truths)


def _fill(log: RunLog, voted: list[Voted]) -> None:
    first: dict[str, Voted] = {}
    for step in dict.fromkeys(found.group.step for found in voted):
        batch = [found for found in voted if found.group.step == step]
        for name in dict.fromkeys(name for found in batch for name in found.metrics):
            log.add(name, step, np.mean([found.metrics.get(name, 0.0) for found in batch]), lag=1)
        distinct = len({min(found.leaders) for found in batch if found.leaders})
        log.add("distinct_answers", step, distinct, lag=1)
        log.add("_distinct_share", step, distinct / len(batch), lag=1)
        pairs = [(first[found.group.prompt], found) for found in batch if found.group.prompt in first]
        pairs = [(before, now) for before, now in pairs if before.leaders]
        if not first:
            log.add("mode_retention", step, 1.0, lag=1)
        elif len(pairs) >= RECURRING:
            kept = np.mean(
                [
                    len(now.leaders & before.leaders) / len(now.leaders) if now.leaders else 0.0
                    for before, now in pairs
                ]
            )
            log.add(
                "mode_retention",
                step,
                min(1.0, kept / max(1e-9, np.mean([before.fresh_retention for before, _ in pairs]))),
                lag=1,
            )
        for found in batch:
            first.setdefault(found.group.prompt, found)
    if len(log.series["mode_retention"]) < 2:
        del log.series["mode_retention"]
