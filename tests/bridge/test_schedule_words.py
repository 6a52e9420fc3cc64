"""What `sharpening schedule` says about a search: sentences and rules, made from the plain results."""

import dataclasses

import numpy as np
import pytest

from llm_bridge.report.schedule_words import schedule_notes, schedule_reasons, schedule_rule
from llm_bridge.report.schedules import HEADLINES, schedule_document
from sharpening import CompoundSymmetric, Population, cheapest_schedule
from sharpening.verification.results import VERDICTS

PRIOR = Population.synthetic(3, 96, 10, strength=2.0, coupling=CompoundSymmetric(1.0, 1.0))
RUN = dict(learning_rate=4.0, num_steps=120, prompts_per_step=8, rollouts=4)
NOISY = dict(tpr=0.9, fpr=0.1)


@pytest.fixture(scope="module")
def found():
    """A plan among four families."""
    return cheapest_schedule(PRIOR, **NOISY, cost=0.5, **RUN)


def of(search, family, **changes):
    one = next(one for one in search.best if one.family == family)
    return dataclasses.replace(one, **changes)


def said(search):
    return " ".join(schedule_reasons(search))


def test_a_plan_is_said_with_its_rule_cost_and_share(found):
    lines, plan = schedule_reasons(found), found.plan
    assert lines[0].startswith(
        f"Without a verifier `relative` is met at step {found.unverified.collapse.step}."
    )
    share = f"{plan.cost / found.cost_of_all:.1%} of what verifying every rollout costs"
    figures = f"{plan.calls:,.0f} calls, cost {plan.cost:,.4g}, {share}."
    assert lines[1].startswith(f"Cheapest: {schedule_rule(plan, found)}. {figures}")
    assert f"asks for more than {found.theory_share:.1%} of the rollouts" in lines[-1]
    uniform = of(found, "uniform")
    assert lines[-1].endswith(f"The uniform share that works here is {uniform.parameter:.1%}.")
    for one in found.best[1:]:
        assert f"{one.family} {one.cost / plan.cost:.2g} times" in lines[2]


def test_only_what_is_so_is_said(found):
    even = dataclasses.replace(
        found, best=tuple(dataclasses.replace(one, monotone=True) for one in found.best)
    )
    assert not [part for part in ("not the harm", "Not monotone", "worst of five") if part in said(even)]
    harmed = dataclasses.replace(found.plan, accuracy=found.plan.initial_accuracy - 0.04)
    assert "not the harm" in said(dataclasses.replace(found, plan=harmed))
    uneven = (of(found, "uniform", monotone=False), of(found, "periodic"))
    assert "a dearer value that was tried fails in uniform." in said(dataclasses.replace(found, best=uneven))
    wide = said(dataclasses.replace(found, safety=2.0))
    assert "worst of five learning rates, from 0.5 to 2 times the one given" in wide
    free = dataclasses.replace(found, plan=dataclasses.replace(found.plan, cost=0.0), cost_of_all=0.0)
    assert "verifying every rollout costs" not in said(free) and "other families" not in said(free)


@pytest.mark.parametrize("family, parameter, rule", [
    ("none", None, "no verification"),
    ("uniform", 0.625, "verify 62.5% of every prompt's rollouts (2.5 of 4) at every step, and pay VOTE for the others"),
    ("gated", 0.3984, "verify every rollout of a prompt while its majority answer has mass below 0.398, then pay VOTE"),
    ("periodic", 1, "verify every rollout at every step, and pay VOTE at the others"),
    ("periodic", 3, "verify every rollout at one step in 3, and pay VOTE at the others"),
    ("certified", 0.391,
     "before training, certify one label by sequential tests at error level 0.05 for 39.1% of the prompts, and pay VOTE on the others"),
])  # fmt: skip
@pytest.mark.parametrize(
    "reward, vote", [("majority", "the majority vote"), ("self-certainty", "self-certainty")]
)
def test_rules_name_the_parameter_and_who_pays_otherwise(found, family, parameter, rule, reward, vote):
    one = dataclasses.replace(found.plan, family=family, parameter=parameter)
    search = dataclasses.replace(found, intrinsic=reward)
    assert schedule_rule(one, search) == rule.replace("VOTE", vote)


def test_a_verifier_without_use():
    search = cheapest_schedule(PRIOR, tpr=0.2, fpr=0.6, **RUN)
    lines = schedule_reasons(search)
    assert f"step {search.unverified.collapse.step}" in lines[0] and "J = TPR - FPR = -0.4" in lines[-1]


def test_no_verification_is_needed():
    calm = PRIOR.replace(coupling=CompoundSymmetric(1.0, 0.0))
    assert "not met within 120 steps: no verification is needed" in said(
        cheapest_schedule(calm, **NOISY, **RUN)
    )
    useless = schedule_reasons(cheapest_schedule(calm, tpr=0.5, fpr=0.5, **RUN))
    assert "no verification is needed" in useless[0] and "J = TPR - FPR = 0" in useless[1]


def test_nothing_to_lose():
    mode = np.arange(10) == PRIOR.mode[:, None]
    sure = Population.from_logits(np.where(mode, 9.0, 0.0), np.roll(mode, 1, axis=1), coupling=PRIOR.coupling)
    search = cheapest_schedule(sure, **NOISY, **RUN, safety=1.5)
    assert len(schedule_reasons(search)) == 1 and "is met before any training" in said(search)


def test_what_no_schedule_reaches_is_said_with_numbers():
    search = cheapest_schedule(PRIOR, **NOISY, least_accuracy=0.999, **RUN)
    assert search.verdict == "no_plan" and "the strongest of each family" in said(search)
    for one in search.best:
        assert f"{one.family} ({one.calls:,.0f} calls):" in said(search)
        assert f"accuracy ends at {one.accuracy:.2f}" in said(search)
    calm = PRIOR.replace(coupling=CompoundSymmetric(1.0, 0.0))
    short = cheapest_schedule(calm, **NOISY, least_accuracy=0.999, families=("uniform",), **RUN)
    assert "not met within 120 steps, but accuracy ends below what was asked" in said(short)


def test_every_verdict_has_a_headline():
    assert set(HEADLINES) == set(VERDICTS)


def test_the_document_is_the_plain_result_with_its_words(found):
    document = schedule_document(found, settings={}, verifier=NOISY, notes=["a note"], model="m")
    assert list(document) == [
        "schema", "kind", "settings", "verifier", "adaptive_plans_searched", "model", "verdict", "plan", "best",
        "unverified", "theory_share", "theory", "youden", "cost_of_all", "runs", "reasons", "notes",
    ]  # fmt: skip
    assert document["reasons"] == schedule_reasons(found) and document["notes"] == ["a note"]
    for told, one in zip(document["best"], found.best, strict=True):
        assert list(told)[:4] == ["family", "parameter", "rule", "reward"]
        assert set(told) == set(one.as_dict()) | {"rule"} and told["rule"] == schedule_rule(one, found)
    assert document["unverified"]["rule"] == "no verification"


def test_the_voices_are_compared_only_where_the_radius_expects_a_collapse(found):
    at = dataclasses.replace(found.unverified.collapse, step=40)
    assert schedule_notes(found, None, None) == []
    assert schedule_notes(found, dataclasses.replace(at, step=None), 0.3) == [
        "Labels are assumed: on 30% of the prompts the second most frequent answer counts as the truth."
    ]
    (both,) = schedule_notes(found, at, None)
    assert "at step 40" in both and f"at step {found.unverified.collapse.step}" in both
    none = dataclasses.replace(found.unverified.collapse, step=None)
    calm = dataclasses.replace(found, unverified=dataclasses.replace(found.unverified, collapse=none))
    (blind,) = schedule_notes(calm, at, None)
    assert "this mean field none" in blind
