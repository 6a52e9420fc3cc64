"""Run the two journeys for a command, with progress, and turn Ctrl-C into "interrupted and resumable"."""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from llm_bridge.cli.errors import INTERRUPTED
from llm_bridge.cli.options import Request
from llm_bridge.progress import terminal_progress
from llm_bridge.results import Measurement, ModelForecast

if TYPE_CHECKING:
    from llm_bridge.scheduling import ModelSchedule


def run_forecast(request: Request) -> ModelForecast:
    """Forecast with progress on standard error."""
    from llm_bridge.forecasting import forecast_model

    with terminal_progress() as progress:
        return forecast_model(request.model, request.task, request.settings, progress=progress)


def run_schedule_search(request: Request, verifier: dict) -> "ModelSchedule":
    """Search verification schedules with progress on standard error; `verifier`: keyword arguments of `schedule_model`."""
    from llm_bridge.scheduling import schedule_model

    with terminal_progress() as progress:
        return schedule_model(request.model, request.task, request.settings, progress=progress, **verifier)


def run_measurement(request: Request, folder: Path) -> Measurement:
    """Train and measure with progress on standard error; checkpoints in `folder`."""
    from llm_bridge.train import measure

    with terminal_progress() as progress:
        return measure(request.model, request.task, request.settings, output_dir=folder, progress=progress)


@contextlib.contextmanager
def interruptible(folder: Path):
    """Ctrl-C ends the command with status 3 and says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        print(
            f"Interrupted. Run the same command again to resume from {folder}; delete that folder to start anew.", file=sys.stderr
        )
        raise typer.Exit(INTERRUPTED) from None
