"""The one sentence that comes first: a tone (good, caution, bad, neutral), a headline and the key number."""

from collections.abc import Mapping
from dataclasses import dataclass

from llm_bridge.forecast.result import ForecastStep, ModelForecast
from llm_bridge.report.comparison import distance, within_interval
from llm_bridge.report.words import VERDICTS
from llm_bridge.training.measurement import Measurement


@dataclass(frozen=True)
class Headline:
    """`tone` good | caution | bad | neutral; `title` one short sentence; `number` and `caption` the key
    figure and what it is.
    """

    tone: str
    title: str
    number: str
    caption: str


def step_text(step, horizon: int | None = None) -> str:
    """A step for tables: "180", "> 300" (censored), "at start" (already met) or "–" (not available)."""
    outcome = step.outcome.value if step is not None else "unavailable"
    if outcome == "collapsed":
        return str(step.step)
    if outcome == "censored":
        limit = getattr(step, "horizon", None) or horizon
        return f"> {limit}" if limit else "later"
    return "at start" if outcome == "never_started" else "–"


def interval_text(step: ForecastStep, horizon: int | None = None) -> str:
    """ "120–260", "240 to > 300" or "–"."""
    if step.low is None:
        return "–" if step.high is None else f"≤ {step.high}"
    if step.high is None:
        limit = step.horizon or horizon
        return f"{step.low} to > {limit}" if limit and limit > step.low else f"> {step.low}"
    return f"{step.low}–{step.high}"


def spoken_criterion(chosen: str, *steps: Mapping) -> str:
    """The chosen criterion, or `mode_retention` (which needs no labels) where one of the sides cannot
    evaluate the chosen one.
    """

    def evaluated(name):
        return all(name in found and found[name].outcome.value != "unavailable" for found in steps)

    return chosen if evaluated(chosen) or not evaluated("mode_retention") else "mode_retention"


def _named(criterion: str, chosen: str) -> str:
    return criterion if criterion == chosen else f"{criterion}, because {chosen} cannot be evaluated"


def forecast_headline(forecast: ModelForecast) -> Headline:
    """What to do, with the step by which to stop; else what is promised under the criterion that the settings chose."""
    criterion = spoken_criterion(forecast.settings.criterion, forecast.collapse)
    step = forecast.collapse.get(criterion)
    horizon = forecast.settings.max_steps
    tone, title = VERDICTS.get(forecast.verdict, (_tone(step), forecast.verdict))
    named = _named(criterion, forecast.settings.criterion)
    interval = ""
    if step is not None and (step.low is not None or step.high is not None):
        level = f"{100 * step.level:.0f} % " if step.level else ""
        interval = f", {level}interval {interval_text(step, horizon)}"
    if not forecast.advice or not forecast.sensitivity:
        caption = f"forecast collapse step ({named}){interval}"
        return Headline(tone, title, step_text(step, horizon), caption)
    chance = forecast.sensitivity[0]["chance"]
    caption = f"{title}: with a chance of {chance:.0%} within {horizon} steps ({named}), median step"
    caption += f" {step_text(step, horizon)}{interval}"
    number = f"step {forecast.stop_by}" if forecast.stop_by else f"{chance:.0%}"
    return Headline(tone, forecast.advice[0].removesuffix("."), number, caption)


def further_advice(forecast: ModelForecast) -> list[str]:
    """What to do beside what the headline says."""
    return forecast.advice[1:] if forecast.sensitivity else forecast.advice


def measurement_headline(measurement: Measurement) -> Headline:
    """What the run did under the criterion that the settings chose."""
    criterion = spoken_criterion(measurement.settings.criterion, measurement.collapse)
    step = measurement.collapse.get(criterion)
    horizon = measurement.trajectory.horizon
    title = {
        "collapsed": f"It collapsed at step {step.step}" if step else "",
        "censored": f"It held for all {horizon} steps",
        "never_started": "There was nothing to lose: the criterion held before training",
    }.get(step.outcome.value if step else "", "The criterion could not be evaluated")
    if measurement.interrupted:
        title = f"Interrupted at step {horizon}" + (
            f"; collapsed at {step.step}" if step and step.step is not None else ""
        )
    caption = f"measured collapse step ({_named(criterion, measurement.settings.criterion)})"
    return Headline(
        _tone(step) if not measurement.interrupted else "caution", title, step_text(step, horizon), caption
    )


def comparison_headline(forecast: ModelForecast, measurement: Measurement) -> Headline:
    """How far apart the two are under the chosen criterion."""
    criterion = spoken_criterion(measurement.settings.criterion, forecast.collapse, measurement.collapse)
    predicted, measured = forecast.collapse.get(criterion), measurement.collapse.get(criterion)
    horizon = measurement.trajectory.horizon
    found = distance(predicted, measured)
    caption = (
        f"forecast {step_text(predicted, forecast.settings.max_steps)}, measured"
        f" {step_text(measured, horizon)}"
    )
    caption += f" ({_named(criterion, measurement.settings.criterion)})"
    inside = within_interval(predicted, measured)
    if inside is not None and predicted is not None:
        caption += (
            f", {'inside' if inside else 'outside'} the interval"
            f" {interval_text(predicted, forecast.settings.max_steps)}"
        )
    if found.direction is None:
        return Headline(
            "neutral", "Forecast and measurement cannot be compared under this criterion", "–", caption
        )
    if found.factor is None:
        return Headline("good", "The forecast was right: no collapse", "agree", caption)
    at_least = "at least " if found.bound == "at_least" else ""
    if found.direction == "same":
        return Headline("good", "The forecast named the measured step", "exact", caption)
    tone = "good" if found.factor <= 1.5 else "caution" if found.factor <= 3 else "bad"
    tone = "caution" if tone == "good" and at_least else tone
    return Headline(
        tone,
        f"The forecast was {at_least}{found.factor:.1f} times too {found.direction}",
        f"{'≥ ' if at_least else ''}×{found.factor:.1f}",
        caption,
    )


def _tone(step) -> str:
    return {"collapsed": "bad", "censored": "good"}.get(step.outcome.value if step else "", "neutral")
