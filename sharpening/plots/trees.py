"""The failure modes of certainty rewards on sequences, side by side: gradual degradation, length collapse,
repetition collapse.
"""

from collections.abc import Mapping

import numpy as np
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, MaxNLocator

from sharpening.errors import InputError
from sharpening.plots.figure import Figure
from sharpening.plots.panels import plain_axes
from sharpening.plots.theme import get_theme
from sharpening.trajectory import Trajectory

PANELS = (
    ("gradual degradation", "accuracy", "share of rollouts", ("majority", "self-certainty")),
    ("length collapse", "mean_length", "tokens", ("probability",)),
    ("repetition collapse", "repetition", "share of tokens", ("trajectory-entropy", "token-entropy")),
)
ORDER = ("majority", "probability", "trajectory-entropy", "token-entropy", "self-certainty")


def plot_failure_modes(trajectories: Mapping[str, Trajectory], *, theme: str = "light") -> Figure:
    """One panel a failure mode: accuracy, mean length, repetition over training steps, one line a reward, the
    same colour in each.

    `trajectories`: reward name -> Trajectory with `accuracy`, `mean_length` and `repetition` (as
    `simulate_tree` gives). In each panel the rewards that He et al. 2026 report for that failure are drawn
    thick, the others thin; "true" is drawn in ink, dashed.
    Raises: InputError without a trajectory, or for one that lacks a panel's metric.
    """
    look = get_theme(theme)
    if not trajectories:
        raise InputError("trajectories", {}, "there is nothing to draw", "Give at least one trajectory")
    for name, found in trajectories.items():
        lacking = [metric for _, metric, _, _ in PANELS if not found.has(metric)]
        if lacking:
            raise InputError(
                "trajectories", name, f"it has no {', '.join(lacking)}", "Use trajectories of simulate_tree"
            )
    figure = Figure(figsize=(8.0, 3.3), dpi=100, layout=ConstrainedLayoutEngine(w_pad=0.08))
    horizon = max(found.horizon for found in trajectories.values())
    for axes, (title, metric, unit, failing) in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        for position, (name, found) in enumerate(trajectories.items()):
            axes.plot(found.step, found[metric], label=name, **_line(name, position, name in failing, look))
        axes.set_title(title, loc="left", fontsize=10, color=look.ink, fontweight="bold", pad=18)
        axes.text(
            0,
            1.03,
            f"{metric.replace('_', ' ')}, {unit}",
            transform=axes.transAxes,
            fontsize=8.5,
            color=look.grey,
        )
        top = (
            1.0
            if unit.startswith("share")
            else max(float(np.max(found[metric])) for found in trajectories.values())
        )
        axes.set_xlim(0, horizon or 1)
        axes.set_ylim(-0.03 * top, 1.05 * top)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.yaxis.set_major_locator(
            FixedLocator([0, 0.5, 1]) if unit.startswith("share") else MaxNLocator(4, integer=True)
        )
        axes.set_xlabel("optimizer step", fontsize=9, color=look.grey)
        plain_axes(axes, look)
        axes.grid(axis="y", color=look.grid, linewidth=0.8)
        axes.set_axisbelow(True)
    handles, names = axes.get_legend_handles_labels()
    key = figure.legend(
        handles, names, loc="outside lower center", ncols=3, frameon=False, fontsize=8.5, handlelength=2.2
    )
    for line, text in zip(key.get_lines(), key.get_texts(), strict=True):
        line.set_linewidth(2.2)
        text.set_color(look.ink)
    return figure


def _line(name: str, position: int, failing: bool, look) -> dict:
    if name == "true":
        return {"color": look.ink, "linewidth": 1.4, "linestyle": (0, (4, 2)), "zorder": 2}
    colour = look.others[(ORDER.index(name) if name in ORDER else position) % len(look.others)]
    return {"color": colour, "linewidth": 2.6 if failing else 1.0, "zorder": 4 if failing else 3}
