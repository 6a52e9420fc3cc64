"""`sharpening study list | run NAME | show NAME`: studies that reproduce the literature's figures in miniature."""

import importlib
from pathlib import Path
from typing import Annotated

import typer

from llm_bridge.cli.options import JsonOption
from llm_bridge.cli.outputs import Outputs, check_file, check_folder
from llm_bridge.cli.ownership import own_folder
from llm_bridge.cli.records import show_records

ORDER = 60
ACTIONS = ("list", "run", "show")


def register(app: typer.Typer) -> None:
    app.command("study")(study)


def study(
    action: Annotated[
        str,
        typer.Argument(
            metavar="list|run|show",
            help="What to do; a study's name alone runs it, as before.",
            show_default=False,
        ),
    ],
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="The study (see `list`).", show_default=False)
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="Run a small form of the study, in minutes; its verdict counts for little."
        ),
    ] = False,
    backend: Annotated[
        str,
        typer.Option(
            "--backend", metavar="loky|dask", help="What the parts of a study run on, through joblib."
        ),
    ] = "loky",
    workers: Annotated[
        int | None,
        typer.Option("--workers", help="Processes, one thread each. Default: the study's, mostly 2."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="DIR",
            help="Folder of the results. Default: runs/studies/NAME, and for a quick form NAME-quick. With show: the"
            " folder to show, instead of the committed result.",
            show_default=False,
        ),
    ] = None,
    collect: Annotated[
        bool, typer.Option("--collect", help="Only gather what DIR already holds finished into its result.")
    ] = False,
    figure: Annotated[
        Path | None,
        typer.Option("--figure", metavar="FILE.png", help="With show: draw the figure again into FILE."),
    ] = None,
    json_target: JsonOption = None,
):
    """List studies, run one, or show what one found."""
    from sharpening.errors import InputError

    studies = known_studies()
    if action == "list" and name is None:
        _list(studies, json_target)
        return
    if action not in ACTIONS and name is None:
        action, name = "run", action
    if action not in ("run", "show"):
        raise InputError(
            "action", action, f"known actions are {', '.join(ACTIONS)}", "See `sharpening study --help`"
        )
    if name is None or name not in studies:
        raise InputError(
            "name", name, f"known studies are {', '.join(studies)}", "See `sharpening study list`"
        )
    outputs = Outputs(json_target)
    outputs.check()
    if action == "show":
        _show(name, studies[name], output, figure, outputs)
    else:
        _run(name, studies[name], output, outputs, quick, backend, workers, collect)


def _list(studies: dict, json_target) -> None:
    records = [
        {
            "name": key,
            "description": found.description,
            "quick": hasattr(found, "find"),
            "verdict": _verdict(key, found),
        }
        for key, found in studies.items()
    ]
    columns = {"name": "Study", "description": "What it shows", "quick": "Has --quick", "verdict": "Verdict"}
    show_records(json_target, records, columns)


def _verdict(name: str, found) -> str | None:
    """The verdict of the committed result; None where there is none, or where the study judges no claim."""
    from sharpening.errors import InputError

    if not hasattr(found, "find"):
        return None
    try:
        return importlib.import_module("studies.paper.frame").load_result(name)["finding"]["verdict"]
    except InputError:
        return "not yet run"


def _run(name: str, found, output, outputs, quick, backend, workers, collect) -> None:
    from sharpening.errors import InputError

    paper = hasattr(found, "find")
    if quick and not paper:
        raise InputError(
            "quick", name, "this study has one form only", "Leave --quick out, or see `sharpening study list`"
        )
    if collect and paper:
        raise InputError(
            "collect",
            name,
            "only studies made of runs can be gathered before they end",
            "Leave --collect out",
        )
    from llm_bridge.console.numbers import whole
    from llm_bridge.console.progress import terminal_progress
    from llm_bridge.report.document import plain

    if workers is not None:
        whole("workers", workers, 1, 1024)
    backends = importlib.import_module("studies.backends")
    backends.check(backend)
    folder = output or Path("runs") / "studies" / (name + ("-quick" if quick else ""))
    check_folder("output", folder)
    own_folder(folder, "study", name)
    with outputs.reserved():
        with terminal_progress() as progress, backends.running(backend, workers or 2):
            if collect:
                result = found.collect(folder)
            elif paper:
                result = found.run(folder, progress=progress, quick=quick, workers=workers or 2)
            else:
                result = found.run(folder, progress=progress)
        if paper:
            _print(outputs.console(), result)
        outputs.console().print(f"Results in {folder}", markup=False)
        outputs.write_json(plain(result))


def _show(name: str, found, output, figure, outputs) -> None:
    from sharpening.errors import InputError

    if not hasattr(found, "find"):
        raise InputError(
            "name",
            name,
            "this study judges no single claim",
            "Its tables are on the page Studies (docs/studies.md)",
        )
    frame = importlib.import_module("studies.paper.frame")
    result = frame.load_result(name) if output is None else frame.result_in(output, name)
    if figure is not None:
        from sharpening.plots import figure_bytes

        check_file("figure", figure)
        figure.write_bytes(figure_bytes(found.figure(result)))
    with outputs.reserved():
        _print(outputs.console(), result)
        outputs.write_json(result)


def _print(console, result: dict) -> None:
    """Claim, verdict and what made them."""
    from rich.text import Text

    finding, versions = result["finding"], result["versions"]
    form = " (quick form)" if result["quick"] else ""
    console.print(Text(f"Claim: {result['claim']} ({result['source']})"))
    console.print(Text.assemble((f"Verdict: {finding['verdict']}{form}. ", "bold"), finding["sentence"]))
    told = ", ".join(f"{package} {number}" for package, number in versions.items())
    seeds = ", ".join(map(str, result["seeds"]))
    console.print(
        Text(f"Made with `{result['command']}`, {result['date']}, seeds {seeds}; {told}.", style="dim")
    )


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
