"""The theorems hold on hard populations, say which assumption is broken, and are found by name."""

import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpening import (
    CompoundSymmetric,
    InputError,
    MajorityReward,
    Population,
    Reward,
    Theorem,
    TrueReward,
    VerdictStatus,
    check_theorems,
    exact_metrics,
    get_theorem,
    list_theorems,
    random_population,
    register_theorem,
)
from sharpening.testing import populations

NAMES = ["S1", "S2", "S3", "S4", "S5", "S6", "S8", "S9", "F3", "U1", "U4", "U5", "X2"]


def few_shapes():
    """Every shape compiles anew."""
    return st.sampled_from([2, 4]).flatmap(
        lambda num_answers: populations(5, num_answers, silent=None if num_answers > 2 else False)
    )


def from_probs(rows, correct=None, **fields):
    with np.errstate(divide="ignore"):
        return Population(
            np.log(np.array(rows, dtype=float)),
            None if correct is None else np.array(correct, dtype=bool),
            **fields,
        )


class TestTheyHold:
    @pytest.mark.parametrize("name", NAMES)
    @given(data=st.data())
    def test_holds_on_hard_populations(self, name, data):
        verdict = get_theorem(name).check(
            data.draw(few_shapes()), step_size=data.draw(st.sampled_from([1e-3, 0.3, 1.0, 20.0]))
        )
        assert verdict.status is not VerdictStatus.FAILS, verdict.witness.sentence
        assert (verdict.status is VerdictStatus.HOLDS) == (verdict.prompts > 0)

    def test_random_populations_reach_every_theorem(self):
        reports = check_theorems(NAMES, cases=8, seed=1)
        assert [report.name for report in reports] == NAMES
        for report in reports:
            assert report.outcome == "holds", report
            assert report.held + report.violated == report.cases == 8 and report.prompts >= report.cases
            assert report.derivation and all(report.derivation.values())

    def test_the_same_seed_gives_the_same_report(self):
        one, again, other = (check_theorems(["S1", "U4"], cases=3, seed=seed) for seed in (5, 5, 6))
        assert one == again and one != other

    def test_random_populations_hold_what_breaks_naive_code(self):
        many = [random_population(0, case) for case in range(40)]
        rows = [population.log_probs for population in many]
        assert any((row == -np.inf).any() for row in rows)
        assert any((population.leaders.sum(axis=1) > 1).any() for population in many)
        assert any(((row < -500) & (row > -np.inf)).any() for row in rows)
        assert {type(population.coupling).__name__ for population in many} == {
            "NoCoupling",
            "CompoundSymmetric",
        }
        assert (
            {population.no_answer is None for population in many}
            == {population.correct is None for population in many}
            == {True, False}
        )


class TestRegistry:
    def test_names_in_order_and_texts(self):
        theorems = list_theorems()
        names = [theorem.name for theorem in theorems]
        assert set(NAMES) <= set(names) and len(names) >= 30
        places = [("SFUXCN".index(name[0]), int(re.match(r"\d+", name[1:]).group()), name) for name in names]
        assert places == sorted(places)
        for theorem in theorems:
            record = theorem.as_dict()
            assert all(
                record[key]
                for key in ("name", "title", "statement", "formula", "derivation", "source", "symbol")
            )
            assert isinstance(theorem, Theorem) and len({one.name for one in theorem.assumptions}) == len(
                theorem.assumptions
            )

    def test_unknown_names_and_bad_input(self):
        with pytest.raises(InputError, match="S1.*X2"):
            get_theorem("S99")
        with pytest.raises(InputError, match="cases"):
            check_theorems(cases=0)
        with pytest.raises(InputError, match="step_size"):
            get_theorem("S1").check(random_population(0), step_size=0.0)
        with pytest.raises(InputError, match="majority only"):
            get_theorem("S1").check(random_population(0), reward="trajectory-entropy")

    def test_a_name_is_taken_once_and_texts_are_required(self):
        class Usurper(Theorem):
            name, title, statement, source = "S1", "t", "s", "o"

        with pytest.raises(InputError, match="LogitLaw"):
            register_theorem(Usurper)
        Usurper.source = " "
        with pytest.raises(InputError, match="source"):
            register_theorem(Usurper)

    @pytest.mark.parametrize("old, new", [("N1", "S8"), ("N10", "U5"), ("N11", "C6"), ("N12", "C2")])
    def test_a_theorem_that_was_merged_is_found_by_its_old_name(self, old, new):
        merged = get_theorem(old)
        assert merged is get_theorem(new) and merged.name == new and old in merged.as_dict()["aliases"]
        assert old not in [theorem.name for theorem in list_theorems()]
        assert [report.name for report in check_theorems([old, new, old], cases=1)] == [new]

    def test_an_old_name_is_taken_too(self):
        class Heir(Theorem):
            name, title, statement, source = "N1", "t", "s", "o"

        with pytest.raises(InputError, match="S8"):
            register_theorem(Heir)

    def test_uncoupled_claims_of_u5_are_not_asked_of_coupled_prompts(self):
        """The bound by retention holds for them, the end at alpha is not claimed."""
        coupled = ALIGNED.replace(coupling=CompoundSymmetric(1.0, 0.1))
        alone, together = (get_theorem("U5").check(one) for one in (ALIGNED, coupled))
        assert alone.status is together.status is VerdictStatus.HOLDS
        what = "RewardAccuracy at consensus is alpha"
        assert alone.asked[what].telling and what not in together.asked
        assert together.asked["any policies: RewardAccuracy >= 1[aligned] - 1[moved]"].telling

    def test_sympy_is_loaded_only_when_a_formula_is_asked_for(self):
        code = (
            "import sys, sharpening; sharpening.get_theorem('S1').check(sharpening.random_population(0)); "
            "print(*sorted({'sympy', 'torch', 'hypothesis'} & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.split() == []

    def test_a_wrong_derivation_is_told(self):
        import sympy as sp

        class Wrong(type(get_theorem("S1"))):
            def derivation(self):
                x = sp.Symbol("x")
                return {
                    "right": sp.sin(x) ** 2 + sp.cos(x) ** 2 - 1,
                    "wrong": sp.sin(x) ** 2 - sp.cos(x) ** 2 - 1,
                }

        assert Wrong().verify() == {"right": True, "wrong": False}


LABELS = [[True, False, False]]
TIED, UNLABELLED = from_probs([[0.4, 0.4, 0.2]], LABELS), from_probs([[0.5, 0.3, 0.2]])
SILENT = from_probs([[0.2, 0.1, 0.7]], LABELS, no_answer=2)
ALIGNED = from_probs([[0.5, 0.3, 0.2]], LABELS)
BROKEN = [
    ("S1", TIED, "unique mode"),
    ("S2", TIED, "unique mode"),
    ("S6", TIED, "unique mode"),
    ("S6", ALIGNED, "two answers"),
    ("S6", from_probs([[0.3, 0.0, 0.7]], no_answer=2), "two answers"),
    ("S8", TIED, "unique mode"),
    ("S8", from_probs([[0.5, 0.25, 0.25]]), "mode away from one half"),
    ("F3", from_probs([[0.3, 0.0, 0.7]], no_answer=2), "a rival"),
    ("U1", UNLABELLED, "labels"),
    ("U1", from_probs([[0.0, 0.0, 1.0]], LABELS, no_answer=2), "an answer"),
    ("U1", Population.from_logits([[0.0, 1e-13, -1.0]], np.array(LABELS)), "resolved mode"),
    ("U1", ALIGNED.replace(coupling=CompoundSymmetric(1.0, 0.1)), "uncoupled prompts"),
    ("U1", ALIGNED.replace(coupling=CompoundSymmetric(0.0, 0.0)), "uncoupled prompts"),
    ("U4", UNLABELLED, "labels"),
    ("U4", TIED, "unique mode"),
    ("U5", UNLABELLED, "labels"),
    ("U5", TIED, "unique mode"),
    ("U5", from_probs([[0.5, 0.3, 0.2]], [[True, True, False]]), "one correct answer"),
    ("X2", UNLABELLED, "labels"),
    ("X2", from_probs([[0.2, 0.4, 0.4]], LABELS), "unique mode"),
    ("X2", ALIGNED, "misaligned"),
    ("X2", from_probs([[0.0, 0.7, 0.3]], LABELS), "reachable truth"),
]


class LeastLikely(Reward):
    card = MajorityReward.card

    def exact(self, log_probs, correct=None, *, no_answer=None):
        return -np.asarray(log_probs)


class TestAssumptions:
    @pytest.mark.parametrize("name, population, assumption", BROKEN)
    def test_a_violated_assumption_is_named(self, name, population, assumption):
        verdict = get_theorem(name).check(population)
        assert verdict.status is VerdictStatus.VIOLATED and verdict.prompts == 0
        assert verdict.violated == {assumption: 1} and verdict.witness is None

    @pytest.mark.parametrize("name", ["S4", "S5", "S9"])
    def test_rewards_that_are_not_comonotone(self, name):
        """The vote is not, where giving no answer outweighs the mode; nor is a reward against the policy."""
        for population, reward in ((SILENT, "majority"), (ALIGNED, LeastLikely())):
            verdict = get_theorem(name).check(population, reward=reward)
            assert verdict.status is VerdictStatus.VIOLATED and verdict.violated == {"comonotone reward": 1}
        assert get_theorem(name).check(ALIGNED, reward=TrueReward()).status is VerdictStatus.HOLDS
        assert get_theorem(name).check(SILENT).status is VerdictStatus.HOLDS  # by the other reward

    def test_every_assumption_has_a_population_that_breaks_it(self):
        tried = {(name, assumption) for name, _, assumption in BROKEN} | {
            (name, "comonotone reward") for name in ("S4", "S5", "S9")
        }
        shared = {"weight", "an answer", "resolved mode", "resolved step", "resolved powers"}
        missing = {
            (name, one.name)
            for name in NAMES
            for one in get_theorem(name).assumptions
            if one.name not in shared
        } - tried
        assert missing == set()

    def test_prompts_that_meet_the_assumptions_are_still_checked(self):
        mixed = from_probs([[0.4, 0.4, 0.2], [0.5, 0.3, 0.2], [0.2, 0.2, 0.6]])
        verdict = get_theorem("S1").check(mixed)
        assert (
            verdict.status is VerdictStatus.HOLDS
            and verdict.prompts == 2
            and verdict.violated == {"unique mode": 1}
        )

    def test_prompts_without_weight_say_nothing_about_an_average(self):
        labels = np.array([[True, False], [True, False]])
        population = from_probs([[0.6, 0.4], [0.3, 0.7]], labels, weights=np.array([1.0, 0.0]))
        verdict = get_theorem("U1").check(population)
        assert verdict.status is VerdictStatus.HOLDS and verdict.violated == {"weight": 1}

    def test_u5_needs_a_unique_mode(self):
        """A tie of three with one correct answer ends at reward accuracy 5/9, above its share 1/3 of
        alpha.
        """
        tie = from_probs([[1 / 3, 1 / 3, 1 / 3]], LABELS)
        assert tie.alignment == pytest.approx(1 / 3)
        assert exact_metrics(tie.log_probs, tie.correct)["reward_accuracy"][0] == pytest.approx(5 / 9)
