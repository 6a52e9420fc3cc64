"""Curves in a few characters: what a trajectory shows where it is printed."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 24


def sparkline(values: Sequence[float] | np.ndarray, width: int = _WIDTH) -> str:
    """At most `width` bars, the lowest value the lowest bar; a constant curve is a low line, a value that was not
    evaluated a space. Longer curves show `width` of their values, evenly chosen, the first and the last among
    them.
    """
    shown = np.asarray(values, dtype=float)
    if len(shown) > width:
        shown = shown[np.linspace(0, len(shown) - 1, width).round().astype(int)]
    known = shown[np.isfinite(shown)]
    if not known.size:
        return " " * len(shown)
    low, span = known.min(), np.ptp(known)
    heights = (shown - low) / (span or 1.0)
    return "".join(" " if np.isnan(height) else _BARS[min(int(height * 8), 7)] for height in heights)


def _rows(metrics: Mapping[str, np.ndarray]) -> Iterable[tuple[str, str, str, str]]:
    for name, values in metrics.items():
        known = values[~np.isnan(values)]
        first, last = (f"{known[0]:.4g}", f"{known[-1]:.4g}") if known.size else ("–", "–")
        yield name, first, sparkline(values), last


def table(heading: str, metrics: Mapping[str, np.ndarray]) -> str:
    """A heading and one line a metric: name, first value, curve, last value."""
    rows = list(_rows(metrics))
    if not rows:
        return heading
    name, first, curve = (max(len(row[column]) for row in rows) for column in range(3))
    lines = [f"  {row[0]:<{name}}  {row[1]:>{first}}  {row[2]:<{curve}}  {row[3]}" for row in rows]
    return "\n".join([heading, *lines])


def facts_table(heading: str, facts: Mapping[str, str]) -> str:
    """Facts by name as an HTML table, for notebooks."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
        f"<td style='text-align:left;white-space:pre-wrap'>{html.escape(text)}</td></tr>"
        for name, text in facts.items()
    )
    return f"<table><caption>{html.escape(heading)}</caption>{rows}</table>"


def html_table(heading: str, metrics: Mapping[str, np.ndarray]) -> str:
    """The same as an HTML table, for notebooks."""
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td style='text-align:right'>{first}</td>"
        f"<td style='font-family:monospace;white-space:pre'>{curve}</td>"
        f"<td style='text-align:right'>{last}</td></tr>"
        for name, first, curve, last in _rows(metrics)
    )
    head = "<tr><th>metric</th><th>first</th><th>curve</th><th>last</th></tr>"
    return f"<table><caption>{html.escape(heading)}</caption>{head}{rows}</table>"
