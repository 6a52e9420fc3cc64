"""`sharpening monitor LOG`: read the log of a finished or running training and say what is going wrong in
it.
"""

import contextlib
import enum
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llm_bridge.cli.options import JsonOption, ReportOption
from llm_bridge.cli.outputs import Outputs
from llm_bridge.console.printable import printable
from sharpening.errors import InputError

if TYPE_CHECKING:
    from rich.live import Live

    from llm_bridge.logs.run_log import RunLog

ORDER = 40
LEVELS = ("info", "warning", "provisional", "critical")
COLUMNS = {"level": "Level", "step": "Step", "name": "Finding", "message": "What it means"}
_LOG_HELP = (
    "Log of a run: collapse_monitor.json, trajectory.json or the JSON of `measure`; TRL's output folder"
    " (completions, trainer_state.json); verl's rollout_data_dir; TensorBoard or W&B folders; console output of TRL"
    " or verl; JSONL, CSV or parquet of metrics."
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
_HOOK_HELP = (
    "Run CMD for each finding that reaches --fail-on (warning, if that is not given): words as in a shell, but no"
    " shell; {name}, {level}, {step}, {message} and {log} are filled in, and the finding comes as JSON on its"
    " standard input."
)
_FAIL_HELP = "Exit with status 1 if a finding reaches this level; with --follow, as soon as one does."
WATCHING = "Watching"


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
    fail_on: Annotated[Level | None, typer.Option("--fail-on", help=_FAIL_HELP)] = None,
    following: Annotated[
        bool,
        typer.Option(
            "--follow",
            help="Go on reading while the log grows, until Ctrl-C; it need not exist yet.",
            rich_help_panel=WATCHING,
        ),
    ] = False,
    interval: Annotated[
        float,
        typer.Option(
            "--interval", min=0.05, help="Seconds between looks for a change.", rich_help_panel=WATCHING
        ),
    ] = 5.0,
    idle: Annotated[
        float | None,
        typer.Option(
            "--idle",
            min=0.0,
            help="With --follow: end once nothing has changed for so many seconds.",
            show_default=False,
            rich_help_panel=WATCHING,
        ),
    ] = None,
    on_finding: Annotated[
        str | None,
        typer.Option(
            "--on-finding", metavar="CMD", help=_HOOK_HELP, show_default=False, rich_help_panel=WATCHING
        ),
    ] = None,
    report: ReportOption = None,
    json_target: JsonOption = None,
):
    """Look for collapse in the log of a training run."""
    from llm_bridge.logs.hook import Hook

    if idle is not None and not following:
        raise InputError("idle", idle, "it ends --follow", "Give --follow as well")
    given = {
        "answer_pattern": answer_pattern,
        "renames": _renames(renames or []),
        "eval_prompts": eval_prompts,
    }
    reader = _Reader(log, {name: value for name, value in given.items() if value})
    outputs = Outputs(json_target, report)
    outputs.check()
    hook = _from_level(Hook(on_finding, log), fail_on) if on_finding else lambda finding: None
    if following:
        reached = _follow(reader, outputs, hook, fail_on, interval, idle)
    else:
        reached = _once(reader, outputs, hook, fail_on)
    if reached:
        raise typer.Exit(1)


class _Reader:
    """Reads the log; keeps what the report needs."""

    def __init__(self, log: Path, options: dict):
        from llm_bridge.logs.names import check_renames

        check_renames(options.get("renames", {}))
        self.log, self.options = log, options
        self.found: list = []
        self.series: RunLog | None = None

    def __call__(self) -> list:
        from llm_bridge.logs.read import judge, run_log

        self.series = run_log(self.log, **self.options)
        self.found = judge(self.series)
        return self.found

    def records(self) -> list[dict]:
        return [finding.as_dict() for finding in self.found]

    def report(self) -> dict[str, bytes]:
        from llm_bridge.report.log_page import log_files

        assert self.series is not None, "a report is of a log that was read"
        return log_files(self.series, self.found)


def _from_level(hook: Callable, fail_on: Level | None) -> Callable:
    least = LEVELS.index((fail_on or Level.warning).value)
    return lambda finding: hook(finding) if LEVELS.index(finding.level) >= least else None


def _reached(records: list[dict], fail_on: Level | None) -> bool:
    return fail_on is not None and any(
        LEVELS.index(str(record["level"])) >= LEVELS.index(fail_on.value) for record in records
    )


def _once(reader: _Reader, outputs: Outputs, hook: Callable, fail_on: Level | None) -> bool:
    from llm_bridge.report.document import plain
    from llm_bridge.report.tables import print_records

    with outputs.reserved():
        findings = reader()
        records = reader.records()
        if not outputs.on_stdout:
            print_records(outputs.console(), "", records, COLUMNS)
        outputs.write_json(plain(records))
        if outputs.report is not None:
            outputs.write_report(reader.report())
        for finding in findings:
            hook(finding)
    return _reached(records, fail_on)


def _follow(
    reader: _Reader,
    outputs: Outputs,
    hook: Callable,
    fail_on: Level | None,
    interval: float,
    idle: float | None,
) -> bool:
    """Look at each change; a terminal is redrawn, anything else gets a line (with `--json -`, of JSON) for each
    new finding. True once the level is reached.
    """
    from llm_bridge.logs.follow import follow

    told = None
    with _Screen(outputs) as show, contextlib.suppress(KeyboardInterrupt):
        for look in follow(reader.log, reader, interval=interval, idle=idle):
            if look.waiting is not None:
                if look.waiting != told:
                    show.waiting(look.waiting)
                told = look.waiting
                continue
            told = None
            show.look(reader.records(), [finding.as_dict() for finding in look.new])
            if outputs.json_path is not None:
                outputs.write_json(reader.records())
            if outputs.report is not None:
                outputs.write_report(reader.report())
            for finding in look.new:
                hook(finding)
            if _reached(reader.records(), fail_on):
                return True
    return False


class _Screen:
    """Where the findings of a log that grows are shown."""

    def __init__(self, outputs: Outputs):
        self.console, self.json = outputs.console(), outputs.on_stdout
        self.live: Live | None = None

    def __enter__(self):
        if self.console.is_terminal and not self.json:
            from rich.live import Live

            self.live = Live(console=self.console, auto_refresh=False, vertical_overflow="crop")
            self.live.start()
        return self

    def __exit__(self, *_):
        if self.live is not None:
            self.live.stop()

    def waiting(self, why: str) -> None:
        """Say on standard error why nothing can be read yet."""
        print(f"Waiting: {printable(why)}", file=sys.stderr, flush=True)

    def look(self, records: list[dict], new: list[dict]) -> None:
        """Show all findings where the screen can be redrawn, else the new ones."""
        if self.live is not None:
            from llm_bridge.report.tables import records_table

            self.live.update(records_table("", records, COLUMNS), refresh=True)
            return
        for record in new:
            line = json.dumps(record) if self.json else _line(record)
            print(line, flush=True)


def _line(record: dict) -> str:
    step = "" if record["step"] is None else f" step {record['step']}:"
    return f"{record['level']}: {record['name']}:{step} {record['message']}"


def _renames(given: list[str]) -> dict[str, str]:
    """{column: name} of `--map NAME=COLUMN`."""
    found: dict[str, str] = {}
    for text in given:
        name, sign, column = text.partition("=")
        if not (name and sign and column):
            raise InputError("map", text, "it is written NAME=COLUMN", "For example --map accuracy=my_column")
        if column in found or name in found.values():
            raise InputError("map", text, "a name or a column is given twice", "Give each of them once")
        found[column] = name
    return found
