"""How a reward is asked: it is given the signals that its card lists and no others, and what it gives back is
checked. Simulations, trees, theorems, training and rewards made of rewards all ask through here.
"""

from __future__ import annotations

import sys
import traceback

import numpy as np

from sharpening.errors import InputError
from sharpening.metrics import as_arrays
from sharpening.rewards.base import Reward, RewardCard

WITH_CORRECTNESS = frozenset({"labels", "verdicts"})
"""The needs that are made from which answers are correct."""
_NEED_OF = {"reference": "reference_log_probs", "previous": "previous_log_probs"}
_DECLARE = "List 'labels' in the `needs` of its card, under a branch that is not intrinsic"
_AXES = {"exact": "(prompts, answers)", "group": "(prompts, rollouts)"}


class NotFiniteError(InputError):
    """A reward that is NaN or infinite where an answer can be given."""


def reads_labels(reward: Reward) -> bool:
    """Whether the card lists labels, or verdicts, which are modelled from labels where no verifier says
    them.
    """
    return bool(WITH_CORRECTNESS & set(reward.card.needs))


def check_labelled(argument: str, reward: Reward, correct) -> None:
    """InputError, naming `argument`, if the reward reads labels and there are none."""
    if reads_labels(reward) and correct is None:
        rule = f"the reward {reward.name!r} reads which answers are correct"
        raise InputError(argument, "one without labels", rule, "Give `correct`")


def listed(reward: Reward, signals: dict) -> dict:
    """Those of the signals, by the names that `exact` and `group` give them, that the card lists."""
    needs = set(reward.card.needs)
    return {name: value for name, value in signals.items() if _NEED_OF.get(name, name) in needs}


def check_form(reward: Reward, form: str) -> None:
    """InputError if the reward has no card, or does not define `form`, "exact" or "group"."""
    if not isinstance(getattr(reward, "card", None), RewardCard):
        rule = "it needs a RewardCard named `card`, which says what it reads"
        raise InputError("reward", type(reward).__name__, rule)
    if getattr(type(reward), form, None) in (None, getattr(Reward, form)):
        other = {"exact": "group", "group": "exact"}[form]
        asks = {"exact": "exact and mean-field simulations ask", "group": "sampled rollouts and training ask"}
        raise InputError(
            "reward",
            _named(reward),
            f"it defines no `{form}`, {_AXES[form]}, which {asks[form]} for",
            f"Define `{form}`"
            + (", or simulate with method='sampled'" if form == "exact" else f" beside `{other}`"),
        )


def exact_rewards(
    reward: Reward, log_probs, correct=None, *, no_answer: int | None = None, finite: bool = True, **signals
):
    """`reward.exact` (prompts, answers), given what its card lists of `correct` and the signals.

    `finite`: whether a NaN or an infinity for a possible answer is an error; values that JAX traces cannot be
    looked at (`sharpening.simulation.blame` finds those). Raises: InputError naming the reward: it has no
    `exact`, gives another shape or no real numbers, reads labels that its card does not list, or cannot be
    traced; NotFiniteError.
    """
    check_form(reward, "exact")
    found = _asked(reward, "exact", log_probs, correct, {"no_answer": no_answer}, signals)
    found = checked_rewards(reward, "exact", found, log_probs)
    if finite:
        _check_finite(reward, "exact", found, log_probs)
    return found


def group_rewards(reward: Reward, answers, is_correct=None, *, finite: bool = True, **signals):
    """`reward.group` (prompts, rollouts), given what its card lists of `is_correct` and the signals.

    `finite` and errors as in `exact_rewards`.
    """
    check_form(reward, "group")
    found = _asked(reward, "group", answers, is_correct, {}, signals)
    found = checked_rewards(reward, "group", found, answers)
    if finite:
        _check_finite(reward, "group", found)
    return found


def checked_rewards(reward: Reward, form: str, found, like):
    """What a reward gave as an array of real numbers of the shape of `like`. Raises: InputError naming the
    reward, what was found and what is wanted.
    """
    wanted = tuple(like.shape)
    told, fix = f"its `{form}` gives {_described(found)}", f"Give one real number for each of {_AXES[form]}"
    try:
        xp, _, found = as_arrays(like, found)
        sound = tuple(found.shape) == wanted and _is_real(xp, found.dtype)
    except (AttributeError, TypeError, ValueError):
        sound = False
    if not sound:
        rule = f"{told}; real numbers of the shape {wanted}, {_AXES[form]}, are wanted"
        raise InputError("reward", _named(reward), rule, fix)
    return found


def _described(found) -> str:
    if found is None:
        return "None"
    if not (hasattr(found, "shape") and hasattr(found, "dtype")):
        found = np.asarray(found) if np.isscalar(found) else found
    if hasattr(found, "shape") and hasattr(found, "dtype"):
        return f"{found.dtype} values of the shape {tuple(found.shape)}"
    return f"a {type(found).__name__}"


def _is_real(xp, dtype) -> bool:
    return xp.isdtype(dtype, ("bool", "integral", "real floating")) or "float" in str(dtype)


def _asked(reward: Reward, form: str, first, correct, always: dict, signals: dict):
    needs, given = set(reward.card.needs), always | listed(reward, signals)
    modelled = "verdicts" in needs and given.get("verdicts") is None
    withheld = correct is not None and not ("labels" in needs or modelled)
    ask = getattr(reward, form)
    try:
        return ask(first, None if withheld else correct, **given)
    except InputError:
        raise
    except Exception as error:
        if withheld and _runs(lambda: ask(first, correct, **given)):
            raise InputError("reward", _named(reward), undeclared(form), _DECLARE) from error
        if _is_about_tracing(error):
            rule = f"its `{form}` cannot be traced by JAX{_where(reward, form, error)}: it asks an array for"
            rule += " its values, as NumPy functions, `float`, `if` and assignments to entries do"
            fix = "Write it with sharpening.metrics.as_arrays or jax.numpy"
            raise InputError("reward", _named(reward), rule, fix) from None
        raise


def undeclared(form: str) -> str:
    """The sentence about a reward that reads labels and does not say so."""
    return f"its `{form}` reads which answers are correct, and its card does not list labels: it gets None"


def _runs(call) -> bool:
    try:
        call()
    except Exception:
        return False
    return True


def _is_about_tracing(error: Exception) -> bool:
    return (
        type(error).__module__ == "jax.errors"
        or "Tracer" in str(error)
        or "JAX arrays are immutable" in str(error)
    )


def _where(reward: Reward, form: str, error: Exception) -> str:
    """ " (line 12 of mine.py)": where the reward's own code was when it failed."""
    code = getattr(getattr(type(reward), form), "__code__", None)
    if code is None:
        return ""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == code.co_filename
    ]
    return f" (line {lines[-1]} of {code.co_filename})" if lines else ""


def _check_finite(reward: Reward, form: str, found, log_probs=None) -> None:
    if is_traced(found) or is_traced(log_probs):
        return
    xp, found, log_probs = as_arrays(found, log_probs)
    if not xp.isdtype(found.dtype, "real floating"):
        return
    bad = ~xp.isfinite(found)
    bad = bad if log_probs is None else bad & (log_probs > -np.inf)
    if not bool(xp.any(bad)):
        return
    row, column = (int(place[0]) for place in np.nonzero(np.asarray(bad)))
    place = f"{'answer' if form == 'exact' else 'rollout'} {column} of prompt {row}"
    rule = f"its `{form}` gives {float(found[row, column])} for {place}; rewards are finite numbers"
    raise NotFiniteError(
        "reward", _named(reward), rule, "Bound the reward, or return 0 where it says nothing"
    )


def is_traced(array) -> bool:
    """Whether JAX is tracing this array, which has no values then."""
    jax = sys.modules.get("jax")
    return jax is not None and isinstance(array, jax.core.Tracer)


def _named(reward: Reward) -> str:
    try:
        return reward.spec
    except Exception:  # settings that have no text, such as arrays
        return getattr(getattr(reward, "card", None), "name", type(reward).__name__)
