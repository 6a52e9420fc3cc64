"""One figure a theorem: its closed form as a line with what the package computes on top, or the claim that a
counterexample breaks.

`python -m sharpening.plots.theorems docs/figures/theorems` writes them all. Matplotlib is loaded with the
first figure.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from sharpening.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sharpening.plots.theorems.canvas import Panel, TheoremFigure

    Drawing = tuple[Callable[[Panel], None], str]  # (draw, caption)

FAMILIES = {
    "S": ("single_laws", "single_speeds", "single_orders", "single_limits", "single_bounds"),
    "F": ("rollouts", "rollouts_many"),
    "U": ("uncoupled",),
    "X": ("verifiers", "verifier_flow"),
    "C": ("coupled", "coupled_ends", "coupled_samples"),
    "N": ("counterexamples", "counterexamples_coupled"),
}  # first letter of a theorem's name -> modules of this package

__all__ = ["figure_caption", "figure_names", "theorem_figure"]


def theorem_figure(name: str, *, theme: str = "light") -> TheoremFigure:
    """The figure of the theorem of that name, 4.2 x 2.6 inches, computed anew in float64; `relations` hold
    the numbers that are drawn.

    Raises: InputError for a name without a figure or an unknown theme.
    """
    from sharpening.plots.theorems.canvas import draw_figure

    return draw_figure(name, *_drawing(name), theme)


def figure_caption(name: str) -> str:
    """One sentence that says what the figure shows, for captions and as alternative text. Raises: InputError
    as `theorem_figure`.
    """
    return _drawing(name)[1]


def figure_names() -> list[str]:
    """Names of all theorems that have a figure."""
    return [name for letter in FAMILIES for name in _drawings(letter)]


def _drawing(name: str) -> Drawing:
    known = _drawings(name[:1]) if isinstance(name, str) and name[:1] in FAMILIES else {}
    if name not in known:
        raise InputError(
            "theorem",
            name,
            f"theorems with a figure are {', '.join(figure_names())}",
            "See `sharpening theorems`",
        )
    return known[name]


def _drawings(letter: str) -> dict[str, Drawing]:
    """name -> (draw, caption), from the modules of a family."""
    found: dict[str, Drawing] = {}
    for module in FAMILIES[letter]:
        found |= importlib.import_module(f"{__name__}.{module}").DRAWINGS
    return found
