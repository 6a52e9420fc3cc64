"""The `--report` of `sharpening monitor`: one self-contained page of what a log says, and its curves."""

import json

from matplotlib.ticker import MaxNLocator

from llm_bridge.logs.chance import chance_over_time
from llm_bridge.logs.finding import Finding
from llm_bridge.logs.run_log import RunLog, Series
from llm_bridge.report import html
from sharpening.plots.figure import Figure, figure_bytes
from sharpening.plots.panels import plain_axes, readable
from sharpening.plots.theme import get_theme

MOST_CURVES = 24
ADVICE = ("stop", "keep_checkpoint", "what_to_do", "collapse_chance", "no_collapse", "cannot_tell")


def log_document(log: RunLog, findings: list[Finding]) -> dict:
    """Plain data of a report: findings and curves."""
    return {
        "schema": 1,
        "kind": "monitor",
        "source": log.source,
        "findings": [finding.as_dict() for finding in findings],
        "series": {
            name: {"step": series.steps, "value": series.array.tolist()} for name, series in _shown(log)
        },
    }


def log_files(log: RunLog, findings: list[Finding]) -> dict[str, bytes]:
    """File name -> content: report.html, curves.png, result.json."""
    document = json.dumps(log_document(log, findings), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    files = {"report.html": log_page(log, findings).encode(), "result.json": document.encode()}
    if _shown(log):
        files["curves.png"] = figure_bytes(draw_log(log, findings))
    return files


def log_page(log: RunLog, findings: list[Finding]) -> str:
    """The page: what to do, every curve, every finding in the order given (`judge` puts the worst first)."""
    advice = [finding for finding in findings if finding.name in ADVICE]
    rows = [
        (
            "",
            [
                html.text(f.level),
                html.text(f.name),
                "–" if f.step is None else f"{f.step:,}",
                html.text(f.message),
            ],
        )
        for f in findings
    ]
    body = (
        html.section("What to do", html.bullet_list(finding.message for finding in advice)) if advice else ""
    )
    if _shown(log):
        body += html.section(
            "Curves",
            html.figure(
                figure_bytes(draw_log(log, findings), "svg"),
                "Metrics of the log over training steps",
                "A dashed line marks the step at which to stop."
                if _stop(findings) is not None
                else "Every metric that is judged.",
            ),
        )
    body += html.section(
        "Findings", html.table(["level", "finding", "step", "what it means"], rows, text_columns=4)
    )
    return html.document("The log of a run", "Sharpening · Monitor", log.source, body)


def _shown(log: RunLog) -> list[tuple[str, Series]]:
    chance = chance_over_time(log) if "accuracy" not in log.series else None
    first = [] if chance is None else [("chance_of_a_fall", chance)]
    rest = [(name, series) for name, series in log.series.items() if name[:1] != "_" and len(series)]
    return (first + rest)[:MOST_CURVES]


def _stop(findings: list[Finding]) -> int | None:
    return next((finding.step for finding in findings if finding.name == "stop"), None)


def draw_log(log: RunLog, findings: list[Finding], *, theme: str = "light") -> Figure:
    """Every curve of a log in a panel of its own, and the step at which to stop."""
    look, shown, stop = get_theme(theme), _shown(log), _stop(findings)
    columns = min(3, len(shown))
    lines = -(-len(shown) // columns)
    figure = Figure(figsize=(3.4 * columns, 2.1 * lines), layout="constrained")
    for place, (name, series) in enumerate(shown):
        axes = figure.add_subplot(lines, columns, place + 1)
        axes.plot(
            series.steps,
            series.array,
            color=look.colour(name, place),
            linewidth=1.4,
            marker="." if len(series) < 40 else None,
        )
        axes.set_title(readable(name), loc="left", fontsize=10, color=look.ink, fontweight="bold", pad=4)
        if stop is not None:
            axes.axvline(stop, color=look.grey, linewidth=1, linestyle=(0, (4, 2)))
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        plain_axes(axes, look)
        axes.grid(axis="y", color=look.grid, linewidth=0.8)
    return figure
