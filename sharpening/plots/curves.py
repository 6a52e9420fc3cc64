"""Curves of metrics over training steps: small multiples of several runs, or the rise and fall of one."""

from collections.abc import Mapping, Sequence

import numpy as np

from sharpening.collapse import CRITERIA, collapse_steps
from sharpening.errors import InputError
from sharpening.plots.figure import Figure
from sharpening.plots.panels import dress, end_labels, floor_line, readable, reference
from sharpening.plots.theme import get_theme
from sharpening.trajectory import Trajectory

LABELLED = ("accuracy", "label_accuracy", "reward_accuracy")
LABEL_FREE = ("mode_retention", "excess_kl", "entropy", "distinct_answers")
SHARES = ("majority_ratio", "accuracy", "label_accuracy", "reward_accuracy", "mode_retention")
PANEL_CRITERION = {
    "accuracy": "accuracy_peak",
    "reward_accuracy": "relative",
    "mode_retention": "mode_retention",
    "excess_kl": "excess_kl",
    "lm_loss": "loss_spike",
}


def plot_trajectories(
    trajectories: Mapping[str, Trajectory],
    *,
    speaker: str | None = None,
    criterion: str = "relative",
    collapse: Mapping[str, Mapping] | None = None,
    intervals: Mapping[str, tuple[int, int | None]] | None = None,
    theme: str = "light",
) -> Figure:
    """Small multiples, one panel per metric: those that need labels on the left, label-free ones on the
    right.

    `trajectories`: name -> Trajectory; "measured" is drawn in ink with dots, the `speaker` as a solid line,
    the rest dashed. A diamond marks where a series meets the panel's criterion (`criterion` in its own
    metric's panel). `collapse`: name -> criterion -> CollapseStep (computed if None). `intervals`: criterion
    -> (low, high) in steps, shaded in the speaker's colour; high None reaches the edge.
    Raises: InputError without a trajectory or for an unknown theme or criterion.
    """
    look = get_theme(theme)
    collapse = _checked(trajectories, criterion, collapse)
    columns = metric_columns(trajectories)
    rows = max(len(column) for column in columns)
    figure = Figure(figsize=(8.0, 0.5 + 1.75 * rows), dpi=100, layout="constrained")
    grid = figure.add_gridspec(rows, len(columns))
    drawn = dict(speaker=speaker, criterion=criterion, collapse=collapse, intervals=intervals, look=look)
    for j, column in enumerate(columns):
        for i, metric in enumerate(column):
            axes = figure.add_subplot(grid[i, j])
            group = ("with labels" if metric in LABELLED else "label-free") if i == 0 else ""
            _panel(axes, metric, trajectories, **drawn, last=i == len(column) - 1, group=group)
    if len(columns) > 1 and len(columns[0]) < rows:
        _key(
            figure.add_subplot(grid[len(columns[0]), 0]),
            len(trajectories) > 1,
            speaker in trajectories,
            bool(intervals),
            look,
        )
    return figure


def metric_columns(trajectories: Mapping[str, Trajectory]) -> list[list[str]]:
    """The metrics that are drawn: those that need labels, then label-free ones; up to four others where there are
    neither.
    """
    present = {name for found in trajectories.values() for name in found.metrics}
    columns = [[name for name in group if name in present] for group in (LABELLED, LABEL_FREE)]
    return [column for column in columns if column] or [sorted(present)[:4]]


def plot_metric(
    metric: str,
    trajectories: Mapping[str, Trajectory],
    *,
    speaker: str | None = None,
    criterion: str = "relative",
    collapse: Mapping[str, Mapping] | None = None,
    intervals: Mapping[str, tuple[int, int | None]] | None = None,
    theme: str = "light",
) -> Figure:
    """One panel of `plot_trajectories`, small enough for a telephone. Arguments and errors as there; InputError also
    where no trajectory has `metric`.
    """
    look = get_theme(theme)
    collapse = _checked(trajectories, criterion, collapse)
    if not any(found.has(metric) for found in trajectories.values()):
        raise InputError("metric", metric, "no trajectory has it")
    figure = Figure(figsize=(4.0, 2.1), dpi=100, layout="constrained")
    drawn = dict(speaker=speaker, criterion=criterion, collapse=collapse, intervals=intervals, look=look)
    _panel(figure.add_subplot(), metric, trajectories, **drawn, last=True, group="")
    return figure


def _checked(trajectories, criterion, collapse) -> Mapping[str, Mapping]:
    if not trajectories:
        raise InputError("trajectories", {}, "there is nothing to draw", "Give at least one trajectory")
    if criterion not in CRITERIA:
        raise InputError("criterion", criterion, f"known criteria are {', '.join(CRITERIA)}")
    if collapse is None:
        return {name: collapse_steps(found) for name, found in trajectories.items()}
    return collapse


def _panel(axes, metric, trajectories, *, speaker, criterion, collapse, intervals, look, last, group) -> None:
    horizon = max(found.horizon for found in trajectories.values())
    rule = criterion if CRITERIA[criterion].metric == metric else PANEL_CRITERION.get(metric)
    if speaker is not None and speaker in trajectories and rule is not None and rule in (intervals or {}):
        _shade(axes, intervals[rule], horizon, look.colour(speaker))
    _references(axes, metric, trajectories, look)
    steps = {name: found.get(rule) for name, found in collapse.items()}
    ends = _lines(axes, metric, trajectories, steps, speaker, look)
    dress(axes, metric, horizon, look, last=last, group=group)
    if len(trajectories) > 1:
        end_labels(axes, ends, height=82)


def plot_trajectory(
    trajectory: Trajectory, *, metrics: Sequence[str] = SHARES, width: float = 8.0, theme: str = "light"
) -> Figure:
    """Rise and fall in one panel: the metrics of one run that are shares, each named beside its line; those of the
    trained prompts (train_*) are dashed. `width` in inches.

    Raises: InputError if the trajectory has none of `metrics`.
    """
    look = get_theme(theme)
    shown = [name for name in metrics if trajectory.has(name)]
    if not shown:
        raise InputError(
            "metrics", tuple(metrics), f"the trajectory has {', '.join(trajectory.metrics) or 'no metric'}"
        )
    figure = Figure(figsize=(width, 3.6), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    floor_line(axes, trajectory, look)
    ends = []
    for position, name in enumerate(shown):
        colour = look.colour(name, position)
        trained = name.startswith("train_")
        line = (0, (4, 2)) if trained else "-"
        axes.plot(trajectory.step, trajectory[name], color=colour, linewidth=2.0, linestyle=line)
        ends.append((float(trajectory[name][-1]), readable(name) + " (dashed)" * trained, colour))
    dress(axes, shown[0], trajectory.horizon, look, last=True, title="share")
    end_labels(axes, ends, height=215, size=9.5)
    return figure


def _lines(axes, metric, trajectories, steps, speaker, look) -> list:
    ends = []
    for position, (name, found) in enumerate(trajectories.items()):
        if not found.has(metric):
            continue
        colour = look.colour(name, position)
        solid = name in ("measured", speaker) or len(trajectories) == 1
        style = {"linewidth": 2.2 if solid else 1.4, "linestyle": "-" if solid else (0, (4, 2))}
        dots = {"marker": "o", "markersize": 3.2} if name == "measured" and len(found) <= 60 else {}
        axes.plot(
            found.step, found[metric], color=colour, zorder=4 if name == "measured" else 3, **style, **dots
        )
        step = steps.get(name)
        if step is not None and step.step is not None:
            y = float(np.interp(step.step, found.step, found[metric]))
            axes.plot(
                [step.step],
                [y],
                marker="D",
                markersize=6.5,
                color=colour,
                markeredgecolor="white",
                markeredgewidth=0.9,
                zorder=6,
            )
        ends.append((float(found[metric][-1]), name, colour))
    return ends


def _key(axes, several: bool, speaks: bool, shaded: bool, look) -> None:
    axes.set_axis_off()
    lines = ["◆  the collapse criterion of the panel is met"]
    lines += ["dots: measured; solid: the voice that speaks"] * (several and speaks)
    lines += ["shaded: interval of the forecast for ◆"] * (speaks and shaded)
    lines += ["dotted: thresholds, and the base-rate floor"]
    axes.text(
        0,
        0.5,
        "\n".join(lines),
        transform=axes.transAxes,
        fontsize=8.5,
        color=look.grey,
        va="center",
        linespacing=1.7,
    )


def _references(axes, metric, trajectories, look) -> None:
    if metric == "reward_accuracy":
        shown = next(iter(trajectories.values()))
        floor_line(axes, shown, look)
        crowded = shown.floor is not None and 0.03 < shown.floor < 0.1
        reference(axes, 0.01, "" if crowded else "1 %", look)
    elif metric == "mode_retention":
        reference(axes, CRITERIA["mode_retention"].amount, "50 %", look, right=True)
    elif metric == "excess_kl":
        reference(axes, CRITERIA["excess_kl"].amount, "2 nats", look, right=True)


def _shade(axes, interval, horizon, colour) -> None:
    low, high = interval
    if low is not None:
        axes.axvspan(low, horizon if high is None else high, color=colour, alpha=0.12, linewidth=0, zorder=0)
