"""All theorems on seeded random populations that hold what breaks naive code: faces, ties, near ties, masses
down to 1e-300.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from sharpening.coupling import CompoundSymmetric, NoCoupling
from sharpening.errors import InputError
from sharpening.population import Population
from sharpening.theorems.base import Theorem, Verdict, VerdictStatus
from sharpening.theorems.claims import Witness
from sharpening.theorems.counts import ClaimCount, counted
from sharpening.theorems.registry import get_theorem, list_theorems

PROMPTS, SIZES, LARGE, LARGE_EVERY = 16, (2, 5), 64, 16
STEP_SIZES = (1e-3, 0.1, 1.0, 10.0)
LOWEST = float(np.log(1e-300))


@dataclass(frozen=True)
class TheoremReport:
    """One theorem on many random populations: in how many it held, in how many no prompt met its assumptions,
    in how many it failed, in how many a number was not finite (`not_finite`); `prompts`: on how many prompts
    it was tried in all; `witness`: of the first failure, found in population `failed_case`; `derivation`:
    what SymPy was asked, and whether it came out; `claims`: how often each claim was asked.
    """

    name: str
    cases: int
    held: int
    violated: int
    failed: int
    prompts: int
    derivation: dict[str, bool]
    witness: Witness | None = None
    failed_case: int | None = None
    not_finite: int = 0
    claims: dict[str, ClaimCount] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """No failure and nothing that is not finite, in numbers or symbols."""
        return not self.failed and not self.not_finite and all(self.derivation.values())

    @property
    def outcome(self) -> str:
        """ "holds", "fails", "not finite" or "not tested" (no population met the assumptions)."""
        if self.failed or not all(self.derivation.values()):
            return "fails"
        return "not finite" if self.not_finite else "holds" if self.held else "not tested"

    def as_dict(self) -> dict:
        """Plain data for JSON."""
        return asdict(self) | {"outcome": self.outcome}


def random_population(seed: int, case: int = 0) -> Population:
    """Population number `case` of this seed: 16 prompts, 2 and 5 answers in turn, 64 in every 16th; most have
    labels, one correct answer a prompt and no coupling, some have not, some prompt weights, some a no-answer
    column.
    """
    rng = np.random.default_rng((seed, case))
    num_answers = LARGE if case % LARGE_EVERY == LARGE_EVERY - 1 else SIZES[case % len(SIZES)]
    logits = np.stack([_random_logits(rng, num_answers) for _ in range(PROMPTS)])
    silent = num_answers > 2 and rng.random() < 0.25
    answers = num_answers - silent
    correct = np.arange(num_answers) == rng.integers(answers, size=PROMPTS)[:, None]
    if rng.random() < 0.3:
        correct[:, 0] |= rng.random(PROMPTS) < 0.5
    return Population.from_logits(
        logits,
        correct if rng.random() < 0.9 else None,
        weights=rng.random(PROMPTS) + 0.01 if rng.random() < 0.3 else None,
        coupling=CompoundSymmetric(1.0, 0.5) if rng.random() < 0.15 else NoCoupling(),
        no_answer=num_answers - 1 if silent else None,
    )


def _random_logits(rng: np.random.Generator, num_answers: int) -> np.ndarray:
    logits = rng.choice([0.3, 2.0, 8.0]) * rng.standard_normal(num_answers)
    one, other = rng.permutation(num_answers)[:2]
    match rng.choice(
        ["plain", "plain", "plain", "tie", "near tie", "tiny", "impossible", "consensus", "level"]
    ):
        case "tie":
            logits[one] = logits[other]
        case "near tie":
            logits[one] = logits[other] + 10.0 ** rng.integers(-15, -2)
        case "tiny":
            logits[one] = rng.uniform(LOWEST, -30.0)
        case "impossible":
            logits[rng.permutation(num_answers)[: rng.integers(1, num_answers)]] = -np.inf
        case "consensus":
            logits[one] += rng.uniform(30.0, 700.0)
        case "level":
            logits[:] = 0.0
    floor = logits.max() + LOWEST + np.log(num_answers)
    return np.where(logits > -np.inf, np.maximum(logits, floor), logits)


def theorem_population(theorem: Theorem, seed: int, case: int = 0) -> Population:
    """Population number `case` on which `check_theorems` tries this theorem: a random one, and in every other case
    one that the theorem constructs, if it does.
    """
    made = theorem.constructed(np.random.default_rng((seed, case, 2))) if case % 4 > 1 else None
    return random_population(seed, case) if made is None else made


def check_theorems(
    names: Sequence[str] | None = None,
    *,
    cases: int = 100,
    seed: int = 0,
    advance: Callable[[], None] | None = None,
) -> list[TheoremReport]:
    """Every named theorem (default: all) on `cases` populations (`theorem_population`), with its derivation in
    SymPy.

    `advance` is called after each theorem on each population. The same seed gives the same report. Raises:
    InputError for unknown names or fewer than one case.
    """
    if cases < 1:
        raise InputError("cases", cases, "at least one population is tried")
    theorems = list_theorems() if not names else list(dict.fromkeys(get_theorem(name) for name in names))
    verdicts: dict[str, list[Verdict]] = {theorem.name: [] for theorem in theorems}
    for case in range(cases):
        step_size = float(np.random.default_rng((seed, case, 1)).choice(STEP_SIZES))
        for theorem in theorems:
            population = theorem_population(theorem, seed, case)
            verdicts[theorem.name].append(theorem.check(population, step_size=step_size))
            if advance is not None:
                advance()
    return [_report(theorem, verdicts[theorem.name]) for theorem in theorems]


def _report(theorem, verdicts) -> TheoremReport:
    count = lambda status: sum(verdict.status is status for verdict in verdicts)  # noqa: E731
    first = next(
        (case for case, verdict in enumerate(verdicts) if verdict.status is VerdictStatus.FAILS), None
    )
    return TheoremReport(
        theorem.name,
        len(verdicts),
        count(VerdictStatus.HOLDS),
        count(VerdictStatus.VIOLATED),
        count(VerdictStatus.FAILS),
        sum(verdict.prompts for verdict in verdicts),
        theorem.verify(),
        None if first is None else verdicts[first].witness,
        first,
        count(VerdictStatus.NOT_FINITE),
        counted(verdict.asked for verdict in verdicts),
    )
