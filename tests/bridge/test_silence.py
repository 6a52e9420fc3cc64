"""What is said where a pilot saw no signal, and where it fell to one answer."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_bridge import Attractor, Pilot, RunSettings
from llm_bridge.forecast.silence import CONFIDENCE, signal_bound, silence_reasons
from llm_bridge.forecast.words import constant_end, constant_told
from sharpening import Population


def pilot(kind: str, value, silent: bool = False) -> Pilot:
    metrics = {"retention": np.array([1.0, 0.3]), "majority_ratio": np.ones(1)}
    return Pilot(np.array([0.0, 1.0]), metrics, 0.1, (Attractor(kind, value, 0.9, 0.1),), silent)


@given(st.integers(1, 10_000), st.integers(1, 10_000))
def test_the_bound_is_the_chance_that_would_leave_so_many_silent(seen, asked):
    chance = signal_bound(seen)
    assert (1 - chance) ** seen == pytest.approx(1 - CONFIDENCE)
    assert signal_bound(seen, asked) == pytest.approx(1 - (1 - chance) ** asked)
    assert signal_bound(seen, asked) <= signal_bound(seen, asked + 1)


def test_silence_is_counted_in_groups_and_is_not_safety():
    settings = RunSettings(prompts_per_step=8, max_steps=400)
    first, second = silence_reasons([pilot("answer", "1", True)] * 14, settings)
    assert first.startswith("Nothing to learn from yet")
    assert "112 groups" in second and "3,200" in second and "cannot be told" in second and "100%" in second


def population(share: float) -> Population:
    """A hundred prompts; answer "1" is right for this share of them, "0" for the others."""
    one = np.arange(100) < share * 100
    probs = np.full((100, 2), 0.5)
    return Population(np.log(probs), np.stack([~one, one], axis=1), answer_names=("0", "1"))


def end(pilots, share: float = 0.6):
    return constant_end(pilots, SimpleNamespace(population=population(share)))


def test_one_answer_for_everything_is_named_with_what_it_does_to_accuracy():
    found = end([pilot("answer", "1"), pilot("answer", "1"), pilot("copy", 1)])
    assert found == {"answer": "1", "copies": 2, "of": 3, "right": pytest.approx(0.6)}
    told = constant_told(found, 0.5)
    assert (
        "it will answer 1 to everything, as 2 of 3" in told and "from 50% to 60% and look like a gain" in told
    )
    assert "look like a gain" not in constant_told(found, 0.8)


def test_rules_that_are_no_constant_are_not_called_one():
    assert end([pilot("copy", 1), pilot("few answers", ("0", "1")), pilot("scattered", 9)]) is None
    assert end([pilot("answer", "7")])["right"] == 0.0, "no prompt has this answer"
