"""Figures and tables of the committed studies, made from their results alone: `python -m studies.figures
docs/figures`.
"""

import sys
from pathlib import Path

import numpy as np

from sharpening.plots import Figure, figure_bytes
from sharpening.plots.theme import get_theme
from studies.study import load_result

PANELS = (
    ("accuracy", "accuracy"),
    ("reward_accuracy", "reward accuracy"),
    ("mode_retention", "mode retention"),
    ("excess_kl", "excess KL (nats)"),
)
VOICES = ("radius", "coupled", "uncoupled")
TABLE_CRITERIA = ("relative", "half_life", "mode_retention")


def by_label(study: dict, kind: str = "runs") -> dict[str, list[dict]]:
    """The records of a study grouped by label, seeds in order."""
    groups: dict[str, list[dict]] = {}
    for record in study[kind]:
        groups.setdefault(record["label"], []).append(record)
    return {
        label: sorted(records, key=lambda record: record["settings"]["seed"])
        for label, records in groups.items()
    }


def curves_figure(groups: dict[str, list[dict]], *, title: str) -> Figure:
    """Four panels, one line a seed, one colour a group: what labels show (above) and what can be seen without
    them (below).
    """
    look = get_theme("light")
    figure = Figure(figsize=(8.4, 6.0), layout="constrained")
    axes = figure.subplots(2, 2, sharex=True)
    colours = dict(zip(groups, (*look.others, look.ink, look.grey), strict=False))
    for panel, (metric, name) in zip(axes.flat, PANELS, strict=True):
        for label, records in groups.items():
            for number, record in enumerate(records):
                panel.plot(
                    record["curve"]["step"],
                    record["curve"][metric],
                    color=colours[label],
                    lw=1.6,
                    alpha=0.85,
                    label=label if number == 0 else None,
                )
        panel.set_title(name, loc="left", fontsize=10, color=look.ink)
        panel.grid(color=look.grid, lw=0.7)
        panel.spines[["top", "right"]].set_visible(False)
        if metric != "excess_kl":
            panel.set_ylim(-0.03, 1.03)
    for panel in axes[1]:
        panel.set_xlabel("optimizer step")
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside lower center", ncols=min(3, len(names)), frameon=False, fontsize=9
    )
    figure.suptitle(title, x=0.01, ha="left", fontsize=11.5, color=look.ink)
    return figure


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *rows])


def shown(step: dict, horizon: int) -> str:
    """A collapse step as tables show it: the step, `> horizon` if censored, a dash where the criterion says
    nothing.
    """
    if step["outcome"] == "collapsed":
        return str(step["step"])
    return (
        f"> {horizon}"
        if step["outcome"] == "censored"
        else "–"
        if step["outcome"] == "unavailable"
        else "never started"
    )


def runs_table(name: str) -> str:
    """Every group of a study: accuracy first, best and last, reward accuracy last, collapse steps of the
    seeds.
    """
    rows = []
    for label, records in by_label(load_result(name)).items():
        curves = [record["curve"] for record in records]
        columns = [
            ", ".join(f"{curve['accuracy'][0]:.2f}" for curve in curves),
            ", ".join(
                f"{max(curve['accuracy']):.2f} ({curve['step'][int(np.argmax(curve['accuracy']))]})"
                for curve in curves
            ),
            ", ".join(f"{curve['accuracy'][-1]:.2f}" for curve in curves),
            ", ".join(f"{curve['reward_accuracy'][-1]:.2f}" for curve in curves),
        ]
        steps = [
            ", ".join(shown(r["collapse"][c], r["curve"]["step"][-1]) for r in records)
            for c in TABLE_CRITERIA
        ]
        rows.append([label, *columns, *steps])
    return _markdown(
        [
            "run",
            "accuracy at step 0",
            "best (at step)",
            "last",
            "reward accuracy, last",
            *(f"`{c}`" for c in TABLE_CRITERIA),
        ],
        rows,
    )


def compare_table(name: str) -> str:
    """Forecast (each voice) and measured steps, seed by seed, for every forecast of a study."""
    study = load_result(name)
    measured, rows = by_label(study), []
    for label, (forecast, *_) in by_label(study, "forecasts").items():
        records = measured.get(label, [])
        for criterion in TABLE_CRITERIA:
            voices = [
                shown(forecast["voices"][voice][criterion], forecast["settings"].get("max_steps", 300))
                for voice in VOICES
            ]
            steps = ", ".join(
                shown(record["collapse"][criterion], record["curve"]["step"][-1]) for record in records
            )
            rows.append([label, f"`{criterion}`", *voices, steps])
    return _markdown(
        ["run", "criterion", "radius (speaks)", "coupled", "uncoupled", "measured, by seed"], rows
    )


def provenance(name: str) -> str:
    """The command, date and versions behind a study's result."""
    study = load_result(name)
    versions = ", ".join(f"{package} {number}" for package, number in study["versions"].items())
    return f"`{study['command']}`, {study['date']}, {versions}. Seeds are in the table's order, 0 first."


def write_figures(folder: Path) -> list[Path]:
    """Draw every study's figures into `folder`; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, title, wanted in (
        ("capitals", "SmolLM2-135M-Instruct on capital cities, majority votes: one line a seed", None),
        ("tiny", "A tiny transformer on addition, majority votes: one line a seed", "addition-uncertain"),
    ):
        groups = by_label(load_result(name))
        chosen = {
            label: records for label, records in groups.items() if wanted is None or label.startswith(wanted)
        }
        path = folder / f"{name}.png"
        path.write_bytes(figure_bytes(curves_figure(chosen, title=title)))
        written.append(path)
    from studies.forecast_figures import held_out_figure
    from studies.reward_figures import every_reward_figure, failure_modes_figure
    from studies.smollm2_forecast import smollm2_figure

    for name, study, draw in (
        ("rewards", "rewards", every_reward_figure),
        ("failure_modes", "rewards", failure_modes_figure),
        ("held_out", "calibration", held_out_figure),
    ):
        path = folder / f"{name}.png"
        path.write_bytes(figure_bytes(draw(load_result(study))))
        written.append(path)
    written.append(folder / "smollm2_forecast.png")
    written[-1].write_bytes(figure_bytes(smollm2_figure()))
    return written


if __name__ == "__main__":
    for file in write_figures(Path(sys.argv[1])):
        print(file)
