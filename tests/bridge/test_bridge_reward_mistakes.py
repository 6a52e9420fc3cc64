"""Rewards with mistakes in training: what they do not declare they do not get, and what they give is checked."""

import numpy as np
import pytest

from llm_bridge import TaskReward, get_task
from sharpening import REWARDS, InputError, Reward, RewardCard, register_reward

ADDITION = get_task("addition")
TEXTS = [["1", "2", "2", "3"], ["4", "4", "5", "6"]]


@pytest.fixture
def clean_registry():
    kept = dict(REWARDS)
    yield
    REWARDS.clear()
    REWARDS.update(kept)


def registered(name, group, **fields):
    told = dict(branch="intrinsic: ensemble", known_as=(), unified=None, needs=("answers",), source="a test")
    told |= dict(limit="none", failure_mode="that of this test") | fields
    body = {"card": RewardCard(name=name, **told)} | ({"group": group} if group else {})
    register_reward(type(name, (Reward,), body))
    return name


def score(spec):
    reward = TaskReward(spec, ADDITION, 4, lambda index: ADDITION.problems[index])
    return reward([""] * 8, sum(TEXTS, []), row=[0] * 4 + [1] * 4)


def test_an_intrinsic_reward_gets_no_labels(clean_registry):
    seen = []

    def spy(self, answers, is_correct=None, **signals):
        seen.append((is_correct, set(signals)))
        return answers * 0.0

    assert score(registered("spy", spy)) == [0.0] * 8
    assert score("hybrid-weighted(intrinsic=spy)") and score("hybrid-gated(intrinsic=spy)")
    assert len(seen) > 3 and all(given == (None, set()) for given in seen)
    with pytest.raises(InputError, match="'greedy'.*card does not list labels"):
        score(registered("greedy", lambda self, answers, is_correct=None, **_: is_correct.astype(float)))
    declared = registered(
        "declared",
        lambda self, answers, is_correct=None, **_: is_correct * 2.0,
        needs=("answers", "labels"),
        branch="external: asymmetry",
    )
    assert set(score(declared)) <= {0.0, 2.0}


@pytest.mark.parametrize("what, make", {
    "a column": lambda answers: (answers * 1.0)[:, :1], "transposed": lambda answers: (answers * 1.0).T,
    "flat": lambda answers: answers.reshape(-1) * 1.0, "None": lambda answers: None, "a number": lambda answers: 1.0,
    "complex": lambda answers: answers * 1j, "objects": lambda answers: np.full(answers.shape, None),
    "NaN": lambda answers: answers * np.nan, "infinity": lambda answers: np.where(answers == answers.max(), np.inf, 0.0),
}.items())  # fmt: skip
def test_what_is_no_finite_number_for_each_completion_is_refused_by_name(what, make, clean_registry):
    with pytest.raises(InputError, match="`reward` is 'crooked'.*(finite|are wanted)"):
        score(registered("crooked", lambda self, answers, is_correct=None, **_: make(answers)))


def test_numpy_is_fine_here_and_a_missing_group_is_not(clean_registry):
    def counts(self, answers, is_correct=None, **_):
        return [[float(list(row).count(answer)) for answer in row] for row in answers]

    assert score(registered("counts", counts)) == [1.0, 2.0, 2.0, 1.0, 2.0, 2.0, 1.0, 1.0]
    with pytest.raises(InputError, match="'formless'.*no `group`"):
        score(registered("formless", None))
