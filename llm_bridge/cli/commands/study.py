"""`sharpening study list | NAME`: studies that reproduce the literature's figures in miniature."""

from pathlib import Path
from typing import Annotated

import typer

from llm_bridge.cli.options import JsonOption
from llm_bridge.cli.outputs import Outputs, check_folder
from llm_bridge.cli.records import show_records

ORDER = 60


def register(app: typer.Typer) -> None:
    app.command("study")(study)


def study(
    name: Annotated[str, typer.Argument(metavar="list|NAME", help="`list`, or the study to run.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="DIR", help="Folder of the results. Default: studies/NAME.", show_default=False),
    ] = None,
    collect: Annotated[bool, typer.Option("--collect", help="Only gather what DIR already holds finished into its result.")] = False,
    json_target: JsonOption = None,
):
    """Run a study, or list them."""
    from llm_bridge.experiments import STUDIES
    from sharpening.errors import InputError

    if name == "list":
        records = [{"name": key, "description": found.description} for key, found in STUDIES.items()]
        show_records(json_target, records, {"name": "Study", "description": "What it shows"})
        return
    if name not in STUDIES:
        raise InputError("name", name, f"known studies are {', '.join(STUDIES)}", "See `sharpening study list`")
    if collect and not hasattr(STUDIES[name], "collect"):
        raise InputError("collect", name, "only studies made of runs can be gathered before they end", "Leave --collect out")
    from llm_bridge.progress import terminal_progress
    from llm_bridge.report.document import plain

    outputs = Outputs(json_target)
    outputs.check()
    folder = output or Path("studies") / name
    check_folder("output", folder)
    with outputs.reserved():
        with terminal_progress() as progress:
            result = STUDIES[name].collect(folder) if collect else STUDIES[name].run(folder, progress=progress)
        outputs.console().print(f"Results in {folder}", markup=False)
        outputs.write_json(plain(result))
