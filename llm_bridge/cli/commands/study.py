"""`sharpening study list | NAME`: studies that reproduce the literature's figures in miniature."""

import importlib
from pathlib import Path
from typing import Annotated

import typer

from llm_bridge.cli.options import JsonOption
from llm_bridge.cli.outputs import Outputs, check_folder
from llm_bridge.cli.ownership import own_folder
from llm_bridge.cli.records import show_records

ORDER = 60


def register(app: typer.Typer) -> None:
    app.command("study")(study)


def study(
    name: Annotated[str, typer.Argument(metavar="list|NAME", help="`list`, or the study to run.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="DIR",
            help="Folder of the results. Default: runs/studies/NAME.",
            show_default=False,
        ),
    ] = None,
    collect: Annotated[
        bool, typer.Option("--collect", help="Only gather what DIR already holds finished into its result.")
    ] = False,
    json_target: JsonOption = None,
):
    """Run a study, or list them."""
    from sharpening.errors import InputError

    studies = known_studies()

    if name == "list":
        records = [{"name": key, "description": found.description} for key, found in studies.items()]
        show_records(json_target, records, {"name": "Study", "description": "What it shows"})
        return
    if name not in studies:
        raise InputError(
            "name", name, f"known studies are {', '.join(studies)}", "See `sharpening study list`"
        )
    if collect and not hasattr(studies[name], "collect"):
        raise InputError(
            "collect",
            name,
            "only studies made of runs can be gathered before they end",
            "Leave --collect out",
        )
    from llm_bridge.console.progress import terminal_progress
    from llm_bridge.report.document import plain

    outputs = Outputs(json_target)
    outputs.check()
    folder = output or Path("runs") / "studies" / name
    check_folder("output", folder)
    own_folder(folder, "study", name)
    with outputs.reserved():
        with terminal_progress() as progress:
            result = (
                studies[name].collect(folder) if collect else studies[name].run(folder, progress=progress)
            )
        outputs.console().print(f"Results in {folder}", markup=False)
        outputs.write_json(plain(result))


def known_studies() -> dict:
    """The studies of the clone that the package runs from. Raises: InputError where it was installed from a
    wheel, which has none.
    """
    from sharpening.errors import InputError

    try:
        return importlib.import_module("studies").STUDIES
    except (ModuleNotFoundError, AttributeError) as error:
        raise InputError(
            "study",
            None,
            "studies come with a clone of the repository, not with the installed package",
            "Clone it and install it with `pip install -e '.[llm]'`",
        ) from error
