"""One self-contained HTML page for a forecast, a measurement, or both: what to do, how it may go, why, then when, how,
and how it was made.
"""

from llm_bridge.forecast.result import ModelForecast
from llm_bridge.report import html
from llm_bridge.report.given import first_given
from llm_bridge.report.headline import (
    Headline,
    comparison_headline,
    forecast_headline,
    further_advice,
    measurement_headline,
)
from llm_bridge.report.mcs import mcs_headline, standing_section
from llm_bridge.report.outlook import outlook_section, settings_effects
from llm_bridge.report.pictures import pictures_section
from llm_bridge.report.sections import (
    collapse_section,
    cost_section,
    curves_section,
    errors_section,
    glossary_section,
    making_section,
    prior_section,
    settings_section,
    voices_section,
)
from llm_bridge.report.words import OTHERS, REFERENCES
from llm_bridge.training.mcs import ModelCollapseStep
from llm_bridge.training.measurement import Measurement


def render_page(
    forecast: ModelForecast | None = None,
    measurement: Measurement | None = None,
    *,
    command: str | None = None,
    mcs: ModelCollapseStep | None = None,
) -> str:
    """The page for whichever of the two is given; for both, how far apart they are; `mcs`: what the measurement says
    as a Model Collapse Step. `command` made it.
    """
    result = first_given(measurement, forecast)
    if forecast and measurement:
        kind, headline = "Forecast against measurement", comparison_headline(forecast, measurement)
    elif isinstance(result, ModelForecast):
        kind, headline = "Forecast, before any training", forecast_headline(result)
    elif mcs is not None:
        kind, headline = "Model Collapse Step, measured by training", mcs_headline(mcs)
    else:
        kind, headline = "Measured by training", measurement_headline(result)
    parts = [banner(headline)] + ([standing_section(mcs)] if mcs is not None else [])
    if forecast:
        parts += what_to_do(forecast, said_first=not measurement)
        parts += [outlook_section(forecast), why_section(forecast), settings_effects(forecast)]
    parts += [collapse_section(forecast, measurement), curves_section(forecast, measurement)]
    if forecast and measurement:
        parts.append(errors_section(forecast, measurement))
    if forecast:
        parts += [
            voices_section(forecast),
            prior_section(forecast),
            pictures_section(forecast),
            html.section(OTHERS, html.bullet_list(REFERENCES)),
        ]
    parts += [f'<div class="two">{settings_section(result)}{cost_section(forecast, measurement)}</div>']
    parts += [glossary_section(forecast, measurement), making_section(forecast, measurement, command)]
    return html.document(
        f"{result.model} on {result.task}",
        f"Sharpening · {kind}",
        _subtitle(result),
        "".join(part for part in parts if part),
    )


def what_to_do(forecast: ModelForecast, *, said_first: bool) -> list[str]:
    """What the forecast advises; the first sentence too where the banner speaks of something else."""
    lines = further_advice(forecast) if said_first else forecast.advice
    title = "What to do" if said_first else "What the forecast advised"
    title = "What else to do" if said_first and lines != forecast.advice else title
    return [html.section(title, html.bullet_list(lines))] if lines else []


WHY = 5
"""So many reasons are shown; the others open on a click."""


def why_section(forecast: ModelForecast) -> str:
    """Why: those reasons first that weigh most."""
    rest = forecast.reasons[WHY:] + forecast.notes
    more = html.details("What else was found", html.bullet_list(rest)) if rest else ""
    return html.section("Why?", html.bullet_list(forecast.reasons[:WHY]), more) if forecast.reasons else ""


def banner(headline: Headline) -> str:
    """The headline with its number, in the colour of its tone."""
    return (
        f'<section class="banner {headline.tone}"><div class="number">{html.text(headline.number)}</div>'
        f'<div class="words"><p class="title">{html.text(headline.title)}</p>'
        f'<p class="caption">{html.text(headline.caption)}</p></div></section>\n'
    )


def _subtitle(result) -> str:
    settings = result.settings
    data = (
        "fresh prompts at every step"
        if settings.dataset_size is None
        else f"{settings.dataset_size} training prompts"
    )
    return (
        f"{settings.reward} reward, {settings.optimizer} at {settings.learning_rate:g}, "
        f"{settings.prompts_per_step} prompts × {settings.rollouts} rollouts a step, "
        f"{data}, {settings.max_steps} steps, seed {settings.seed}"
    )
