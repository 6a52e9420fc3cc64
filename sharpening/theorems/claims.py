"""Claims: a quantity that was computed against the one a theorem promises, and the witness of a broken
one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True, eq=False)
class Claim:
    """`found` equals `wanted` to within `slack`, or is at most `wanted` + `slack`.

    Shapes: (prompts, ...) for a claim about each prompt, () for one about the whole population. Equal
    infinities agree; a NaN says nothing, for or against. `premise`, `side` and `constants` say what is asked: see
    `where`, `iff` and `about_constants`.
    """

    what: str
    found: np.ndarray
    wanted: np.ndarray
    relation: str
    slack: np.ndarray
    premise: np.ndarray | np.bool_ = np.True_
    side: np.ndarray | None = None
    constants: bool = False

    def where(self, premise: ArrayLike) -> Claim:
        """The same, of the prompts (or of the population) on which `premise` is met; of others it says nothing."""
        return replace(self, premise=np.asarray(premise, bool))

    def iff(self, side: ArrayLike) -> Claim:
        """The same, told to be one of "iff": `side` is where the condition holds. A theorem that never saw both
        sides was hardly asked.
        """
        return replace(self, side=np.asarray(side, bool))

    def about_constants(self) -> Claim:
        """The same, told to read nothing of the population: many populations ask it once."""
        return replace(self, constants=True)

    @classmethod
    def failed(cls, what: str) -> Claim:
        """One that is false: what had to be found was not there at all."""
        return cls.equal(what, 0.0, 1.0)

    @classmethod
    def equal(
        cls,
        what: str,
        found: ArrayLike,
        wanted: ArrayLike,
        *,
        absolute: ArrayLike = 1e-9,
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
        cls, what: str, one: ArrayLike, other: ArrayLike, relation: str, absolute: ArrayLike, relative: float
    ) -> Claim:
        found, wanted = np.broadcast_arrays(np.asarray(one, np.float64), np.asarray(other, np.float64))
        slack = np.asarray(absolute) + relative * np.where(np.isfinite(wanted), np.abs(wanted), 0.0)
        return cls(what, found, wanted, relation, slack)

    @property
    def excess(self) -> np.ndarray:
        """By how much the claim is missed, over the slack; <= 0 where it holds, NaN where either is NaN; the
        shape of `found`.
        """
        with np.errstate(invalid="ignore"):
            gap = np.where(self.found == self.wanted, 0.0, self.found - self.wanted)
        gap = np.abs(gap) if self.relation == "equals" else gap
        premise = np.reshape(self.premise, self.premise.shape + (1,) * (gap.ndim - self.premise.ndim))
        return np.where(premise, gap - self.slack, -np.inf)


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
