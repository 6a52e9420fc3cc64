"""The sections of the page, each from a forecast, a measurement, or both (either may be None)."""

from importlib.metadata import PackageNotFoundError, version

from llm_bridge.console.progress import format_seconds
from llm_bridge.forecast.result import ModelForecast
from llm_bridge.report import html
from llm_bridge.report.command import command_line, forecast_words
from llm_bridge.report.comparison import curve_errors, voice_distances
from llm_bridge.report.figures import draw_collapse, draw_curves
from llm_bridge.report.given import first_given
from llm_bridge.report.headline import interval_text, step_text
from llm_bridge.report.tables import number_text
from llm_bridge.report.words import VOICES
from llm_bridge.training.measurement import Measurement
from llm_bridge.training.settings import RunSettings
from sharpening.collapse import CRITERIA, Outcome
from sharpening.trajectory import METRICS

_COSTS = ("generated_tokens", "forward_tokens", "backward_tokens")
_PACKAGES = ("sharpening", "jax", "numpy", "torch", "transformers", "trl")


def collapse_section(forecast: ModelForecast | None, measurement: Measurement | None) -> str:
    """When: the figure of steps and the table of criteria."""
    heads, rows = ["Criterion"], []
    voices = forecast.voices_collapse if forecast else {}
    heads += [*(_voice(name, forecast) for name in voices), "interval" + _level(forecast)] if forecast else []
    heads += ["measured"] if measurement else []
    heads += ["factor off"] if forecast and measurement else []
    measured = measurement.collapse if measurement else {}
    distances = (
        voice_distances(forecast, measurement).get(forecast.speaker, {}) if forecast and measurement else {}
    )
    settings = first_given(forecast, measurement).settings
    every = forecast.collapse if forecast else measured
    said = [
        name for name in every if any(_evaluated(found.get(name)) for found in (*voices.values(), measured))
    ]
    for name in said or every:
        cells = [
            "<span"
            f' title="{html.text(CRITERIA[name].meaning if name in CRITERIA else name)}">{html.text(name)}</span>'
        ]
        cells += [html.text(step_text(steps.get(name), settings.max_steps)) for steps in voices.values()]
        cells += [html.text(interval_text(forecast.collapse[name], settings.max_steps))] if forecast else []
        cells += [html.text(step_text(measured.get(name)))] if measurement else []
        cells += (
            [html.text(distances[name].text if name in distances else "–")]
            if forecast and measurement
            else []
        )
        rows.append(("chosen" if name == settings.criterion else "", cells))
    note = "Steps are optimizer updates. Bold: the criterion of the verdict. "
    note += "> N: not met within N steps; at start: met before training; –: cannot be evaluated"
    note += (
        ", nor can " + ", ".join(name for name in every if name not in said) + "."
        if len(said) < len(every)
        else "."
    )
    return html.section(
        "When does it collapse?",
        draw_collapse(forecast, measurement),
        html.table(heads, rows),
        html.paragraph(note, "note"),
    )


def curves_section(forecast: ModelForecast | None, measurement: Measurement | None) -> str:
    """How: the curves of every metric."""
    return html.section("How does it get there?", draw_curves(forecast, measurement))


def errors_section(forecast: ModelForecast, measurement: Measurement) -> str:
    """Every voice's error, steps first and curves after, so that a wrong voice is seen to be wrong."""
    distances, errors = voice_distances(forecast, measurement), curve_errors(forecast, measurement)
    heads = ["Factor off", *(_voice(name, forecast) for name in distances)]
    steps = [
        (
            "chosen" if name == measurement.settings.criterion else "",
            [html.text(name), *(html.text(d[name].text if name in d else "–") for d in distances.values())],
        )
        for name in forecast.collapse
        if any(name in found and found[name].direction for found in distances.values())
    ]
    metrics = [
        name for name in measurement.trajectory.metrics if any(name in found for found in errors.values())
    ]
    curves = [
        ("", [html.text(name), *(number_text(found.get(name)) for found in errors.values())])
        for name in metrics
    ]
    return html.section(
        "How far off was each voice?",
        html.table(heads, steps),
        "<h3>Mean distance of the curves</h3>",
        html.table(["Metric", *(_voice(name, forecast) for name in errors)], curves),
        html.paragraph(
            "Factor: later step over earlier step, and whether the forecast came late or early; ≥ where a run"
            " ended first. Distance: in the metric's own unit.",
            "note",
        ),
    )


def voices_section(forecast: ModelForecast) -> str:
    """Which voice speaks and why, and what each voice is."""
    entries = [
        (name + (" (speaks)" if name == forecast.speaker else ""), VOICES.get(name, ""))
        for name in forecast.voices
    ]
    return html.section(
        "Who speaks?",
        html.paragraph(f"The {forecast.speaker} voice speaks: {forecast.why_speaker}"),
        html.definitions(entries),
    )


def prior_section(forecast: ModelForecast) -> str:
    """What the probe found before training."""
    facts = (
        {"alignment": forecast.alignment}
        if isinstance(forecast.alignment, int | float)
        else dict(forecast.alignment or {})
    )
    prior = [
        (number_text(value), name.replace("_", " "))
        for name, value in {**facts, **forecast.prior}.items()
        if _scalar(value)
    ]
    coupling = [
        (number_text(value), name.replace("_", " "))
        for name, value in forecast.coupling.items()
        if _scalar(value)
    ]
    parts = [html.cards(prior)] if prior else []
    parts += ["<h3>Coupling between prompts</h3>", html.cards(coupling)] if coupling else []
    return html.section("The model before training", *parts) if parts else ""


def settings_section(result: ModelForecast | Measurement) -> str:
    """Every run setting."""
    default = RunSettings()
    rows = []
    for name, value in result.settings.as_dict().items():
        shown = (
            {"dataset_size": "fresh prompts", "max_new_tokens": "the task's"}.get(name, "–")
            if value is None
            else number_text(value)
        )
        rows.append(
            (
                "" if value == getattr(default, name) else "chosen",
                [html.text(name.replace("_", " ")), html.text(shown)],
            )
        )
    return html.section(
        "Settings", html.table(["Setting", "value"], rows), html.paragraph("Bold: not the default.", "note")
    )


def cost_section(forecast: ModelForecast | None, measurement: Measurement | None) -> str:
    """Tokens and time."""
    costs = [
        (name, found.cost) for name, found in (("forecast", forecast), ("measured", measurement)) if found
    ]
    rows = [
        (
            "",
            [
                key.replace("_", " "),
                *(f"{cost[key]:,}" if cost.get(key) is not None else "–" for _, cost in costs),
            ],
        )
        for key in _COSTS
    ]
    rows.append(
        (
            "",
            [
                "time",
                *(
                    format_seconds(cost["seconds"]) if cost.get("seconds") is not None else "–"
                    for _, cost in costs
                ),
            ],
        )
    )
    parts = [html.table(["Cost", *(name for name, _ in costs)], rows)]
    tokens = [sum(cost.get(key) or 0 for key in _COSTS) for _, cost in costs]
    if len(tokens) == 2 and min(tokens) > 0:
        parts.append(
            html.paragraph(
                f"The forecast used {tokens[1] / tokens[0]:,.0f} times fewer tokens than the measurement."
            )
        )
    return html.section("Cost", *parts)


def glossary_section(forecast: ModelForecast | None, measurement: Measurement | None) -> str:
    """The metrics on this page, the criteria and the outcomes."""
    shown = {
        name
        for found in (
            *(forecast.voices.values() if forecast else ()),
            *((measurement.trajectory,) if measurement else ()),
        )
        for name in found.metrics
    }
    metrics = [
        (f"{name} ({entry.unit})", entry.meaning + ("; needs labels" if entry.needs_labels else ""))
        for name, entry in METRICS.items()
        if name in shown
    ]
    criteria = [(name, found.meaning) for name, found in CRITERIA.items()]
    outcomes = [(outcome.value, outcome.sentence) for outcome in Outcome]
    parts = [
        html.definitions(metrics),
        "<h3>Collapse criteria</h3>",
        html.definitions(criteria),
        "<h3>Outcomes</h3>",
        html.definitions(outcomes),
    ]
    return html.folded("Glossary", *parts)


def making_section(
    forecast: ModelForecast | None, measurement: Measurement | None, command: str | None = None
) -> str:
    """The command that makes this page again, in words and in versions."""
    result = first_given(measurement, forecast)
    name = "compare" if forecast and measurement else "forecast" if forecast else "measure"
    if command is None:
        command = command_line(name, result.model, result.task, result.settings)
        command += forecast_words(forecast) if name == "forecast" and forecast else ""
    parts = [html.paragraph("This command finds the same again:"), f"<pre>{html.text(command)}</pre>"]
    if forecast:
        parts.append(
            html.paragraph(
                "The forecast sampled completions of the untrained model, read off how its answers are"
                " distributed and how its gradients pull prompts together, and played training forward on"
                " that summary. No weight was changed."
            )
        )
    if measurement:
        parts.append(
            html.paragraph(
                "The measurement trained the model with TRL's GRPOTrainer and evaluated it on the same"
                " held-out prompts throughout; none of them was trained on."
            )
        )
    parts.append(
        html.paragraph(
            "A step is called a collapse only if its criterion holds for two evaluations in a row. "
            "A run that ends first is censored, not safe."
        )
    )
    parts.append(versions())
    parts.append(
        html.paragraph(
            "Criterion `absolute` and the picture of rise and fall: "
            "He et al., How Far Can Unsupervised RLVR Scale LLM Training?, arXiv 2603.08660."
        )
    )
    return html.folded("How was this made?", *parts)


def versions(packages: tuple[str, ...] = _PACKAGES) -> str:
    """The installed versions of these packages, in one paragraph."""
    return html.paragraph(
        "Versions: " + ", ".join(f"{name} {found}" for name in packages if (found := _version(name)))
    )


def _voice(name: str, forecast: ModelForecast) -> str:
    css = name if name in VOICES else "measured"
    return f'<span class="{css}">{html.text(name)}</span>' + (
        '<br><span class="tag">speaks</span>' if name == forecast.speaker else ""
    )


def _level(forecast: ModelForecast) -> str:
    levels = {step.level for step in forecast.collapse.values() if step.level}
    return f" ({100 * levels.pop():.0f} %)" if len(levels) == 1 else ""


def _evaluated(step) -> bool:
    return step is not None and step.outcome is not Outcome.UNAVAILABLE


def _scalar(value) -> bool:
    return isinstance(value, int | float | str)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
