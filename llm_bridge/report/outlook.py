"""How a forecast run may go: a band of steps for each criterion, the chance of each fate, and what other settings
would change. Bands and bars are HTML, so that they fit a telephone.
"""

import math

from llm_bridge.forecast.result import ModelForecast
from llm_bridge.report import html
from llm_bridge.report.words import FATES
from sharpening.collapse import CRITERIA

WIDE, NARROW = ("0.05", "0.95"), ("0.25", "0.75")
LONGEST = 4
"""Bands are drawn up to so many times the budget; what is later lies beyond."""


def outlook_section(forecast: ModelForecast) -> str:
    """When each criterion may be met, and the chance of each fate; nothing where no calibration speaks."""
    if not forecast.distribution:
        return ""
    parts = [bands(forecast)]
    if forecast.fates:
        parts += ["<h3>How it ends</h3>", fate_bar(forecast.fates)]
    return html.section("How may it go?", *parts)


def settings_effects(forecast: ModelForecast) -> str:
    """The table of what other settings would change; nothing where it is not known."""
    if len(forecast.sensitivity) < 2:
        return ""
    rows = [
        (
            "chosen" if row["setting"] == "as asked" else "",
            [
                html.text(row["setting"]),
                f"{row['chance']:.0%}",
                f"{row['step']:,.0f}" if math.isfinite(row["step"]) else "beyond the schedule",
            ],
        )
        for row in forecast.sensitivity
    ]
    within = f"chance within {forecast.settings.max_steps} steps"
    note = "" if forecast.safe_learning_rate is None else _safe(forecast.safe_learning_rate)
    return html.section(
        "What would other settings do?",
        html.table(["With", within, "median step"], rows),
        html.paragraph(f"Of collapse; all else as asked.{note}", "note"),
    )


def _safe(rate: float) -> str:
    return f" At a learning rate of {rate:.1e} it is 5 %." if rate > 0 else " No learning rate makes it 5 %."


def bands(forecast: ModelForecast) -> str:
    """One band of steps for each criterion that failure times date: half of such runs meet it in the dark part, nine
    of ten in the light one.
    """
    last, stop = float(forecast.settings.max_steps), forecast.stop_by
    place = _axis(LONGEST * last)
    rows = []
    for name, law in forecast.distribution.items():
        steps = {chance: _finite(step) for chance, step in law["quantiles"].items()}
        light, dark = ((steps[low], steps[high]) for low, high in (WIDE, NARROW))
        words = f"{_span(dark, LONGEST * last)} in half of such runs, {_span(light, LONGEST * last)} in nine of ten"
        rows.append(
            f'<div class="band"><p><b title="{html.text(CRITERIA[name].meaning)}">{html.text(name)}</b>'
            f' <span class="soft">{html.text(words)}</span></p><div class="track">'
            + "".join(
                f'<i class="{css}" style="left:{place(low):.1f}%;width:{place(high) - place(low):.1f}%"></i>'
                for css, (low, high) in (("p90", light), ("p50", dark))
            )
            + f'<i class="mid" style="left:{place(steps["0.5"]):.1f}%"></i>'
            + _marks(place, last, stop)
            + "</div></div>"
        )
    ticks = [10**power for power in range(0, 7) if 10**power <= LONGEST * last]
    axis = "".join(f'<span style="left:{place(tick):.1f}%">{tick:,}</span>' for tick in ticks)
    told = "Steps, on a logarithmic scale; white: the median. The dashed line is the end of the run"
    told += f", the solid one step {stop:,}, by which to stop." if stop else "."
    return "".join(rows) + f'<div class="axis">{axis}</div>' + html.paragraph(told, "note")


def fate_bar(fates: dict[str, float]) -> str:
    """The chance of every fate, as one bar and in words."""
    bar = "".join(
        f'<i class="fate {name}" style="width:{100 * chance:.1f}%"></i>' for name, chance in fates.items()
    )
    words = "".join(
        f'<li><i class="fate {name}"></i>{html.text(FATES[name])} <b>{chance:.0%}</b></li>'
        for name, chance in fates.items()
    )
    return f'<div class="fates" role="img" aria-label="chances of fates">{bar}</div><ul class="legend">{words}</ul>'


def _marks(place, last: float, stop: int | None) -> str:
    line = f'<i class="end" style="left:{place(last):.1f}%"></i>'
    return line + (f'<i class="stop" style="left:{place(stop):.1f}%"></i>' if stop else "")


def _axis(longest: float):
    """Percent of the track for a step, on a logarithmic scale from 1 to `longest`."""

    def place(step: float) -> float:
        return 100 * math.log(min(max(step, 1.0), longest)) / math.log(longest)

    return place


def _finite(step) -> float:
    return math.inf if step is None else float(step)


def _span(ends: tuple[float, float], longest: float) -> str:
    low, high = ends
    if low > longest:
        return f"after step {longest:,.0f}"
    start = f"{max(low, 1.0):,.0f}"
    return f"from step {start} on" if high > longest else f"step {start} to {high:,.0f}"
