"""Draws and settings of a simulation, spelled out: inverse CDFs by hand, one refusal at a time, what the plan says."""

import itertools
import warnings
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sharpening import (
    GRPO,
    CompoundSymmetric,
    InputError,
    KLProx,
    LowRankPlusDiagonal,
    NoCoupling,
    Population,
    get_reward,
)
from sharpening.simulation.plan import Sizes
from sharpening.simulation.run import as_reward
from sharpening.simulation.sampling import draw_prompts, epoch_schedule, sample_answers, sample_columns
from sharpening.simulation.settings import Settings, plain_settings

MASSES = {  # sixteenths, so that sums are exact: zeros first, last, between; one column; more than 64
    "one": [16],
    "zeros": [0, 3, 0, 0, 5, 8, 0],
    "square": [1, 2, 3, 4, 0, 1, 2, 2, 1],
    "many": [0] * 30 + [5, 0, 3] + [0] * 40 + [1, 6, 1] + [0] * 20,
}
UNIFORM = np.concatenate([np.arange(32) / 32, [1 - 2.0**-53]])


def by_hand(masses, uniform):
    """The first column whose cumulative mass exceeds uniform * total; the last possible one at the very end."""
    total, reached = sum(masses), list(itertools.accumulate(masses))
    thresholds = [min(u * total, total * (1 - 2.0**-52)) for u in uniform]
    return [next(at for at, mass in enumerate(reached) if mass > threshold) for threshold in thresholds]


@pytest.mark.parametrize("name", MASSES)
@pytest.mark.parametrize("xp", [np, jnp], ids=["numpy", "jax"])
def test_draws_are_the_inverse_of_the_distribution(name, xp):
    masses = np.array([MASSES[name], MASSES[name][::-1]], float) / 16 * np.array([[1.0], [3.0]])
    found = sample_columns(xp.asarray(np.stack([UNIFORM, UNIFORM])), xp.asarray(masses))
    assert [row.tolist() for row in found] == [by_hand(row, UNIFORM) for row in masses]
    assert (np.take_along_axis(masses, np.asarray(found), 1) > 0).all()
    with np.errstate(divide="ignore"):
        again = sample_answers(xp.asarray(UNIFORM[None, :32] + 1 / 64), xp.asarray(np.log(masses[:1])))
    assert again[0].tolist() == by_hand(masses[0], UNIFORM[:32] + 1 / 64)


def test_rounding_never_draws_an_impossible_answer():
    """The largest uniform number of float32, where sums of blocks and of their columns differ by a rounding."""
    masses = np.random.default_rng(0).random((20_000, 9), dtype=np.float32) ** 4
    masses[:, 5:] = 0
    found = sample_columns(np.full((20_000, 1), 1 - 2.0**-24, np.float32), masses)
    assert (np.take_along_axis(masses, found, 1) > 0).all()


def test_epochs_are_shuffles_laid_end_to_end():
    words, rng = np.array([3, 9], np.uint32), np.random.default_rng(np.array([3, 9], np.uint32))
    for prompts, steps, size in ((6, 4, 3), (5, 7, 3), (4, 2, 4), (3, 5, 4)):
        rng = np.random.default_rng(words)
        whole = np.concatenate([rng.permutation(prompts) for _ in range(steps * size)])[: steps * size]
        found = epoch_schedule(words, prompts, steps, size)
        assert found.dtype == np.int32 and found.tolist() == whole.reshape(steps, size).tolist()


POPULATION = Population.synthetic(0, num_prompts=6, num_answers=3)
WEIGHTS = jnp.asarray([1.0, 0.0, 2.0, 1.0, 3.0, 1.0])
ASKED = Population.from_logits(np.zeros((6, 3)), np.eye(3)[[0] * 6] > 0, questions=[0, 0, 1, 1, 2, 2])
MAJORITY = get_reward("majority")


@dataclass(frozen=True)
class Holds:
    """A record with a record inside."""

    update: object
    number: int


def planned(**settings):
    return Settings(3, **settings).plan(POPULATION, MAJORITY, GRPO(1.0))


class TestPrompts:
    def test_without_sampling_all_trained_prompts_come_with_their_weights(self):
        everyone, weights, numbers = draw_prompts(planned(), WEIGHTS, None, 0, jax.random.key(0))
        assert everyone == slice(0, 6) and weights.tolist() == WEIGHTS.tolist() and numbers is None
        few, weights, _ = draw_prompts(planned(dataset_size=4), WEIGHTS, None, 0, jax.random.key(0))
        assert few == slice(0, 4) and weights.tolist() == [1, 0, 2, 1]
        sizes = Sizes(trained=3, asked=None)
        _, weights, _ = draw_prompts(planned(dataset_size=4), WEIGHTS, None, 0, jax.random.key(0), sizes)
        assert weights.tolist() == [1, 0, 2, 0]

    @pytest.mark.parametrize("step", [0, 2])
    def test_each_step_has_its_own_row_of_numbers_for_a_prompt(self, step):
        plan = planned(method="sampled", prompts_per_step=5, rollouts=2)
        index, weights, numbers = draw_prompts(plan, WEIGHTS, None, step, jax.random.key(7))
        drawn = jax.random.uniform(jax.random.fold_in(jax.random.key(7), step + 1), (5, 3), WEIGHTS.dtype)
        assert weights is None and numbers.tolist() == drawn[:, 1:].tolist()
        assert index.tolist() == by_hand(WEIGHTS.tolist(), drawn[:, 0].tolist()) and index.dtype == jnp.int32
        schedule = jnp.asarray([[0, 1, 2, 3, 4], [5] * 5, [3] * 5], dtype=jnp.int32)
        kept, weights, same = draw_prompts(
            plan, WEIGHTS, schedule, step, jax.random.key(7), Sizes(trained=None, asked=4)
        )
        assert kept.tolist() == schedule[step].tolist() and same.tolist() == numbers.tolist()
        assert weights.tolist() == [1, 1, 1, 1, 0]

    def test_questions_are_drawn_and_each_comes_with_all_its_wordings(self):
        settings = Settings(3, method="sampled", prompts_per_step=4, rollouts=2)
        plan = settings.plan(ASKED, get_reward("rephrased-majority"), GRPO(1.0))
        index, _, numbers = draw_prompts(plan, WEIGHTS, None, 1, jax.random.key(3))
        drawn = jax.random.uniform(jax.random.fold_in(jax.random.key(3), 2), (4, 3), WEIGHTS.dtype)
        questions = by_hand([1.0, 3.0, 4.0], drawn[:2, 0].tolist())
        assert index.tolist() == [2 * question + wording for question in questions for wording in (0, 1)]
        assert numbers.tolist() == drawn[:, 1:].tolist()


class TestSettings:
    @pytest.mark.parametrize(
        "name, least", [("num_steps", 1), ("prompts_per_step", 1), ("rollouts", 2), ("eval_every", 1)]
    )
    def test_counts_are_integers_from_a_least_one_on(self, name, least):
        given = {"num_steps": 5} | {name: np.int64(least)}
        assert type(getattr(Settings(**given), name)) is int
        for bad in (least - 1, True, float(least + 1), str(least)):
            with pytest.raises(InputError, match=name):
                Settings(**{"num_steps": 5} | {name: bad})

    @pytest.mark.parametrize("name", ["method", "optimizer", "precision"])
    def test_names_are_known_ones(self, name):
        with pytest.raises(InputError, match=name):
            Settings(5, **{name: "no such"})

    def test_a_temperature_is_a_float_and_needs_a_gradient_of_logits(self):
        assert type(Settings(5, temperature=2).temperature) is float
        Settings(5, temperature=2).check(POPULATION, MAJORITY, GRPO(1.0))
        Settings(5).check(POPULATION, MAJORITY, KLProx(1.0))
        with pytest.raises(InputError, match="temperature"):
            Settings(5, temperature=2).check(POPULATION, MAJORITY, KLProx(1.0))

    def test_a_batch_is_used_again_only_by_rewards_that_allow_it(self):
        previous = get_reward("kl-previous")
        Settings(5).check(POPULATION, previous, GRPO(1.0))
        Settings(5).check(POPULATION, MAJORITY, GRPO(1.0, num_iterations=2))
        with pytest.raises(InputError, match="num_iterations"):
            Settings(5).check(POPULATION, previous, GRPO(1.0, num_iterations=2))

    @pytest.mark.parametrize("size", [0, 6, 7, True, 2.0, -1])
    def test_a_data_set_leaves_something_to_evaluate(self, size):
        for good in (1, 5, np.int64(3)):
            Settings(5, dataset_size=good).check(POPULATION, MAJORITY, GRPO(1.0))
        with pytest.raises(InputError, match="dataset_size"):
            Settings(5, dataset_size=size).check(POPULATION, MAJORITY, GRPO(1.0))

    @pytest.mark.parametrize("weights", [[0, 0, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0]])
    def test_what_is_trained_and_what_is_evaluated_both_have_weight(self, weights):
        population = POPULATION.replace(weights=np.array(weights, float))
        with pytest.raises(InputError, match="weight"):
            Settings(5, dataset_size=2).check(population, MAJORITY, GRPO(1.0))
        Settings(5, dataset_size=3).check(
            POPULATION.replace(weights=np.array([0, 0, 1, 1, 1, 1.0])), MAJORITY, GRPO(1.0)
        )

    def test_rewards_and_updates_are_objects_here(self):
        for reward, update in (("majority", GRPO(1.0)), (MAJORITY, "grpo")):
            with pytest.raises(InputError, match="reward|update"):
                Settings(5).check(POPULATION, reward, update)

    def test_it_stands_still_where_prompts_are_fresh_and_alone(self):
        alone, together = NoCoupling(1.0), CompoundSymmetric(1.0, 0.1)
        features = np.zeros((6, 3, 1))
        silent, heard = LowRankPlusDiagonal(features), LowRankPlusDiagonal(features + np.eye(3)[:, :1])
        for method in ("sampled", "mean_field"):
            fresh, again = Settings(5, method=method), Settings(5, method=method, dataset_size=3)
            assert [fresh.stands_still(one) for one in (alone, silent, together, heard)] == [
                True,
                True,
                False,
                False,
            ]
            assert not any(again.stands_still(one) for one in (alone, together))
            with pytest.warns(UserWarning, match="constant by construction"):
                fresh.warn_if_still(alone)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                fresh.warn_if_still(together)
        assert not Settings(5).stands_still(alone)

    def test_who_keeps_a_private_part(self):
        assert Settings(5).trained(POPULATION) == 6 and Settings(5, dataset_size=2).trained(POPULATION) == 2
        assert Settings(5, method="sampled").trained(POPULATION) == 0

    def test_epochs_are_made_for_sampled_data_sets_without_weights_alone(self):
        keys = jax.random.split(jax.random.key(1), 2)
        sampled = Settings(5, method="sampled", dataset_size=4, prompts_per_step=2)
        words = np.asarray(jax.random.key_data(keys))
        for wordings in (1, 2):
            wanted = [epoch_schedule(one, 4 // wordings, 5, 2 // wordings).tolist() for one in words]
            assert sampled.schedules(POPULATION, keys, wordings).tolist() == wanted
        weighted = POPULATION.replace(weights=np.arange(1.0, 7.0))
        for one, population in (
            (Settings(5, dataset_size=4), POPULATION),
            (Settings(5, method="sampled"), POPULATION),
            (sampled, weighted),
        ):
            assert one.schedules(population, keys) is None

    def test_the_plan_holds_what_the_loop_needs_and_no_more(self):
        exact, sampled = (
            planned(),
            planned(method="sampled", prompts_per_step=5, rollouts=4, optimizer="adam"),
        )
        assert (exact.prompts_per_step, exact.rollouts, exact.adam, exact.trained) == (0, 0, False, 6)
        assert (sampled.prompts_per_step, sampled.rollouts, sampled.adam, sampled.trained) == (5, 4, True, 0)
        assert planned(method="mean_field").prompts_per_step == 32
        assert (
            exact.update is None and exact.iterations == 1 and not exact.anchored and exact.rephrasings == 1
        )
        twice = Settings(3).plan(POPULATION, MAJORITY, GRPO(1.0, num_iterations=2))
        assert twice.iterations == 2 and exact.full
        plain = Settings(3).plan(POPULATION, MAJORITY, KLProx(1.0))
        assert plain.iterations == 1 and not plain.anchored
        holes = Population.from_probs([[0.5, 0.5, 0.0]] * 6)
        assert not Settings(3).plan(holes, MAJORITY, GRPO(1.0)).full

    def test_a_question_comes_with_all_its_wordings_where_the_reward_compares_them(self):
        rephrased = get_reward("rephrased-majority")
        whole = {"method": "sampled", "prompts_per_step": 4, "dataset_size": 4}
        Settings(5, **whole).check(ASKED, rephrased, GRPO(1.0))
        Settings(5, prompts_per_step=3).check(ASKED, rephrased, GRPO(1.0))  # exact: nothing is drawn
        for half in ("prompts_per_step", "dataset_size"):
            Settings(5, **whole | {half: 3}).check(ASKED, MAJORITY, GRPO(1.0))
            with pytest.raises(InputError, match="rephrasings"):
                Settings(5, **whole | {half: 3}).check(ASKED, rephrased, GRPO(1.0))
        assert Settings(5).plan(ASKED, rephrased, GRPO(1.0)).rephrasings == 2

    def test_rewards_of_rollouts_are_for_sampled_runs_and_those_of_policies_for_the_others(self):
        rollouts, policies = (
            as_reward(lambda answers: answers * 0.0),
            as_reward(lambda log_probs: log_probs * 0.0),
        )
        Settings(5, method="sampled").check(POPULATION, rollouts, GRPO(1.0))
        Settings(5).check(POPULATION, policies, GRPO(1.0))
        with pytest.raises(InputError):
            Settings(5).check(POPULATION, rollouts, GRPO(1.0))

    def test_settings_of_an_update_or_a_reward_are_plain_data(self):
        told = plain_settings(GRPO(np.float64(2.0)))
        assert (
            told["name"] == "grpo" and type(told["learning_rate"]) is float and told["learning_rate"] == 2.0
        )
        assert told["scale"] == "group" and plain_settings(GRPO) == {"name": "grpo"}
        inside = plain_settings(Holds(KLProx(0.5), 3))
        assert inside == {"name": "Holds", "update": plain_settings(KLProx(0.5)), "number": 3}
