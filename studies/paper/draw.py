"""One look for the figures of all studies of the paper: a line is the mean of the seeds, its band their range; solid
lines are transformers, dashed ones simulations.
"""

from collections.abc import Sequence

import numpy as np

from sharpening.plots import Figure
from sharpening.plots.theme import get_theme

LOOK = get_theme("light")
WIDTH = 9.0
TITLE, TEXT, SMALL = 10.5, 9.0, 8.5
DASHED = (0, (4, 2))
MARKS = ("o", "s", "^", "D", "v", "P")
"""Points differ in shape as well as in colour."""


def sheet(rows: int, columns: int, title: str, height: float = 2.7, **options):
    """(figure, rows × columns axes) with the title on top."""
    figure = Figure(figsize=(WIDTH, height * rows + 0.7), layout="constrained")
    table = figure.subplots(rows, columns, squeeze=False, **options)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11.5, color=LOOK.ink)
    return figure, table


def finish(axes, title: str, x: str, y: str = "", share: bool = False) -> None:
    """Title, units of both axes, a light grid; share: the y axis runs from 0 to 1."""
    axes.set_title(title, loc="left", fontsize=TITLE, color=LOOK.ink)
    axes.set_xlabel(x, fontsize=TEXT, color=LOOK.grey)
    axes.set_ylabel(y, fontsize=TEXT, color=LOOK.grey)
    axes.grid(color=LOOK.grid, lw=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=SMALL, colors=LOOK.ink)
    if share:
        axes.set_ylim(-0.03, 1.03)


def band(
    axes, curves: Sequence[dict], metric: str, colour: str, label: str | None = None, dashed: bool = False
):
    """The mean over seeds and their range, as far as every seed ran."""
    curves = [curve for curve in curves if metric in curve]
    if not curves:
        return
    length = min(len(curve["step"]) for curve in curves)
    steps = curves[0]["step"][:length]
    values = np.array([curve[metric][:length] for curve in curves], float)
    axes.plot(
        steps, values.mean(axis=0), color=colour, lw=2.0, ls=DASHED if dashed else "-", label=label, zorder=3
    )
    if len(values) > 1:
        axes.fill_between(
            steps, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.18, lw=0, zorder=2
        )


def legend(figure, axes_list, columns: int = 4) -> None:
    """One legend below all panels; a name that several panels share appears once."""
    found: dict = {}
    for axes in axes_list:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(name, handle)
    key = figure.legend(
        list(found.values()),
        list(found),
        loc="outside lower center",
        ncols=min(columns, len(found)),
        frameon=False,
        fontsize=TEXT,
        handlelength=2.4,
    )
    for text in key.get_texts():
        text.set_color(LOOK.ink)


def colour(position: int) -> str:
    """The colour of a series by its place."""
    return (*LOOK.others, LOOK.grey, LOOK.ink)[position]
