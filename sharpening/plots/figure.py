"""A figure that draws itself: for notebooks, and as bytes for files and pages."""

import io

from matplotlib.figure import Figure as _MatplotlibFigure

from sharpening.errors import InputError


class Figure(_MatplotlibFigure):
    """A matplotlib figure that notebooks show by themselves."""

    def _repr_png_(self) -> bytes:
        return figure_bytes(self, "png")


def figure_bytes(figure: _MatplotlibFigure, kind: str = "png", *, background: str | None = None) -> bytes:
    """The figure as PNG or SVG; equal figures give equal bytes. `background=None` leaves it transparent (PNG:
    white).
    """
    if kind not in ("png", "svg"):
        raise InputError("kind", kind, "known kinds are png and svg", "Use png")
    import matplotlib

    buffer = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    colour = background or ("white" if kind == "png" else "none")
    with matplotlib.rc_context({"svg.hashsalt": "sharpening", "svg.fonttype": "path"}):
        figure.savefig(buffer, format=kind, dpi=200, facecolor=colour, metadata=metadata)
    return buffer.getvalue()
