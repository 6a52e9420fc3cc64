"""Figures: what is drawn, where, and that nothing global is touched."""

import re
import subprocess
import sys

import matplotlib
import numpy as np
import pytest

from sharpening import InputError, Trajectory, collapse_steps
from sharpening.plots import THEMES, figure_bytes, plot_collapse_steps, plot_trajectories, plot_trajectory
from sharpening.plots.theme import darkened


def fall(middle, names=("accuracy", "reward_accuracy", "mode_retention", "excess_kl", "majority_ratio")):
    step = np.arange(0, 301, 15)
    left = 1 / (1 + np.exp((step - middle) / 15))
    values = {
        "accuracy": 0.5 * left,
        "reward_accuracy": 0.9 * left,
        "mode_retention": left,
        "excess_kl": 5 * (1 - left),
        "majority_ratio": 1 - left / 3,
    }
    return Trajectory(step, {name: values[name] for name in names}, floor=0.12)


RUNS = {"measured": fall(150), "coupled": fall(100), "uncoupled": fall(5000)}


def panel(figure, title):
    return next(axes for axes in figure.axes if axes.get_title(loc="left") == title)


def diamonds(axes):
    return [
        tuple(float(v[0]) for v in line.get_data())
        for line in axes.get_lines()
        if line.get_marker() == "D" and len(line.get_xdata()) == 1
    ]


def test_one_panel_per_metric_labelled_left_and_label_free_right():
    figure = plot_trajectories(RUNS, speaker="coupled")
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]
    assert titles == ["accuracy", "reward accuracy", "mode retention", "excess KL"]
    assert panel(figure, "accuracy").get_subplotspec().colspan.start == 0
    assert panel(figure, "excess KL").get_subplotspec().colspan.start == 1


def test_without_labels_there_is_one_column():
    figure = plot_trajectories({"run": fall(150, ("mode_retention", "excess_kl"))})
    assert {axes.get_subplotspec().get_gridspec().ncols for axes in figure.axes} == {1}


def test_metrics_outside_the_usual_panels_are_still_drawn():
    assert (
        plot_trajectories({"run": fall(150, ("majority_ratio",))}).axes[0].get_title(loc="left")
        == "majority ratio"
    )


def test_diamonds_sit_where_the_criterion_is_met():
    steps = {name: collapse_steps(run) for name, run in RUNS.items()}
    found = diamonds(panel(plot_trajectories(RUNS), "mode retention"))
    met = {name: steps[name]["mode_retention"].step for name in ("measured", "coupled")}
    expected = sorted((step, float(RUNS[name]["mode_retention"][step // 15])) for name, step in met.items())
    assert np.allclose(sorted(found), expected)


def test_the_chosen_criterion_rules_its_own_metrics_panel():
    half = collapse_steps(RUNS["measured"])["half_life"].step
    found = diamonds(
        panel(plot_trajectories({"measured": RUNS["measured"]}, criterion="half_life"), "reward accuracy")
    )
    assert [x for x, _ in found] == [half]


@pytest.mark.parametrize("high, edge", [(200, 200), (None, 300)])
def test_the_interval_is_shaded_for_the_speaker_only(high, edge):
    intervals = {"mode_retention": (60, high)}
    shaded = panel(plot_trajectories(RUNS, speaker="coupled", intervals=intervals), "mode retention").patches
    assert [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in shaded] == [(60, edge)]
    assert not panel(plot_trajectories(RUNS, intervals=intervals), "mode retention").patches


def test_names_beside_the_lines_do_not_overlap():
    same = {name: fall(100) for name in ("measured", "coupled", "uncoupled", "radius")}
    axes = panel(plot_trajectories(same), "accuracy")
    places = sorted(text.xy[1] for text in axes.texts if text.get_text() in same)
    assert len(places) == 4 and np.diff(places).min() > 0.12 and 0 <= places[0] and places[-1] <= 1


def test_reference_lines():
    figure = plot_trajectories(RUNS)
    assert {text.get_text() for text in panel(figure, "reward accuracy").texts} >= {"1 %", "floor 12 %"}
    assert "50 %" in {text.get_text() for text in panel(figure, "mode retention").texts}


def test_rise_and_fall_names_every_share():
    axes = plot_trajectory(RUNS["measured"]).axes[0]
    assert {text.get_text() for text in axes.texts} >= {
        "majority ratio",
        "accuracy",
        "reward accuracy",
        "mode retention",
    }
    assert "excess KL" not in {text.get_text() for text in axes.texts}


class TestSteps:
    steps = {name: collapse_steps(run) for name, run in RUNS.items()}

    def draw(self, **options):
        return plot_collapse_steps(self.steps, horizon=300, **options)

    def marks(self, figure, marker):
        return [
            line
            for line in figure.axes[0].get_lines()
            if line.get_marker() == marker and len(line.get_xdata()) == 1
        ]

    def test_rows_without_any_answer_are_left_out(self):
        labels = [label.get_text() for label in self.draw().axes[0].get_yticklabels()]
        assert "loss spike" not in labels and {"relative", "mode retention", "excess KL"} <= set(labels)

    def test_every_step_is_marked_and_censored_ones_lie_beyond_the_horizon(self):
        figure = self.draw()
        found = [step for steps in self.steps.values() for step in steps.values()]
        met = sorted(step.step for step in found if step.outcome.value == "collapsed")
        assert sorted(float(line.get_xdata()[0]) for line in self.marks(figure, "D")) == met
        censored = [step for step in found if step.outcome.value == "censored"]
        later = [float(line.get_xdata()[0]) for line in self.marks(figure, ">")]
        assert len(later) == len(censored) and min(later) > 300

    def test_met_before_training_is_a_ring_at_zero(self):
        flat = Trajectory(np.array([0, 15, 30]), {"mode_retention": np.array([0.1, 0.1, 0.1])})
        figure = plot_collapse_steps({"run": collapse_steps(flat)}, horizon=30)
        assert [float(line.get_xdata()[0]) for line in self.marks(figure, "o")] == [0.0]

    def test_the_criterion_is_bold(self):
        bold = [
            label.get_text()
            for label in self.draw(criterion="half_life").axes[0].get_yticklabels()
            if label.get_fontweight() == "bold"
        ]
        assert bold == ["half life"]

    def test_nothing_to_say_is_an_error(self):
        bare = Trajectory(np.array([0, 15]), {"entropy": np.array([1.0, 0.5])})
        with pytest.raises(InputError, match="no series"):
            plot_collapse_steps({"run": collapse_steps(bare)}, horizon=15)


@pytest.mark.parametrize("kind, start", [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_equal_figures_give_equal_bytes(kind, start):
    one, other = (figure_bytes(plot_trajectory(RUNS["measured"]), kind) for _ in range(2))
    assert one == other and one.startswith(start)
    assert figure_bytes(plot_trajectory(RUNS["coupled"]), kind) != one


def test_a_light_figure_darkened_is_the_one_drawn_for_a_dark_page():
    light, dark = (
        figure_bytes(plot_trajectories(RUNS, speaker="coupled", theme=theme), "svg").lower()
        for theme in ("light", "dark")
    )
    # ids of clipped parts are digests of what is in them
    assert strip_ids(darkened(light)) == strip_ids(dark) != strip_ids(light)


def strip_ids(svg):
    return re.sub(rb"\b[mp][0-9a-f]{10}\b", b"", svg)


def test_themes_differ_in_ink_and_pages_show_through():
    light, dark = (
        figure_bytes(plot_trajectory(RUNS["measured"], theme=theme), "svg").decode()
        for theme in ("light", "dark")
    )
    assert THEMES["dark"].ink.lower() in dark.lower() and THEMES["dark"].ink.lower() not in light.lower()


@pytest.mark.parametrize(
    "call",
    [
        lambda: plot_trajectories({}),
        lambda: plot_trajectories(RUNS, theme="sepia"),
        lambda: plot_trajectories(RUNS, criterion="nonsense"),
        lambda: plot_trajectory(fall(100, ("excess_kl",))),
        lambda: figure_bytes(plot_trajectory(RUNS["measured"]), "bmp"),
    ],
)
def test_bad_input(call):
    with pytest.raises(InputError):
        call()


def test_notebooks_show_a_figure_without_pyplot():
    assert plot_trajectory(RUNS["measured"])._repr_png_().startswith(b"\x89PNG")


def test_settings_of_the_user_stay_as_they_are():
    before = dict(matplotlib.rcParams)
    figure_bytes(plot_trajectories(RUNS), "svg")
    assert dict(matplotlib.rcParams) == before


def test_pyplot_is_not_imported():
    code = "import sys, sharpening.plots; print('matplotlib.pyplot' in sys.modules)"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "False"
    )
