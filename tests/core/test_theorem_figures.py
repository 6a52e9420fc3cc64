"""Figures of theorems: one for each, readable, and what is computed lies where the closed form says; a wrong
formula is seen.
"""

import ast
from pathlib import Path

import matplotlib
import numpy as np
import pytest

import sharpening.plots.theorems as front_door
import sharpening.plots.theorems.coupled_samples as coupled_samples
import sharpening.plots.theorems.rollouts as rollouts
import sharpening.plots.theorems.rollouts_many as rollouts_many
import sharpening.plots.theorems.single_bounds as single_bounds
import sharpening.plots.theorems.single_speeds as single_speeds
import sharpening.plots.theorems.uncoupled as uncoupled
import sharpening.plots.theorems.verifier_flow as verifier_flow
import sharpening.plots.theorems.verifiers as verifiers
from sharpening import (
    GRPO,
    CompoundSymmetric,
    HybridReward,
    InputError,
    KLProx,
    NaturalGradient,
    SoftmaxGradient,
    TrajectoryEntropyReward,
    list_theorems,
)
from sharpening.plots.theorems import figure_caption, figure_names, theorem_figure
from sharpening.plots.theorems.canvas import picture

PAGES = Path(__file__).parents[2] / "docs" / "figures" / "theorems"
# a theorem that was merged into another keeps its figure, under its old name
NAMES = [name for theorem in list_theorems() for name in (theorem.name, *theorem.aliases)]
UPDATES = (KLProx, NaturalGradient, SoftmaxGradient, GRPO)
# a tolerance is at most this part of the axis: simulated chances need most of it, computed points none
CLOSEST = 1 / 7
# no update's direction is drawn
NO_UPDATE = {
    "S18",
    "X7",
    "S7a",
    "S7b",
    "S11",
    "F1",
    "F3",
    "F5",
    "U4",
    "X3",
    "C3",
    "C5",
    "C8",
    "N4",
    "N5",
    "N10",
    "N11",
    "N12",
}
EITHER_WAY = {"S14", "N6"}  # ties and driftless walks look the same backwards
SLOW = {"S6", "F2", "F6", "S19", "X4", "C1"}  # each has a wrong formula of its own below


@pytest.fixture(scope="module")
def figures():
    return {name: theorem_figure(name) for name in NAMES}


def broken(figure):
    """The relations that a figure shows not to hold; NaN counts as broken."""
    return [relation for relation in figure.relations if not relation.error <= relation.tolerance]


def test_every_theorem_has_a_figure_and_nothing_else_has():
    assert sorted(figure_names()) == sorted(NAMES) and len(NAMES) >= 54


@pytest.mark.parametrize("name", NAMES)
class TestEach:
    def test_what_is_drawn_is_finite_and_inside_the_axes(self, figures, name):
        (axes,) = figures[name].axes
        curves = [line for line in axes.get_lines() if len(line.get_xdata()) > 2]
        assert curves
        for line in curves:
            x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
            assert np.isfinite(x).all() and np.isfinite(y).all()
            assert (axes.get_xscale() == "linear" or x.min() > 0) and (
                axes.get_yscale() == "linear" or y.min() > 0
            )
            low, high = axes.get_ylim()
            assert ((low <= y) & (y <= high)).mean() > 0.5

    def test_it_says_what_it_is(self, figures, name):
        (axes,) = figures[name].axes
        assert axes.get_title(loc="left").startswith(f"{name}  ")
        assert axes.get_xlabel() and axes.get_ylabel()
        assert figure_caption(name).endswith(".") and len(figure_caption(name)) > 60

    def test_points_lie_where_the_theorem_says(self, figures, name):
        assert figures[name].relations and not broken(figures[name])

    def test_a_tolerance_is_too_small_to_hide_a_wrong_law(self, figures, name):
        for relation in figures[name].relations:
            if relation.kind == "equals":
                low, high = figures[name].axes[0].get_ylim()
                assert relation.tolerance <= CLOSEST * (np.log(high / low) if relation.logs else high - low)

    def test_relations_are_about_what_is_drawn(self, figures, name):
        drawn = [np.asarray(line.get_ydata(), float) for line in figures[name].axes[0].get_lines()]
        seen = [
            any(len(y) == len(one.found) and np.array_equal(y, one.found) for y in drawn)
            for one in figures[name].relations
        ]
        # there the claim compares curves with each other
        assert any(seen) or name in {"S4", "S11", "C3", "C4"}

    def test_its_file_is_in_the_documentation(self, name):
        file = PAGES / f"{name.lower()}.png"
        assert file.read_bytes().startswith(b"\x89PNG") and file.stat().st_size < 30_000


def negated(function):
    return lambda self, *arguments, **named: -function(self, *arguments, **named)


class TestWrongFormulas:
    def test_updates_that_step_backwards_are_seen_in_every_figure_with_steps(self, figures, monkeypatch):
        for update in UPDATES:
            for name in ("policy_direction", "policy_group_direction"):
                monkeypatch.setattr(update, name, negated(getattr(update, name)))
        moving = [name for name in NAMES if name not in NO_UPDATE | EITHER_WAY | SLOW]
        missed = [name for name in moving if not broken(theorem_figure(name))]
        assert missed == []

    @pytest.mark.parametrize("name, owner, attribute, wrong", [
        ("S1", KLProx, "step_size", property(lambda self: self.beta)),
        ("S3", TrajectoryEntropyReward, "exact", lambda self, z, c=None, *, no_answer=None: np.exp(z)),
        ("S6", single_speeds, "inverse_square", lambda odds, t: 2 * np.arcsinh(np.sinh(np.asarray(odds) / 2) + t)),
        ("S7a", single_speeds, "self_certainty_direction", lambda z: np.exp(z)[:, ::-1] - 1 / z.shape[1]),
        ("F1", rollouts, "log_chernoff", lambda votable, mode: np.full(len(votable), -0.2)),
        ("F2", rollouts, "wrong_fixation", lambda odds, step, n: 1 / (1 + np.exp(np.asarray(odds)))),
        ("F3", rollouts, "group_advantages", lambda r, scale, eps: (r - r.mean()) / r.std()),
        ("F6", rollouts_many, "fixation_of_three", lambda start, move: (np.full((1, 3), 1 / 3), None)),
        ("F5", rollouts, "mode_vote_shares", lambda z, mode, most: np.exp(z[:, :1]) * np.ones(most)),
        ("C1", CompoundSymmetric, "mix", lambda self, g, w=None, p=None: (self.private * g, 1.2 * self.shared * (w @ g))),
        ("S19", single_bounds, "rest", lambda odds, beta: odds + 1 / beta),
        ("X7", verifier_flow, "time_between", lambda start, end, tpr, fpr: 6 * np.sqrt(fpr * (1 - fpr)) / (tpr - fpr)),
        ("C10", coupled_samples, "chance_of_wrong_sign", lambda up, down, n: 1.0),
        ("U2", uncoupled, "correct_share", lambda population: population.leaders[:, 0].astype(float)),
        ("U3", uncoupled, "peak_time", lambda odds, amplitudes, weights: 3.0),
        ("X1", HybridReward, "exact", lambda self, z, c=None, *, no_answer=None: self.tpr * c),
        ("X2", verifiers, "uniform_share", lambda tpr, fpr: 1 / (1 + tpr)),
        ("X4", verifiers, "balance_masses", lambda p, q, mu, told: (np.log(np.exp(p) / (np.exp(p) + mu)), None)),
        ("X6", verifiers, "gated_steps", lambda odds, gate, tpr, fpr: np.maximum(np.floor((np.log(9) - odds) / (tpr - fpr)), 0)),
    ], ids=lambda value: value if isinstance(value, str) else "")  # fmt: skip
    def test_a_wrong_one_is_seen(self, figures, monkeypatch, name, owner, attribute, wrong):
        monkeypatch.setattr(owner, attribute, wrong)
        assert broken(theorem_figure(name))


class TestOptions:
    def test_a_theme_changes_colours_only(self, figures):
        dark = theorem_figure("S2", theme="dark")
        for line, other in zip(figures["S2"].axes[0].get_lines(), dark.axes[0].get_lines(), strict=True):
            assert (
                np.array_equal(line.get_ydata(), other.get_ydata()) and line.get_color() != other.get_color()
            )

    @pytest.mark.parametrize(
        "name, theme", [("S99", "light"), ("Z1", "light"), ("", "light"), (3, "light"), ("S2", "sepia")]
    )
    def test_unknown_names_and_themes_are_told(self, name, theme):
        with pytest.raises(InputError):
            theorem_figure(name, theme=theme)
        if theme == "light":
            with pytest.raises(InputError):
                figure_caption(name)

    def test_equal_figures_give_equal_small_files_and_touch_nothing_global(self, figures):
        before = dict(matplotlib.rcParams)
        one, again = picture(figures["S2"]), picture(theorem_figure("S2"))
        assert one == again and len(one) < 30_000 and dict(matplotlib.rcParams) == before

    def test_listing_theorems_loads_no_plots(self):
        """The registry imports the package of figures, whose front door must not import matplotlib."""
        tree = ast.parse(Path(front_door.__file__).read_text())
        modules = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
        modules |= {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
        assert modules == {"__future__", "importlib", "typing", "sharpening.errors"}
