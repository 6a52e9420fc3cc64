"""The panel that every theorem is drawn on: lines for closed forms, points for what was computed, and what
must hold between them.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator

from sharpening.plots.figure import Figure, figure_bytes
from sharpening.plots.panels import plain_axes
from sharpening.plots.theme import get_theme
from sharpening.simulation.precision import precision_context

WIDTH, HEIGHT, NODES, SHADES = 4.2, 2.6, 160, 12
MARKS = ("o", "s", "^", "D", "v")


@dataclass(frozen=True, eq=False)
class Relation:
    """What a figure shows to hold: drawn values `found` equal `wanted`, or are at most or at least it, up to
    `tolerance`.

    In the unit of the axis, or in nats for `logs` (log found against log wanted).
    """

    kind: str
    found: np.ndarray
    wanted: np.ndarray
    tolerance: float
    logs: bool = False

    @property
    def error(self) -> float:
        """By how much the relation is missed at worst; <= `tolerance` where it holds."""
        found, wanted = (np.log(values) if self.logs else values for values in (self.found, self.wanted))
        gap = found - wanted
        return float(np.max({"equals": np.abs(gap), "at most": gap, "at least": -gap}[self.kind]))


class TheoremFigure(Figure):
    """A figure that knows what its points are held against: `relations`, in the order in which they were
    drawn.
    """

    relations: tuple[Relation, ...] = ()


class Panel:
    """One pair of axes in a theme. Colours are numbers: 0.. of the theme's series, -1 grey, None ink."""

    def __init__(self, axes, look):
        self.axes, self.look, self.relations = axes, look, []

    def colour(self, number: int | None) -> str:
        return (
            self.look.ink
            if number is None
            else self.look.grey
            if number < 0
            else self.look.others[number % len(self.look.others)]
        )

    def line(
        self,
        x,
        y,
        label: str | None = None,
        colour: int | None = 0,
        *,
        dashed: bool = False,
        steps: bool = False,
    ):
        """A curve; `steps` draws it constant between its points."""
        style = {"linestyle": (0, (4, 2)), "linewidth": 1.2} if dashed else {"linewidth": 1.5}
        how = {"drawstyle": "steps-post"} if steps else {}
        return self.axes.plot(x, y, label=label, color=self.colour(colour), zorder=3, **style, **how)[0]

    def points(self, x, y, label: str | None = None, colour: int | None = 0, *, mark: int = 0):
        """Markers for computed values."""
        return self.axes.plot(
            x, y, MARKS[mark], label=label, color=self.colour(colour), markersize=3.6, markeredgecolor="white", markeredgewidth=0.5,
            zorder=5, linestyle="none",
        )[0]  # fmt: skip

    def law(
        self, formula: Callable, x, found, label: str | None = None, colour: int | None = 0, *, span: tuple | None = None,
        tolerance: float = 1e-9, logs: bool = False, mark: int = 0, dashed: bool = False, nodes: int = NODES,
    ):  # fmt: skip
        """`formula` as a line over `span` (default: from the first to the last x), what was computed as
        points on top; they must agree.

        `nodes` = 0 draws the line through the points' own x only, for laws of whole numbers. `logs`: spaced
        and compared in logs.
        """
        x, found = np.asarray(x, np.float64), np.asarray(found, np.float64)
        low, high = (x.min(), x.max()) if span is None else span
        spaced = np.geomspace if self.axes.get_xscale() == "log" else np.linspace
        grid = np.union1d(spaced(low, high, nodes) if nodes else x, x)
        line = self.line(grid, formula(grid), label, colour, dashed=dashed)
        points = self.points(x, found, None, colour, mark=mark)
        self._relate("equals", points, line, tolerance, logs)

    def bound(
        self,
        side: str,
        bound,
        x,
        found,
        label=None,
        colour=0,
        *,
        told=None,
        tolerance=1e-9,
        logs=False,
        bound_colour=-1,
        as_line=False,
    ):
        """`found` (points, or a line) stays "at most" or "at least" `bound`, a function of x or a number,
        drawn dashed in grey.
        """
        x, found = np.asarray(x, np.float64), np.asarray(found, np.float64)
        limit = bound(x) if callable(bound) else np.full(len(x), float(bound))
        limit = self.line(x, limit, told, bound_colour, dashed=True)
        drawn = self.line(x, found, label, colour) if as_line else self.points(x, found, label, colour)
        self._relate(side, drawn, limit, tolerance, logs)

    def holds(self, side: str, found, wanted, tolerance: float = 1e-9) -> None:
        """A relation between drawn values that no line of its own shows, such as "never falls"."""
        found, wanted = np.broadcast_arrays(
            np.atleast_1d(np.asarray(found, np.float64)), np.asarray(wanted, np.float64)
        )
        self.relations.append(Relation(side, found, wanted, tolerance))

    def _relate(self, side, drawn, line, tolerance, logs) -> None:
        x, found = (np.asarray(values, np.float64) for values in drawn.get_data())
        at, values = (np.asarray(values, np.float64) for values in line.get_data())
        wanted = np.exp(np.interp(x, at, np.log(values))) if logs else np.interp(x, at, values)
        self.relations.append(Relation(side, found, wanted, tolerance, logs))

    def level(self, value: float, text: str = "", *, left: bool = False) -> None:
        """A dotted horizontal line with its name at the right (or left) edge."""
        self.axes.axhline(value, color=self.look.grey, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)
        self.axes.annotate(
            text, (0.01 if left else 0.99, value), xycoords=("axes fraction", "data"), xytext=(0, 2), textcoords="offset points",
            ha="left" if left else "right", fontsize=6.8, color=self.look.grey,
        )  # fmt: skip

    def mark(self, x: float, text: str = "", *, low: bool = False, left: bool = False) -> None:
        """A dotted vertical line with its name at the top (or low) beside it."""
        self.axes.axvline(x, color=self.look.grey, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)
        self.axes.annotate(
            text, (x, 0.04 if low else 0.97), xycoords=("data", "axes fraction"), xytext=(-3 if left else 3, 0), textcoords="offset points",
            va="bottom" if low else "top", ha="right" if left else "left", fontsize=6.8, color=self.look.grey,
        )  # fmt: skip

    def note(self, x: float, y: float, text: str, colour: int | None = -1, *, right: bool = False) -> None:
        """A word at a place of the axes, both in 0..1."""
        self.axes.text(
            x,
            y,
            text,
            transform=self.axes.transAxes,
            fontsize=6.8,
            color=self.colour(colour),
            ha="right" if right else "left",
        )

    def logs(self, *, x: bool = False, y: bool = False) -> None:
        """Logarithmic axes; to be asked for before anything is drawn."""
        self.axes.set_xscale("log" if x else "linear")
        self.axes.set_yscale("log" if y else "linear")

    def dress(
        self, x: str, y: str, *, legend: str | None = "best", columns: int = 1, ylim=None, xlim=None
    ) -> None:
        """Names of both axes with their units, and the key: at a place inside the axes, or "below" them in so
        many columns.
        """
        axes, look = self.axes, self.look
        axes.set_xlabel(x, fontsize=7.5, color=look.grey, labelpad=2)
        axes.set_ylabel(y, fontsize=7.5, color=look.grey, labelpad=3)
        plain_axes(axes, look)
        axes.tick_params(labelsize=7, length=2.5)
        axes.minorticks_off()
        for axis, (low, high) in (
            (axes.xaxis, xlim or axes.get_xlim()),
            (axes.yaxis, ylim or axes.get_ylim()),
        ):
            if isinstance(axis.get_major_locator(), LogLocator) and high < 300 * low:
                axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.grid(axis="y", color=look.grid, linewidth=0.7)
        axes.set_axisbelow(True)
        if ylim:
            axes.set_ylim(*ylim)
        if xlim:
            axes.set_xlim(*xlim)
        named = axes.get_legend_handles_labels()
        named = named[0], [text.replace("-", "−") if re.search(r"-\d", text) else text for text in named[1]]
        if legend and named[0]:
            style = dict(frameon=False, fontsize=6.8, labelcolor=look.ink, handlelength=1.5, handletextpad=0.5, labelspacing=0.25,
                         borderaxespad=0.3, ncols=columns, columnspacing=1.0)  # fmt: skip
            if legend == "below":
                axes.figure.legend(*named, loc="outside lower center", **style)
            else:
                axes.legend(*named, loc=legend, **style)


def draws(drawings: dict, name: str, caption: str) -> Callable:
    """Decorator: `draw(panel)` is the figure of the theorem `name`, described by the sentence `caption`."""

    def keep(draw: Callable[[Panel], None]) -> Callable[[Panel], None]:
        drawings[name] = (draw, caption)
        return draw

    return keep


def picture(figure: TheoremFigure) -> bytes:
    """A light figure as a PNG of few colours, the theme's and their shades on white, some 15 kB; equal
    figures give equal bytes.
    """
    from PIL import Image

    look, shrunk = get_theme("light"), io.BytesIO()
    pure = np.array([to_rgb(one) for one in (look.ink, look.grey, look.grid, *look.others)])
    shades = (
        np.round(255 * (1 - np.linspace(0, 1, SHADES)[:, None, None] * (1 - pure))).reshape(-1, 3).astype(int)
    )
    with Image.open(io.BytesIO(figure_bytes(figure, "png"))) as full:
        pixels = np.asarray(full.convert("RGB"), int)
    colours, place = np.unique(pixels @ [65536, 256, 1], return_inverse=True)
    colours = np.stack([colours // 65536, colours // 256 % 256, colours % 256], axis=1)
    nearest = ((colours[:, None] - shades) ** 2).sum(axis=2).argmin(axis=1)
    small = Image.fromarray(nearest[place].reshape(pixels.shape[:2]).astype(np.uint8)).convert("P")
    small.putpalette(shades.astype(np.uint8).tobytes())
    small.save(shrunk, "png", optimize=True)
    return shrunk.getvalue()


def draw_figure(name: str, draw: Callable[[Panel], None], caption: str, theme: str) -> TheoremFigure:
    """The figure that `draw` makes, titled with the theorem's name and title."""
    from sharpening.theorems.registry import get_theorem

    look = get_theme(theme)
    layout = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03)
    figure = TheoremFigure(figsize=(WIDTH, HEIGHT), dpi=100, layout=layout)
    panel = Panel(figure.add_subplot(), look)
    with precision_context("float64"):
        draw(panel)
    title = get_theorem(name).title.split("Counterexample: ")[-1].split("Counterexample in float64: ")[-1]
    title = textwrap.fill(f"{name}  {title[0].upper()}{title[1:]}", 60)
    panel.axes.set_title(title, loc="left", fontsize=8, color=look.ink, fontweight="bold", pad=4)
    figure.relations = tuple(panel.relations)
    return figure
