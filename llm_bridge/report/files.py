"""The files of a `--report` folder: the page, the figures, the JSON."""

import json

from llm_bridge.forecast.result import ModelForecast
from llm_bridge.report.figures import panels, png_figures
from llm_bridge.report.page import render_page
from llm_bridge.training.mcs import ModelCollapseStep
from llm_bridge.training.measurement import Measurement


def report_files(
    document: dict,
    *,
    forecast: ModelForecast | None = None,
    measurement: Measurement | None = None,
    command: str | None = None,
    mcs: ModelCollapseStep | None = None,
) -> dict[str, bytes]:
    """File name -> content: report.html (self-contained), PNG figures, result.json (the `--json`
    document).
    """
    return {
        "report.html": render_page(forecast, measurement, command=command, mcs=mcs).encode(),
        **png_figures(forecast, measurement),
        "result.json": _json(document),
    }


def simulation_files(document: dict, trajectory, collapse: dict) -> dict[str, bytes]:
    """The same for `sharpening simulate`."""
    from llm_bridge.report import html
    from llm_bridge.report.headline import step_text
    from sharpening.plots import figure_bytes, plot_trajectories, plot_trajectory
    from sharpening.plots.curves import SHARES, metric_columns

    settings, series = document["settings"], {"simulated": trajectory}
    shares = (*SHARES, "train_accuracy")
    facts = ", ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in settings.items() if value is not None
    )
    rows = [("", [html.text(name), html.text(step_text(step))]) for name, step in collapse.items()]
    body = (
        html.section(
            "Rise and fall",
            html.figure(
                figure_bytes(plot_trajectory(trajectory, metrics=shares, width=5.2), "svg"),
                "Shares over training steps",
                "Evaluated on prompts that are not trained on; train accuracy on those that are.",
                "compact",
            ),
        )
        + html.section(
            "Every metric",
            panels(
                [name for column in metric_columns(series) for name in column],
                series,
                {"collapse": {"simulated": collapse}},
            ),
        )
        + html.section("When does it collapse?", html.table(["Criterion", "step"], rows))
        + html.section("Settings", html.paragraph(facts))
    )
    page = html.document("A population of prompts", "Sharpening · Simulated, no model", "", body)
    return {
        "report.html": page.encode(),
        "rise_and_fall.png": figure_bytes(plot_trajectory(trajectory, metrics=shares)),
        "curves.png": figure_bytes(
            plot_trajectories({"simulated": trajectory}, collapse={"simulated": collapse})
        ),
        "result.json": _json(document),
    }


def _json(document: dict) -> bytes:
    return (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
