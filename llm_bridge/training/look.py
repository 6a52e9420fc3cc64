"""What an evaluation saw on some of its prompts, and the metrics of several such looks together."""

import math
from dataclasses import dataclass, field

import numpy as np

from llm_bridge.logs.run_log import ERRORS
from llm_bridge.training.initial import InitialModel, error_of_mean, mean_retained
from sharpening.metrics import NO_ANSWER, distinct_answers, group_metrics


@dataclass
class Look:
    """What one process saw: plain data, so that it can be sent.

    places: which prompts, by their number. Of each prompt: rows, the label of every rollout (None: no answer);
    correct, undecided (prompts, rollouts) bool; kept, the share of the group's leaders that are initial modes; mass,
    the share of its rollouts that give one;
    cut_off and lengths of every rollout; repeated, the group's `repetition`; log_probs, the sum over its rollouts
    in nats; kl in nats, None without a reference. prompt_loss: nats and tokens of the prompts' own text. blind: of each
    prompt with images whether its greedy answer stays when they are grey, and whether it is right then.
    """

    places: list[int]
    rows: list[list[str | None]]
    correct: np.ndarray
    undecided: np.ndarray | None
    kept: list[float | None]
    mass: list[float | None]
    cut_off: list[list[bool]]
    lengths: list[list[int]]
    repeated: list[float]
    log_probs: list[float]
    prompt_loss: tuple[float, int]
    kl: np.ndarray | None = None
    blind: list[tuple[bool, bool]] = field(default_factory=list)

    @classmethod
    def nothing(cls) -> "Look":
        """That of a process that has no prompt."""
        return cls([], [], np.zeros((0, 0), dtype=bool), None, [], [], [], [], [], [], (0.0, 0))


def metrics(looks: list[Look], initial: InitialModel, labelled: bool) -> dict[str, float]:
    """Every metric of the glossary, from looks that hold each prompt once; those that are not finite are left
    out.
    """
    looks = [look for look in looks if look.places]
    order = np.argsort(np.concatenate([look.places for look in looks]))
    rows = [rows for look in looks for rows in look.rows]
    rows = [rows[place] for place in order]
    ids = _ids(rows)
    correct = np.concatenate([look.correct for look in looks])[order] if labelled else None
    groups = group_metrics(ids, correct)
    values: dict[str, float] = {
        name: float(np.mean(groups[name]))
        for name in ("accuracy", "label_accuracy", "reward_accuracy")
        if name in groups
    }
    masses = [share for look in looks for share in look.mass]
    lengths = [length for look in looks for group in look.lengths for length in group]
    nats, tokens = (sum(look.prompt_loss[part] for look in looks) for part in (0, 1))
    likelihood = sum(score for look in looks for score in look.log_probs)
    values |= {
        "majority_ratio": float(np.mean(groups["majority_ratio"])),
        "entropy": float(np.mean(groups["entropy"])),
        "mode_retention": min(
            1.0, mean_retained([share for look in looks for share in look.kept]) / initial.retention
        ),
        "mode_mass": mean_retained(masses),
        ERRORS["mode_mass"]: error_of_mean(masses, ids.shape[1]),
        "distinct_answers": float(distinct_answers(ids)),
        "tie_rate": float(np.mean(groups["tie"])),
        "no_answer_rate": float(np.mean(groups["no_answer"])),
        "truncated": float(np.mean([cut for look in looks for group in look.cut_off for cut in group])),
        "mean_length": sum(lengths) / max(1, len(lengths)),
        "repetition": float(np.mean([share for look in looks for share in look.repeated])),
        "perplexity": math.exp(min(50.0, -likelihood / max(1, sum(lengths)))),
        "lm_loss": nats / tokens if tokens else float("nan"),
    }
    if correct is not None:
        values[ERRORS["accuracy"]] = error_of_mean(list(correct.mean(1)), correct.shape[1])
    if sightless := [pair for look in looks for pair in look.blind]:
        values["blind_retention"] = float(np.mean([kept for kept, _ in sightless]))
        if labelled:
            values["blind_accuracy"] = float(np.mean([right for _, right in sightless]))
    undecided = [look.undecided for look in looks if look.undecided is not None]
    if any(found.any() for found in undecided):
        values["undecided_rate"] = float(np.concatenate(undecided).mean())
    if all(look.kl is not None for look in looks):
        kl = np.concatenate([look.kl for look in looks if look.kl is not None])[order]
        budgets = np.array([initial.budget(prompt) for prompt in range(len(kl))])
        values |= {"kl": float(kl.mean()), "excess_kl": float(np.maximum(0.0, kl - budgets).mean())}
    return {name: value for name, value in values.items() if math.isfinite(value)}


def _ids(rows: list[list[str | None]]) -> np.ndarray:
    """Labels as numbers, in sorted order of the labels; no answer is -1."""
    labels = sorted({label for row in rows for label in row if label is not None})
    number = {label: place for place, label in enumerate(labels)} | {None: NO_ANSWER}
    return np.array([[number[label] for label in row] for row in rows])
