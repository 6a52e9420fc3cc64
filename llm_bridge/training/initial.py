"""What the undisturbed model answers, which later evaluations compare with."""

import math
from dataclasses import dataclass

import numpy as np


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
        """−log max_a π₀(a): the KL that sharpening can spend on this prompt, in nats (theorem S9)."""
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
        return cls(data["draws"], answers, [leaders(table) for table in answers], retention)


@dataclass
class InitialPart:
    """What the undisturbed model answers on some of the prompts.

    places: which prompts; answers: as of InitialModel; kept: for each of its two fresh groups, `retained` of these
    prompts. draws: the draws behind `answers`.
    """

    places: list[int]
    draws: int
    answers: list[dict[str | None, int]]
    kept: tuple[list[float | None], list[float | None]]


def initial_model(parts: list[InitialPart]) -> InitialModel:
    """One InitialModel of parts that hold every prompt once."""
    order = sorted(
        (place, part, row) for part, one in enumerate(parts) for row, place in enumerate(one.places)
    )
    answers = [parts[part].answers[row] for _, part, row in order]
    shares = [mean_retained([parts[part].kept[half][row] for _, part, row in order]) for half in (0, 1)]
    retention = max(float(np.mean(shares)), 1.0 / (2 * len(answers)))
    return InitialModel(parts[0].draws, answers, [leaders(table) for table in answers], retention)


def leaders(table: dict[str | None, int]) -> set[str]:
    """The labels with the most votes."""
    votes = {label: count for label, count in table.items() if label is not None}
    top = max(votes.values(), default=0)
    return {label for label, count in votes.items() if count == top}


def counted(row: list[str | None]) -> dict[str | None, int]:
    """How often each label was drawn, in the order of their first draws."""
    return {label: row.count(label) for label in dict.fromkeys(row)}


def retained(modes: set[str], row: list[str | None]) -> float | None:
    """The share of a group's leaders that are among the initial modes; None for a prompt that never had a
    mode.
    """
    if not modes:
        return None
    found = leaders(counted(row))
    return len(found & modes) / len(found) if found else 0.0


def mode_mass(modes: set[str], row: list[str | None]) -> float | None:
    """The share of a group's rollouts that give one of the initial modes; None for a prompt that never had a mode."""
    return sum(label in modes for label in row) / len(row) if modes and row else None


def error_of_mean(shares: list[float | None], rollouts: int) -> float:
    """Standard error of the mean over prompts that stay the same of the share of their draws that hit, from the draws
    within each: of h hits in n, (h + ½)/(n + 1) is taken as the chance, so that few draws that agree are no certainty.
    """
    known = np.array([share for share in shares if share is not None])
    if not len(known):
        return float("nan")
    chance = (known * rollouts + 0.5) / (rollouts + 1)
    return float(np.sqrt((chance * (1 - chance) / rollouts).sum()) / len(known))


def mean_retained(shares: list[float | None]) -> float:
    """Mean over the prompts that had a mode."""
    known = [share for share in shares if share is not None]
    return float(np.mean(known)) if known else float("nan")
