"""The audit: every property on every case, the first that breaks made small."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sharpening.audit.cases import Case, random_cases, small_cases
from sharpening.audit.properties import PROPERTIES, Property
from sharpening.audit.report import Finding, RewardAudit
from sharpening.audit.shrink import shrink
from sharpening.audit.subject import Subject
from sharpening.audit.text import numbers, policy
from sharpening.audit.tokens import token_findings
from sharpening.errors import InputError
from sharpening.rewards import Reward


def audit_reward(reward: Reward | str | Callable, *, cases: int = 200, seed: int = 0) -> RewardAudit:
    """Says which properties a reward has, with a minimal counterexample for each that it has not.

    `reward`: an instance, the spec of a registered one ("majority", "noisy-verifier(tpr=0.9)"), or a function
    of log_probs (prompts, answers), nats, that gives rewards of the same shape; it is given correct,
    clusters, reference, previous or no_answer if it names them among its parameters. First every policy of
    two and three answers with weights 0..3 is tried, smallest first, then `cases` random ones with faces,
    vertices, ties, near ties and masses down to 1e-300, so "holds" means: in all of them, to within 1e-9. The
    same seed gives the same report.

    Properties: finite; invariant to relabelling; prompt by prompt; label-free; constant on one-token answers;
    nothing for no answer; comonotone; mode-monotone, majorizing and order-preserving, each under a KL-prox (=
    natural-gradient) and a softmax-gradient (= GRPO) step of sizes 0.1, 1, 10 and 100; fixes on the mode; on
    the heaviest cluster; and, of token rewards, sensitive to tokens, to length (and which is preferred),
    fixes on a token pattern. A reward that reads labels although its card does not list them is not
    label-free, and the evidence says so.

    Raises: InputError if it is no reward, or cases < 0. Source: theorems S4, S5, S7, S8.

    >>> from sharpening.audit import audit_reward
    >>> audit = audit_reward(lambda log_probs: -log_probs, cases=20)
    >>> audit.holds("comonotone"), audit["comonotone"].evidence
    (False, 'pi = (1, 2)/3: answer 0 has less mass than answer 1, yet earns more: r = (1.099, 0.4055)')
    """
    if isinstance(cases, bool) or not isinstance(cases, int) or cases < 0:
        raise InputError("cases", cases, "it is the number of random cases, an integer >= 0")
    subject = Subject(reward)
    sane = _finding(PROPERTIES[0], subject, _cases(subject.reads, cases, seed))
    findings = [sane]
    findings += [
        _finding(one, subject, _usable(one, subject, _cases(subject.reads | one.reads, cases, seed)))
        for one in PROPERTIES[1:]
    ]
    findings += token_findings(subject.reward, cases, seed)
    return RewardAudit(subject.name, cases, seed, tuple(findings))


def _cases(reads: frozenset[str], cases: int, seed: int) -> Iterable[Case]:
    yield from small_cases(reads)
    yield from random_cases(seed, cases)


def _usable(one: Property, subject: Subject, cases: Iterable[Case]) -> Iterable[Case]:
    return (case for case in cases if one.always or not PROPERTIES[0].broken(subject, case))


def _finding(one: Property, subject: Subject, cases: Iterable[Case]) -> Finding:
    tried = 0
    for case in cases:
        told = one.broken(subject, case)
        tried += told is not None
        if told:
            return _counterexample(one, subject, case, tried)
    if not tried:
        return Finding(one.name, one.meaning, None, 0, "no case says anything about it")
    return Finding(one.name, one.meaning, True, tried, "")


def _counterexample(one: Property, subject: Subject, case: Case, tried: int) -> Finding:
    usable = lambda other: one is PROPERTIES[0] or one.always or not PROPERTIES[0].broken(subject, other)  # noqa: E731
    case = shrink(case, lambda other: usable(other) and bool(one.broken(subject, other)))
    reads = subject.reads | one.reads
    example = {"weights": case.weights}
    where = f"pi = {policy(case.weights)}"
    if "correct" in reads:
        example["correct"] = case.correct
        right = [str(answer) for answer, correct in enumerate(case.correct) if correct]
        where += f", correct: {', '.join(right) or 'none'}"
    if "clusters" in reads:
        example["clusters"] = case.clusters
        where += f", clusters {numbers(case.clusters)}"
    if reads & {"reference", "previous"}:
        example["reference"] = case.reference
        where += f", reference {policy(case.reference)}"
    return Finding(one.name, one.meaning, False, tried, f"{where}: {one.broken(subject, case)}", example)
