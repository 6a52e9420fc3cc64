"""`sharpening monitor LOG`: read the log of a finished or running training and say what is going wrong in
it.
"""

import enum
from pathlib import Path
from typing import Annotated

import typer

from llm_bridge.cli.options import JsonOption
from llm_bridge.cli.records import show_records
from sharpening.errors import InputError

ORDER = 40
LEVELS = ("info", "warning", "provisional", "critical")
_LOG_HELP = (
    "Log of a run: collapse_monitor.json, trajectory.json or the JSON of `measure`; TRL's output folder"
    " (completions, trainer_state.json); verl's rollout_data_dir; TensorBoard or W&B folders; console output of TRL"
    " or verl; JSONL or CSV of metrics."
)
_PATTERN_HELP = (
    "How an answer is read from a logged completion: last-number, boxed, text, choice, answer-tag or"
    " regex:PATTERN. Default: what marks answers there, else what fits the true answers, else text."
)

_MAP_HELP = (
    "Read the column COLUMN as NAME (accuracy, pseudo_reward, mean_length, step, ...), for names that are not"
    " known here. May be given several times."
)
_PROMPTS_HELP = "Of how many prompts an accuracy of the log is the mean; sharpens the test for slow falls."


class Level(enum.StrEnum):
    info = "info"
    warning = "warning"
    provisional = "provisional"
    critical = "critical"


def register(app: typer.Typer) -> None:
    app.command("monitor")(monitor)


def monitor(
    log: Annotated[Path, typer.Argument(metavar="LOG", help=_LOG_HELP)],
    answer_pattern: Annotated[
        str | None,
        typer.Option("--answer-pattern", metavar="PATTERN", help=_PATTERN_HELP, show_default=False),
    ] = None,
    renames: Annotated[
        list[str] | None, typer.Option("--map", metavar="NAME=COLUMN", help=_MAP_HELP, show_default=False)
    ] = None,
    eval_prompts: Annotated[
        int | None, typer.Option("--eval-prompts", min=1, help=_PROMPTS_HELP, show_default=False)
    ] = None,
    fail_on: Annotated[
        Level | None, typer.Option("--fail-on", help="Exit with status 1 if a finding reaches this level.")
    ] = None,
    json_target: JsonOption = None,
):
    """Look for collapse in the log of a training run."""
    from llm_bridge.logs import read_log

    given = {
        "answer_pattern": answer_pattern,
        "renames": _renames(renames or []),
        "eval_prompts": eval_prompts,
    }
    options = {name: value for name, value in given.items() if value}
    findings = [
        finding if isinstance(finding, dict) else finding.as_dict() for finding in read_log(log, **options)
    ]
    show_records(
        json_target,
        findings,
        {"level": "Level", "step": "Step", "name": "Finding", "message": "What it means"},
    )
    if fail_on is not None and any(
        LEVELS.index(str(finding["level"])) >= LEVELS.index(fail_on.value) for finding in findings
    ):
        raise typer.Exit(1)


def _renames(given: list[str]) -> dict[str, str]:
    """{column: name} of `--map NAME=COLUMN`."""
    found = {}
    for text in given:
        name, sign, column = text.partition("=")
        if not (name and sign and column):
            raise InputError("map", text, "it is written NAME=COLUMN", "For example --map accuracy=my_column")
        if column in found or name in found.values():
            raise InputError("map", text, "a name or a column is given twice", "Give each of them once")
        found[column] = name
    return found
