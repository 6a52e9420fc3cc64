"""Claims are asked: the committed counts, a small sample of them anew, and how a claim is counted."""

import json
from pathlib import Path

import numpy as np
import pytest

from sharpening import (
    Claim,
    Population,
    Theorem,
    VerdictStatus,
    check_theorems,
    get_theorem,
    list_theorems,
    random_population,
)
from sharpening.theorems.counts import LEAST, ClaimCount, counted, kind
from sharpening.theorems.random_checks import theorem_population

RECORD = json.loads((Path(__file__).parents[2] / "docs" / "theorem_claims.json").read_text())
SMALL = 8


class Probe(Theorem):
    """A theorem that puts the claims it is given."""

    name, title, statement, source = "T1", "t", "s", "o"

    def __init__(self, *claims):
        self.put = claims

    def claims(self, case):
        return self.put


def asked(*claims):
    return Probe(*claims).check(Population.synthetic(0, 3, 4)).asked


class TestCounting:
    def test_a_premise_that_is_never_met_asks_nothing_and_cannot_fail(self):
        wrong = Claim.equal("two is one", np.full(3, 2.0), 1.0)
        assert Probe(wrong).check(Population.synthetic(0, 3, 4)).status is VerdictStatus.FAILS
        unasked = wrong.where(np.zeros(3, bool))
        verdict = Probe(unasked).check(Population.synthetic(0, 3, 4))
        assert verdict.status is VerdictStatus.HOLDS and not verdict.asked["two is one"].telling
        some = Probe(wrong.where([False, True, False])).check(Population.synthetic(0, 3, 4))
        assert some.status is VerdictStatus.FAILS and some.witness.prompt == 1

    def test_both_sides_of_iff_must_be_seen(self):
        one = Claim.equal("a iff b", np.ones(3), 1.0)
        seen = [asked(one.iff(side))["a iff b"] for side in (np.ones(3, bool), [True, False, True])]
        assert [(one.yes, one.no) for one in seen] == [(True, False), (True, True)]
        count = counted([{"a iff b": one} for one in [seen[0]] * 9 + [seen[1]]])["a iff b"]
        assert (count.asked, count.telling, count.yes, count.no) == (10, 1, 10, 1)

    def test_numbers_do_not_make_a_claim_another_one(self):
        claims = [Claim.equal(f"grows at step {k} (TPR {k / 7:.3f}, N = {k})", 1.0, 1.0) for k in (1, 2)]
        assert list(asked(*claims)) == ["grows at step # (TPR #, N = #)"]
        assert kind("L' = 2p(1-p)L of p_1") == "L' = 2p(1-p)L of p_1"

    def test_thin_is_fewer_than_two_hundred_in_ten_thousand_and_constants_are_asked_once(self):
        assert ClaimCount(10_000, 199).thin(10_000) and not ClaimCount(10_000, 200).thin(10_000)
        assert ClaimCount(9_000, 24, 24, 8_976).thin(10_000)
        assert not ClaimCount(5, 1, constants=True).thin(10_000)

    def test_a_claim_of_arrays_in_arrays_is_asked_by_prompt(self):
        wide = Claim.equal("wide", np.ones((3, 2, 5)), 1.0)
        assert asked(wide.where([False, False, False]))["wide"].telling is False
        assert asked(wide.where([False, False, True]))["wide"].telling is True


class TestRecord:
    @pytest.mark.parametrize("name", [theorem.name for theorem in list_theorems()])
    def test_no_claim_was_hardly_asked(self, name):
        told = RECORD["theorems"][name]
        thin = [what for what, one in told["claims"].items() if ClaimCount(**one).thin(told["cases"])]
        assert thin == [] and told["cases"] >= 400 and told["held"] > 0 and told["claims"]

    def test_it_tells_of_every_theorem_and_no_other(self):
        assert set(RECORD["theorems"]) == {theorem.name for theorem in list_theorems()}

    def test_claims_put_today_are_those_of_the_record(self):
        """A small sample anew: a claim that is not in the table was never counted."""
        for report in check_theorems(cases=SMALL, seed=5):
            assert report.ok, (report.name, report.witness)
            assert set(report.claims) <= set(RECORD["theorems"][report.name]["claims"]), report.name

    def test_the_headline_of_u3_is_seen_to_be_true_and_false(self):
        (report,) = check_theorems(["U3"], cases=40, seed=5)
        headline = report.claims["it rises and then falls iff it starts up and ends down"]
        assert headline.yes >= 4 and headline.no >= 4

    @pytest.mark.thorough
    @pytest.mark.parametrize("name", [theorem.name for theorem in list_theorems()])
    def test_ten_thousand_populations(self, name):
        (report,) = check_theorems([name], cases=10_000, seed=6)
        assert report.ok, report.witness
        assert [what for what, one in report.claims.items() if one.thin(10_000)] == []


def test_constructed_populations_are_tried_beside_random_ones_and_can_be_made_again():
    theorem = get_theorem("U3")
    made = [theorem_population(theorem, 1, case) for case in range(4)]
    plain = [random_population(1, case) for case in range(4)]
    same = [np.array_equal(one.log_probs, other.log_probs) for one, other in zip(made, plain, strict=True)]
    assert same == [True, True, False, False] and LEAST == 0.02
    assert np.array_equal(made[3].log_probs, theorem_population(theorem, 1, 3).log_probs)


class TestFloat64:
    """Where float64 cannot tell, a theorem says so: it neither fails nor raises."""

    @pytest.mark.parametrize("name, step_size", [("S1", 1e8), ("S3", 1e4), ("S3", 1e300)])
    def test_a_step_too_long_to_resolve_is_an_assumption(self, name, step_size):
        verdict = get_theorem(name).check(random_population(2, 5), step_size=step_size)
        assert verdict.status is VerdictStatus.VIOLATED and any(
            "resolved" in told for told in verdict.violated
        )

    def test_s3_holds_where_its_powers_are_resolved_and_sees_an_error_there(self):
        assert get_theorem("S3").check(random_population(2, 5), step_size=50.0).status is VerdictStatus.HOLDS

    def test_an_overflow_is_not_finite(self):
        verdict = get_theorem("C8").check(random_population(2, 5), step_size=1e300)
        assert verdict.status is VerdictStatus.NOT_FINITE and "overflows" in verdict.reason

    @pytest.mark.parametrize("name", ["S7a", "C3", "N10", "N11"])
    def test_masses_below_float64_are_no_counterexample(self, name):
        logits = np.array(
            [
                [0.0, -720.0, -1.0, -740.0, -3.0],
                [0.0, -800.0, -900.0, -1.0, -2.0],
                [0.0, -1e4, -2.0, -3.0, -4.0],
            ]
        )
        labels = np.arange(5) == np.zeros((3, 1))
        verdict = get_theorem(name).check(Population.from_logits(logits, labels))
        assert verdict.status is not VerdictStatus.FAILS, verdict.witness
