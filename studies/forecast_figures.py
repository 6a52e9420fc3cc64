"""The held-out figure of the forecast: what was said of families that no fit had seen, against what was
measured.
"""

import math

import numpy as np

from sharpening.plots import Figure
from sharpening.plots.theme import get_theme


def held_out_figure(calibration: dict) -> Figure:
    """Forecast step (horizontal) and every seed's measured step (vertical), log scale; bars: 90 % intervals;
    band: a factor of 1.5.

    Triangles point up where a run had not met `relative` by its horizon.
    """
    look = get_theme("light")
    points = calibration["points"]
    horizon = max(point["horizon"] for point in points)
    figure = Figure(figsize=(6.4, 5.4), layout="constrained")
    axes = figure.subplots()
    span = np.array([5.0, 4.0 * max(horizon, *(point["forecast"] for point in points))])
    axes.plot(span, span, color=look.grey, lw=1.2)
    axes.fill_between(span, span / 1.5, span * 1.5, color=look.grid, alpha=0.7, lw=0)
    for number, rate in enumerate(sorted({_rate(point) for point in points})):
        colour, first = look.others[number % len(look.others)], True
        for point in (point for point in points if _rate(point) == rate):
            low, high = point["interval"]
            axes.plot(
                [point["forecast"]] * 2,
                [low or 1, high or span[1]],
                color=colour,
                alpha=0.25,
                lw=2.2,
                solid_capstyle="butt",
            )
            for step in point["measured"]:
                axes.plot(
                    point["forecast"],
                    step or point["horizon"],
                    "o" if step else "^",
                    color=colour,
                    ms=5,
                    mec="white",
                    mew=0.5,
                    label=f"learning rate {rate:g}" if first else None,
                )
                first = False
    axes.axhline(horizon, color=look.grey, lw=0.9, ls=(0, (4, 3)))
    axes.text(span[0] * 1.05, horizon * 1.06, "horizon", fontsize=8, color=look.grey)
    axes.set(xscale="log", yscale="log", xlim=span, ylim=(span[0], 3 * horizon))
    axes.set_xlabel("forecast step of `relative` (median)")
    axes.set_ylabel("measured step, one mark a seed (triangle: not met)")
    axes.grid(color=look.grid, lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8.5, loc="lower right")
    left_out = ", ".join(calibration["left_out"].values())
    axes.set_title(
        f"Families that no fit had seen ({left_out}): forecast and measured",
        loc="left",
        fontsize=10.5,
        color=look.ink,
    )
    return figure


def _rate(point: dict) -> float:
    words = point["label"].split()
    return math.nan if len(words) < 2 else float(words[1])
