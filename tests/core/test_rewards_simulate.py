"""Every reward, by its text, in simulate; and rewards that others bring, by decorator and by entry point,
everywhere.
"""

import jax
import numpy as np
import pytest

from sharpening import (
    GRPO,
    REWARDS,
    CompoundSymmetric,
    InputError,
    KLProx,
    MajorityReward,
    Population,
    Reward,
    RewardCard,
    get_reward,
    list_rewards,
    register_reward,
    simulate,
)
from sharpening.rewards import registry

with np.errstate(divide="ignore"):
    HARD = Population(
        np.log(
            [
                [0.5, 0.3, 0.2, 1e-300, 0],
                [0.4, 0.4, 0.1, 0, 0.1],
                [1, 0, 0, 0, 0],
                [0.1, 0.2, 0.2, 0.2, 0.3],
                [0, 0, 0, 0, 1],
            ]
        ),
        np.array([[0, 1, 0, 0, 0], [1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 1, 1, 0, 0], [1, 0, 0, 0, 0]], bool),
        coupling=CompoundSymmetric(1.0, 0.5),
        no_answer=4,
    )


@pytest.mark.parametrize(
    "spec", [*sorted(REWARDS), "hybrid-scheduled(every=2, intrinsic=kl-previous, external=judge)"]
)
def test_every_reward_runs_in_simulate(spec):
    """By its text, under every method, on faces, ties and masses of 1e-300; step by step, as compilations
    would take minutes.
    """
    with jax.disable_jit():
        for method in ("exact", "sampled", "mean_field"):
            size = dict(dataset_size=4) if method == "mean_field" else {}
            run = simulate(
                HARD,
                spec,
                GRPO(0.5),
                num_steps=2,
                eval_every=2,
                method=method,
                prompts_per_step=3,
                rollouts=4,
                **size,
            )
            for name, values in run.metrics.items():
                assert np.isfinite(values).all(), (method, name)
    assert run.settings["reward"] == get_reward(spec).spec


def test_rewards_that_read_verdicts_need_labels_in_simulation():
    for name in ("true", "symbolic-verifier", "noisy-verifier", "hybrid-weighted(external=judge)"):
        with pytest.raises(ValueError, match="without labels"):
            simulate(HARD.replace(correct=None), name, GRPO(0.5), num_steps=1)


def test_the_previous_policy_is_the_one_before_the_last_update():
    """r = (1 - w) 1[correct] + w (log pi_{k-1} - log pi_k) under KL-prox: log-odds steps d_k = (1 - w - w
    d_{k-1}) / beta.
    """
    prior = Population(np.log([[0.5, 0.3, 0.2]]), np.array([[True, False, False]]))
    beta, weight = 2.0, 0.5
    spec = f"hybrid-weighted(intrinsic_weight={weight}, intrinsic=kl-previous, external=true)"
    run = simulate(prior, spec, KLProx(beta), num_steps=5)
    log_odds = np.log(run["accuracy"] / (1 - run["accuracy"]))
    step, expected = 0.0, [0.0]
    for _ in range(5):
        step = ((1 - weight) - weight * step) / beta
        expected.append(expected[-1] + step)
    np.testing.assert_allclose(log_odds, expected, atol=1e-9)


def test_the_schedule_counts_updates():
    """Verified every third step: the truth's log-odds against the majority move by +1, -1, -1 (in units of
    1/beta).
    """
    prior = Population(np.log([[0.5, 0.3, 0.2]]), np.array([[False, True, False]]))
    run = simulate(prior, "hybrid-scheduled(every=3, share=1)", KLProx(4.0), num_steps=6)
    after = (
        np.concatenate([[0], np.cumsum([1, 0, 0, 1, 0, 0])]) / 4,
        np.concatenate([[0], np.cumsum([0, 1, 1, 0, 1, 1])]) / 4,
    )
    weights = np.array([np.exp(after[1]) * 0.5, np.exp(after[0]) * 0.3, np.full(7, 0.2)])
    np.testing.assert_allclose(run["accuracy"], weights[1] / weights.sum(axis=0), rtol=1e-9)


@pytest.fixture
def clean_registry():
    kept = dict(REWARDS)
    yield
    REWARDS.clear()
    REWARDS.update(kept)


def first_answer(name):
    """A reward of one's own: 1 for answer 0."""

    class FirstAnswer(Reward):
        """1 for answer 0."""

        card = RewardCard(
            name=name,
            branch="intrinsic: ensemble",
            known_as=("nobody's method",),
            unified=None,
            limit="all mass on answer 0",
            failure_mode="answer 0 may be wrong",
            needs=("answers",),
            source="this test",
        )

        def exact(self, log_probs, correct=None, *, no_answer=None, **_):
            return 0 * log_probs + np.eye(log_probs.shape[1])[:1]

        def group(self, answers, is_correct=None, **_):
            return (answers == 0) * 1.0

    return FirstAnswer


def runs_by_name(name):
    prior = Population(np.log([[0.2, 0.5, 0.3]]), np.array([[True, False, False]]))
    with jax.disable_jit():
        return simulate(prior, name, KLProx(0.05), num_steps=2)["accuracy"][-1] > 0.99


def test_a_registered_reward_is_listed_and_simulated(clean_registry):
    register_reward(first_answer("first-answer"))
    assert "first-answer" in [card.name for card in list_rewards()]
    assert get_reward("First answer") == get_reward("nobody's method") == get_reward("first-answer")
    assert runs_by_name("first-answer")
    assert (
        get_reward("hybrid-weighted(intrinsic=first-answer)").spec
        == "hybrid-weighted(intrinsic=first-answer)"
    )


def test_an_entry_point_is_listed_and_simulated(clean_registry, monkeypatch):
    class Entry:
        def load(self):
            return first_answer("from-elsewhere")

    asked = []
    monkeypatch.setattr(registry, "entry_points", lambda group: asked.append(group) or [Entry()])
    assert runs_by_name("from-elsewhere") and asked == ["sharpening.rewards"]
    assert "from-elsewhere" in [card.name for card in list_rewards()]


def test_a_name_belongs_to_one_reward(clean_registry):
    with pytest.raises(ValueError, match="MajorityReward"):
        register_reward(first_answer("majority"))
    with pytest.raises(ValueError, match="RewardCard"):
        register_reward(type("Bare", (Reward,), {}))
    cls = register_reward(first_answer("constant"))
    assert isinstance(get_reward("constant"), cls) and register_reward(cls) is cls
    assert isinstance(get_reward("majority"), MajorityReward)


class TestPlainFunctions:
    """A function is a reward, as it is for `audit_reward`."""

    def test_it_is_the_reward_that_says_the_same(self):
        def mine(log_probs, correct):
            return correct * 1.0

        run = dict(num_steps=8)
        own, known = (
            simulate(HARD, mine, "grpo(learning_rate=0.5)", **run),
            simulate(HARD, "true", GRPO(0.5), **run),
        )
        assert (
            np.allclose(own["accuracy"], known["accuracy"], atol=1e-12) and own.settings["reward"] == "mine"
        )

    def test_labels_reach_only_a_function_that_names_them(self):
        prior = HARD.replace(correct=None)
        with pytest.raises(InputError, match="correct"):
            simulate(prior, lambda log_probs, correct: log_probs, "grpo", num_steps=1)
        assert simulate(prior, lambda log_probs: 0 * log_probs, "grpo", num_steps=1).horizon == 1

    def test_rollouts_are_scored_by_a_function_of_answers(self):
        run = dict(num_steps=5, method="sampled", dataset_size=3, prompts_per_step=2)
        own = simulate(HARD, lambda answers: (answers == 0) * 1.0, GRPO(5.0), **run)
        assert own["train_accuracy"].shape == (6,)
        with pytest.raises(InputError, match="`exact`"):
            simulate(HARD, lambda answers: answers, GRPO(1.0), num_steps=1)
        with pytest.raises(InputError, match="`group`"):
            simulate(HARD, lambda log_probs: log_probs, GRPO(1.0), **run)

    @pytest.mark.parametrize("bad", [lambda: 1, MajorityReward, 3, None])
    def test_what_is_no_reward_is_refused_by_name(self, bad):
        with pytest.raises(InputError, match="reward"):
            simulate(HARD, bad, "grpo", num_steps=1)

    def test_numpy_in_a_function_is_a_sentence(self):
        with pytest.raises(InputError, match="traced by JAX"):
            simulate(HARD, lambda log_probs: np.exp(log_probs), "grpo", num_steps=1)
