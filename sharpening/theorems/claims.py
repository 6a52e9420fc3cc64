"""Claims: a quantity that was computed against the one a theorem promises, and the witness of a broken
one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True, eq=False)
class Claim:
    """`found` equals `wanted` to within `slack`, or is at most `wanted` + `slack`.

    Shapes: (prompts, ...) for a claim about each prompt, () for one about the whole population. Equal
    infinities agree; a NaN says nothing, for or against.
    """

    what: str
    found: np.ndarray
    wanted: np.ndarray
    relation: str
    slack: np.ndarray

    @classmethod
    def equal(
        cls,
        what: str,
        found: ArrayLike,
        wanted: ArrayLike,
        *,
        absolute: float = 1e-9,
        relative: float = 1e-10,
    ) -> Claim:
        """|found - wanted| <= absolute + relative * |wanted|."""
        return cls._make(what, found, wanted, "equals", absolute, relative)

    @classmethod
    def at_most(
        cls,
        what: str,
        found: ArrayLike,
        bound: ArrayLike,
        *,
        absolute: float = 1e-10,
        relative: float = 1e-13,
    ) -> Claim:
        """found <= bound + absolute + relative * |bound|."""
        return cls._make(what, found, bound, "is at most", absolute, relative)

    @classmethod
    def _make(
        cls, what: str, one: ArrayLike, other: ArrayLike, relation: str, absolute: float, relative: float
    ) -> Claim:
        found, wanted = np.broadcast_arrays(np.asarray(one, np.float64), np.asarray(other, np.float64))
        slack = absolute + relative * np.where(np.isfinite(wanted), np.abs(wanted), 0.0)
        return cls(what, found, wanted, relation, slack)

    @property
    def excess(self) -> np.ndarray:
        """By how much the claim is missed, over the slack; <= 0 where it holds, NaN where either is NaN; the
        shape of `found`.
        """
        with np.errstate(invalid="ignore"):
            gap = np.where(self.found == self.wanted, 0.0, self.found - self.wanted)
        gap = np.abs(gap) if self.relation == "equals" else gap
        return gap - self.slack


@dataclass(frozen=True)
class Witness:
    """Where a theorem fails: the claim, the values, and the policy, all that is needed to see it again.

    `prompt`: its index in the population that was checked, None for a claim about the whole population; then
    `log_probs` (nats) and `correct` are None too.
    """

    claim: str
    found: float
    wanted: float
    relation: str
    step_size: float
    reward: str
    prompt: int | None = None
    log_probs: tuple[float, ...] | None = None
    correct: tuple[bool, ...] | None = None

    @property
    def sentence(self) -> str:
        """One sentence: what was promised, what was found, where."""
        where = "over the population" if self.prompt is None else f"on prompt {self.prompt}"
        return (
            f"{self.claim}: found {self.found:.17g}, which should be that it {self.relation}"
            f" {self.wanted:.17g}, {where}, reward {self.reward}, step size {self.step_size:g}"
        )

    def as_dict(self) -> dict:
        """Plain data for JSON."""
        return asdict(self)
