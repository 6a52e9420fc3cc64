"""Pieces of a panel: titles and axes, reference lines, names beside lines."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from sharpening.trajectory import METRICS


def readable(name: str) -> str:
    """A metric's or criterion's name as written in figures: "excess_kl" -> "excess KL"."""
    return (
        name.replace("_", " ")
        .replace("kl", "KL")
        .replace("lm ", "LM ")
        .replace("retention 5", "retention 5 %")
    )


def dress(axes, metric, horizon, look, *, last: bool, group: str = "", title: str | None = None) -> None:
    unit = METRICS[metric].unit if metric in METRICS else ""
    axes.set_title(
        title or readable(metric), loc="left", fontsize=10, color=look.ink, fontweight="bold", pad=4
    )
    note = " · ".join(text for text in (group, "" if title else unit) if text)
    axes.set_title(note, loc="right", fontsize=8.5, color=look.grey, pad=4)
    axes.set_xlim(0, horizon or 1)
    if unit == "share":
        axes.set_ylim(-0.03, 1.03)
        axes.set_yticks([0, 0.5, 1])
    else:
        top = max(
            [np.max(line.get_ydata()) for line in axes.get_lines() if len(line.get_ydata())], default=1.0
        )
        axes.set_ylim(-0.03 * (top or 1), 1.1 * (top or 1))
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=metric == "distinct_answers"))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    plain_axes(axes, look)
    axes.grid(axis="y", color=look.grid, linewidth=0.8)
    axes.set_axisbelow(True)
    if last:
        axes.set_xlabel("optimizer step", fontsize=9, color=look.grey)


def plain_axes(axes, look) -> None:
    axes.patch.set_alpha(0)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(look.grey)
    axes.tick_params(colors=look.grey, labelsize=8.5, length=3, labelcolor=look.ink)
    axes.tick_params(axis="y", length=0)


def reference(axes, value, text, look, *, right: bool = False) -> None:
    axes.axhline(value, color=look.grey, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)
    axes.annotate(
        text,
        (0.995 if right else 0.005, value),
        xycoords=("axes fraction", "data"),
        xytext=(0, 2),
        textcoords="offset points",
        ha="right" if right else "left",
        fontsize=7.5,
        color=look.grey,
    )


def floor_line(axes, trajectory, look) -> None:
    """The base-rate floor, named where there is room between it and 1 %."""
    if trajectory.floor is not None and trajectory.floor > 0.03:
        reference(axes, trajectory.floor, f"floor {100 * trajectory.floor:.0f} %", look)


def end_labels(axes, ends, height: float, size: float = 8.5) -> None:
    """Names at the right edge, pushed apart until none overlaps another; panel `height` and type `size` in
    points.
    """
    low, high = axes.get_ylim()
    gap = 1.25 * size / height
    order = sorted(range(len(ends)), key=lambda i: ends[i][0])
    places = np.array([(ends[i][0] - low) / (high - low) for i in order])
    for _ in range(200):
        moved = False
        for lower in range(len(places) - 1):
            overlap = gap - (places[lower + 1] - places[lower])
            if overlap > 1e-6:
                places[lower] -= overlap / 2
                places[lower + 1] += overlap / 2
                moved = True
        places = np.clip(places, 0.02, max(0.98, 0.02 + gap * (len(places) - 1)))
        if not moved:
            break
    for place, i in zip(places, order, strict=True):
        _, name, colour = ends[i]
        weight = "bold" if name == "measured" else "normal"
        axes.annotate(
            name,
            (1.015, place),
            xycoords="axes fraction",
            va="center",
            ha="left",
            fontsize=size,
            color=colour,
            fontweight=weight,
        )
