"""From groups of completions to the metrics of the vote, step by step."""

import hashlib
from collections import Counter

import numpy as np

from llm_bridge.answers.equivalence import equivalent, unit_of
from llm_bridge.answers.extraction import extractor, fold
from llm_bridge.answers.normal_form import normal_form
from llm_bridge.answers.numbers import number
from llm_bridge.logs.finding import Finding
from llm_bridge.logs.natural_pattern import natural_pattern
from llm_bridge.logs.rollouts import Group, Rollouts
from llm_bridge.logs.run_log import RunLog
from llm_bridge.logs.trl_rewards import LoggedRewards, choose_rewards
from llm_bridge.tasks.base import Problem, Task
from llm_bridge.tasks.jsonl import is_mathematics
from llm_bridge.tasks.votes import pool_labels
from sharpening.metrics import group_metrics, leading_answers

RECURRING = 5
"""Fewest prompts seen before from which a step's mode retention is formed."""
_RESAMPLES = 64
_RATES = {"tie": "tie_rate", "no_answer": "no_answer_rate"}
_LABELLED = ("accuracy", "label_accuracy", "reward_accuracy")
_LONGEST_KEPT = 64


class LoggedAnswers(Task):
    """How answers are read from logged completions; the problems come from the log.

    Answers are read and compared as `JsonlTask` does for the same pattern and true answers, so `monitor` and
    `measure` see the same votes.
    """

    name, description, max_new_tokens = "log", "completions of a log", 1

    def __init__(self, pattern: str, truths: list[str]):
        truths = [_final(text) for text in truths]
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
        return label if len(label) <= _LONGEST_KEPT else _digest(label)

    def equivalent(self, first, second):
        return equivalent(first, second) if self._mathematics else first == second

    def unit(self, label):
        return unit_of(label) if self._mathematics else None

    def truth(self, text: str) -> str:
        """The label of a true answer, which may stand there bare."""
        text = _final(text)
        return self.extract(text) or (normal_form(text) if self._mathematics else fold(text))


def _final(text: str) -> str:
    """Of a true answer in GSM8K's form, what stands behind the last "####"."""
    return text.rpartition("####")[2].strip() or text


def _digest(label: str) -> str:
    return hashlib.blake2b(label.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


class Voted:
    """A group with its vote counted: `metrics` by name, the labels that lead, and how often each label was
    given.
    """

    __slots__ = ("_fresh", "counts", "leaders", "metrics", "prompt")

    def __init__(self, prompt: str, metrics: dict[str, float], leaders: set[str], counts: Counter):
        self.prompt, self.metrics, self.leaders, self.counts = prompt, metrics, leaders, counts
        self._fresh: float | None = None

    @property
    def fresh_retention(self) -> float:
        """Expected share of leaders that a fresh group with these answer frequencies would keep; the noise of
        a vote alone.
        """
        if self._fresh is None:
            self._fresh = self._resampled()
        return self._fresh

    def _resampled(self) -> float:
        names, votes = list(self.counts), np.array(list(self.counts.values()))
        draws = np.random.default_rng(0).multinomial(votes.sum(), votes / votes.sum(), size=_RESAMPLES)
        shares = []
        for counts in draws:
            found = {
                name: count for name, count in zip(names, counts, strict=True) if name is not None and count
            }
            top = max(found.values(), default=0)
            leaders = {name for name, count in found.items() if count == top}
            shares.append(len(leaders & self.leaders) / len(leaders) if leaders else 0.0)
        return float(np.mean(shares))


def groups_log(
    rollouts: Rollouts, source: str, answer_pattern: str | None, trainer: LoggedRewards | None = None
) -> RunLog:
    """Metrics of every step from its groups; with true answers the labelled ones too. `trainer`: what
    trainer_state.json beside says about rewards.

    mode_retention: of prompts that recur, the share of majority answers that were already those of the
    prompt's first group, over the share that a fresh draw of that first group would keep; the first step is 1
    by definition.
    """
    log = RunLog(source, unknown=rollouts.unknown)
    log.findings += choose_rewards(rollouts, trainer)
    survey = rollouts.survey
    truths = sorted(set(survey.truths.values()))
    pattern, why = (answer_pattern, "") if answer_pattern else natural_pattern(truths, survey.openings)
    if why and pattern != "text":
        text = f"Answers were read by {pattern}, since {why}; --answer-pattern reads them otherwise."
        log.findings.append(Finding("answers_read", "info", text))
    tally = _Tally(LoggedAnswers(pattern, truths), rollouts)
    for step, groups in rollouts.steps(tally.task.extract):
        tally.count(step, groups, log)
    log.findings += rollouts.findings()
    if tally.single:
        log.findings.append(
            Finding(
                "single_rollouts",
                "warning",
                f"{tally.single} of {tally.single + tally.whole} prompts have one completion in their step. "
                "A vote of one always agrees with itself, so they are left out.",
            )
        )
    if tally.whole and not _unreadable(tally, pattern, log):
        _check_labels(tally, pattern, answer_pattern is not None, log)
        tally.fill(log)
    return log


class _Tally:
    """Sums over the groups read so far; nothing of a group is kept but the first vote of a prompt that comes
    again.
    """

    def __init__(self, task: LoggedAnswers, rollouts: Rollouts):
        self.task, self.survey = task, rollouts.survey
        self.labelled = self.survey.all_labelled and not self.survey.unsteady
        self.whole = self.single = self.apart = self.correct = 0
        self.no_answer = 0.0
        self.series: dict[str, dict[int, float]] = {}
        self.truth_labels: dict[str, str] = {}
        self._first: dict[str, Voted] = {}
        self._last: dict[str, set[str]] = {}
        self._prompt_sets: set[int] = set()

    def count(self, step: int, groups: list[Group], log: RunLog) -> None:
        """Count the votes of one step."""
        if rewards := [reward for group in groups for reward in group.rewards]:
            log.add("reward", step, float(np.mean(rewards)), lag=1)
        voted = self._vote([group for group in groups if len(group.completions) > 1])
        self.single += len(groups) - len(voted)
        self.whole += len(voted)
        if not voted:
            return
        self._prompt_sets.add(hash(frozenset(found.prompt for found in voted)))
        for name in dict.fromkeys(name for found in voted for name in found.metrics):
            self._put(name, step, float(np.mean([found.metrics.get(name, 0.0) for found in voted])))
        winners = Counter(min(found.leaders) for found in voted if found.leaders)
        distinct = len(winners)
        self._put("distinct_answers", step, distinct)
        self._put("top_answer_share", step, max(winners.values(), default=0) / len(voted))
        self._put("_distinct_share", step, distinct / len(voted))
        self._retention(step, voted)

    def _put(self, name: str, step: int, value: float) -> None:
        self.series.setdefault(name, {})[step] = float(value)

    def _vote(self, groups: list[Group]) -> list[Voted]:
        voted = []
        for size in sorted({len(group.completions) for group in groups}):
            part = [group for group in groups if len(group.completions) == size]
            problems = [Problem(group.prompt, self._truth(group)) for group in part]
            answers = pool_labels(problems, [group.completions for group in part], self.task)
            metrics = group_metrics(answers.ids, answers.correct if self.labelled else None)
            leading = leading_answers(answers.ids)
            for row, group in enumerate(part):
                values = {_RATES.get(name, name): float(column[row]) for name, column in metrics.items()}
                if answers.undecided is not None and answers.undecided.any():
                    values["undecided_rate"] = float(answers.undecided[row].mean())
                leaders = {answers.labels[i] for i in leading[row] if i >= 0}
                counts = Counter(answers.labels[i] if i >= 0 else None for i in answers.ids[row])
                self.no_answer += values["no_answer_rate"]
                self.apart += len(counts) == size
                self.correct += int(answers.correct[row].sum())
                voted.append(Voted(group.prompt, values, leaders, counts))
        return voted

    def _truth(self, group: Group) -> str | None:
        if not self.labelled or group.truth is None:
            return None
        label = self.task.truth(group.truth)
        self.truth_labels[group.prompt] = label
        return label

    def _retention(self, step: int, voted: list[Voted]) -> None:
        pairs = [(self._first[found.prompt], found) for found in voted if found.prompt in self._first]
        pairs = [(before, now) for before, now in pairs if before.leaders]
        self._against_first(step, pairs)
        if "mode_retention" not in self.series:
            self._put("mode_retention", step, 1.0)
        elif len(pairs) >= RECURRING:
            kept = np.mean(
                [
                    len(now.leaders & before.leaders) / len(now.leaders) if now.leaders else 0.0
                    for before, now in pairs
                ]
            )
            fresh = max(1e-9, float(np.mean([before.fresh_retention for before, _ in pairs])))
            self._put("mode_retention", step, min(1.0, float(kept) / fresh))
        again = [found for found in voted if self._last.get(found.prompt) and found.leaders]
        if len(again) >= RECURRING:
            flips = np.mean([not found.leaders & self._last[found.prompt] for found in again])
            self._put("flip_rate", step, float(flips))
        for found in voted:
            if hash(found.prompt.partition("\0")[0]) in self.survey.recurring:
                self._first.setdefault(found.prompt, found)
                self._last[found.prompt] = found.leaders

    def _against_first(self, step: int, pairs: list[tuple[Voted, Voted]]) -> None:
        """Sums over the prompts seen before, for `chance`, which pools them over steps: how many, how many kept their
        leader, how often an answer of now is one of the first group, and how often two of the first group are.
        """
        if not pairs:
            return
        kept = sum(bool(now.leaders & before.leaders) for before, now in pairs)
        for name, value in (
            ("_seen_again", len(pairs)),
            ("_kept", kept),
            ("_overlap", sum(_agreeing(before.counts, now.counts) for before, now in pairs)),
            ("_overlap_at_first", sum(_agreeing_within(before.counts) for before, _ in pairs)),
        ):
            self._put(name, step, value)

    def fill(self, log: RunLog) -> None:
        """Write the series into the log."""
        if len(self.series["mode_retention"]) < 2:
            del self.series["mode_retention"]
        prompts = "rollouts" if len(self._prompt_sets) == 1 else None
        for name, values in self.series.items():
            for step, value in values.items():
                log.add(name, step, value, lag=1, prompts=prompts)


def _agreeing(first: Counter, now: Counter) -> float:
    """Chance that an answer of one group and an answer of the other are the same; no answer agrees with nothing."""
    same = sum(count * now[name] for name, count in first.items() if name is not None)
    return same / (first.total() * now.total())


def _agreeing_within(counts: Counter) -> float:
    """Chance that two different completions of a group give the same answer."""
    size = counts.total()
    same = sum(count * (count - 1) for name, count in counts.items() if name is not None)
    return same / (size * (size - 1))


def _unreadable(tally: _Tally, pattern: str, log: RunLog) -> bool:
    """True, and reported, if a vote on these labels means nothing: all differ, or there are none."""
    empty, apart = tally.no_answer / tally.whole, tally.apart / tally.whole
    pattern = "text (the whole completion)" if pattern == "text" else pattern
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


def _check_labels(tally: _Tally, pattern: str, given: bool, log: RunLog) -> None:
    if not tally.labelled:
        if tally.survey.any_labelled and not tally.survey.unsteady:
            log.findings.append(
                Finding(
                    "labels_unused",
                    "info",
                    "Some prompts have a true answer and some do not: metrics that need labels were "
                    "not formed.",
                )
            )
        return
    if not given and not tally.correct:
        for name in _LABELLED:
            tally.series.pop(name)
        log.findings.append(
            Finding(
                "labels_unused",
                "warning",
                f"No answer read by {pattern} equals its true answer, which more likely means that answers are"
                " not read than that all are wrong: metrics that need labels were not formed. Give"
                " --answer-pattern.",
            )
        )
        return
    truths = tally.truth_labels
    log.floor = max(Counter(truths.values()).values()) / len(truths)
