"""How often each claim of a theorem was asked, and how often the answer could have been otherwise."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from sharpening.theorems.claims import Claim

LEAST = 200 / 10_000
"""A claim that is not trivial in a smaller share of the populations is hardly asked."""


@dataclass(frozen=True)
class Asked:
    """One claim in one population. `telling`: on some prompt its premise was met; `yes`, `no`: for a claim "iff",
    whether each side was seen, else None; `constants`: it reads nothing of the population.
    """

    telling: bool
    yes: bool | None = None
    no: bool | None = None
    constants: bool = False

    def __or__(self, other: Asked) -> Asked:
        either = lambda one, two: None if one is None and two is None else bool(one) or bool(two)  # noqa: E731
        return Asked(
            self.telling or other.telling,
            either(self.yes, other.yes),
            either(self.no, other.no),
            self.constants and other.constants,
        )


@dataclass(frozen=True)
class ClaimCount:
    """One claim over many populations: in how many it was put (`asked`) and in how many it could have failed, its
    premise being met (`telling`). `yes`, `no`: for a claim "iff", populations in which each side was seen, and
    then `telling` is the smaller one. `constants`: it is the same question every time.
    """

    asked: int
    telling: int
    yes: int | None = None
    no: int | None = None
    constants: bool = False

    def thin(self, cases: int) -> bool:
        """Whether it was hardly asked in `cases` populations: telling in fewer than 200 of 10,000. One about
        constants is asked once, and that is enough.
        """
        return self.telling < (1 if self.constants else LEAST * cases)


def kind(what: str) -> str:
    """A claim's sentence with # for its numbers, so that steps, rates and groups are counted together."""
    return re.sub(r"(?<![^\s=,(])-?\d+(\.\d+)?(e[+-]?\d+)?(?=[\s,)%]|/beta|$)", "#", what)


def asked_of(claim: Claim, applies: np.ndarray) -> Asked:
    """What one claim asks of the prompts on which the theorem applies."""
    here = lambda mask: bool((_rows(mask, claim) & _met(claim, applies)).any())  # noqa: E731
    if claim.side is None:
        return Asked(here(np.True_), constants=claim.constants)
    return Asked(here(np.True_), here(claim.side), here(~np.asarray(claim.side, bool)), claim.constants)


def _rows(mask, claim: Claim) -> np.ndarray:
    mask = np.asarray(mask, bool)
    shape = mask.shape + (1,) * (claim.found.ndim - mask.ndim)
    return np.broadcast_to(np.reshape(mask, shape), claim.found.shape)


def _met(claim: Claim, applies: np.ndarray) -> np.ndarray:
    met = _rows(claim.premise, claim)
    return met & _rows(applies, claim) if claim.found.ndim else met


def counted(verdicts: Iterable[dict[str, Asked]]) -> dict[str, ClaimCount]:
    """Sums over populations, by claim, in the order in which claims were first put."""
    seen: dict[str, list[Asked]] = {}
    for verdict in verdicts:
        for what, one in verdict.items():
            seen.setdefault(what, []).append(one)
    return {what: _count(all_) for what, all_ in seen.items()}


def _count(seen: list[Asked]) -> ClaimCount:
    telling, constants = sum(one.telling for one in seen), all(one.constants for one in seen)
    if all(one.yes is None for one in seen):
        return ClaimCount(len(seen), telling, constants=constants)
    yes, no = sum(bool(one.yes) for one in seen), sum(bool(one.no) for one in seen)
    return ClaimCount(len(seen), min(telling, yes, no), yes, no, constants)
