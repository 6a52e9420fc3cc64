"""Deliberate errors: the tool that plants them, one for every theorem, and every one in the update rules
against slow loops.
"""

import ast
import importlib
import math
from collections import Counter
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mutants.equivalent import EQUIVALENT
from mutants.live import applied, live_functions
from mutants.operators import functions, mutants
from mutants.source_mutants import digest
from mutants.targets import GROUPS, modules_of, targets
from mutants.theorem_mutants import declared, files

from sharpening import GRPO, InputError, KLProx, NaturalGradient, SoftmaxGradient, list_theorems
from sharpening.updates.advantages import group_advantages, score_direction
from sharpening.updates.policy import Policy, row_max

SAMPLE = '''
def mean(values, axis=1):
    """A docstring - not a formula."""
    if len(values) < 1:
        raise ValueError("1 + 1")
    return values.sum(axis=1) / 3.0
'''
POLICIES = [[0.5, 0.3, 0.2], [0.25, 0.25, 0.5], [0.7, 0.3, 0.0], [1e-300, 1.0, 1e-20], [0.0, 1.0, 0.0]]
REWARDS = [[1.0, 0.0, 0.5], [0.0, 1.0, 1.0], [2.0, -1.0, 5.0], [1.0, 3.0, 2.0], [0.0, -2.0, 7.0]]
REFERENCE = [[0.2, 0.2, 0.6], [0.1, 0.8, 0.1], [0.5, 0.5, 0.0], [0.1, 0.8, 0.1], [0.0, 1.0, 0.0]]
GROUPED = (
    [[0, 1, 0, 2], [1, 1, 1, 1], [0, 0, -1, 1], [1, 2, 2, 1], [1, 1, 1, 1]],  # fmt: skip
    [
        [1.0, 0.0, 1.0, 0.25],
        [1.0, 1.0, 1.0, 1.0],
        [1.0, 0.5, 0.0, 3.0],
        [0.0, 1.0, 0.0, 0.0],
        [0.1, 0.1, 0.1, 0.1],
    ],
)


def test_errors_are_planted_where_formulas_are_and_nowhere_else():
    found = {(mutant.before, mutant.after) for mutant in mutants(SAMPLE)}
    assert found == {
        ("len(values) < 1", "len(values) <= 1"), ("len(values) < 1", "len(values) >= 1"), ("1", "0"), ("1 (no. 2)", "0"), ("3.0", "6.0"),
        ("values.sum(axis=1) / 3.0", "values.sum(axis=1) * 3.0"), ("values.sum(axis=1)", "values.mean(axis=1)"),
    }  # fmt: skip


@pytest.mark.parametrize("name", modules_of("sharpening.updates"))
def test_every_error_changes_the_module_and_has_a_name_of_its_own(name):
    source = Path(importlib.import_module(name).__file__).read_text()
    whole, planted = dict(functions(ast.parse(source))), list(mutants(source))
    for mutant in planted:
        changed = dict(functions(mutant.tree))
        assert [key for key in whole if ast.dump(changed[key]) != ast.dump(whole[key])] == [mutant.function]
    assert max(Counter(mutant.key for mutant in planted).values(), default=1) == 1


def test_an_error_is_seen_by_everybody_and_taken_out_again():
    import sharpening.updates.natural_gradient as module
    from sharpening import NaturalGradient as held

    mutant = next(
        m for m in mutants(Path(module.__file__).read_text()) if m.before == "self.scale == 'group'"
    )
    z, r = np.log([[0.7, 0.3]]), np.array([[1.0, 0.0]])
    before = held(1.0).direction(z, r)
    with applied(module, mutant):
        assert not np.allclose(held(1.0).direction(z, r), before)
    assert np.array_equal(held(1.0).direction(z, r), before)


def test_functions_behind_decorators_are_found():
    from sharpening.rewards import base

    names = ["UnifiedForm.__str__", "RewardCard.__post_init__", "Reward.name", "Reward.spec"]
    assert all(live_functions(base, name) for name in names)


def test_every_theorem_has_a_deliberate_error():
    counts = declared()
    assert len(files()) >= 2 and {theorem.name for theorem in list_theorems()} <= set(counts)


def test_targets_can_be_cut_down_and_a_wrong_name_is_told():
    assert targets(["sharpening.metrics"]) == [
        (["sharpening.metrics"], ("tests/core/test_metrics.py", "tests/core/test_mutant_survivors.py"))
    ]
    root = Path(__file__).parents[2]
    assert all((root / test).is_file() for _, tests in GROUPS for test in tests)
    with pytest.raises(InputError, match="sharpening.metrics"):
        targets(["sharpening.no_such_module"])
    assert digest(["a", "b"]) != digest(["ab", ""])


@pytest.mark.parametrize("module", EQUIVALENT)
def test_every_excused_error_still_exists(module):
    """An excuse for an error that the source no longer offers would hide the next one."""
    keys = {mutant.key for mutant in mutants(Path(importlib.import_module(module).__file__).read_text())}
    assert set(EQUIVALENT[module]) <= keys and all(len(why) > 20 for why in EQUIVALENT[module].values())


def slow_advantages(probs, rewards):
    possible = [a for a in range(len(probs)) if probs[a] > 0]
    top = max(rewards[a] for a in possible)
    mean = math.fsum(probs[a] * (rewards[a] - top) for a in possible)
    return [rewards[a] - top - mean if a in possible else 0.0 for a in range(len(probs))]


def slow_scaled(advantages, probs, eps):
    std = math.sqrt(math.fsum(p * a * a for p, a in zip(probs, advantages, strict=True)))
    return [a / (std + eps) if std > 0 else 0.0 for a in advantages]


def slow_group(rewards, scale, eps):
    mean = math.fsum(rewards) / len(rewards)
    centred = [r - mean for r in rewards]
    if scale == "none":
        return centred
    std = (
        math.sqrt(math.fsum(c * c for c in centred) / (len(rewards) - 1))
        if max(rewards) > min(rewards)
        else 0.0
    )
    return [c / (std + eps) if std > 0 else 0.0 for c in centred]


def slow_score(probs, answers, advantages):
    pairs = list(zip(advantages, answers, strict=True))
    return [
        math.fsum(a * ((answer == k) - p) for a, answer in pairs) / len(answers) for k, p in enumerate(probs)
    ]


def slow_table(probs, answers, advantages):
    gave = [
        [a for a, answer in zip(advantages, answers, strict=True) if answer == k] for k in range(len(probs))
    ]
    return [math.fsum(mine) / len(mine) if mine else 0.0 for mine in gave]


def slow_direction(update, probs, rewards, reference):
    advantages = slow_advantages(probs, rewards)
    if isinstance(update, KLProx):
        top = max(r for r, p in zip(rewards, probs, strict=True) if p > 0)
        pull = [update.beta * (math.log(q) - math.log(p)) if p > 0 and update.reference == "initial" else 0.0
                for p, q in zip(probs, reference, strict=True)]  # fmt: skip
        return [(r - top if p > 0 else 0.0) + extra for r, p, extra in zip(rewards, probs, pull, strict=True)]
    if getattr(update, "scale", "none") == "group":
        advantages = slow_scaled(advantages, probs, update.eps)
    return (
        advantages
        if isinstance(update, NaturalGradient)
        else [p * a for p, a in zip(probs, advantages, strict=True)]
    )


def slow_group_direction(update, probs, answers, rewards, reference):
    advantages = slow_group(rewards, getattr(update, "scale", "none"), getattr(update, "eps", 0.0))
    found = (slow_table if isinstance(update, (KLProx, NaturalGradient)) else slow_score)(
        probs, answers, advantages
    )
    if isinstance(update, KLProx) and update.reference == "initial":
        found = [
            f + (update.beta * (math.log(q) - math.log(p)) if p > 0 else 0.0)
            for f, p, q in zip(found, probs, reference, strict=True)
        ]
    return found


def rules():
    """Update rules, made anew, and what multiplies their directions."""
    return [
        (KLProx(0.5), 2.0), (KLProx(0.5, "initial"), 2.0), (NaturalGradient(2.0), 2.0), (NaturalGradient(2.0, "group", 0.01), 2.0),
        (SoftmaxGradient(3.0), 3.0), (GRPO(3.0, "group", 0.01), 3.0), (GRPO(3.0, "none"), 3.0), (GRPO(0.5, "group", 0.0), 0.5),
    ]  # fmt: skip


def refused(make) -> bool:
    try:
        make()
    except InputError:
        return True
    return False


def log(rows):
    with np.errstate(divide="ignore"):
        return np.log(np.array(rows))


def differs(found, wanted) -> bool:
    found, wanted = np.asarray(found), np.array(wanted)
    return found.shape != wanted.shape or not np.allclose(found, wanted, rtol=1e-9, atol=1e-12)


def helpers_that_differ() -> str:
    """What the rules never ask of their parts, though the parts promise it."""
    flat = Policy.from_logits(jnp.asarray(log(POLICIES[0])) - 2.0)
    if differs(flat.probs, POLICIES[0]) or differs(row_max(jnp.full((2, 3), -jnp.inf)), [[0.0], [0.0]]):
        return "one policy alone, or a row of impossible answers"
    underflown = np.array([[0.0, -800.0, -900.0]])
    if differs(
        NaturalGradient(1.0, "group", 0.0).direction(underflown, np.array([[1.0, 0.0, 2.0]])),
        [[0.0, 0.0, 0.0]],
    ):
        return "a standard deviation that underflows is no signal"
    stacked = np.array([[[1.0, 0.0, 3.0], [0.2, 0.3, 0.5]], [[2.0, 2.0, 1.0], [0.0, 0.0, 7.0]]])
    if differs(
        group_advantages(jnp.asarray(stacked), "group", 0.01),
        [[slow_group(group, "group", 0.01) for group in rows] for rows in stacked],
    ):
        return "groups of groups"
    agreed = jnp.broadcast_to(jnp.array([0.1, 0.7])[None, :, None], (2, 2, 6))
    if (np.asarray(group_advantages(agreed, "group", 0.0)) != 0).any():
        return "a group that agrees is silent to the last bit"
    answers, uneven = np.array([[0, 1, 1, 2]]), np.array([[1.0, 2.0, -4.0, 0.5]])
    scored = score_direction(jnp.asarray(POLICIES[:1]), jnp.asarray(answers), jnp.asarray(uneven))
    if differs(scored, [slow_score(POLICIES[0], answers[0], uneven[0])]):
        return "scores of advantages that do not average to 0"
    return ""


def disagreement() -> str:
    """Where a rule of the library departs from the slow loops, in NumPy or in JAX: directions, group directions,
    steps; "" if nowhere.
    """
    return disagreement_in(np) or disagreement_in(jnp) or helpers_that_differ()


def disagreement_in(xp) -> str:
    """The same on arrays of one module, numpy or jax.numpy."""
    z, reference, (answers, sampled) = log(POLICIES), xp.asarray(log(REFERENCE)), GROUPED
    rewards = xp.asarray(REWARDS)
    fresh = Policy.from_logits(xp.asarray(z) + 3.0)
    if differs(fresh.probs, POLICIES) or differs(
        np.where(z > -np.inf, fresh.log_probs, 0), np.where(z > -np.inf, z, 0)
    ):
        return "Policy.from_logits"
    for update, size in rules():
        wanted = [slow_direction(update, *row) for row in zip(POLICIES, REWARDS, REFERENCE, strict=True)]
        found = update.direction(xp.asarray(z), rewards, reference)
        if not isinstance(found, np.ndarray if xp is np else jax.Array):
            return f"{update} changes the library of arrays"
        if differs(found, wanted):
            return f"direction of {update}"
        if differs(update.direction(xp.asarray(z)[2], rewards[2], reference[2]), wanted[2]):
            return f"direction of {update} for one policy"
        full = Policy.from_logits(xp.asarray(z[:2]), True)
        if differs(update.policy_direction(full, rewards[:2], reference[:2]), wanted[:2]):
            return f"direction of {update} without impossible answers"
        grouped = [
            slow_group_direction(update, *row)
            for row in zip(POLICIES, answers, sampled, REFERENCE, strict=True)
        ]
        if differs(
            update.group_direction(xp.asarray(z), xp.asarray(answers), xp.asarray(sampled), reference),
            grouped,
        ):
            return f"group direction of {update}"
        moved = z + size * np.array(wanted)
        after = (
            moved
            - np.log(np.exp(moved - moved.max(axis=1, keepdims=True)).sum(axis=1, keepdims=True))
            - moved.max(axis=1, keepdims=True)
        )
        step = np.asarray(update.step(xp.asarray(z), rewards, reference))
        if (
            differs(np.where(z > -np.inf, step, 0), np.where(z > -np.inf, after, 0))
            or (step[z == -np.inf] != -np.inf).any()
        ):
            return f"step of {update}"
    bad = [
        lambda: KLProx(1.0, "sideways"),
        lambda: KLProx(1.0, "initial").direction(z, rewards),
        lambda: KLProx(0.0),
        lambda: GRPO(math.inf),  # fmt: skip
        lambda: GRPO(1.0, "batch"),
        lambda: NaturalGradient(-1.0),
        lambda: SoftmaxGradient(math.nan),
    ]
    return "" if all(map(refused, bad)) else "bad settings"


class TestUpdateRules:
    def test_they_agree_with_slow_loops(self):
        assert disagreement() == ""

    @pytest.mark.thorough
    @pytest.mark.parametrize(
        "name", [name for name in modules_of("sharpening.updates") if not name.endswith(".base")]
    )
    def test_every_error_in_them_disagrees(self, name):
        module, alive = importlib.import_module(name), []
        for mutant in mutants(Path(module.__file__).read_text()):
            with applied(module, mutant):
                try:
                    noticed = disagreement()
                except Exception:  # an error that crashes is noticed too
                    continue
            if not noticed:
                alive.append(mutant.key)
        assert sorted(set(alive) - set(EQUIVALENT.get(name, {}))) == []
