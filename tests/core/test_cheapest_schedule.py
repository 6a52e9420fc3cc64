"""The cheapest verification schedule: runs against slow loops and drawn groups, then laws of the search."""

import dataclasses
import math

import numpy as np
import pytest

from sharpening import (
    GRPO,
    CompoundSymmetric,
    InputError,
    LowRankPlusDiagonal,
    NoCoupling,
    Population,
    Trajectory,
    TrajectoryEntropyReward,
    certified_plan,
    cheapest_schedule,
    collapse_step,
    get_reward,
    simulate,
)
from sharpening.verification.closed_form import wrong_answers_before
from sharpening.verification.run import FAMILIES, ScheduledRun, certified_labels, reward_spec, run_schedule
from sharpening.verification.search import assume_labels

PRIOR = Population.synthetic(3, 96, 10, strength=2.0, coupling=CompoundSymmetric(1.0, 1.0))
RUN = dict(learning_rate=4.0, num_steps=120, prompts_per_step=8, rollouts=4)
NOISY = dict(tpr=0.9, fpr=0.1)
EPS = 1e-4


@pytest.fixture(scope="module")
def noisy_search():
    return cheapest_schedule(PRIOR, **NOISY, cost=0.5, **RUN)


def softmax(row):
    masses = [math.exp(value - max(row)) for value in row]
    return [mass / sum(masses) for mass in masses]


def direction(p, correct, silent, share, tpr, fpr):
    """GRPO's mean update of one prompt whose rollouts are verified with probability `share`, rewards 0 or 1:
    loops, nothing of ours.
    """
    voting = [a for a in range(len(p)) if a != silent]
    leader = max(voting, key=lambda a: p[a])
    means = []
    for a in range(len(p)):
        verdict = 0.0 if a == silent else tpr if correct[a] else fpr
        means.append(share * verdict + (1 - share) * (a == leader))
    mean = sum(p[a] * means[a] for a in range(len(p)))
    std = math.sqrt(max(mean * (1 - mean), 0.0))
    return [p[a] * (means[a] - mean) / (std + EPS) if std > 0 else 0.0 for a in range(len(p))]


def label_direction(p, law):
    """The same for a certified prompt: the mean over its label of GRPO's update on the reward 1[answer =
    label].
    """
    total = [0.0] * len(p)
    for label, chance in enumerate(law):
        std = math.sqrt(p[label] * (1 - p[label]))
        for a in range(len(p)):
            total[a] += chance * p[a] * ((a == label) - p[label]) / (std + EPS)
    return total


def slow_run(
    population,
    family,
    x,
    tpr,
    fpr,
    *,
    learning_rate,
    num_steps,
    prompts_per_step,
    rollouts,
    dataset_size=None,
    chosen=None,
    law=None,
):
    """(final accuracy, calls) of the mean field, one prompt and one answer at a time."""
    weights, start = population.prompt_weights.tolist(), population.log_probs.tolist()
    kernel, shared, strength = population.coupling, [0.0] * population.num_answers, 0.4
    own = [[0.0] * population.num_answers for _ in start]
    verified = 0.0
    now = lambda i: softmax([z + v + u for z, v, u in zip(start[i], own[i], shared, strict=True)])  # noqa: E731
    for step in range(num_steps):
        moves = []
        for i, weight in enumerate(weights):
            p, correct = now(i), population.correct[i]
            top = max(p[a] for a in range(len(p)) if a != population.no_answer)
            share = {
                "uniform": x,
                "periodic": float(step % x == 0) if family == "periodic" else 0,
                "gated": float(top < x),
                "certified": 0.0,
            }[family]
            whole = math.floor(share * rollouts + 1e-9)
            part = share * rollouts - whole
            some = [
                direction(p, correct, population.no_answer, min(count / rollouts, 1), tpr, fpr)
                for count in (whole, whole + 1)
            ]
            move = [(1 - part) * a + part * b for a, b in zip(*some, strict=True)]
            if family == "certified":
                move = [
                    chosen[i] * b + (1 - chosen[i]) * a
                    for a, b in zip(move, label_direction(p, law[i]), strict=True)
                ]
            moves.append(move)
            verified += weight * share
        for i, weight in enumerate(weights):
            for a in range(population.num_answers):
                shared[a] += learning_rate * strength * weight * moves[i][a]
                if dataset_size is not None:
                    visits = prompts_per_step * weight * len(weights) / dataset_size
                    own[i][a] += learning_rate * kernel.private * visits * moves[i][a]
    accuracy = sum(
        w * sum(p for p, right in zip(now(i), population.correct[i], strict=True) if right)
        for i, w in enumerate(weights)
    )
    return accuracy, verified * prompts_per_step * rollouts


class TestRuns:
    @pytest.mark.parametrize("family, x, dataset_size", [
        ("uniform", 0.45, None), ("periodic", 3, 30), ("gated", 0.55, 30), ("certified", 0.37, None),
    ])  # fmt: skip
    def test_are_those_of_slow_loops(self, family, x, dataset_size):
        rng = np.random.default_rng(1)
        logits = 1.5 * rng.standard_normal((9, 4))
        correct = (
            np.arange(4) == np.argsort(-logits[:, :3], axis=1)[np.arange(9), rng.integers(0, 3, 9)][:, None]
        )
        weights = rng.uniform(0.5, 1.5, 9)
        population = Population.from_logits(
            logits, correct, weights=weights, no_answer=3, coupling=CompoundSymmetric(0.7, 0.4)
        )
        if family == "periodic":  # strategies that all give the same labels couple as labels do
            same = LowRankPlusDiagonal.strategies(np.tile(np.arange(4), (9, 1)), private=0.7, shared=0.4)
            population = population.replace(coupling=same)
        run = dict(learning_rate=0.9, num_steps=7, prompts_per_step=5, rollouts=4, dataset_size=dataset_size)
        found = run_schedule(population, family, x, tpr=0.8, fpr=0.3, **run)
        extra = {}
        if family == "certified":
            law, calls = certified_labels(population, 0.8, 0.3)
            whole = run_schedule(population, family, 1.0, tpr=0.8, fpr=0.3, **run)
            distinct = 35 if dataset_size is None else dataset_size
            assert whole.calls == pytest.approx(distinct * population.prompt_weights @ calls)
            order, left, chosen = np.random.default_rng(0).permutation(9), x, np.zeros(9)
            for i in order:
                chosen[i] = min(1.0, left / population.prompt_weights[i])
                left -= chosen[i] * population.prompt_weights[i]
            extra = dict(chosen=chosen, law=law)
            assert found.calls == pytest.approx(distinct * (population.prompt_weights * chosen) @ calls)
        accuracy, calls = slow_run(population, family, x, 0.8, 0.3, **run, **extra)
        assert found.trajectory["accuracy"][-1] == pytest.approx(accuracy, abs=1e-9)
        assert abs(accuracy - population.accuracy) > 0.005
        if family != "certified":
            assert found.calls == pytest.approx(calls)

    def test_the_direction_of_the_loops_is_that_of_drawn_groups(self):
        """One group of 400,000 rollouts with drawn verdicts: within 5 standard errors of the law of its means
        (false alarm below 1e-4).
        """
        rng, rollouts = np.random.default_rng(0), 400_000
        p, correct = np.array([0.5, 0.3, 0.15, 0.05]), np.array([False, True, False, False])
        answers = rng.choice(4, rollouts, p=p)
        verdicts = rng.random(rollouts) < np.where(answers == 3, 0.0, np.where(correct[answers], 0.7, 0.4))
        rewards = np.where(rng.random(rollouts) < 0.6, verdicts, answers == 0).astype(float)
        advantages = (rewards - rewards.mean()) / (rewards.std() + EPS)
        terms = advantages[:, None] * (np.eye(4)[answers] - p)
        found = direction(p.tolist(), correct.tolist(), 3, 0.6, 0.7, 0.4)
        assert (np.abs(terms.mean(axis=0) - found) < 5 * terms.std(axis=0) / math.sqrt(rollouts)).all()

    @pytest.mark.parametrize("family, x", [("gated", 0.6)])
    def test_without_noise_they_are_those_of_the_registered_reward(self, family, x):
        """A perfect verifier, whole groups: nothing is random but the answers."""
        found = run_schedule(PRIOR, family, x, tpr=1.0, fpr=0.0, **RUN).trajectory
        spec = reward_spec(family, x, tpr=1.0, fpr=0.0)
        plain = simulate(PRIOR, spec, GRPO(4.0), num_steps=120, method="mean_field")
        for name, values in found.metrics.items():
            np.testing.assert_allclose(values, plain[name], atol=1e-6, err_msg=name)

    def test_calls_of_the_fixed_families(self):
        calls = lambda family, x: run_schedule(PRIOR, family, x, **NOISY, **RUN).calls  # noqa: E731
        assert calls("uniform", 0.25) == pytest.approx(0.25 * 120 * 8 * 4)
        assert calls("periodic", 7) == pytest.approx(math.ceil(120 / 7) * 8 * 4)
        assert calls("gated", 1.0) == pytest.approx(120 * 8 * 4) and calls("gated", 0.0) == 0
        plan = certified_plan(0.9, 0.1, 1.0, wrong_answers_before(PRIOR), num_prompts=120 * 8)
        assert calls("certified", 1.0) == pytest.approx(plan.calls)

    def test_labels_are_right_as_often_as_the_plan_says(self):
        law, _ = certified_labels(PRIOR, 0.9, 0.1)
        assert (law >= 0).all() and law.sum(axis=1).max() <= 1 + 1e-12
        right = float((law * PRIOR.correct).sum(axis=1).mean())
        assert right == pytest.approx(
            certified_plan(0.9, 0.1, 1.0, wrong_answers_before(PRIOR), num_prompts=1).right
        )


class TestSearch:
    def test_the_plan_holds_and_a_cheaper_one_of_its_family_does_not(self, noisy_search):
        assert noisy_search.verdict == "plan" and noisy_search.unverified.collapse.step is not None
        assert [
            one.family for one in noisy_search.best if one.works
        ] and noisy_search.plan is noisy_search.best[0]
        for one in noisy_search.best:
            run = run_schedule(PRIOR, one.family, one.parameter, **NOISY, **RUN)
            assert run.calls == one.calls and run.trajectory["accuracy"][-1] == one.accuracy
            assert one.works
            if one.at_bound:
                continue
            assert self._fails(*self._cheaper(one))

    @staticmethod
    def _cheaper(one):
        """A fifth cheaper, in its own family."""
        x = math.ceil(one.parameter / 0.8) if one.family == "periodic" else 0.8 * one.parameter
        while (
            run_schedule(PRIOR, one.family, x, **NOISY, **RUN).calls < 0.75 * one.calls
            and one.family == "gated"
        ):
            x += 0.01
        return one.family, x

    @staticmethod
    def _fails(family, x):
        trajectory = run_schedule(PRIOR, family, x, **NOISY, **RUN).trajectory
        return (
            collapse_step(trajectory).step is not None or trajectory["accuracy"][-1] < PRIOR.accuracy - 0.03
        )

    def test_cost_is_linear_in_the_cost_of_a_call(self, noisy_search):
        dearer = cheapest_schedule(PRIOR, **NOISY, cost=5.0, **RUN)
        assert [one.cost for one in dearer.best] == pytest.approx(
            [10 * one.cost for one in noisy_search.best]
        )
        assert [one.calls for one in dearer.best] == [one.calls for one in noisy_search.best]
        assert dearer.cost_of_all == pytest.approx(5.0 * 120 * 8 * 4) and dearer.plan.cost == pytest.approx(
            5.0 * dearer.plan.calls
        )

    def test_a_better_verifier_never_costs_more_where_accuracy_is_kept(self):
        """Within the 2 % to which a parameter is found."""
        rates = [(1.0, 0.0), (0.8, 0.2), (0.6, 0.45)]
        costs = [
            cheapest_schedule(PRIOR, tpr=tpr, fpr=fpr, least_accuracy=PRIOR.accuracy, **RUN).plan.cost
            for tpr, fpr in rates
        ]
        assert all(better <= 1.02 * worse for better, worse in zip(costs, costs[1:], strict=False)), costs
        assert costs[0] < 0.7 * costs[-1]

    def test_but_a_worse_one_may_cost_less_where_only_the_criterion_counts(self):
        """The noise of its verdicts is in the group's std, so it silences the prompts that it is asked about:
        a brake, not a rescue.
        """

        def gated(tpr, fpr):
            return cheapest_schedule(
                PRIOR, tpr=tpr, fpr=fpr, least_accuracy=0.0, families=("gated",), **RUN
            ).plan  # noqa: E731

        better, worse = gated(1.0, 0.0), gated(0.6, 0.45)
        assert worse.calls < 0.5 * better.calls and worse.works and worse.accuracy < PRIOR.accuracy

    @pytest.mark.parametrize("tpr, fpr", [(1.0, 0.0), (0.8, 0.2)])
    def test_prompts_on_their_own_need_the_share_of_theory(self, tpr, fpr):
        """Two answers, all modes wrong, no coupling: accuracy rises iff the share exceeds 1/(1+J) (theorem X2,
        X5).
        """
        mode = np.linspace(0.52, 0.9, 12)
        sides = np.arange(12)[:, None] % 2 == np.arange(2)
        probs = np.where(sides, mode[:, None], 1 - mode[:, None])
        alone = Population(np.log(probs), ~sides, coupling=NoCoupling(1.0))
        run = dict(
            learning_rate=1.0, num_steps=60, prompts_per_step=12, dataset_size=12, criterion="accuracy_peak"
        )
        found = cheapest_schedule(
            alone, tpr=tpr, fpr=fpr, least_accuracy=alone.accuracy, families=("uniform",), **run
        )
        exact = 1 / (1 + tpr - fpr)
        assert found.verdict == "plan" and found.theory_share == pytest.approx(exact)
        assert found.theory.works and found.theory.accuracy > alone.accuracy
        assert exact <= found.plan.parameter <= exact * 1.025

    def test_no_use_for_a_useless_verifier(self):
        for tpr, fpr in ((0.5, 0.5), (0.2, 0.6)):
            found = cheapest_schedule(PRIOR, tpr=tpr, fpr=fpr, **RUN)
            assert (
                found.verdict == "useless_verifier"
                and found.plan is None
                and found.theory is None
                and not found.best
            )
            assert found.youden == pytest.approx(tpr - fpr) and found.unverified.collapse.step is not None

    def test_none_is_needed_where_nothing_couples_the_prompts(self):
        found = cheapest_schedule(PRIOR.replace(coupling=CompoundSymmetric(1.0, 0.0)), **NOISY, **RUN)
        assert (
            found.verdict == "not_needed"
            and found.plan.calls == found.plan.cost == 0
            and found.plan.family == "none"
        )
        assert found.plan is found.unverified and found.plan.parameter is None

    def test_nothing_to_lose_is_no_signal(self):
        wrong = np.arange(10) == (PRIOR.mode[:, None] + 1) % 10
        sure = Population.from_logits(
            np.where(np.arange(10) == PRIOR.mode[:, None], 9.0, 0.0), wrong, coupling=PRIOR.coupling
        )
        found = cheapest_schedule(sure, **NOISY, **RUN)
        assert found.verdict == "no_signal" and found.plan is None and not found.best

    def test_where_no_schedule_is_enough_the_strongest_are_given(self):
        found = cheapest_schedule(PRIOR, **NOISY, least_accuracy=0.999, **RUN)
        assert found.verdict == "no_plan" and found.plan is None and not any(one.works for one in found.best)
        assert {one.family for one in found.best} == set(FAMILIES)
        assert all(one.at_bound and one.accuracy < 0.999 for one in found.best)

    def test_asking_for_more_accuracy_costs_more(self, noisy_search):
        uniform = dict(cost=0.5, families=("uniform",)) | NOISY | RUN
        asked, alone = (
            cheapest_schedule(PRIOR, least_accuracy=least, **uniform) for least in (PRIOR.accuracy, 0.0)
        )
        between = next(one for one in noisy_search.best if one.family == "uniform")
        assert alone.plan.cost < between.cost < asked.plan.cost
        assert (
            asked.plan.accuracy
            >= PRIOR.accuracy
            > between.accuracy
            >= PRIOR.accuracy - 0.03
            > alone.plan.accuracy
        )

    @pytest.mark.parametrize("works, parameter, monotone", [
        (lambda x: x > 0.3, 0.3, True), (lambda x: 0.3 < x < 0.5 or x > 0.7, 0.3, False), (lambda x: x > 0.97, 0.97, True),
        (lambda x: x > 0, 0.0, True),
    ])  # fmt: skip
    def test_finds_the_edge_and_says_if_there_are_several(self, monkeypatch, works, parameter, monotone):
        def made_up(population, family, x, **_):
            fate = [0.8] * 3 if works(x) else [0.8, 0.1, 0.1]
            return ScheduledRun(
                Trajectory([0, 1, 2], {"reward_accuracy": fate, "accuracy": fate}, floor=0.1), 100 * x
            )

        monkeypatch.setattr("sharpening.verification.search.run_schedule", made_up)
        found = cheapest_schedule(PRIOR, **NOISY, **RUN, families=("uniform",))
        assert parameter < found.plan.parameter <= max(1.02 * parameter, parameter + 1e-3) + 1e-9
        assert found.plan.monotone is monotone and found.plan.at_bound is (parameter == 0.0)

    def test_safety_asks_for_the_worst_learning_rate(self, noisy_search):
        safe = cheapest_schedule(PRIOR, **NOISY, cost=0.5, safety=1.5, families=("uniform",), **RUN)
        plain = next(one for one in noisy_search.best if one.family == "uniform")
        ends = [run_schedule(PRIOR, "uniform", safe.plan.parameter, **NOISY, **(RUN | dict(learning_rate=4 * 1.5**power))).trajectory
                for power in (-1, -0.5, 0, 0.5, 1)]  # fmt: skip
        assert (
            min(one["accuracy"][-1] for one in ends) == pytest.approx(safe.plan.accuracy)
            and safe.plan.accuracy >= PRIOR.accuracy - 0.03
        )
        assert all(collapse_step(one).step is None for one in ends) and safe.plan.cost >= 0.98 * plain.cost
        assert safe.safety == 1.5 and safe.runs % 5 == 0

    def test_plain_data(self, noisy_search):
        import json

        document = json.loads(json.dumps(noisy_search.as_dict()))
        assert document["plan"]["collapse"]["outcome"] == "censored" and len(document["best"]) == 4
        assert document["theory"]["parameter"] > document["theory_share"]
        asked = {name: document[name] for name in ("intrinsic", "rollouts", "error", "safety")}
        assert asked == dict(intrinsic="majority", rollouts=4, error=0.05, safety=1.0)

    @pytest.mark.parametrize("reward", ["trajectory-entropy", TrajectoryEntropyReward()])
    def test_results_hold_codes_and_no_sentences(self, reward):
        """Words for people are made by whoever shows a result."""
        found = cheapest_schedule(PRIOR, **NOISY, **RUN, reward=reward, families=("uniform",)).as_dict()
        schedules = [found["plan"], found["unverified"], found["theory"], *found["best"]]
        for one in filter(None, schedules):
            assert one["reward"] is None or get_reward(one["reward"]).spec == one["reward"]
        named = [one | {"reward": None} for one in filter(None, schedules)]
        texts = [
            text for one in (found, *named, *(one["collapse"] for one in named)) for text in one.values()
        ]
        texts = [text for text in texts if isinstance(text, str)]
        assert "trajectory-entropy" in texts and not [text for text in texts if " " in text]

    def test_shown_in_python_with_all_that_was_found(self, noisy_search):
        shown = repr(noisy_search)
        assert shown.startswith("ScheduleSearch(verdict='plan'")
        assert f"family={noisy_search.plan.family!r}, parameter={noisy_search.plan.parameter!r}" in shown

    @pytest.mark.parametrize("changes, named", [
        (dict(tpr=1.2), "tpr"), (dict(cost=-1.0), "cost"), (dict(criterion="vibes"), "criterion"), (dict(criterion="loss_spike"), "criterion"),
        (dict(reward="true"), "reward"), (dict(families=()), "families"), (dict(families=("magic",)), "families"),
        (dict(least_accuracy=2.0), "least_accuracy"), (dict(dataset_size=0), "dataset_size"), (dict(num_steps=0), "num_steps"),
        (dict(optimizer="lion"), "optimizer"), (dict(safety=0.5), "safety"), (dict(error=0.7), "error"), (dict(learning_rate=-1.0), "learning_rate"),
    ])  # fmt: skip
    def test_bad_input(self, changes, named):
        with pytest.raises(InputError) as caught:
            cheapest_schedule(PRIOR, **(NOISY | RUN | changes))
        assert caught.value.argument == named

    @pytest.mark.parametrize(
        "family, x, named",
        [
            ("magic", 0.5, "family"),
            ("uniform", 1.5, "parameter"),
            ("periodic", 0.5, "parameter"),
            ("periodic", 0, "parameter"),
        ],
    )
    def test_bad_parameters(self, family, x, named):
        with pytest.raises(InputError) as caught:
            run_schedule(PRIOR, family, x, **NOISY, **RUN)
        assert caught.value.argument == named

    def test_labels_are_needed(self):
        with pytest.raises(InputError, match="assume_labels"):
            cheapest_schedule(PRIOR.replace(correct=None), **NOISY, **RUN)


class TestAssumedLabels:
    @pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
    def test_the_share_of_wrong_modes_is_as_said(self, share):
        made = assume_labels(PRIOR.replace(correct=None), share)
        assert made.alignment == pytest.approx(1 - share, abs=0.5 / 96 + 1e-12)
        assert (made.correct.sum(axis=1) == 1).all()
        ranks = np.argsort(np.argsort(-made.log_probs, axis=1), axis=1)[made.correct]
        assert set(ranks) <= {0, 1}

    def test_wrong_ones_are_as_confident_as_the_others(self):
        made = assume_labels(PRIOR, 0.25)
        wrong = made.margin < 0
        order = np.argsort(-made.log_probs.max(axis=1))
        assert all(wrong[order[start : start + 16]].sum() == 4 for start in range(0, 96, 16))

    def test_bad_input(self):
        one = Population(np.log([[1.0 - 1e-12, 1e-12]]))
        sure = dataclasses.replace(one, no_answer=1)
        for bad in (lambda: assume_labels(PRIOR, 1.5), lambda: assume_labels(sure, 1.0)):
            with pytest.raises(InputError, match="wrong_modes"):
                bad()
