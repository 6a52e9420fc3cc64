"""Evaluate a model on a fixed prompt set: every metric of the glossary that its labels, or their absence,
allow.
"""

import math
from bisect import bisect_left
from dataclasses import dataclass

import numpy as np

from llm_bridge.sampling.rollouts import end_token_ids, sample, sequence_log_probs
from llm_bridge.sampling.seeding import seeded
from llm_bridge.tasks import read_answers
from llm_bridge.tasks.base import base_rate_floor, run_without_labels
from sharpening.metrics import NO_ANSWER, distinct_answers, group_metrics

FREQUENT = 4
"""Draws from which on a frequency estimates an answer's mass at least as well as the sequences seen."""
NOTEWORTHY = 0.1
"""The share of cut-off completions from which on a result says so in words."""


def repetition(token_ids, ends) -> float:
    """Mean over completions of the share of tokens after the first that equal their predecessor; end tokens
    are no content.

    0 for completions of fewer than two content tokens. token_ids (prompts, rollouts) lists; the same as in
    `sharpening.trees`.
    """
    contents = [[token for token in ids if token not in ends] for group in token_ids for ids in group]
    shares = [
        sum(map(int.__eq__, ids[1:], ids)) / (len(ids) - 1) if len(ids) > 1 else 0.0 for ids in contents
    ]
    return float(np.mean(shares)) if shares else 0.0


def truncation_note(share: float, settings, task) -> list[str]:
    """One sentence where a `share` of the initial model's completions above NOTEWORTHY is cut off, else
    none.
    """
    if share <= NOTEWORTHY:
        return []
    voting = (
        "count as no answer" if settings.mask_truncated_completions else "vote with what is read from them"
    )
    return [
        f"{100 * share:.0f} % of the initial model's completions were cut off at max_new_tokens ="
        f" {settings.max_new_tokens or task.max_new_tokens}, and {voting}."
    ]


@dataclass
class InitialModel:
    """What the undisturbed model answers on the evaluation prompts: the reference of `mode_retention` and of
    `excess_kl`.

    answers[p] maps each answer label (None: no answer) to its number of draws out of `draws`; `modes[p]` are
    the leading labels.
    retention: the share of prompts that fresh groups of the *initial* model keep, by which later retention is
    divided.
    """

    draws: int
    answers: list[dict[str | None, int]]
    modes: list[set[str]]
    retention: float

    def budget(self, prompt: int) -> float:
        """−log max_a π₀(a): the KL that sharpening can spend on this prompt, in nats (theory S9)."""
        return math.log(self.draws / max(self.answers[prompt].values()))

    def as_dict(self) -> dict:
        return {
            "draws": self.draws,
            "retention": self.retention if math.isfinite(self.retention) else None,
            "answers": [[[label, count] for label, count in table.items()] for table in self.answers],
        }

    @classmethod
    def from_dict(cls, data: dict) -> "InitialModel":
        answers = [{label: count for label, count in table} for table in data["answers"]]
        retention = float("nan") if data["retention"] is None else data["retention"]
        return cls(data["draws"], answers, [_leaders(table) for table in answers], retention)


def _leaders(table: dict[str | None, int]) -> set[str]:
    votes = {label: count for label, count in table.items() if label is not None}
    top = max(votes.values(), default=0)
    return {label for label, count in votes.items() if count == top}


def _log_sum(log_masses) -> float:
    """log of a sum of masses, at most 0."""
    return min(0.0, float(np.logaddexp.reduce(sorted(log_masses))))


def _log_share(count: int, draws: int) -> float:
    return math.log(count / draws) if count >= FREQUENT else -math.inf


def deciding_tokens(task, tokenizer, tokens: list[int]) -> tuple[int, ...]:
    """The shortest prefix of a completion after which no continuation changes the answer: its mass includes all of
    them. What is settled stays so, so halving finds it: log₂ of the length many prefixes are read, and none of a task
    that never settles.
    """
    if not task.settles or len(tokens) < 2:
        return tuple(tokens)

    def settled(length: int) -> bool:
        return task.settled(tokenizer.decode(tokens[:length], skip_special_tokens=True))

    return tuple(tokens[: bisect_left(range(1, len(tokens)), True, key=settled) + 1])


class Evaluator:
    """Draws `rollouts` answers of each fixed prompt and reduces them to one number a metric.

    Parameters:
        reference: a frozen copy of the initial model, which scores answers that its own draws never showed.
            `None` leaves `excess_kl` and `kl` out.
        initial_rollouts: draws of the initial model that find its modes; another 2 × `rollouts` measure its
        own retention.
        mask_truncated_completions: a completion cut off at `max_new_tokens` gives no answer.
        stop: texts at which completions end; None: those of the model's generation config.
    """

    def __init__(
        self,
        task,
        problems,
        tokenizer,
        *,
        rollouts,
        temperature=1.0,
        max_new_tokens=None,
        seed=0,
        initial_rollouts=64,
        reference=None,
        mask_truncated_completions=False,
        stop=None,
    ):
        self.task, self.problems, self.tokenizer = task, list(problems), tokenizer
        self.rollouts, self.temperature, self.seed = rollouts, temperature, seed
        self.max_new_tokens = max_new_tokens or task.max_new_tokens
        self.initial_rollouts, self.reference = initial_rollouts, reference
        self.mask_truncated_completions, self.stop = mask_truncated_completions, stop
        self.labelled = not run_without_labels(self.problems)
        self.initial: InitialModel | None = None
        self.generated_tokens = self.forward_tokens = 0

    @property
    def floor(self) -> float | None:
        """The largest base rate of one true answer in the set: reward accuracy of a model that gives one
        answer to every prompt.
        """
        return base_rate_floor(self.task, self.problems) if self.labelled else None

    def _draw(self, model, rollouts, *seed):
        drawn = sample(
            model,
            self.tokenizer,
            [problem.prompt for problem in self.problems],
            rollouts=rollouts,
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            generator=seeded(self.seed, *seed),
            stop=self.stop,
        )
        self.generated_tokens += drawn.generated_tokens
        self.forward_tokens += drawn.forward_tokens
        unread = drawn.truncated(model, self.tokenizer) if self.mask_truncated_completions else None
        answers = read_answers(self.problems, drawn.texts, self.task, unread)
        return (
            drawn,
            answers,
            [[answers.labels[i] if i != NO_ANSWER else None for i in row] for row in answers.ids],
        )

    def start(self, model) -> InitialModel:
        """Find the initial model's modes and its own retention; keep them for every later evaluation."""
        _, _, rows = self._draw(model, self.initial_rollouts, 0, 1)
        tables = [{label: row.count(label) for label in dict.fromkeys(row)} for row in rows]
        initial = InitialModel(self.initial_rollouts, tables, [_leaders(table) for table in tables], 1.0)
        _, _, fresh = self._draw(model, 2 * self.rollouts, 0, 2)
        halves = [
            self._retention(initial, [row[part] for row in fresh])
            for part in (slice(0, self.rollouts), slice(self.rollouts, None))
        ]
        initial.retention = max(float(np.mean(halves)), 1.0 / (2 * len(rows)))
        self.initial = initial
        return initial

    def _retention(self, initial, rows) -> float:
        """Mean over prompts of the share of current leaders that are initial modes; a prompt that never had a
        mode is left out.
        """
        shares = []
        for modes, row in zip(initial.modes, rows, strict=True):
            if modes:
                leaders = _leaders({label: row.count(label) for label in set(row)})
                shares.append(len(leaders & modes) / len(leaders) if leaders else 0.0)
        return float(np.mean(shares)) if shares else float("nan")

    def __call__(self, model, step: int) -> dict[str, float]:
        """All metrics of `model` at `step`; the draws depend on the seed and the step alone."""
        initial = self.initial or self.start(model)
        drawn, answers, rows = self._draw(model, self.rollouts, 1, step)
        ids = answers.ids
        groups = group_metrics(ids, answers.correct if self.labelled else None)
        values: dict[str, float] = {
            name: float(np.mean(groups[name]))
            for name in ("accuracy", "label_accuracy", "reward_accuracy")
            if name in groups
        }
        values |= {
            "majority_ratio": float(np.mean(groups["majority_ratio"])),
            "entropy": float(np.mean(groups["entropy"])),
            "mode_retention": min(1.0, self._retention(initial, rows) / initial.retention),
            "distinct_answers": float(distinct_answers(ids)),
            "tie_rate": float(np.mean(groups["tie"])),
            "no_answer_rate": float(np.mean(groups["no_answer"])),
            "truncated": float(np.mean(drawn.truncated(model, self.tokenizer))),
            "mean_length": drawn.mean_length,
            "repetition": repetition(drawn.token_ids, end_token_ids(model, self.tokenizer)),
            "perplexity": math.exp(min(50.0, -float(drawn.log_probs.sum()) / max(1, drawn.generated_tokens))),
            "lm_loss": self._prompt_loss(model, drawn.prompt_ids),
        }
        if answers.undecided is not None and answers.undecided.any():
            values["undecided_rate"] = float(answers.undecided.mean())
        if self.reference is not None:
            kl = self._kl(initial, drawn, rows)
            budgets = np.array([initial.budget(prompt) for prompt in range(len(kl))])
            values |= {"kl": float(kl.mean()), "excess_kl": float(np.maximum(0.0, kl - budgets).mean())}
        return {name: value for name, value in values.items() if math.isfinite(value)}

    def _prompt_loss(self, model, prompt_ids) -> float:
        """Held-out language-model loss: nats per token of the evaluation prompts' own text, their first token
        given.
        """
        heads, tails = [ids[:1] for ids in prompt_ids], [ids[1:] for ids in prompt_ids]
        kept = [(head, tail) for head, tail in zip(heads, tails, strict=True) if tail]
        if not kept:
            return float("nan")
        scores = sequence_log_probs(model, self.tokenizer, [h for h, _ in kept], [t for _, t in kept])
        self.forward_tokens += sum(len(tail) for _, tail in kept)
        return -float(scores.sum()) / sum(len(tail) for _, tail in kept)

    def _kl(self, initial: InitialModel, drawn, rows) -> np.ndarray:
        """KL(π_t‖π₀) per prompt over answers, in nats: mean over rollouts of log π_t(a) − log π₀(a), never
        negative.

        Both masses are those of the distinct sequences that gave the answer in this evaluation, or the
        answer's frequency where it is FREQUENT, whichever is larger. An undisturbed model therefore scores
        near 0 (below 0.3) however uncertain it is, which a plug-in estimate from a few rollouts does not.
        """
        now, then = self._masses(initial, drawn, rows)
        return np.array(
            [
                max(0.0, float(np.mean([now[p, label] - then[p, label] for label in row])))
                for p, row in enumerate(rows)
            ]
        )

    def _masses(self, initial: InitialModel, drawn, rows) -> tuple[dict, dict]:
        """log π_t and log π₀ of every (prompt, label) drawn."""
        seen: dict[tuple[int, str | None], dict[tuple[int, ...], float]] = {}
        for prompt, (row, tokens, scores) in enumerate(
            zip(rows, drawn.token_ids, drawn.token_log_probs, strict=True)
        ):
            for label, ids, log_probs in zip(row, tokens, scores, strict=True):
                deciding = deciding_tokens(self.task, self.tokenizer, ids)
                seen.setdefault((prompt, label), {})[deciding] = sum(log_probs[: len(deciding)])
        counts = {(prompt, label): row.count(label) for prompt, row in enumerate(rows) for label in set(row)}
        before = {key: initial.answers[key[0]].get(key[1], 0) for key in seen}
        now = {
            key: max(_log_sum(found.values()), _log_share(counts[key], self.rollouts))
            for key, found in seen.items()
        }
        # Nothing is remembered between evaluations: a run that resumes must score the same batches.
        rare = sorted(
            (prompt, ids)
            for (prompt, label), found in seen.items()
            if before[prompt, label] < FREQUENT
            for ids in found
        )
        scores = (
            sequence_log_probs(
                self.reference,
                self.tokenizer,
                [drawn.prompt_ids[p] for p, _ in rare],
                [list(ids) for _, ids in rare],
                temperature=self.temperature,
            ).tolist()
            if rare
            else []
        )
        self.forward_tokens += sum(len(ids) for _, ids in rare) + sum(
            len(drawn.prompt_ids[p]) for p in {p for p, _ in rare}
        )
        scored = dict(zip(rare, scores, strict=True))
        then = {
            key: max(
                _log_sum(scored[key[0], ids] for ids in found) if before[key] < FREQUENT else -math.inf,
                _log_share(before[key], initial.draws),
            )
            for key, found in seen.items()
        }
        return now, then
