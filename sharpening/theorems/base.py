"""What a theorem is: a statement, its assumptions as predicates, a derivation for SymPy, and a check on a
population.
"""

from __future__ import annotations

import dataclasses
import enum
import math
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from sharpening.errors import InputError
from sharpening.population import Population, check_population
from sharpening.rewards import Reward, get_reward
from sharpening.rewards.asking import NotFiniteError, exact_rewards
from sharpening.theorems.claims import Claim, Witness
from sharpening.theorems.counts import Asked, asked_of, kind

if TYPE_CHECKING:
    import sympy


@dataclass(frozen=True, eq=False)
class Case:
    """What one check looks at: a population, a step size (learning_rate or 1/beta), a reward, and where the
    theorem applies.
    """

    population: Population
    step_size: float
    reward: Reward
    applies: np.ndarray  # (prompts,) bool: all assumptions hold

    def rewards(self) -> np.ndarray:
        """Exact rewards of the population's answers, (prompts, answers)."""
        population = self.population
        return np.asarray(
            exact_rewards(
                self.reward, population.log_probs, population.correct, no_answer=population.no_answer
            )
        )

    def rng(self) -> np.random.Generator:
        """Random numbers of this population's own, for claims about rates and sizes that it does not hold."""
        return np.random.default_rng(zlib.crc32(self.population.log_probs.tobytes()))

    def narrowed(self, *assumptions: Assumption) -> Case:
        """The same, applying only where these hold too: for a part of a theorem that needs more than the rest."""
        applies = self.applies
        for assumption in assumptions:
            applies = applies & assumption.holds(self)
        return dataclasses.replace(self, applies=applies)

    def restricted(self) -> Population:
        """The same population with no weight on prompts where an assumption is violated."""
        return self.population.replace(weights=np.where(self.applies, self.population.prompt_weights, 0.0))


Met = np.ndarray | np.bool_ | bool  # (prompts,) bool, or one for all prompts at once


@dataclass(frozen=True)
class Assumption:
    """A condition that a theorem needs, by name; `holds(case)` says for each prompt, or for all at once,
    whether it is met.
    """

    name: str
    meaning: str
    holds: Callable[[Case], Met]


class VerdictStatus(enum.Enum):
    """How a check ended."""

    HOLDS = "holds"
    VIOLATED = "assumption violated"
    NOT_FINITE = "not finite"
    FAILS = "fails"

    @property
    def sentence(self) -> str:
        """One sentence for a reader who has not seen the documentation."""
        return {
            VerdictStatus.HOLDS: "Every claim held wherever the assumptions do.",
            VerdictStatus.VIOLATED: "No prompt meets the assumptions, so the theorem says nothing here.",
            VerdictStatus.NOT_FINITE: (
                "A reward or a quantity is not a finite number, so nothing can be said of the theorem here."
            ),
            VerdictStatus.FAILS: "A claim is false although the assumptions hold: the witness shows where.",
        }[self]


@dataclass(frozen=True)
class Verdict:
    """The answer of one check. `prompts`: on how many prompts the assumptions held; `violated`: assumption ->
    on how many it did not, each prompt counted at the first one it breaks; `witness`: the worst broken claim,
    or None. `reason`: what is not finite, where that is how the check ended. `asked`: claim -> what was asked of
    it here (`sharpening.theorems.counts`), # standing for numbers.
    """

    theorem: str
    status: VerdictStatus
    prompts: int
    violated: dict[str, int]
    witness: Witness | None = None
    reason: str = ""
    asked: dict[str, Asked] = field(default_factory=dict)

    def as_dict(self) -> dict:
        """Plain data for JSON."""
        return dataclasses.asdict(self) | {"status": self.status.value, "sentence": self.status.sentence}


class Theorem:
    """A theorem: subclass it in a module of this package, decorate it with `register_theorem`, and it is
    listed and checked.

    `rewards` are the names of those it is checked with; `any_reward` says that a caller may bring another
    one. `aliases`: names that it had before, such as those of theorems that were merged into it.
    """

    name: str
    title: str
    statement: str
    source: str
    assumptions: tuple[Assumption, ...] = ()
    rewards: tuple[str, ...] = ("majority",)
    any_reward: bool = False
    aliases: tuple[str, ...] = ()

    def formula(self) -> sympy.Basic:
        """The statement as a SymPy expression."""
        raise NotImplementedError

    def derivation(self) -> dict[str, sympy.Basic]:
        """What SymPy can verify: sentence -> an expression that must simplify to 0."""
        raise NotImplementedError

    def claims(self, case: Case) -> Iterable[Claim]:
        """What must be true of the numbers, on the prompts of `case.applies`; other rows are ignored."""
        raise NotImplementedError

    def verify(self) -> dict[str, bool]:
        """Run the derivation in SymPy: sentence -> whether it came out."""
        return dict(self._verified)

    def check(
        self, population: Population, *, step_size: float = 1.0, reward: Reward | str | None = None
    ) -> Verdict:
        """Try the theorem on a population, in float64.

        `step_size`: learning rate, or 1/beta; theorems without a step ignore it. `reward`: one of your own,
        for theorems about any reward (`any_reward`). Raises: InputError for a bad step size, or a reward that
        the theorem is not about.

        >>> from sharpening import Population, get_theorem
        >>> get_theorem("S1").check(Population.synthetic(0, 16, 5)).status.value
        'holds'
        >>> tied = Population([[-0.6931471805599453, -0.6931471805599453]])
        >>> get_theorem("S1").check(tied).violated
        {'unique mode': 1}
        """
        from sharpening.simulation.precision import precision_context

        check_population(population)
        if not (isinstance(step_size, int | float) and math.isfinite(step_size) and step_size > 0):
            raise InputError("step_size", step_size, "it must be a finite number > 0")
        with precision_context("float64"):
            verdicts = [
                self._checked(Case(population, float(step_size), one, _everywhere(population)))
                for one in self._chosen(reward)
            ]
        worst = min(verdicts, key=lambda verdict: _ORDER.index(verdict.status))
        return dataclasses.replace(worst, asked=_together(verdict.asked for verdict in verdicts))

    def constructed(self, rng: np.random.Generator) -> Population | None:
        """A population that asks what random ones seldom do, or None if they ask it all."""
        return None

    def as_dict(self) -> dict:
        """Plain data for JSON: name, aliases, title, statement, formula (SymPy's notation), assumptions,
        source, symbol.
        """
        return {
            "name": self.name,
            "aliases": list(self.aliases),
            "title": self.title,
            "statement": self.statement,
            "formula": str(self.formula()),
            "assumptions": {assumption.name: assumption.meaning for assumption in self.assumptions},
            "derivation": list(self._derived),
            "source": self.source,
            "symbol": f"{type(self).__module__}.{type(self).__qualname__}",
        }

    @cached_property
    def _derived(self) -> dict[str, sympy.Basic]:
        """`derivation`, worked out once: expressions do not change, and some take a second."""
        return self.derivation()

    @cached_property
    def _verified(self) -> dict[str, bool]:
        import sympy

        return {what: sympy.simplify(residual) == 0 for what, residual in self._derived.items()}

    def _chosen(self, reward: Reward | str | None) -> list[Reward]:
        if reward is None:
            return [get_reward(name) for name in self.rewards]
        reward = get_reward(reward) if isinstance(reward, str) else reward
        if not self.any_reward and reward.name not in self.rewards:
            raise InputError(
                "reward",
                reward.name,
                f"theorem {self.name} is about {' and '.join(self.rewards)} only",
                "Leave it out",
            )
        return [reward]

    def _checked(self, case: Case) -> Verdict:
        try:
            if self.any_reward:
                case.rewards()
            return self._check(case)
        except (NotFiniteError, OverflowError) as error:
            told = f"float64 overflows: {error}" if isinstance(error, OverflowError) else str(error)
            return Verdict(self.name, VerdictStatus.NOT_FINITE, 0, {}, reason=told)

    def _check(self, case: Case) -> Verdict:
        applies, violated = case.applies, {}
        for assumption in self.assumptions:
            if not applies.any():
                break
            holds = np.broadcast_to(assumption.holds(case), applies.shape)
            broken = int((applies & ~holds).sum())
            if broken:
                violated[assumption.name] = broken
            applies = applies & holds
        if not applies.any():
            return Verdict(self.name, VerdictStatus.VIOLATED, 0, violated)
        case = dataclasses.replace(case, applies=applies)
        worst, witness, unclear = 0.0, None, ""
        asked: dict[str, Asked] = {}
        for claim in self.claims(case):
            excess, what, one = claim.excess, kind(claim.what), asked_of(claim, applies)
            asked[what] = asked[what] | one if what in asked else one
            if excess.ndim:
                excess = np.where(applies.reshape(-1, *[1] * (excess.ndim - 1)), excess, -np.inf)
            unclear = unclear or (f"{claim.what}: not a number" if np.isnan(excess).any() else "")
            excess = np.where(np.isnan(excess), -np.inf, excess)
            if excess.size and excess.max() > worst:
                worst = float(excess.max())
                witness = _witness(case, claim, np.unravel_index(int(excess.argmax()), excess.shape))
        told = (int(applies.sum()), violated, witness)
        if witness is not None:
            return Verdict(self.name, VerdictStatus.FAILS, *told, asked=asked)
        status = VerdictStatus.NOT_FINITE if unclear else VerdictStatus.HOLDS
        return Verdict(self.name, status, *told, reason=unclear, asked=asked)


_ORDER = (VerdictStatus.FAILS, VerdictStatus.NOT_FINITE, VerdictStatus.HOLDS, VerdictStatus.VIOLATED)


def _together(parts: Iterable[dict[str, Asked]]) -> dict[str, Asked]:
    found: dict[str, Asked] = {}
    for part in parts:
        for what, one in part.items():
            found[what] = found[what] | one if what in found else one
    return found


def _everywhere(population: Population) -> np.ndarray:
    return np.ones(population.num_prompts, dtype=bool)


def _witness(case: Case, claim: Claim, index: tuple) -> Witness:
    found, wanted = float(claim.found[index]), float(claim.wanted[index])
    told = (claim.what, found, wanted, claim.relation, case.step_size, case.reward.name)
    if not index:
        return Witness(*told)
    prompt, population = int(index[0]), case.population
    correct = None if population.correct is None else tuple(population.correct[prompt].tolist())
    return Witness(*told, prompt, tuple(population.log_probs[prompt].tolist()), correct)
