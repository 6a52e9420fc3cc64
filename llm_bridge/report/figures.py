"""The figures of a report, as HTML (light and dark SVG) and as PNG files."""

from collections.abc import Iterable

from llm_bridge.forecast.result import ModelForecast
from llm_bridge.report import html
from llm_bridge.report.given import first_given
from llm_bridge.training.measurement import Measurement


def draw_collapse(forecast: ModelForecast | None, measurement: Measurement | None) -> str:
    """The figure of collapse steps; a sentence where no criterion can be evaluated."""
    found = collapse_arguments(forecast, measurement)
    if found is None:
        return html.paragraph("No criterion can be evaluated with the metrics at hand.")
    from sharpening.plots import figure_bytes, plot_collapse_steps

    args, options = found
    caption = (
        "A diamond marks the step at which a criterion is met; a triangle at the edge, that it is not met"
        " within the horizon."
    )
    caption += " The bar is the forecast's interval." if options["intervals"] else ""
    return html.figure(
        figure_bytes(plot_collapse_steps(args, **options), "svg"),
        "Collapse steps by criterion; the table below has the numbers",
        caption,
        "wide",
    )


def draw_curves(forecast: ModelForecast | None, measurement: Measurement | None) -> str:
    """One panel for each metric that the measurement has, or the voice that speaks; what is left out is named."""
    from sharpening.plots.curves import metric_columns
    from sharpening.plots.panels import readable

    args, options = curve_arguments(forecast, measurement)
    told = [found for found in (measurement, forecast) if found is not None]
    watched = {name for found in told for name in found.trajectory.metrics}
    every = [name for column in metric_columns(args) for name in column]
    shown = [name for name in every if name in watched] or every

    notes = ["◆: the panel's collapse criterion is met; dotted: thresholds, and the base-rate floor."]
    if forecast and len(args) > 1:
        notes.append(
            "Dots: measured; solid: the voice that speaks; shaded: the forecast's interval for ◆. Each voice starts at"
            " what it measured itself: the pilot on the prompts that it watches, theory on the probe's, with more"
            " answers each, the radius on greedy answers."
        )
    left = [readable(name) for name in every if name not in shown]
    if left and forecast:
        notes.append(
            f"Not drawn, since the {forecast.speaker} voice does not watch it: {', '.join(left)}; what others say is in"
            " result.json."
        )
    return panels(shown, args, options) + html.paragraph(" ".join(notes), "note")


def panels(metrics: Iterable[str], trajectories: dict, options: dict) -> str:
    """A panel a metric, side by side where there is room; `options` of `plot_metric`."""
    from sharpening.plots import figure_bytes, plot_metric
    from sharpening.plots.panels import readable

    def panel(metric: str) -> str:
        drawn = figure_bytes(plot_metric(metric, trajectories, **options), "svg")
        return html.figure(drawn, f"{readable(metric)} over training steps", "")

    return f'<div class="panels">{"".join(panel(metric) for metric in metrics)}</div>'


def png_figures(forecast: ModelForecast | None, measurement: Measurement | None) -> dict[str, bytes]:
    """File name -> PNG."""
    from sharpening.plots import figure_bytes, plot_collapse_steps, plot_trajectories

    args, options = curve_arguments(forecast, measurement)
    files = {"curves.png": figure_bytes(plot_trajectories(args, **options))}
    found = collapse_arguments(forecast, measurement)
    if found is not None:
        files["collapse_steps.png"] = figure_bytes(plot_collapse_steps(found[0], **found[1]))
    return files


def curve_arguments(forecast: ModelForecast | None, measurement: Measurement | None) -> tuple[dict, dict]:
    """Positional and keyword arguments of `plot_trajectories`."""
    series = {
        **({"measured": measurement.trajectory} if measurement else {}),
        **(forecast.voices if forecast else {}),
    }
    return series, {
        "speaker": forecast.speaker if forecast else None,
        "criterion": first_given(forecast, measurement).settings.criterion,
        "collapse": _steps(forecast, measurement),
        "intervals": _intervals(forecast),
    }


def collapse_arguments(
    forecast: ModelForecast | None, measurement: Measurement | None
) -> tuple[dict, dict] | None:
    """Positional and keyword arguments of `plot_collapse_steps`; None if no criterion can be evaluated."""
    steps = _steps(forecast, measurement)
    if not any(step.outcome.value != "unavailable" for found in steps.values() for step in found.values()):
        return None
    settings = first_given(forecast, measurement).settings
    return steps, {
        "horizon": settings.max_steps,
        "speaker": forecast.speaker if forecast else None,
        "criterion": settings.criterion,
        "intervals": _intervals(forecast),
    }


def _steps(forecast, measurement) -> dict:
    return {
        **({"measured": measurement.collapse} if measurement else {}),
        **(forecast.voices_collapse if forecast else {}),
    }


def _intervals(forecast) -> dict:
    return (
        {name: (step.low, step.high) for name, step in forecast.collapse.items() if step.low is not None}
        if forecast
        else {}
    )
