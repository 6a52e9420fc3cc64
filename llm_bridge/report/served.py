"""A forecast from a server's answers: JSON, terminal tables, one figure and one self-contained HTML page."""

import json
import shlex

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from llm_bridge.console.progress import format_seconds
from llm_bridge.forecast.served import HOW_TO_KNOW, SERVED_VERDICTS, UNKNOWN, ServedForecast
from llm_bridge.report import html
from llm_bridge.report.command import number_word
from llm_bridge.report.document import SCHEMA, plain
from llm_bridge.report.headline import Headline
from llm_bridge.report.page import banner
from llm_bridge.report.sections import versions
from llm_bridge.report.tables import number_text, panel, print_cost
from llm_bridge.report.words import OTHERS, REFERENCES

MEANINGS = {
    "accuracy": "single answers that are right",
    "label_accuracy": "prompts on which the vote is right: voting without training",
    "alignment": (
        "prompts whose most frequent answer is right: where training on votes tends, each prompt alone"
    ),
    "reward_accuracy": "answers that the vote rewards as the truth would",
    "majority_ratio": "answers that agree with the vote",
    "entropy": "spread of a prompt's answers in one vote, in nats",
    "tie": "votes that end in a tie",
    "no_answer": "completions that hold no answer",
    "undecided": "prompts whose two leading answers cannot be told apart",
}
UNTOLD = "What answers alone cannot say"
PLUS_MINUS = (
    "±: one standard error over prompts; 0 where all of them agree, which few prompts can do by chance."
)
_PACKAGES = ("sharpening", "numpy", "openai")


SERVED_SETTINGS = ("prompts", "draws", "rollouts", "temperature", "max_new_tokens", "seed")
"""Settings that the command line of a served forecast always shows."""


def served_document(found: ServedForecast) -> dict:
    """The JSON of `sharpening forecast --server`."""
    return plain(
        {
            "schema": SCHEMA,
            "kind": "served_forecast",
            "model": found.model,
            "task": found.task,
            "settings": found.settings,
            "verdict": found.verdict,
            "reasons": found.reasons,
            "notes": found.notes,
            "alignment": found.alignment,
            "prior": found.prior,
            "standard_error": found.standard_error,
            "votes": found.votes,
            "verification": found.verification,
            "unknown": UNKNOWN,
            "references": REFERENCES,
            "cost": found.cost,
        }
    )


def served_headline(found: ServedForecast) -> Headline:
    """The verdict, and how often the vote is right; without labels, how far the answers agree."""
    tone, title = SERVED_VERDICTS[found.verdict]
    name = "label_accuracy" if found.alignment is not None else "majority_ratio"
    told = (
        "of the votes of {} answers are right"
        if found.alignment is not None
        else "of the answers agree with the vote of {}"
    )
    told = told.format(found.settings["rollouts"])
    return Headline(
        tone,
        title,
        f"{100 * found.prior[name]:.0f} %",
        f"{told}, without any training (standard error {_error(found, name)})",
    )


def print_served(console: Console, found: ServedForecast) -> None:
    """Verdict and reasons, every number with its standard error, the vote by its size, what is not known,
    reference lines and cost.
    """
    subject = f"{found.model} on {found.task}, answers from {found.settings['server']}"
    console.print(panel(served_headline(found), subject, found.reasons + found.notes))
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", caption=PLUS_MINUS, caption_justify="left")
    for heading in ("Before training", "share of"):
        table.add_column(heading)
    for heading in ("value", "±"):
        table.add_column(heading, justify="right")
    for row in _numbers(found):
        table.add_row(*row)
    console.print(table)
    if found.votes:
        table = Table(box=box.SIMPLE_HEAD, header_style="bold")
        table.add_column("Answers in a vote")
        for vote in found.votes:
            table.add_column(number_text(vote["votes"]), justify="right")
        table.add_row("right", *(_percent(row["accuracy"]) for row in found.votes))
        table.add_row("±", *(_percent(row["standard_error"]) for row in found.votes))
        console.print(table)
    for title, lines in ((UNTOLD, (*UNKNOWN, HOW_TO_KNOW)), (OTHERS, REFERENCES)):
        console.print(Text(title, style="bold"))
        for line in lines:
            console.print(Text(f"• {_sentence(line)}"))
    print_cost(console, _paid(found))


def served_files(document: dict, found: ServedForecast, command: str) -> dict[str, bytes]:
    """File name -> content: report.html (self-contained), the figure if there are labels, result.json (the
    `--json` document).
    """
    files = {"report.html": served_page(found, command).encode()}
    if found.votes:
        from sharpening.plots import figure_bytes

        files["votes.png"] = figure_bytes(plot_votes(found))
    return files | {
        "result.json": (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    }


def served_page(found: ServedForecast, command: str) -> str:
    """The page: verdict, why, the numbers, what a vote is worth by its size, what is not known, reference
    lines, settings and cost.
    """
    numbers = [("", map(html.text, row)) for row in _numbers(found)]
    parts = [
        banner(served_headline(found)),
        html.section("Why", html.bullet_list(found.reasons + found.notes)),
        html.section(
            "What the model answers before training",
            html.table(["", "share of", "value", "±"], numbers, text_columns=2),
            html.paragraph(PLUS_MINUS, "note"),
        ),
    ]
    if found.votes:
        from sharpening.plots import figure_bytes

        parts.append(
            html.section(
                "What a vote is worth",
                html.figure(
                    figure_bytes(plot_votes(found), "svg"),
                    "Accuracy of a vote by the number of answers in it",
                    "Share of the prompts on which a vote of so many answers is right, without training;"
                    " bars: one standard error over prompts.",
                ),
            )
        )
    settings = [
        ("", [html.text(name.replace("_", " ")), html.text(number_text(value))])
        for name, value in found.settings.items()
    ]
    costs = [
        (
            "",
            (
                ["time", format_seconds(value)]
                if name == "seconds"
                else [html.text(name.replace("_", " ")), f"{value:,}"]
            ),
        )
        for name, value in _paid(found).items()
    ]
    parts += [
        html.section(UNTOLD, html.bullet_list(map(_sentence, UNKNOWN)), html.paragraph(HOW_TO_KNOW)),
        html.section(OTHERS, html.bullet_list(REFERENCES)),
        f'<div class="two">{html.section("Settings", html.table(["Setting", "value"], settings))}'
        f"{html.section('Cost', html.table(['Cost', 'forecast'], costs))}</div>",
        html.folded(
            "How was this made?",
            html.paragraph("This command finds the same again, without drawing what is already there:"),
            f"<pre>{html.text(command)}</pre>",
            html.paragraph(
                "Completions were drawn from the server, answers read from them, votes taken over disjoint"
                " groups. Nothing was trained."
            ),
            versions(_PACKAGES),
        ),
    ]
    chosen = found.settings
    subtitle = (
        f"{chosen['server']}, {chosen['prompts']} prompts × {chosen['draws']} answers, votes of"
        f" {chosen['rollouts']}"
    )
    return html.document(
        f"{found.model} on {found.task}",
        "Sharpening · Forecast from answers alone, before any training",
        subtitle,
        "".join(parts),
    )


def plot_votes(found: ServedForecast, theme: str = "light"):
    """Accuracy of a vote against the number of answers in it, with one standard error; the run's own number
    is named.
    """
    from sharpening.plots import Figure
    from sharpening.plots.panels import plain_axes
    from sharpening.plots.theme import get_theme

    look = get_theme(theme)
    figure = Figure(figsize=(8.0, 2.8), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    sizes = [row["votes"] for row in found.votes]
    axes.errorbar(
        sizes,
        [row["accuracy"] for row in found.votes],
        [row["standard_error"] or 0.0 for row in found.votes],
        color=look.colour("accuracy"),
        marker="o",
        markersize=6,
        capsize=3,
        linewidth=1.5,
    )
    axes.set_xscale("log", base=2)
    axes.set_xticks(
        sizes, [f"{size}\n(this run)" if size == found.settings["rollouts"] else str(size) for size in sizes]
    )
    axes.minorticks_off()
    axes.set_ylim(-0.03, 1.03)
    axes.set_ylabel("right", fontsize=9, color=look.grey)
    axes.set_xlabel("answers in a vote", fontsize=9, color=look.grey)
    plain_axes(axes, look)
    axes.grid(axis="y", color=look.grid, linewidth=0.8)
    axes.set_axisbelow(True)
    return figure


def served_command(found: ServedForecast, task: str, answer_pattern: str | None, folder) -> str:
    """The command line that gives this forecast again."""
    words = [
        "sharpening",
        "forecast",
        found.model,
        "--server",
        found.settings["server"],
        "--task",
        task,
        "--output",
        str(folder),
    ]
    words += ["--answer-pattern", answer_pattern] if answer_pattern else []
    for name in SERVED_SETTINGS:
        words += [f"--{name.replace('_', '-')}", number_word(found.settings[name])]
    return shlex.join(words)


def _numbers(found: ServedForecast) -> list[tuple[str, str, str, str]]:
    """(name, meaning, value, standard error) of every number there is."""
    prior = found.prior
    shown = {
        name: number_text(prior[name]) if name == "entropy" else _percent(prior[name])
        for name in MEANINGS
        if name in prior
    }
    return [(name, MEANINGS[name], value, _error(found, name)) for name, value in shown.items()]


def _error(found: ServedForecast, name: str) -> str:
    error = found.standard_error.get(name)
    return number_text(error) if name == "entropy" else _percent(error)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _sentence(line: str) -> str:
    return line[0].upper() + line[1:].rstrip(".") + "."


def _paid(found: ServedForecast) -> dict:
    """The cost without what a server cannot charge."""
    return {name: value for name, value in found.cost.items() if name != "backward_tokens"}
