"""When each criterion is met: one row per criterion, one mark per series."""

from collections.abc import Mapping

import numpy as np

from sharpening.collapse import CRITERIA
from sharpening.errors import InputError
from sharpening.plots.figure import Figure
from sharpening.plots.panels import plain_axes, readable
from sharpening.plots.theme import get_theme


def plot_collapse_steps(
    collapse: Mapping[str, Mapping],
    *,
    horizon: int,
    speaker: str | None = None,
    criterion: str | None = None,
    intervals: Mapping[str, tuple[int, int | None]] | None = None,
    theme: str = "light",
) -> Figure:
    """When each criterion is met: one row per criterion, one diamond per series, the speaker's interval as a
    bar.

    `collapse`: series -> criterion -> CollapseStep (anything with `step` and `outcome`). A triangle at the
    right edge: not met within `horizon` steps; a ring at 0: met before training. Rows that no series can
    evaluate are left out; `criterion` is printed bold. Raises: InputError if no row is left.
    """
    look = get_theme(theme)
    names = [name for name in CRITERIA if any(_said(steps.get(name)) for steps in collapse.values())]
    if not names:
        raise InputError(
            "collapse",
            {},
            "no series evaluates any criterion",
            "Give a trajectory with labels or with mode_retention",
        )
    figure = Figure(figsize=(8.0, 0.95 + 0.55 * len(names)), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    offsets = np.linspace(-0.29, 0.29, len(collapse)) if len(collapse) > 1 else np.zeros(1)
    for row, name in enumerate(names):
        axes.axhline(row, color=look.grid, linewidth=1, zorder=0)
        if (
            speaker is not None
            and speaker in collapse
            and intervals
            and name in intervals
            and intervals[name][0] is not None
        ):
            low, high = intervals[name]
            y = row + offsets[list(collapse).index(speaker)]
            axes.plot(
                [low, 1.04 * horizon if high is None else high],
                [y, y],
                color=look.colour(speaker),
                linewidth=7,
                alpha=0.28,
                solid_capstyle="butt",
            )
        for position, (series, steps) in enumerate(collapse.items()):
            _mark_step(
                axes,
                steps.get(name),
                row + offsets[position],
                horizon,
                look.colour(series, position),
                series == "measured",
            )
    axes.axvline(horizon, color=look.grey, linewidth=0.8, linestyle=(0, (1, 2)))
    axes.annotate(
        "later",
        (horizon, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(3, 2),
        textcoords="offset points",
        fontsize=8.5,
        color=look.grey,
    )
    axes.set(xlim=(-0.02 * horizon, 1.07 * horizon), ylim=(len(names) - 0.45, -0.55))
    axes.set_yticks(range(len(names)), [readable(name) for name in names])
    for label, name in zip(axes.get_yticklabels(), names, strict=True):
        label.set_fontweight("bold" if name == criterion else "normal")
    plain_axes(axes, look)
    axes.tick_params(axis="y", length=0, labelsize=9.5)
    axes.set_xlabel("optimizer step", fontsize=9, color=look.grey)
    handles = [
        axes.plot(
            [],
            [],
            marker="D",
            linestyle="",
            color=look.colour(series, i),
            markersize=6,
            label=series + (" (speaks)" if series == speaker else ""),
        )[0]
        for i, series in enumerate(collapse)
    ]
    legend = figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=len(handles),
        frameon=False,
        fontsize=9.5,
        handletextpad=0.2,
        columnspacing=1.4,
    )
    for text, handle in zip(legend.get_texts(), handles, strict=True):
        text.set_color(handle.get_color())
    return figure


def _said(step) -> bool:
    return step is not None and step.outcome.value != "unavailable"


def _mark_step(axes, step, y, horizon, colour, measured: bool) -> None:
    if not _said(step):
        return
    size = 9 if measured else 7
    if step.step is not None:
        axes.plot([step.step], [y], marker="D", markersize=size, color=colour, markeredgewidth=0, zorder=5)
    elif step.outcome.value == "censored":
        axes.plot(
            [1.035 * horizon],
            [y],
            marker=">",
            markersize=size,
            color=colour,
            markeredgewidth=0,
            zorder=5,
            clip_on=False,
        )
    else:
        axes.plot(
            [0],
            [y],
            marker="o",
            markersize=size,
            markerfacecolor="none",
            markeredgecolor=colour,
            markeredgewidth=1.4,
            zorder=5,
            clip_on=False,
        )
