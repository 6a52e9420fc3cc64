"""`sharpening forecast`: probe the model, or ask the server that has it, then say before any training what
the reward will do to it.
"""

import inspect
from pathlib import Path
from typing import Annotated

import typer

from llm_bridge.cli.options import OUTPUT, Request, VoicesOption, run_command, with_options
from sharpening.errors import InputError

ORDER = 10
SERVER = "Weights that cannot be loaded: a server"
MODEL_HELP = (
    "Hugging Face folder or hub id, GGUF file, or built-in name (see `sharpening zoo list`). Default: a"
    " shipped tiny transformer. With --server: the name under which the server lists the model."
)
READ = {
    "model",
    "task",
    "answer_pattern",
    "chat",
    "image_folder",
    "system",
    "few_shot",
    "stop",
    "chat_template_kwargs",
    "reward",
    "rollouts",
    "temperature",
    "seed",
    "max_new_tokens",
    "json_target",
    "report",
}
"""Shared options that a forecast from a server's answers reads."""


def register(app: typer.Typer) -> None:
    app.command("forecast")(forecast_command())


def forecast(
    request: Request,
    *,
    pilots: Annotated[
        int,
        typer.Option(
            "--pilots",
            help="Throwaway copies that are trained for a dozen steps each, with seeds of their own, and "
            "averaged: one is noisy, three cost little where the run is long.",
        ),
    ] = 1,
    voices: VoicesOption = False,
    calibration: Annotated[
        Path | None,
        typer.Option(
            "--calibration",
            metavar="FILE",
            help="Date the forecast by your own runs: a file that `sharpening calibrate` wrote. Default: the"
            " calibration that comes with the package.",
            show_default=False,
        ),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            "--engine",
            help="What draws the answers of the unchanged model: transformers; continuous, its continuous batching; or"
            " vllm, where it is installed (weight noise, gradients and pilots stay here).",
        ),
    ] = "transformers",
):
    """Forecast, before any training, when the reward will break the model."""
    from llm_bridge.cli.runs import run_forecast
    from llm_bridge.report.document import forecast_document
    from llm_bridge.report.tables import print_forecast

    with request.outputs.reserved():
        request.check()
        found = run_forecast(request, pilots, voices, calibration, engine)
        request.deliver(
            forecast_document(found), lambda console: print_forecast(console, found), forecast=found
        )


def forecast_command():
    """The command: MODEL and the options of a run, and those of its form that asks a server."""
    probing = run_command(forecast)
    shared = list(inspect.signature(probing).parameters.values())
    shared[0] = shared[0].replace(
        annotation=Annotated[str | None, typer.Argument(metavar="MODEL", help=MODEL_HELP, show_default=False)]
    )
    own = list(inspect.signature(_of_server, eval_str=True).parameters.values())
    defaults = {parameter.name: parameter.default for parameter in (*shared, *own)}

    def command(**values):
        asked = {parameter.name: values.pop(parameter.name) for parameter in own}
        given, told = (
            (asked, "a forecast that loads the weights")
            if asked["server"] is None
            else (values, "a forecast from a server's answers")
        )
        for name, value in given.items():
            if name not in READ and name != "server" and value != defaults[name]:
                rule, fix = "does not read it", "Leave it out, or give --server URL"
                if asked["server"] is not None:
                    rule, fix = (
                        "does not read it: without weights there is no step to date",
                        "Leave it out, or load the weights, without --server",
                    )
                raise InputError(name, value, f"{told} {rule}", fix)
        if asked["server"] is None:
            probing(**values)
        else:
            from llm_bridge.cli.runs import run_served_forecast

            run_served_forecast({name: values[name] for name in READ}, **asked)

    command.__name__, command.__doc__ = (
        "forecast",
        (
            "Forecast, before any training, when the reward will break the model. With --server: what sampled"
            " answers alone say of a model whose weights cannot be loaded: whether voting helps, on how many"
            " prompts the vote is wrong, and what only the weights could tell."
        ),
    )
    return with_options(command, [*shared[:-2], *own, *shared[-2:]])


def _option(name: str, text: str, **more):
    return typer.Option(name, help=text, rich_help_panel=SERVER, **more)


def _of_server(
    *,
    server: Annotated[
        str | None,
        _option(
            "--server",
            "Address of an OpenAI-compatible server that has the model, such as http://localhost:8000/v1. If"
            " it asks for an API key: "
            "in the environment variable SHARPENING_API_KEY. Of the other options, --task, --answer-pattern,"
            " --rollouts, --temperature, "
            "--max-new-tokens and --seed are read. Needs the extra `served` (package openai).",
            metavar="URL",
        ),
    ] = None,
    prompts: Annotated[
        int, _option("--prompts", "Prompts of the task that are asked; all but one of them if it has fewer.")
    ] = 128,
    draws: Annotated[
        int | None,
        _option("--draws", "Answers drawn for each prompt. Default: 64, or --rollouts if that is more."),
    ] = None,
    concurrency: Annotated[int, _option("--concurrency", "Requests under way at once.")] = 4,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="DIR",
            help="With --server: folder in which answers are kept, so that a later call draws only what is "
            "missing. Default: runs/served-<model>-<task>-<hash>.",
            rich_help_panel=OUTPUT,
            show_default=False,
        ),
    ] = None,
):
    """Options of the form that asks a server."""
