"""Figures from trajectories and collapse steps.

Nothing global is touched: each function returns a Figure of its own, drawn without pyplot. Names are beside
the lines, and all is readable at 800 pixels. `theme="dark"` draws for a dark page; the background is
transparent in both.
"""

from sharpening.plots.curves import plot_metric, plot_trajectories, plot_trajectory
from sharpening.plots.figure import Figure, figure_bytes
from sharpening.plots.steps import plot_collapse_steps
from sharpening.plots.theme import THEMES
from sharpening.plots.trees import plot_failure_modes

__all__ = [
    "THEMES",
    "Figure",
    "figure_bytes",
    "plot_collapse_steps",
    "plot_failure_modes",
    "plot_metric",
    "plot_trajectories",
    "plot_trajectory",
]
