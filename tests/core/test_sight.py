"""Prompts with a shared text and an image each: simulated votes leave what images say exactly when theorem C9 says."""

import numpy as np
import pytest

from sharpening import (
    CompoundSymmetric,
    InputError,
    KLProx,
    MajorityReward,
    SightedPopulation,
    critical_ratio,
    sweep,
)
from sharpening.theorems.c9_private_sight import first_move

STEPS = 60
AROUND = (0.97, 1.03)
"""Strengths of what prompts share, as multiples of the one at which the first vote can move."""


def drawn(seed: int, answers: int, prompts: int = 40, **changes) -> SightedPopulation:
    return SightedPopulation.drawn(seed, prompts, answers, **changes)


def shares(population):
    return np.bincount(population.mode, population.prompt_weights, minlength=population.num_answers)


@pytest.mark.parametrize(
    ("seed", "answers"),
    [
        (1, 2),
        *(
            pytest.param(seed, answers, marks=pytest.mark.thorough)
            for seed in range(2, 12)
            for answers in (2, 3, 9)
        ),
    ],
)
def test_votes_move_to_the_text_exactly_when_c9_says(seed, answers):
    """At 0.97 of the critical ratio no vote ever moves; at 1.03 the first does in the step that contains C9's time, and
    of two answers all end with the text's.
    """
    population, said = drawn(seed, answers), critical_ratio(drawn(seed, answers))
    if np.isinf(said):
        pytest.skip("votes are evenly spread, and none ever moves")
    first = first_move(population.votable, population.mode, shares(population), 1.0, AROUND[1] * said)
    update, judged = KLProx(10.5 / first), population.judged_by_text()
    runs = sweep(
        judged,
        MajorityReward(),
        update,
        {"shared": [times * said for times in AROUND], "private": [1.0]},
        num_steps=STEPS if answers > 2 else _steps(population, said, update),
    )
    below, above = (run.trajectory for run in runs)
    assert (below["mode_retention"] == 1).all()
    assert above["mode_retention"][: 10 + 1].min() == 1 > above["mode_retention"][11]
    leads = shares(population).argmax() == population.blind_answer
    if answers == 2:
        assert above["label_accuracy"][-1] == (1.0 if leads else 0.0)
    elif leads:
        assert above["label_accuracy"][-1] > above["label_accuracy"][0]


def _steps(population, said, update) -> int:
    """Enough for the last of two answers: no later than Q/(kappa_s d - kappa_p)."""
    gaps = np.ptp(population.log_probs, axis=1).max()
    return int(np.ceil(gaps / (AROUND[1] - 1) * update.beta)) + 1


def test_what_is_drawn_is_what_is_said():
    population = drawn(0, 9, 4000, hinted=0.5)
    assert population.blind_answer == population.text.argmax()
    assert abs(population.blind_accuracy - (0.5 + 0.5 / 9)) < 5 * 0.5 / 4000**0.5
    assert population.alignment > population.blind_accuracy + 0.2 > population.blind_retention
    unseen = drawn(0, 9, 50, sight=0.0, noise=0.0)
    assert unseen.blind_retention == 1 and np.ptp(unseen.log_probs, axis=0).max() < 1e-12
    seen = population.log_probs - population.text
    assert np.ptp((seen - seen[:, :1])[population.correct == 0]) > 1
    assert np.allclose(population.tempered(2.0).text, population.text / 2)
    assert population.select(slice(3)).text is population.text


def test_the_flow_moves_text_and_votes():
    population = drawn(5, 3, coupling=CompoundSymmetric(1.0, 0.0))
    kept = population.after(50.0)
    assert (kept.mode == population.mode).all() and np.array_equal(kept.text, population.text)
    strong = population.replace(coupling=CompoundSymmetric(1.0, 1.03 * critical_ratio(population)))
    weak = population.replace(coupling=CompoundSymmetric(1.0, 0.97 * critical_ratio(population)))
    assert strong.after(1e4).blind_retention > population.blind_retention
    far = weak.after(1e4)
    assert (far.mode == population.mode).all() and far.blind_retention == pytest.approx(
        shares(population).max()
    )


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"hinted": 1.5}, "hinted"),
        ({"noise": -1.0}, "noise"),
        ({"prompts": 0}, "num_prompts"),
        ({"text": np.inf}, "text"),
    ],
)
def test_numbers_that_make_none_are_refused(changes, name):
    with pytest.raises(InputError, match=name):
        drawn(0, 3, **changes)
    with pytest.raises(InputError, match="text"):
        drawn(0, 3).replace(text=np.zeros(2))
    with pytest.raises(InputError, match="drift"):
        drawn(0, 3).after(-1.0)
