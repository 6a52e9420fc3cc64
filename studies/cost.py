"""What a forecast costs in seconds, against the run that it saves, side by side in one process: machines
drift, so nothing else compares.

    python -m studies.cost FOLDER # priors are built or found below FOLDER; writes results/forecast_cost.json
"""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from studies.ground_truth import GROUND_TRUTH, forecasts
from studies.study import RESULTS, made_with, task_of

SHORT, LONG = 10, 50
"""Runs of these many steps tell what a step costs with its share of evaluations, and what a run costs before
its first.
"""


def run_seconds(short: float, long: float, steps: int) -> float:
    """Seconds of a run of `steps`, from those of SHORT and LONG steps: linear in the steps."""
    return short + (long - short) / (LONG - SHORT) * (steps - SHORT)


def timed(run, model: str) -> dict:
    """A forecast, and the beginning of what it forecasts, one after the other."""
    from llm_bridge import forecast_model, measure

    task = task_of(run.task)
    forecast = forecast_model(model, task, run.settings).cost["seconds"]
    with TemporaryDirectory() as folder:
        short, long = (
            measure(
                model, task, replace(run.settings, max_steps=steps), output_dir=Path(folder) / str(steps)
            ).cost["seconds"]
            for steps in (SHORT, LONG)
        )
    return {
        "label": run.label,
        "forecast": forecast,
        "run": round(run_seconds(short, long, run.settings.max_steps), 1),
    }


def main(folder: str):
    import torch

    from llm_bridge.console.quiet import quiet_libraries
    from sharpening.trajectory import write_json

    torch.set_num_threads(1)
    rows = []
    for run in forecasts():
        with quiet_libraries():
            rows.append(timed(run, GROUND_TRUTH.prepare(run.model, Path(folder))))
        print(rows[-1], flush=True)
    # The first is left out: it pays for what is loaded and compiled once.
    write_json(
        RESULTS / "forecast_cost.json",
        made_with("forecast_cost", "python -m studies.cost FOLDER") | {"rows": rows[1:]},
    )


if __name__ == "__main__":
    import sys

    main(*sys.argv[1:])
