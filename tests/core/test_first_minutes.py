"""The package as a person meets it: names that tab shows, what objects print, and wrong types told in our words."""

import re

import numpy as np
import pytest

import sharpening
from sharpening import (
    GRPO,
    CompoundSymmetric,
    InputError,
    KLProx,
    NoCoupling,
    Population,
    Trajectory,
    collapse_step,
    critical_size,
    flow,
    forecast,
    get_theorem,
    simulate,
    simulate_many,
    sweep,
    vote_path,
)

PRIOR = Population.from_probs([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]], [0, 1])
RUN = dict(population=PRIOR, reward="majority", update="grpo", num_steps=2)


class TestNames:
    def test_tab_shows_what_is_public_and_nothing_else(self):
        shown = set(dir(sharpening))
        assert {"plots", "testing", "audit_reward", "simulate", "Population"} <= shown
        assert shown == set(sharpening.__all__) and not shown & {"importlib", "sys", "lazy_loader", "Moved"}

    def test_every_name_that_is_shown_is_there(self):
        assert all(getattr(sharpening, name) is not None for name in dir(sharpening))


class TestNamesAndFunctionsForObjects:
    def test_an_update_by_name_is_the_update(self):
        told = [simulate(**RUN | {"update": one}) for one in ("kl_prox(beta=0.5)", KLProx(0.5))]
        assert np.array_equal(told[0]["accuracy"], told[1]["accuracy"])

    def test_a_plain_function_is_a_reward(self):
        told = simulate(**RUN | {"reward": lambda log_probs: log_probs})
        assert told["entropy"][-1] < told["entropy"][0]

    def test_a_flow_takes_both_too(self):
        path = flow(PRIOR, lambda log_probs: log_probs, "kl_prox", [0.5])
        assert path.shape == (1, 2, 3) and path[0, 0, 0] > PRIOR.log_probs[0, 0]

    def test_right_answers_are_a_mask_or_their_columns(self):
        mask = np.array([[True, False, False], [False, True, False]])
        assert np.array_equal(PRIOR.correct, mask)
        named = Population.from_probs([[0.5, 0.5], [1.0, 0.0]], np.array([1, 0]))
        assert named.accuracy == pytest.approx(0.75)

    @pytest.mark.parametrize(
        "correct", [[0, 3], [-1, 0], [0.0, 1.0], [0], [[0, 1, 0], [1, 0, 0]], "ab", [True, False]]
    )
    def test_other_marks_are_refused(self, correct):
        with pytest.raises(InputError, match="correct"):
            Population.from_probs([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]], correct)


@pytest.mark.parametrize(
    "argument, make",
    [
        ("population", lambda: simulate(**RUN | {"population": 3})),
        ("population", lambda: simulate_many(PRIOR.log_probs, "majority", "grpo", [0], num_steps=1)),
        ("population", lambda: sweep([1], "majority", "grpo", {"num_steps": [1]})),
        ("population", lambda: forecast([[0.5, 0.5]])),
        ("population", lambda: vote_path("p", private=1.0, shared=1.0)),
        ("population", lambda: critical_size(None, 1.0, 1.0, 1)),
        ("population", lambda: get_theorem("S1").check(PRIOR.probs)),
        ("reward", lambda: simulate(**RUN | {"reward": 3})),
        ("reward", lambda: flow(PRIOR, object(), "grpo", [1.0])),
        ("update", lambda: simulate(**RUN | {"update": None})),
        ("update", lambda: flow(PRIOR, "majority", 3, [1.0])),
        ("times", lambda: flow(PRIOR, "majority", "grpo", "soon")),
        ("key", lambda: simulate(**RUN | {"key": "a"})),
        ("key", lambda: simulate(**RUN | {"key": 1.5})),
        ("key", lambda: Population.synthetic("a", 2, 2)),
        ("num_prompts", lambda: Population.synthetic(0, "x", 2)),
        ("num_answers", lambda: Population.synthetic(0, 2, 2.5)),
        ("num_steps", lambda: simulate(**RUN | {"num_steps": 1.5})),
        ("trajectory", lambda: collapse_step({"accuracy": [1.0]})),
        ("step", lambda: Trajectory("a", {})),
        ("learning_rate", lambda: GRPO("x")),
        ("beta", lambda: KLProx(None)),
        ("private", lambda: CompoundSymmetric("x", 1.0)),
        ("shared", lambda: CompoundSymmetric(1.0, None)),
        ("private", lambda: NoCoupling("1")),
        ("log_probs", lambda: Population("x")),
        ("log_probs", lambda: Population([[0.0], [0.0, 0.0]])),
        ("logits", lambda: Population.from_logits([[object()]])),
        ("probs", lambda: Population.from_probs("abc")),
        ("counts", lambda: Population.from_counts([["one"]])),
        ("weights", lambda: PRIOR.replace(weights="ab")),
        ("coupling", lambda: PRIOR.replace(coupling=3)),
        ("coupling", lambda: PRIOR.replace(coupling=NoCoupling)),
    ],
)
def test_wrong_types_are_told_by_name(argument, make):
    with pytest.raises(InputError) as told:
        make()
    assert told.value.argument == argument and "racer" not in str(told.value)


class TestWhatIsPrinted:
    TOLD = forecast(PRIOR.replace(coupling=CompoundSymmetric(1.0, 1.0)), num_steps=5)

    @pytest.mark.parametrize(
        "shown", [PRIOR, TOLD.trajectory, TOLD], ids=["population", "trajectory", "forecast"]
    )
    def test_it_is_a_screen_not_a_page_of_arrays(self, shown):
        text, page = repr(shown), shown._repr_html_()
        assert len(text.splitlines()) <= 24 and max(map(len, text.splitlines())) <= 200
        assert "array(" not in text and "array(" not in page
        assert page.count("<table>") == page.count("</table>") >= 1 and re.search("[▁▂▃▄▅▆▇█]", page)

    def test_a_forecast_prints_its_verdict_and_every_step(self):
        text = repr(self.TOLD)
        assert text.startswith(f"Forecast: {self.TOLD.verdict}.")
        assert all(
            name in text for name, one in self.TOLD.collapse.items() if one.outcome.value != "unavailable"
        )
