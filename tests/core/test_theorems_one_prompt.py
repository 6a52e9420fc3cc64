"""The theorems of one prompt (S), of finite rollouts (F) and their counterexamples (N): they hold on hard
populations, say which assumption is broken, and withstand a search for a counterexample.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax

from sharpening import (
    GRPO,
    KLProx,
    Population,
    SoftmaxGradient,
    VerdictStatus,
    get_theorem,
    list_theorems,
    random_population,
)
from sharpening.testing import populations

NAMES = (
    [f"S{n}" for n in ("6", "7a", "7b", "7c", "8", "9", *range(10, 21))]
    + ["F1", "F2", "F4", "F5", "F6", "F7"]
    + [f"N{n}" for n in range(2, 10)]
)
THREE = [f"{name}" for name in NAMES if name not in ("S6", "S8", "S9")]


def shapes():
    """Populations of every small number of answers; a new one costs nothing."""
    return st.integers(2, 6).flatmap(lambda count: populations(5, count, silent=None if count > 2 else False))


def from_probs(rows, correct=None, **fields):
    with np.errstate(divide="ignore"):
        return Population(
            np.log(np.array(rows, dtype=float)), None if correct is None else np.array(correct), **fields
        )


class TestTheyHold:
    @pytest.mark.parametrize("name", NAMES)
    @settings(max_examples=max(10, settings().max_examples // 5))
    @given(data=st.data())
    def test_holds_on_hard_populations(self, name, data):
        verdict = get_theorem(name).check(
            data.draw(shapes()), step_size=data.draw(st.sampled_from([1e-3, 0.3, 1.0, 20.0]))
        )
        assert verdict.status is not VerdictStatus.FAILS, verdict.witness.sentence
        assert (verdict.status is VerdictStatus.HOLDS) == (verdict.prompts > 0)

    @pytest.mark.parametrize("name", NAMES)
    def test_random_populations_reach_it_and_sympy_agrees(self, name):
        theorem = get_theorem(name)
        verdicts = [
            theorem.check(random_population(1, case).select(slice(5)), step_size=0.1) for case in range(12)
        ]
        assert {verdict.status for verdict in verdicts} <= {VerdictStatus.HOLDS, VerdictStatus.VIOLATED}
        assert sum(verdict.prompts for verdict in verdicts) >= 3
        derivation = theorem.verify()
        assert derivation and all(derivation.values()), derivation

    def test_order_of_the_names(self):
        names = [theorem.name for theorem in list_theorems()]
        assert (
            names.index("S6") + 1
            == names.index("S7a")
            < names.index("S7b")
            < names.index("S7c")
            < names.index("S8")
        )
        assert names.index("S9") + 1 == names.index("S10") and names.index("N2") > names.index("F7")


TIED, SILENT = from_probs([[0.4, 0.4, 0.2]]), from_probs([[0.2, 0.1, 0.7]], no_answer=2)
UNLABELLED, NOBODY = from_probs([[0.5, 0.3, 0.2]]), from_probs([[0.0, 0.0, 1.0]], no_answer=2)
MANY = Population(np.full((1, 8), -np.log(8)))
BROKEN = [
    ("S7a", from_probs([[0.5, 0.0, 0.5]]), "full support"),
    *[
        (name, NOBODY, "an answer")
        for name in ("S7b", "S7c", "S10", "S11", "F1", "F4", "F5", "F6", "N6", "N7", "N9")
    ],
    ("S14", from_probs([[0.4, 0.2, 0.4]], no_answer=2), "equal treatment"),
    ("S16", UNLABELLED, "labels"),
    ("S16", from_probs([[0.4, 0.4, 0.2]], [[True, False, False]]), "unique mode"),
    ("S16", from_probs([[0.2, 0.1, 0.7]], [[True, False, False]], no_answer=2), "heard mode"),
    ("S17", UNLABELLED, "labels"),
    ("S17", from_probs([[0.4, 0.4, 0.2]], [[True, False, False]]), "unique mode"),
    ("S17", from_probs([[0.2, 0.1, 0.7]], [[True, False, False]], no_answer=2), "heard mode"),
    ("S17", from_probs([[1.0, 0.0]], [[True, False]]), "a rival"),
    ("S18", TIED, "unique mode"),
    ("S19", TIED, "unique mode"),
    ("S19", from_probs([[1.0, 0.0]]), "a rival"),
    ("S20", UNLABELLED, "labels"),
    ("S20", from_probs([[0.0, 0.0, 1.0]], [[True, False, False]], no_answer=2), "an answer"),
    ("S20", from_probs([[0.2, 0.1, 0.7]], [[True, False, False]], no_answer=2), "comonotone reward"),
    ("F6", from_probs([[0.5, 0.3, 0.2]], no_answer=2), "always answers"),
    ("F7", UNLABELLED, "labels"),
    ("F7", from_probs([[0.5, 0.3, 0.2]], [[False, True, True]]), "one correct answer"),
    ("F7", from_probs([[0.4, 0.4, 0.2]], [[False, False, True]]), "unique mode"),
    ("F7", from_probs([[0.5, 0.3, 0.2]], [[True, False, False]]), "misaligned"),
    ("F7", from_probs([[0.6, 0.4, 0.0]], [[False, False, True]]), "reachable truth"),
    ("F7", from_probs([[0.5, 0.3, 0.2]], [[False, True, False]], no_answer=2), "always answers"),
    ("S18", from_probs([[1e-300, 1e-301, 1.0]], no_answer=2), "countable rollouts"),
    ("F1", from_probs([[0.3, 0.0, 0.7]], no_answer=2), "a rival"),
    *[(name, TIED, "unique mode") for name in ("F2", "N2", "N4", "N8")],
    *[(name, UNLABELLED, "two answers") for name in ("F2", "N4")],
    *[(name, MANY, "few answers") for name in ("F4", "F6", "N6")],
    ("N2", from_probs([[0.6, 0.4]]), "a rarest answer"),
    ("N5", UNLABELLED, "labels"),
    ("N5", from_probs([[0.5, 0.5]], [[False, False]]), "a correct answer"),
]


def test_where_silence_leads_a_policy_gradient_can_raise_a_rare_right_answer():
    """S16 without its assumption: the mode has 2 %, giving no answer 98 %, a right answer 0.02 %; KL-prox
    still lowers it.
    """
    prior = np.log(np.array([[0.02, 2e-4, 0.9798]]))
    rewards = np.array([[1.0, 0.0, 0.0]])
    for update, gains in ((GRPO(10.0), True), (SoftmaxGradient(100.0), True), (KLProx(0.5), False)):
        after = log_softmax(np.asarray(update.step(prior, rewards)), axis=-1)
        assert (after[0, 1] > prior[0, 1] + 0.5) == gains, update


class TestAssumptions:
    @pytest.mark.parametrize("name, population, assumption", BROKEN)
    def test_a_violated_assumption_is_named(self, name, population, assumption):
        verdict = get_theorem(name).check(population)
        if name in ("S14", "S20") and verdict.status is VerdictStatus.HOLDS:  # by the other reward
            verdict = get_theorem(name).check(population, reward="majority")
        assert verdict.status is VerdictStatus.VIOLATED and verdict.violated == {assumption: 1}

    def test_every_assumption_has_a_population_that_breaks_it(self):
        tried = {(name, assumption) for name, _, assumption in BROKEN}
        named = {
            (name, one.name)
            for name in THREE
            for one in get_theorem(name).assumptions
            if one.name != "weight"
        }
        assert named - tried == set()


class TestMajorizationByForce:
    def test_no_counterexample_to_s5_in_a_climb(self):
        """Hill-climbing on the growth of a tail sum, 2 to 8 answers, step sizes e^-9 to e^18, own float64
        arithmetic.
        """
        rng = np.random.default_rng(0)
        for count in range(2, 9):
            code = rng.uniform(-8, 4, (3000, 2 * count - 1))
            code[:, -1] = rng.uniform(-9, 18, len(code))
            worst = growth(code, count)
            for _ in range(10):
                other = code + rng.normal(size=code.shape) * rng.choice([0.03, 0.3, 1.5])
                other[:, :-1] = np.clip(other[:, :-1], -14, 5)
                found = growth(other, count)
                code, worst = np.where((found > worst)[:, None], other, code), np.maximum(found, worst)
            assert worst.max() < 1e-13


def growth(code, count):
    """Largest growth of a sum of smallest masses in one softmax-gradient step; rows encode gaps, reward rises
    and the step size.
    """
    logits = np.concatenate([np.zeros((len(code), 1)), np.exp(code[:, : count - 1]).cumsum(axis=1)], axis=1)
    rewards = np.concatenate(
        [np.zeros((len(code), 1)), np.exp(code[:, count - 1 : -1]).cumsum(axis=1)], axis=1
    )

    def softmax(z):
        return np.exp(z - z.max(axis=1, keepdims=True)) / np.exp(z - z.max(axis=1, keepdims=True)).sum(
            axis=1, keepdims=True
        )  # noqa: E731

    probs = softmax(logits)
    relative = rewards - rewards.max(axis=1, keepdims=True)
    direction = probs * (relative - (probs * relative).sum(axis=1, keepdims=True))
    after = softmax(logits + np.exp(code[:, -1:]) * direction)
    tails = lambda p: np.sort(p, axis=1).cumsum(axis=1)[:, :-1]  # noqa: E731
    return (tails(after) - tails(probs)).max(axis=1)
