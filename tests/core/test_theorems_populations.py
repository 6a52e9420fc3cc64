"""Theorems of populations (U), external rewards (X) and coupled prompts (C): they hold, they name what is
broken, and their closed forms agree with slow oracles and with `simulate`.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpening import (
    GRPO,
    CompoundSymmetric,
    InputError,
    KLProx,
    LowRankPlusDiagonal,
    NoCoupling,
    Population,
    SequentialTest,
    SoftmaxGradient,
    VerdictStatus,
    certified_plan,
    compare_schedules,
    critical_ratio,
    critical_size,
    earliest_turn,
    get_theorem,
    simulate,
    vote_path,
)
from sharpening.simulation.vote_path import adam_factors
from sharpening.testing import populations
from sharpening.theorems.c7_coexistence import coexistence_point, two_group_drift
from sharpening.theorems.u3_rise_then_fall import grpo_turns, peak_time, signed_law, two_group_peak
from sharpening.verification.closed_form import wrong_answers_before
from sharpening.verification.thresholds import gated_steps

NAMES = [
    "U2",
    "U3",
    "U6",
    "X1",
    "X3",
    "X4",
    "X5",
    "X6",
    "C1",
    "C2",
    "C3",
    "C4",
    "C5",
    "C6",
    "C7",
    "C8",
    "C9",
    "C10",
    "X7",
]


def few_shapes():
    return st.sampled_from([2, 4]).flatmap(
        lambda answers: populations(5, answers, silent=None if answers > 2 else False)
    )


def from_probs(rows, correct=None, **fields):
    with np.errstate(divide="ignore"):
        return Population(
            np.log(np.array(rows, float)), None if correct is None else np.array(correct, bool), **fields
        )


LABELS = [[True, False, False]]
ALIGNED, TIED = from_probs([[0.5, 0.3, 0.2]], LABELS), from_probs([[0.4, 0.4, 0.2]], LABELS)
UNLABELLED, FACE = from_probs([[0.5, 0.3, 0.2]]), from_probs([[0.6, 0.4, 0.0]], LABELS)
SILENT, COUPLED = (
    from_probs([[0.5, 0.3, 0.2]], LABELS, no_answer=2),
    ALIGNED.replace(coupling=CompoundSymmetric(1.0, 0.1)),
)
NEVER = from_probs([[0.0, 0.0, 1.0]], LABELS, no_answer=2)
NEAR = Population.from_logits([[0.0, 1e-13, -1.0]], np.array(LABELS))
TWO_RIGHT = from_probs([[0.5, 0.3, 0.2]], [[True, True, False]])
BROKEN = (
    [(name, UNLABELLED, "labels") for name in ("U2", "U3", "U6", "X1", "X3", "X5", "X6", "X7", "C3", "C6")]
    + [(name, COUPLED, "uncoupled prompts") for name in ("U2", "U3", "U6")]
    + [(name, TIED, "unique mode") for name in ("U3", "X4", "X6", "C1", "C2", "C5", "C6", "C10")]
    + [(name, FACE, "full support") for name in ("C1", "C2", "C3", "C4", "C5", "C6", "C8", "C9")]
    + [(name, SILENT, "always answers") for name in ("X1", "X6", "X7", "C6")]
    + [(name, TWO_RIGHT, "one correct answer") for name in ("X6",)]
    + [(name, NEAR, "resolved mode") for name in ("U3", "U6", "C1", "C2", "C6", "C9", "C10")]
    + [(name, NEVER, "an answer") for name in ("U2", "U6")]
    + [
        ("X1", from_probs([[1.0, 0.0, 0.0]], LABELS), "undecided"),
        ("X3", from_probs([[0.0, 0.5, 0.5]], LABELS), "undecided"),
        ("X7", from_probs([[1.0, 0.0, 0.0]], LABELS), "undecided"),
        ("X6", from_probs([[1.0, 0.0, 0.0]], LABELS), "undecided"),
        ("X4", from_probs([[1.0, 0.0, 0.0]], LABELS), "a rival"),
        ("X5", from_probs([[0.2, 0.4, 0.4]], LABELS), "unique mode"),
        ("X5", ALIGNED, "misaligned"),
        ("X5", from_probs([[0.0, 0.7, 0.3]], LABELS), "reachable truth"),
        ("C4", TIED, "no ties"),
        ("C7", ALIGNED, "two labels"),
        ("C7", from_probs([[0.5, 0.5]]), "unique mode"),
        ("C7", from_probs([[1.0, 0.0]]), "full support"),
        ("C5", from_probs([[0.6, 0.4]], no_answer=1), "a rival"),
    ]
)


class TestTheyHold:
    @pytest.mark.parametrize("name", NAMES)
    @settings(max_examples=12)
    @given(data=st.data())
    def test_on_hard_populations(self, name, data):
        verdict = get_theorem(name).check(
            data.draw(few_shapes()), step_size=data.draw(st.sampled_from([1e-3, 1.0, 20.0]))
        )
        assert verdict.status is not VerdictStatus.FAILS, verdict.witness.sentence

    @pytest.mark.parametrize("name", NAMES)
    def test_sympy_agrees(self, name):
        found = get_theorem(name).verify()
        assert len(found) >= 2 and all(found.values()), [what for what, fine in found.items() if not fine]

    @pytest.mark.parametrize("name, population, assumption", BROKEN)
    def test_a_violated_assumption_is_named(self, name, population, assumption):
        verdict = get_theorem(name).check(population)
        assert verdict.status is VerdictStatus.VIOLATED and verdict.violated == {assumption: 1}


class TestRiseThenFall:
    def test_the_peak_is_where_a_simulation_has_it(self):
        """Aligned prompts at log-odds 1, misaligned ones at 0.2: a KL-prox run in steps of 0.01 peaks within
        a step of the formula.
        """
        odds, aligned = np.array([1.0] * 10 + [0.2] * 6), np.arange(16) < 10
        population = Population.from_logits(
            np.stack([odds / 2, -odds / 2], axis=1), np.stack([aligned, ~aligned], axis=1)
        )
        run = simulate(population, "majority", KLProx(100.0), num_steps=400)
        wanted = float(two_group_peak(1.0, 0.2, 6 / 10))
        assert 0 < wanted < 4 and abs(run["accuracy"].argmax() * 0.01 - wanted) <= 0.011
        assert peak_time(*signed_law(population), population.prompt_weights) == pytest.approx(
            wanted, abs=1e-9
        )

    def test_grpo_can_rise_fall_and_rise_again(self):
        """sinh(L/2) = 1/2 and 0.05, shares 63 to 37: two turns, and a simulation sees both."""
        odds = 2 * np.arcsinh([0.5, 0.05])
        turns = np.sort(grpo_turns(*odds, 37 / 63))
        assert (turns > 0).all()
        aligned = np.array([True, False])
        population = Population.from_logits(
            np.stack([odds / 2, -odds / 2], axis=1),
            np.stack([aligned, ~aligned], axis=1),
            weights=np.array([63.0, 37.0]),
        )
        run = simulate(population, "majority", GRPO(0.02, eps=1e-12), num_steps=500)
        slopes = np.diff(run["accuracy"])
        signs = np.flatnonzero(np.diff(np.sign(slopes)))
        assert np.sign(slopes[[0, -1]]).tolist() == [1, 1] and len(signs) == 2
        np.testing.assert_allclose((signs + 1) * 0.02, turns, atol=0.06)


class TestVerification:
    @pytest.mark.parametrize(
        "tpr, fpr, a, b",
        [(0.9, 0.2, 0.05, 0.1), (0.6, 0.5, 0.2, 0.2), (0.7, 0.0, 0.01, 0.05), (1.0, 0.5, 0.02, 0.3)],
    )
    def test_exact_characteristics_are_those_of_drawn_tests(self, tpr, fpr, a, b):
        """2,000 tests each: the acceptance rate and the mean calls within 5 standard errors (false alarm
        below 1e-5).
        """
        rng, test = np.random.default_rng(0), SequentialTest(tpr, fpr, a, b)
        for right in (True, False):
            drawn = [test.decide(rng.random(3000) < (tpr if right else fpr)) for _ in range(2000)]
            accepted, calls = (np.array([float(one[k]) for one in drawn]) for k in (0, 1))
            found = test.characteristics(right)
            assert (
                abs(accepted.mean() - found.accepted)
                <= 5 * np.sqrt(found.accepted * (1 - found.accepted) / 2000) + 1e-9
            )
            assert abs(calls.mean() - found.calls) <= 5 * calls.std() / np.sqrt(2000) + 1e-9

    @settings(max_examples=25)
    @given(st.floats(0.05, 0.6), st.floats(0.2, 0.39), st.floats(0.005, 0.3), st.floats(0.005, 0.3))
    def test_errors_and_calls_are_within_their_bounds(self, fpr, j, a, b):
        test = SequentialTest(fpr + j, fpr, a, b)
        right, wrong = test.characteristics(True), test.characteristics(False)
        assert wrong.accepted <= a and 1 - right.accepted <= b
        assert test.least_calls(True) - 1e-9 <= right.calls <= test.most_calls(True) + 1e-6
        assert test.least_calls(False) - 1e-9 <= wrong.calls <= test.most_calls(False) + 1e-6

    def test_a_perfect_verifier_needs_one_call(self):
        assert (
            SequentialTest(1.0, 0.0).characteristics(True).calls
            == SequentialTest(1.0, 0.0).characteristics(False).calls
            == 1
        )

    def test_certifying_is_cheap_on_a_pool_and_not_on_fresh_prompts(self):
        prior = Population.synthetic(0, 64, 8, strength=2.0)

        def calls(steps):
            return {one.name: one for one in compare_schedules(prior, 0.9, 0.1, num_steps=steps, error=0.01)}  # noqa: E731

        once, often = calls(2), calls(400)
        assert once["certified"].calls > once["uniform"].calls
        assert often["certified"].calls == once["certified"].calls < often["uniform"].calls / 10
        assert often["certified"].right > 0.97 and often["informed"].calls <= often["all"].calls
        assert often["gated"].calls < often["uniform"].calls
        parameters = {name: one.parameter for name, one in often.items()}
        assert parameters == dict(all=1.0, uniform=5 / 8, gated=0.9, certified=1.0, informed=None)

    def test_plans_count_what_they_should(self):
        population = from_probs([[0.5, 0.3, 0.2], [0.3, 0.5, 0.2], [0.0, 0.5, 0.5]], LABELS * 3)
        assert wrong_answers_before(population).tolist() == [0, 1, np.inf]
        plan = certified_plan(1.0, 0.0, 2.0, [0, 1, 3], num_prompts=30)
        assert (
            plan.calls_per_prompt == pytest.approx((1 + 2 + 4) / 3)
            and plan.right == 1
            and plan.cost == pytest.approx(140)
        )
        assert gated_steps([-2.0, 0.0, 5.0], 0.5, 0.9, 0.4, beta=1.0).tolist() == [4, 0, 0]

    def test_bad_input(self):
        for call in (
            lambda: SequentialTest(0.3, 0.3),
            lambda: SequentialTest(0.9, 0.1, 0.0),
            lambda: certified_plan(0.9, 0.1, 1.0, [-1], num_prompts=1),
            lambda: certified_plan(0.9, 0.1, -1.0, [0], num_prompts=1),
            lambda: certified_plan(0.9, 0.1, 1.0, [0], num_prompts=0),
            lambda: compare_schedules(UNLABELLED, 0.9, 0.1),
            lambda: compare_schedules(TWO_RIGHT, 0.9, 0.1),
            lambda: gated_steps(0.0, 0.3, 0.9, 0.1),
            lambda: gated_steps(0.0, 0.9, 0.1, 0.9),
            lambda: wrong_answers_before(UNLABELLED),
        ):
            with pytest.raises(InputError):
                call()


def euler_turns(population, private, shared, steps, total):
    """Modes after many small Euler steps of the same flow: loops over prompts, nothing of ours."""
    z, weights = population.log_probs.copy(), population.prompt_weights
    for _ in range(steps):
        modes = [int(np.argmax(row)) for row in z]
        share = np.zeros(z.shape[1])
        for mode, weight in zip(modes, weights, strict=True):
            share[mode] += weight
        for x, mode in enumerate(modes):
            z[x] += total / steps * shared * share
            z[x, mode] += total / steps * private
    return np.array([int(np.argmax(row)) for row in z])


class TestMeanField:
    @pytest.mark.parametrize("private", [0.0, 0.05])
    def test_the_path_is_that_of_small_steps(self, private):
        rng = np.random.default_rng(3)
        population = Population.from_logits(rng.standard_normal((12, 4)), weights=rng.random(12))
        path = vote_path(population, private=private, shared=1.0)
        assert len(path.times) > 4
        for index in (1, len(path.times) // 2, len(path.times) - 1):
            after = path.times[index + 1] if index + 1 < len(path.times) else path.times[index] + 1
            time = (path.times[index] + after) / 2
            np.testing.assert_array_equal(
                euler_turns(population, private, 1.0, 4000, time), path.modes[index]
            )
            own, moved = path.at(time)
            np.testing.assert_array_equal(
                (population.log_probs + own + moved).argmax(axis=1), path.modes[index]
            )

    def test_strength_is_only_the_clock(self):
        population = Population.synthetic(1, 64, 6)
        one, ten = (vote_path(population, private=0.0, shared=shared) for shared in (1.0, 10.0))
        np.testing.assert_allclose(one.times, 10 * ten.times, rtol=1e-9)
        np.testing.assert_array_equal(one.modes, ten.modes)

    def test_the_mean_field_depends_on_the_ratio_alone(self):
        """Twice the batch and twice the shared strength at half the steps of time: the same prompts, the same
        end (C2's scaling).
        """
        prior = Population.synthetic(0, 24, 5, strength=1.0)
        curves = []
        for shared, batch, rate in ((2.0, 4, 0.02), (4.0, 8, 0.01)):
            population = prior.replace(coupling=CompoundSymmetric(1.0, shared))
            run = simulate(
                population,
                "majority",
                GRPO(rate),
                num_steps=100,
                method="mean_field",
                prompts_per_step=batch,
                dataset_size=16,
            )
            curves.append(run["train_reward_accuracy"])
        np.testing.assert_allclose(curves[0], curves[1], atol=1e-12)

    def test_critical_size(self):
        modes = np.array([0] * 5 + [1] * 3)
        population = Population.from_logits(2.0 * np.eye(3)[modes])
        assert critical_ratio(population) == pytest.approx(4.0)
        assert critical_size(population, 1.0, 0.5, 64) == pytest.approx(4 * 64 / 0.5)
        assert critical_ratio(population.select(slice(3, 7))) == np.inf
        assert (
            earliest_turn(population).tolist() == pytest.approx([2.0] * 8)
            and earliest_turn(population, 0)[0] == 0
        )
        for call in (
            lambda: critical_ratio(TIED),
            lambda: vote_path(TIED),
            lambda: critical_size(population, 1.0, 0.0, 64),
            lambda: vote_path(Population.synthetic(0, 50, 9), private=0.0, shared=1.0, max_events=2),
        ):
            with pytest.raises(InputError):
                call()

    @pytest.mark.parametrize("power", [1.0, 2.0])
    def test_two_groups_end_where_the_drift_says(self, power):
        """Euler steps of the drift from u = 0: answer 1 takes all iff the odds exceed cosh(half the
        margins)^power, else u stops at u*.
        """
        for share, first, second in ((0.6, 1.5, 2.0), (0.9, 0.5, 0.7), (0.8, 3.0, 3.0), (0.97, 1.0, 1.5)):
            u = 0.0
            for _ in range(20_000):
                u += 0.01 * float(two_group_drift(share, first, second, u, 1.0, power))
            stays = coexistence_point(share, first, second, power)
            assert (
                (share / (1 - share) > np.cosh((first + second) / 2) ** power)
                == np.isnan(stays)
                == (u > second)
            )
            if np.isfinite(stays):
                assert u == pytest.approx(float(stays), abs=1e-3)

    def test_one_peak_is_unstable_and_two_are_stable_under_grpo(self):
        grid = np.linspace(-30, 30, 60001)
        push = lambda d: np.sign(d) / np.cosh(d / 2)  # noqa: E731
        drift = lambda density, u: float((density / density.sum()) @ push(grid + u))  # noqa: E731
        normal = lambda centre: np.exp(-((grid - centre) ** 2) / 2)  # noqa: E731
        assert drift(normal(0), 0.1) > 1e-3
        assert drift(normal(-4) + normal(4), 0.1) < -1e-3


class TestKernels:
    def test_strategies_with_one_label_each_are_compound_symmetry(self):
        prior = Population.synthetic(0, 32, 5)
        kernel = LowRankPlusDiagonal.strategies(np.tile(np.arange(5), (32, 1)), private=0.7, shared=1.9)
        assert kernel.shared == pytest.approx(1.9) and kernel.for_batch(4).private == pytest.approx(0.175)
        runs = [
            simulate(
                prior.replace(coupling=one),
                "majority",
                GRPO(0.5),
                num_steps=6,
                method="sampled",
                prompts_per_step=8,
                dataset_size=20,
                key=1,
            )
            for one in (CompoundSymmetric(0.7, 1.9), kernel)
        ]
        for name in runs[0].metrics:
            np.testing.assert_allclose(runs[0][name], runs[1][name], atol=1e-12, err_msg=name)

    def test_mix_is_the_dense_kernel(self):
        rng = np.random.default_rng(0)
        kernel, directions = (
            LowRankPlusDiagonal(rng.standard_normal((4, 3, 2)), 0.4),
            rng.standard_normal((4, 3)),
        )
        dv, theta = kernel.mix(directions)
        found = np.asarray(dv) / 4 + np.asarray(kernel.reach(theta))
        np.testing.assert_allclose(found.reshape(-1), kernel.dense() @ directions.reshape(-1) / 4)
        part, theta = kernel.mix(directions[2:], np.array([1.0, 3.0]), np.array([2, 3]))
        by_hand = (
            sum(w * np.einsum("ar,a->r", kernel.features[x], directions[x]) for x, w in ((2, 1.0), (3, 3.0)))
            / 4
        )
        np.testing.assert_allclose(theta, by_hand)
        np.testing.assert_allclose(part, 0.4 * directions[2:])

    def test_projections_keep_the_kernel_better_the_more_dimensions(self):
        kernel = LowRankPlusDiagonal(np.random.default_rng(1).standard_normal((6, 4, 200)), 0.0)
        dense = kernel.dense()
        errors = [np.sqrt(np.mean((kernel.project(k).dense() - dense) ** 2)) for k in (16, 256, 4096)]
        np.testing.assert_allclose(np.diff(np.log(errors)) / np.log(16), -0.5, atol=0.1)

    def test_a_wrong_rule_kills_with_all_answers_distinct_and_a_right_one_corrects(self):
        rng, rows = np.random.default_rng(0), np.arange(12)
        # right; the prompt's own subject; one word for all
        answers = np.column_stack([rows, 12 + rows, np.full(12, 24)])
        for leader, accuracy, distinct in ((0, 1.0, 12), (1, 0.0, 12), (2, 0.0, 1)):
            logits = np.full((12, 25), -np.inf)
            logits[rows[:, None], answers] = 1.5 * np.eye(3)[leader] + rng.standard_normal((12, 3))
            kernel = LowRankPlusDiagonal.strategies(answers, private=0.05, shared=2.0, num_answers=25)
            population = Population.from_logits(logits, np.arange(25) == rows[:, None], coupling=kernel)
            run = simulate(population, "majority", GRPO(0.5), num_steps=200, eval_every=200)
            assert (
                run["accuracy"][-1] == pytest.approx(accuracy, abs=0.02)
                and run["distinct_answers"][-1] == distinct
            )

    def test_bad_kernels(self):
        for call in (
            lambda: LowRankPlusDiagonal(np.zeros((2, 3))),
            lambda: LowRankPlusDiagonal(np.full((2, 3, 1), np.nan)),
            lambda: LowRankPlusDiagonal(np.zeros((2, 3, 1)), -1.0),
            lambda: LowRankPlusDiagonal.strategies([[0, 0]]),
            lambda: LowRankPlusDiagonal.strategies([[0, 5]], num_answers=3),
            lambda: LowRankPlusDiagonal(np.zeros((2, 3, 1))).project(0),
        ):
            with pytest.raises(InputError):
                call()


class TestAdam:
    def test_simulate_follows_the_factors(self):
        """One prompt, two answers, softmax gradient: logit p moves by rate * factor * 2p(1-p) a step."""
        start = Population.from_logits([[0.5, -0.5]], coupling=NoCoupling())
        run = simulate(start, "majority", SoftmaxGradient(0.5), num_steps=60, optimizer="adam")
        logit, squares = 1.0, []
        for _ in range(60):
            p = 1 / (1 + np.exp(-logit))
            squares.append((p * (1 - p)) ** 2)
            logit += 0.5 * adam_factors(np.array(squares))[-1] * 2 * p * (1 - p)
        assert np.log(run["majority_ratio"][-1] / (1 - run["majority_ratio"][-1])) == pytest.approx(
            logit, abs=1e-9
        )

    def test_adam_goes_on_where_sgd_stops(self):
        decay = 0.99 ** np.arange(4000)
        sgd, adam = decay.sum(), (adam_factors(decay**2, 0.9) * decay).sum()
        assert sgd < 1 / (1 - 0.99) and adam > 30 * sgd
