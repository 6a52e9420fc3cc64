"""The two figures of a report, as HTML (light and dark SVG) and as PNG files."""

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
        lambda theme: figure_bytes(plot_collapse_steps(args, theme=theme, **options), "svg"),
        "Collapse steps by criterion; the table below has the numbers",
        caption,
    )


def draw_curves(forecast: ModelForecast | None, measurement: Measurement | None) -> str:
    """The small multiples of every metric."""
    from sharpening.plots import figure_bytes, plot_trajectories

    args, options = curve_arguments(forecast, measurement)
    caption = "Left: metrics that need true labels. Right: metrics that anyone can watch."
    return html.figure(
        lambda theme: figure_bytes(plot_trajectories(args, theme=theme, **options), "svg"),
        "Curves of the metrics over training steps",
        caption,
    )


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
