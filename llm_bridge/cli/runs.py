"""Run the journeys for a command, with progress, and turn Ctrl-C into "interrupted and resumable"."""

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from llm_bridge.cli.errors import INTERRUPTED
from llm_bridge.cli.options import Request, folder_of, slug, task_name, tell_readings
from llm_bridge.cli.outputs import Outputs, check_folder
from llm_bridge.cli.prompting import OPTIONS as PROMPT_OPTIONS
from llm_bridge.cli.prompting import command_words, prompt_form
from llm_bridge.cli.shown import other_words
from llm_bridge.cli.trl_run import one_reward
from llm_bridge.console.progress import terminal_progress
from llm_bridge.forecast.result import ModelForecast
from llm_bridge.training.measurement import Measurement
from llm_bridge.training.settings import RunSettings
from sharpening.errors import InputError

if TYPE_CHECKING:
    from llm_bridge.forecast.schedule import ModelSchedule


def run_forecast(
    request: Request,
    pilots: int = 1,
    voices: bool = False,
    calibration: Path | None = None,
    engine: str = "transformers",
) -> ModelForecast:
    """Forecast with progress on standard error; a report always shows the voices of theory. calibration: a
    file of `sharpening calibrate`, if not the shipped one.
    """
    own = {}
    if calibration is not None:
        # Before the seconds that loading torch takes.
        from llm_bridge.forecast.calibration.file import check_calibration

        check_calibration(calibration, request.settings.reward, request.task.labelled)
        own = {"calibration": calibration}
    from llm_bridge.forecast.model import forecast_model

    with terminal_progress() as progress:
        return forecast_model(
            request.model,
            request.task,
            request.settings,
            pilots=pilots,
            voices=voices or request.outputs.report is not None,
            engine=engine,
            progress=progress,
            **own,
        )


def run_served_forecast(
    shared: dict, *, server: str, prompts: int, draws: int | None, concurrency: int, output: Path | None
) -> None:
    """Forecast from the answers of a server and deliver it; `shared`: the options of a run that such a
    forecast reads, as given.

    The folder of the answers is `output`, or one named after the server, the model, the task and the law of
    the answers.
    """
    from llm_bridge.sampling.server import API_KEY, base_url
    from llm_bridge.tasks import get_task
    from llm_bridge.tasks.form import form_told

    law = {name: shared[name] for name in ("temperature", "seed", "max_new_tokens")}
    reward = one_reward(shared["reward"], "a forecast from a server's answers")
    settings = RunSettings(reward=reward, rollouts=shared["rollouts"], **law)
    if settings.reward != "majority":
        raise InputError(
            "reward",
            settings.reward,
            "answers alone judge majority votes; other rewards need token probabilities or an outside check",
            "Use --reward majority, or load the weights, without --server",
        )
    outputs = Outputs(shared["json_target"], shared["report"])
    outputs.check()
    model, name, pattern = shared["model"], shared["task"], shared["answer_pattern"]
    url = base_url(server)
    if not model:
        raise InputError(
            "model",
            model,
            "a server has to be told which model answers",
            "Give the name that the server lists under /models",
        )
    name = task_name(model, name)
    task = get_task(name, pattern, prompt_form(**{option: shared[option] for option in PROMPT_OPTIONS}))
    tell_readings(task)
    form = getattr(task, "form", {})
    identity = [url, model, name, law, *([form] if form else [])]
    folder = output or folder_of(identity, "served", slug(model), slug(name))

    with outputs.reserved(), interruptible(folder):
        from llm_bridge.forecast.served import forecast_served
        from llm_bridge.report.served import (
            SERVED_SETTINGS,
            print_served,
            served_command,
            served_document,
            served_files,
        )

        check_folder("output", folder)
        for note in task.notes:
            print(f"Note: {note}", file=sys.stderr)
        try:
            with terminal_progress() as progress:
                found = forecast_served(
                    url,
                    model,
                    task,
                    prompts=prompts,
                    draws=draws,
                    rollouts=settings.rollouts,
                    **law,
                    folder=folder,
                    concurrency=concurrency,
                    api_key=os.environ.get(API_KEY, "").strip() or None,
                    progress=progress,
                )
        except BaseException:
            with contextlib.suppress(OSError):
                folder.rmdir()
            raise
        command = served_command(found, name, pattern, folder) + command_words(form)
        command += other_words({"server", "output", *SERVED_SETTINGS, *PROMPT_OPTIONS})
        document = served_document(found) | {"prompts": form_told(task), "command": command}
        print_served(outputs.console(), found)
        if outputs.report is not None:
            outputs.write_report(served_files(document, found, command))
        outputs.write_json(document)


def run_schedule_search(request: Request, verifier: dict) -> "ModelSchedule":
    """Search verification schedules with progress on standard error; `verifier`: keyword arguments of
    `schedule_model`.
    """
    from llm_bridge.forecast.schedule import schedule_model

    with terminal_progress() as progress:
        return schedule_model(request.model, request.task, request.settings, progress=progress, **verifier)


def run_measurement(request: Request, folder: Path, **options) -> Measurement:
    """Train and measure with progress on standard error; checkpoints in `folder`. options: others of `measure`."""
    from llm_bridge.training.measure import measure

    with terminal_progress() as progress:
        return measure(
            request.model, request.task, request.settings, output_dir=folder, progress=progress, **options
        )


@contextlib.contextmanager
def interruptible(folder: Path):
    """Ctrl-C ends the command with status 3 and says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        print(
            f"Interrupted. Run the same command again to resume from {folder}; delete that folder to start"
            " anew.",
            file=sys.stderr,
        )
        raise typer.Exit(INTERRUPTED) from None
