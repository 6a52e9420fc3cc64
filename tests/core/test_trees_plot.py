"""The figure of failure modes: one panel each, every reward in every panel, nothing thickened by the key."""

import numpy as np
import pytest

from sharpening import InputError, Trajectory
from sharpening.plots import figure_bytes
from sharpening.plots.trees import plot_failure_modes

STEP = np.arange(0, 21, 5)
RUNS = {
    name: Trajectory(STEP, {"accuracy": STEP / 40, "mean_length": 5 - STEP / slope, "repetition": STEP / 30})
    for name, slope in (("majority", 40), ("probability", 5), ("token-entropy", 60), ("true", 100))
}


def test_each_panel_draws_every_reward_and_thickens_its_own():
    figure = plot_failure_modes(RUNS)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "gradual degradation",
        "length collapse",
        "repetition collapse",
    ]
    for axes, thick, metric in zip(
        figure.axes,
        ("majority", "probability", "token-entropy"),
        ("accuracy", "mean_length", "repetition"),
        strict=True,
    ):
        lines = {line.get_label(): line for line in axes.get_lines()}
        assert set(lines) == set(RUNS) and {
            name for name, line in lines.items() if line.get_linewidth() > 2
        } == {thick}
        for name, line in lines.items():
            np.testing.assert_array_equal(line.get_ydata(), RUNS[name][metric])
    colours = [{line.get_label(): line.get_color() for line in axes.get_lines()} for axes in figure.axes]
    assert colours[0] == colours[1] == colours[2] and len(set(colours[0].values())) == len(RUNS)
    assert figure_bytes(figure).startswith(b"\x89PNG")


def test_what_cannot_be_drawn_is_refused():
    for bad in ({}, {"majority": Trajectory([0], {"accuracy": [1.0]})}):
        with pytest.raises(InputError):
            plot_failure_modes(bad)
