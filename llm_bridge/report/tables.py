"""Terminal tables (rich): the verdict in a panel first, then criteria against voices, interval, measurement
and error.
"""

import math

from rich import box
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from llm_bridge.console.progress import format_seconds
from llm_bridge.forecast.result import ModelForecast
from llm_bridge.report.comparison import curve_errors, voice_distances
from llm_bridge.report.headline import (
    Headline,
    comparison_headline,
    forecast_headline,
    further_advice,
    interval_text,
    measurement_headline,
    step_text,
)
from llm_bridge.report.words import FATES, OTHERS, REFERENCES
from llm_bridge.training.measurement import Measurement
from sharpening.trajectory import METRICS

_COLOURS = {"good": "green", "caution": "yellow", "bad": "red", "neutral": "cyan"}
SPEAKER_MARK = "◀ speaks"


def print_forecast(console: Console, forecast: ModelForecast) -> None:
    """What to do, why, what other settings would change, steps of every voice, prior and cost."""
    lines = further_advice(forecast) + forecast.reasons
    console.print(panel(forecast_headline(forecast), _subject(forecast), lines))
    if forecast.fates:
        fates = (f"{FATES[name]} {chance:.0%}" for name, chance in forecast.fates.items())
        console.print(Text.assemble(("How it ends: ", "bold"), ", ".join(fates)))
    if len(forecast.sensitivity) > 1:
        console.print(_effects_table(forecast))
    console.print(_steps_table(forecast, None))
    console.print(Text(f"Why the {forecast.speaker} voice speaks: {forecast.why_speaker}"))
    facts = {
        **forecast.prior,
        **({"alignment": forecast.alignment} if isinstance(forecast.alignment, int | float) else {}),
    }
    _print_line(console, "Prior", facts)
    _print_line(console, "Coupling", forecast.coupling)
    console.print(Text(f"{OTHERS}. {' '.join(REFERENCES)}", style="dim"))
    print_cost(console, forecast.cost)


def print_measurement(console: Console, measurement: Measurement) -> None:
    """Outcome, measured steps and the metrics at the start, at the peak of accuracy and at the end."""
    console.print(panel(measurement_headline(measurement), _subject(measurement), []))
    _print_trajectory(console, measurement.trajectory, measurement.collapse, "Measured step")
    print_cost(console, measurement.cost)


def print_comparison(console: Console, forecast: ModelForecast, measurement: Measurement) -> None:
    """Forecast beside measurement, with every voice's error."""
    lines = forecast.advice + forecast.reasons
    console.print(panel(comparison_headline(forecast, measurement), _subject(measurement), lines))
    console.print(_steps_table(forecast, measurement))
    errors = curve_errors(forecast, measurement)
    metrics = [
        name for name in measurement.trajectory.metrics if any(name in found for found in errors.values())
    ]
    if metrics:
        table = _table("Mean distance of curves", *(_mark(voice, forecast) for voice in errors))
        for name in metrics:
            table.add_row(name, *(number_text(found.get(name)) for found in errors.values()))
        console.print(table)
    console.print(Text(f"Why the {forecast.speaker} voice speaks: {forecast.why_speaker}"))
    print_cost(console, forecast.cost, "Forecast cost")
    print_cost(console, measurement.cost, "Measurement cost")


def print_simulation(console: Console, trajectory, collapse: dict) -> None:
    """The curve at a few steps, and every criterion."""
    _print_trajectory(console, trajectory, collapse, "Simulated step")


def print_records(console: Console, title: str, records: list[dict], columns: dict[str, str]) -> None:
    """Print a list of objects as a table; `columns`: key -> heading."""
    console.print(records_table(title, records, columns))


def records_table(title: str, records: list[dict], columns: dict[str, str]) -> Table:
    """A list of objects as a table; `columns`: key -> heading."""
    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, header_style="bold")
    for position, heading in enumerate(columns.values()):
        table.add_column(heading, no_wrap=position == 0, overflow="fold")
    for record in records:
        table.add_row(*(Text(number_text(record.get(key))) for key in columns))
    return table


def number_text(value) -> str:
    """A value for a table cell: numbers to three digits, None as a dash."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "0" if abs(value) < 1e-9 else f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)


def _steps_table(forecast: ModelForecast, measurement: Measurement | None) -> Table:
    voices = list(forecast.voices_collapse)
    heads = ["Collapse criterion", *(_mark(voice, forecast) for voice in voices), _interval_head(forecast)]
    table = _table(*heads, *(("Measured", "Factor off") if measurement else ()))
    horizon = forecast.settings.max_steps
    measured = measurement.collapse if measurement else {}
    distances = voice_distances(forecast, measurement).get(forecast.speaker, {}) if measurement else {}
    for name, step in forecast.collapse.items():
        row = [name + (" *" if name == forecast.settings.criterion else "")]
        row += [step_text(forecast.voices_collapse[voice].get(name), horizon) for voice in voices]
        row.append(interval_text(step, horizon))
        if measurement:
            row += [step_text(measured.get(name)), distances[name].text if name in distances else "–"]
        table.add_row(*row, style="bold" if name == forecast.settings.criterion else None)
    table.caption = (
        "* the criterion of the verdict; > N: not met within N steps; at start: met before training; –:"
        " cannot be evaluated"
    )
    table.caption_justify = "left"
    return table


def _effects_table(forecast: ModelForecast) -> Table:
    table = _table("Chance of collapse, with", f"within {forecast.settings.max_steps} steps", "median step")
    for row in forecast.sensitivity:
        step = f"{row['step']:,.0f}" if math.isfinite(row["step"]) else "beyond the schedule"
        style = "bold" if row["setting"] == "as asked" else None
        table.add_row(row["setting"], f"{row['chance']:.0%}", step, style=style)
    return table


def _interval_head(forecast: ModelForecast) -> str:
    levels = {step.level for step in forecast.collapse.values() if step.level}
    return f"{100 * levels.pop():.0f} % interval" if len(levels) == 1 else "Interval"


def _mark(voice: str, forecast: ModelForecast) -> str:
    return f"{voice}\n{SPEAKER_MARK}" if voice == forecast.speaker else voice


def _curve_table(trajectory) -> Table:
    last = len(trajectory) - 1
    peaks = {
        int(trajectory[name].argmax()) for name in ("train_accuracy", "accuracy") if trajectory.has(name)
    }
    chosen = sorted({0, *peaks, last // 4, last // 2, 3 * last // 4, last})
    table = _table("Metric", *(f"step {trajectory.step[index]}" for index in chosen))
    for name, values in sorted(
        trajectory.metrics.items(), key=lambda item: [*METRICS, item[0]].index(item[0])
    ):
        table.add_row(name, *(number_text(float(values[index])) for index in chosen))
    return table


def _print_trajectory(console: Console, trajectory, collapse: dict, heading: str) -> None:
    table = _table("Collapse criterion", heading)
    for name, step in collapse.items():
        table.add_row(name, step_text(step))
    console.print(table)
    console.print(_curve_table(trajectory))


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    table.add_column(first, vertical="bottom")
    for heading in others:
        table.add_column(heading, justify="right", vertical="bottom")
    return table


def panel(headline: Headline, subject: str, reasons: list[str]) -> Panel:
    """The headline, its number and the reasons, framed in the colour of its tone."""
    colour = _COLOURS[headline.tone]
    lines = [Text(headline.title, style=f"bold {colour}"), Text(f"{headline.number}  {headline.caption}")]
    lines += [Text(f"• {reason}") for reason in reasons]
    return Panel(Group(*lines), title=Text(subject), title_align="left", border_style=colour, padding=(0, 1))


def _subject(result) -> str:
    settings = result.settings
    data = "fresh prompts" if settings.dataset_size is None else f"{settings.dataset_size} prompts"
    return (
        f"{result.model} on {result.task}: {settings.reward} reward, {settings.optimizer}"
        f" {settings.learning_rate:g}, {data}"
    )


def _print_line(console: Console, title: str, facts: dict) -> None:
    shown = [
        f"{name} {number_text(value)}"
        for name, value in facts.items()
        if isinstance(value, int | float | str)
    ]
    if shown:
        console.print(Text.assemble((f"{title}: ", "bold"), ", ".join(shown)))


def print_cost(console: Console, cost: dict, title: str = "Cost") -> None:
    """Tokens and time in one line."""
    shown = [
        f"{cost[key]:,} {key.replace('_', ' ')}"
        for key in ("generated_tokens", "forward_tokens", "backward_tokens")
        if cost.get(key) is not None
    ]
    if cost.get("seconds") is not None:
        shown.append(format_seconds(cost["seconds"]))
    if shown:
        console.print(Text.assemble((f"{title}: ", "bold"), ", ".join(shown)))
