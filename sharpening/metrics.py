"""Metrics of a vote: one definition, for sampled groups and for exact policies, on NumPy, JAX and torch
arrays.

A tie is shared. Every quantity is its expectation when one of the m leaders is drawn uniformly, so neither
the order of the rollouts nor the names of the answers matter. "No answer" (`NO_ANSWER`) is an outcome of its
own: it never wins a vote, never earns reward and is never correct.

How we depart from TTRL: ties go by the order of rollouts there, and unparsable answers may win the vote
there.
"""

from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Bool, Float, Integer, Real

from sharpening.errors import InputError

NO_ANSWER = -1
_MAX_PAIRS = 2**24


class Vote(NamedTuple):
    """The votes of each group: how many rollouts gave each rollout's answer, who leads, how many leaders
    there are.
    """

    counts: Any  # (prompts, rollouts) rollouts of the group with the same answer; 0 for NO_ANSWER
    is_leader: Any  # (prompts, rollouts) bool
    num_leaders: Any  # (prompts,) distinct leading answers; 0 if nobody answered


def as_arrays(*values):
    """The array namespace of the inputs and the inputs as its arrays; lists and NumPy arrays follow a JAX or
    torch neighbour.
    """
    arrays = [value if value is None or hasattr(value, "shape") else np.asarray(value) for value in values]
    foreign = [
        array for array in arrays if array is not None and not isinstance(array, (np.ndarray, np.generic))
    ]
    xp = array_namespace(*(foreign or [array for array in arrays if array is not None]))
    return xp, *(None if array is None else xp.asarray(array) for array in arrays)


def _float(xp, array):
    return xp.astype(array, xp.asarray(0.0).dtype)


def _int(xp, array):
    return xp.astype(array, xp.int32)


def _known(condition) -> bool:
    """True if the condition holds and its value is known, which it is not while JAX traces."""
    try:
        return bool(condition)
    except TypeError:
        return False


def _check_answers(xp, answers):
    if not xp.isdtype(answers.dtype, "integral"):
        raise InputError(
            "answers",
            str(answers.dtype),
            "answers are integer ids, one per equivalence class, with -1 for no answer",
            "Number the labels first",
        )
    if answers.ndim != 2:
        raise InputError(
            "answers", tuple(answers.shape), "its shape must be (prompts, rollouts)", "Reshape it"
        )
    if answers.shape[1] < 2:
        rule = "a vote of one rollout always agrees with itself"
        raise InputError("answers", tuple(answers.shape), rule, "Give 2 rollouts or more (8 is usual)")


def _blocks(prompts: int, rollouts: int):
    size = max(1, _MAX_PAIRS // rollouts**2)
    return [slice(start, min(start + size, prompts)) for start in range(0, prompts, size)] or [slice(0, 0)]


def _same_counts(xp, answers):
    """(prompts, rollouts): how many rollouts of the group equal each one; NO_ANSWER counted like any
    other.
    """
    blocks = (answers[rows, :] for rows in _blocks(*answers.shape))
    return xp.concat(
        [xp.sum(_int(xp, block[:, :, None] == block[:, None, :]), axis=2) for block in blocks], axis=0
    )


def _vote(xp, answers: Integer[Any, "prompts rollouts"], same: Integer[Any, "prompts rollouts"]):
    counts = xp.where(answers != NO_ANSWER, same, xp.zeros_like(same))
    top = xp.max(counts, axis=1)
    is_leader = (counts == top[:, None]) & (counts > 0)
    leading = xp.sum(_int(xp, is_leader), axis=1)
    return Vote(counts, is_leader, leading // xp.where(top > 0, top, xp.ones_like(top)))


def vote(answers) -> Vote:
    """Count the votes of every group; NO_ANSWER does not vote.

    Shapes: answers (prompts, rollouts) integer ids; counts and is_leader (prompts, rollouts); num_leaders
    (prompts,). A group in which nobody answered has no leader.

    Raises: InputError if the ids are not integers, the shape is not two-dimensional or there are fewer than 2
    rollouts.
    Source: TTRL's majority vote, with ties shared.
    """
    xp, answers = as_arrays(answers)
    _check_answers(xp, answers)
    return _vote(xp, answers, _same_counts(xp, answers))


def _check_consistent(xp, answers, correct):
    """One answer of a prompt cannot be both right and wrong: votes and truth must use the same
    equivalence.
    """
    for rows in _blocks(*answers.shape):
        a, c = answers[rows, :], correct[rows, :]
        clash = (a[:, :, None] == a[:, None, :]) & (c[:, :, None] != c[:, None, :])
        if _known(xp.any(clash)):
            rule = "rollouts of a prompt with the same answer id must be all correct or all wrong"
            raise InputError(
                "is_correct",
                "mixed within one answer",
                rule,
                "Number the answers by the equivalence that decides correctness",
            )


def _retained(xp, hits, leaders, initial_leaders):
    """Share of the current leaders found among the initial ones; no leader then and none now counts as
    unchanged.
    """
    share = _float(xp, hits) / _float(xp, xp.where(leaders > 0, leaders, xp.ones_like(leaders)))
    return xp.where((leaders == 0) & (initial_leaders == 0), xp.ones_like(share), share)


def group_metrics(answers, is_correct=None, initial_modes=None) -> dict[str, Any]:
    """Metrics of sampled groups, one number per prompt.

    majority_ratio = (votes of a leader) / rollouts; entropy = plug-in entropy in nats, no answer being one
    outcome; tie = 1 if there are several leaders; no_answer = share of rollouts without an answer. With
    `is_correct`: accuracy = share of correct rollouts; label_accuracy = (correct leaders)/m; reward_accuracy
    = mean over rollouts and leaders of 1[pseudo-reward = true reward]. With `initial_modes`: mode_retention =
    share of the m leaders found among the initial modes (no mode then and no leader now counts as retained).

    reward_accuracy is not accuracy: a wrong rollout outside a wrong majority counts as right, and so does a
    missing answer; a group in which nobody answered scores 1 (all rewards are 0, as the truth would have it).
    Read `no_answer` beside it.

    Shapes: answers, is_correct (prompts, rollouts); initial_modes (prompts,) or (prompts, modes) padded with
    NO_ANSWER; results (prompts,).
    Raises: InputError as `vote` does, if shapes differ, or if one answer of a prompt is marked both correct
    and wrong.
    Source: TTRL's definitions (He et al. 2026, section on Model Collapse Step), ties shared.
    """
    xp, answers, is_correct, initial_modes = as_arrays(answers, is_correct, initial_modes)
    _check_answers(xp, answers)
    rollouts = answers.shape[1]
    same = _same_counts(xp, answers)
    counts, is_leader, num_leaders = _vote(xp, answers, same)
    answered = answers != NO_ANSWER
    metrics = {
        "majority_ratio": _float(xp, xp.max(counts, axis=1)) / rollouts,
        "entropy": xp.abs(xp.mean(xp.log(_float(xp, same) / rollouts), axis=1)),
        "tie": _float(xp, num_leaders > 1),
        "no_answer": xp.mean(_float(xp, ~answered), axis=1),
    }
    if is_correct is not None:
        if tuple(is_correct.shape) != tuple(answers.shape):
            raise InputError(
                "is_correct",
                tuple(is_correct.shape),
                f"its shape must be that of answers, {tuple(answers.shape)}",
            )
        correct = xp.astype(is_correct, xp.bool) & answered
        _check_consistent(xp, answers, correct)
        pseudo = majority_share(is_leader, num_leaders)
        leading = xp.sum(_int(xp, is_leader), axis=1)
        metrics["accuracy"] = xp.mean(_float(xp, correct), axis=1)
        right_leaders = _float(xp, xp.sum(_int(xp, is_leader & correct), axis=1))
        metrics["label_accuracy"] = right_leaders / _float(
            xp, xp.where(leading > 0, leading, xp.ones_like(leading))
        )
        metrics["reward_accuracy"] = xp.mean(xp.where(correct, pseudo, 1 - pseudo), axis=1)
    if initial_modes is not None:
        modes = initial_modes[:, None] if initial_modes.ndim == 1 else initial_modes
        if modes.ndim != 2 or modes.shape[0] != answers.shape[0]:
            raise InputError(
                "initial_modes",
                tuple(initial_modes.shape),
                "its shape must be (prompts,) or (prompts, modes)",
            )
        member = xp.any(answers[:, :, None] == modes[:, None, :], axis=2)
        hits, leading = xp.sum(_int(xp, member & is_leader), axis=1), xp.sum(_int(xp, is_leader), axis=1)
        metrics["mode_retention"] = _retained(xp, hits, leading, xp.sum(_int(xp, modes != NO_ANSWER), axis=1))
    return metrics


def majority_share(
    is_leader: Bool[Any, "prompts n"], num_leaders: Real[Any, " prompts"]
) -> Float[Any, "prompts n"]:
    """Majority reward with ties shared: 1/m for each of the m leaders, 0 for everything else.

    Shapes: is_leader (prompts, n) with n rollouts or answers; num_leaders (prompts,); result (prompts, n), in
    [0, 1].
    """
    xp = array_namespace(is_leader, num_leaders)
    return (
        _float(xp, is_leader)
        / _float(xp, xp.where(num_leaders > 0, num_leaders, xp.ones_like(num_leaders)))[:, None]
    )


def leading_answers(answers) -> Integer[np.ndarray, "prompts modes"]:
    """The leading answers of every group: (prompts, modes) ids, each once, padded with NO_ANSWER, ascending;
    eager.

    The form in which `group_metrics` takes `initial_modes`. Returns a NumPy array with at least one column.
    """
    xp, answers = as_arrays(answers)
    is_leader = vote(answers).is_leader
    groups = zip(answers.tolist(), is_leader.tolist(), strict=True)
    rows = [sorted({answer for answer, leads in zip(*group, strict=True) if leads}) for group in groups]
    width = max([1, *map(len, rows)])
    return np.asarray([row + [NO_ANSWER] * (width - len(row)) for row in rows], dtype=np.int64).reshape(
        len(rows), width
    )


def distinct_answers(answers) -> int:
    """Number of distinct majority answers across prompts; a tie contributes its smallest id, an unanswered
    group nothing.

    Shape: answers (prompts, rollouts). Falls towards 1 when one answer takes over every prompt.
    """
    return len(set(leading_answers(answers)[:, 0].tolist()) - {NO_ANSWER})


def exact_vote(
    log_probs, no_answer: int | None = None
) -> tuple[Bool[Any, "prompts answers"], Integer[Any, " prompts"]]:
    """The vote of infinitely many rollouts: (is_leader (prompts, answers) bool, num_leaders (prompts,)).

    Leaders are the answers whose log-probability equals the largest one exactly; column `no_answer` never
    leads.
    """
    xp, log_probs = as_arrays(log_probs)
    if no_answer is not None:
        log_probs = xp.where(
            xp.arange(log_probs.shape[1])[None, :] == no_answer % log_probs.shape[1],
            xp.full_like(log_probs, -float("inf")),
            log_probs,
        )
    top = xp.max(log_probs, axis=1)[:, None]
    is_leader = (log_probs == top) & (top > -float("inf"))
    return is_leader, xp.sum(_int(xp, is_leader), axis=1, dtype=xp.int32)


def exact_metrics(
    log_probs, correct=None, initial_log_probs=None, *, no_answer: int | None = None, counted=None
) -> dict[str, Any]:
    """Metrics of exact policies under the population vote: `group_metrics` in the limit of infinitely many
    rollouts.

    With s_a = 1[a leads]/m: accuracy = pi_c; label_accuracy = (correct leaders)/m; reward_accuracy = 1 -
    sum_a pi_a |s_a - 1[a correct]|, which for one correct answer is 1 if aligned, else 1 - pi(mode) - pi_c;
    majority_ratio = pi(mode); entropy in nats; with `initial_log_probs`: mode_retention, kl = KL(pi_t ||
    pi_0) in nats and excess_kl = max(0, kl - budget), budget = -log pi_0(mode), the most that sharpening can
    spend. kl is infinite where pi_t has mass and pi_0 has none. distinct_answers = distinct modes across
    prompts (a scalar; ties count their smallest index), of those `counted` (prompts,) bool; None: of all.

    Shapes: log_probs, initial_log_probs, correct (prompts, answers), rows normalised, -inf allowed; results
    (prompts,). `no_answer` names the column that never leads and is never correct. Works under jax.jit.
    Raises: InputError if shapes differ or a row is not normalised.
    Source: theorems U4 and S9; He et al. 2026 for the metrics' definitions.
    """
    xp, log_probs, correct, initial = as_arrays(log_probs, correct, initial_log_probs)
    for name, array in (("log_probs", log_probs), ("correct", correct), ("initial_log_probs", initial)):
        if array is not None and (array.ndim != 2 or tuple(array.shape) != tuple(log_probs.shape)):
            raise InputError(
                name,
                tuple(array.shape),
                f"its shape must be (prompts, answers), here {tuple(log_probs.shape)}",
            )
        if (
            name != "correct"
            and array is not None
            and _known(xp.any(~(xp.abs(xp.sum(xp.exp(array), axis=1) - 1) < 1e-3)))
        ):
            raise InputError(
                name,
                "rows that do not sum to 1",
                "every row must hold normalised log-probabilities",
                "Subtract their logsumexp",
            )
    zeros = xp.zeros_like(log_probs)
    probs = xp.exp(log_probs)
    present = probs > 0
    is_leader, num_leaders = exact_vote(log_probs, no_answer)
    first = xp.argmax(_int(xp, is_leader), axis=1)
    votes = num_leaders > 0 if counted is None else (num_leaders > 0) & counted
    wins = (first[:, None] == xp.arange(log_probs.shape[1])[None, :]) & votes[:, None]
    safe = xp.where(present, log_probs, zeros)
    metrics = {
        "majority_ratio": xp.max(xp.where(is_leader, probs, zeros), axis=1),
        "entropy": xp.abs(xp.sum(probs * safe, axis=1)),
        "distinct_answers": xp.sum(_int(xp, xp.any(wins, axis=0))),
    }
    if correct is not None:
        correct = xp.astype(correct, xp.bool)
        if no_answer is not None:
            correct = correct & (xp.arange(log_probs.shape[1])[None, :] != no_answer % log_probs.shape[1])
        share = xp.astype(majority_share(is_leader, num_leaders), log_probs.dtype)
        metrics["accuracy"] = xp.sum(xp.where(correct, probs, zeros), axis=1)
        metrics["label_accuracy"] = xp.sum(xp.where(correct, share, zeros), axis=1)
        metrics["reward_accuracy"] = 1 - xp.sum(probs * xp.where(correct, 1 - share, share), axis=1)
    if initial is not None:
        was_leader, num_initial = exact_vote(initial, no_answer)
        kl = xp.sum(probs * xp.where(present, safe - initial, zeros), axis=1)
        kl = xp.where(kl > 0, kl, xp.zeros_like(kl))
        excess = xp.where(num_initial > 0, kl, xp.zeros_like(kl)) + xp.max(
            xp.where(was_leader, initial, xp.full_like(initial, -float("inf"))), axis=1
        )
        retained = _retained(xp, xp.sum(_int(xp, is_leader & was_leader), axis=1), num_leaders, num_initial)
        metrics["mode_retention"] = xp.astype(retained, log_probs.dtype)
        metrics["kl"] = kl
        metrics["excess_kl"] = xp.where(excess > 0, excess, xp.zeros_like(kl))
    return metrics


_RATE_NAMES = {"tie": "tie_rate", "no_answer": "no_answer_rate"}


def summarize(metrics: dict[str, Any], weights=None) -> dict[str, Any]:
    """Average per-prompt metrics over prompts, under the names of trajectories (tie_rate, no_answer_rate);
    scalars pass through.

    Shapes: values (prompts,) or scalar; weights (prompts,) or None for equal ones, normalised here. Works
    under jax.jit.
    """
    summary = {}
    for name, value in metrics.items():
        xp, value, given = as_arrays(value, weights)
        if value.ndim == 1:
            value = xp.mean(value) if given is None else xp.sum(value * given) / xp.sum(given)
        summary[_RATE_NAMES.get(name, name)] = value
    return summary
