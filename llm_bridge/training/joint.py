"""One evaluation by all processes that train together: each looks at its share of the prompts, the first one decides
for all. Nothing that they do together depends on what may fail in one of them.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from llm_bridge.training.divergence import Divergence
from llm_bridge.training.evaluation import Evaluator
from llm_bridge.training.initial import InitialModel, InitialPart
from llm_bridge.training.look import Look
from llm_bridge.training.ranks import Attempt, at_first, from_first, in_step, own_prompts
from llm_bridge.training.reference import initially


@dataclass(frozen=True)
class Failure:
    """What failed: at which step, in which process, and what was said."""

    step: int
    rank: int
    message: str


@dataclass
class _Seen:
    """What one process saw: whether others saw other prompts; the initial model, where it is the first look; this
    model; of what its KL is found; the tokens that the process has spent so far.
    """

    shared: bool
    first: InitialPart | None
    look: Look
    divergence: Divergence | None
    spent: tuple[int, int]


def together(step: int, error: Exception | None) -> list[Failure]:
    """What went wrong in any process, told to all of them."""
    told = at_first(_said(error))
    return from_first(
        told and [Failure(step, rank, said) for rank, said in enumerate(told) if said is not None]
    )


def evaluated(
    evaluator: Evaluator, model, step: int, decide: Callable[[dict, InitialModel | None], object]
) -> tuple:
    """What `decide` makes, in the first process, of the row of metrics (and of the initial model, where it is the first
    evaluation): (its result or None, failures), the same in all processes, and the exception of this one.
    """
    with in_step(model):
        seen = Attempt.of(_look, evaluator, model, step)
    if evaluator.reference is not None:
        seen = _compared(evaluator, model, step, seen)
    if seen.value is not None:
        # It is of no use to the first process, and long.
        seen.value.divergence = None
    parts = at_first((seen.value, _said(seen.error)))
    made = Attempt()
    failures: list[Failure] = []
    if parts is not None:
        failures = [Failure(step, rank, said) for rank, (_, said) in enumerate(parts) if said is not None]
        if not failures:
            made = Attempt.of(_decided, evaluator, step, [one for one, _ in parts], decide)
        if (said := _said(made.error)) is not None:
            failures = [Failure(step, 0, said)]
    result, failures = from_first((made.value, failures))
    return result, failures, seen.error or made.error


def _look(evaluator: Evaluator, model, step: int) -> _Seen:
    """What this process sees of its prompts."""
    mine = own_prompts(model)
    first = None if evaluator.initial else evaluator.start_part(model, mine)
    look, divergence = evaluator.look(model, step, mine, first)
    return _Seen(mine[1] > 1, first, look, divergence, evaluator.spent)


def _compared(evaluator: Evaluator, model, step: int, seen: Attempt) -> Attempt:
    """The same with KL, for which all processes put the initial weights in together: a forward pass over shards of
    two models would be of neither.
    """
    with contextlib.ExitStack() as stack:
        inside = Attempt.of(stack.enter_context, initially(evaluator.reference, model))
        if together(step, inside.error):
            return Attempt(seen.value, seen.error or inside.error)
        with in_step(model):
            found = (
                Attempt()
                if seen.error is not None
                else Attempt.of(evaluator.kl, inside.value, seen.value.divergence)
            )
    if seen.error is None and found.error is None:
        seen.value.look.kl, seen.value.spent = found.value, evaluator.spent
    return Attempt(seen.value, seen.error or found.error)


def _decided(evaluator: Evaluator, step: int, seen: list[_Seen], decide):
    # Where every process has seen all prompts, the first one's look is taken.
    seen = seen if seen[0].shared else seen[:1]
    initial = None if evaluator.initial else evaluator.begin([one.first for one in seen if one.first])
    row: dict = {"step": step, **evaluator.metrics([one.look for one in seen])}
    row["_tokens"] = [sum(one.spent[part] for one in seen) for part in (0, 1)]
    return decide(row, initial)


def _said(error: BaseException | None) -> str | None:
    return None if error is None else f"{type(error).__name__}: {error}"
