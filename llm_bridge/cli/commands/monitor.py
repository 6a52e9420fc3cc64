"""`sharpening monitor LOG`: read the log of a finished or running training and say what is going wrong in it."""

import enum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from llm_bridge.cli.options import JsonOption
from llm_bridge.cli.records import show_records

ORDER = 40
LEVELS = ("info", "warning", "critical")


class Level(enum.StrEnum):
    info = "info"
    warning = "warning"
    critical = "critical"


def register(app: typer.Typer) -> None:
    if find_spec("llm_bridge.logs") is not None:
        app.command("monitor")(monitor)


def monitor(
    log: Annotated[Path, typer.Argument(metavar="LOG", help="Log of a run (a file that sharpening, TRL or verl wrote).")],
    fail_on: Annotated[
        Level | None, typer.Option("--fail-on", help="Exit with status 1 if a finding reaches this level.")
    ] = None,
    json_target: JsonOption = None,
):
    """Look for collapse in the log of a training run."""
    from llm_bridge.logs import read_log

    findings = [finding if isinstance(finding, dict) else finding.as_dict() for finding in read_log(log)]
    show_records(json_target, findings, {"level": "Level", "step": "Step", "name": "Finding", "message": "What it means"})
    if fail_on is not None and any(LEVELS.index(str(finding["level"])) >= LEVELS.index(fail_on.value) for finding in findings):
        raise typer.Exit(1)
