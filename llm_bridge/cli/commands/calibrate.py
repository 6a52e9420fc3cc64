"""`sharpening calibrate`: fit the forecast's dates on one's own measured runs and the forecasts of them."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from llm_bridge.cli.options import JsonOption

ORDER = 35
SHIPPED = "shipped"
COLUMNS = {
    "name": "Criterion",
    "kind": "For tasks",
    "runs": "Runs",
    "events": "Met",
    "spread": "Spread",
    "low": "Low ×",
    "high": "High ×",
    "from": "From",
}
_RUNS_HELP = (
    "Folders of finished `sharpening measure` runs, the JSON of `measure`, `forecast` and `compare`, or folders"
    " that hold such JSON: every run with a forecast of its model, task and settings (learning rate, budget,"
    " evaluations and seed may differ)."
)


def register(app: typer.Typer) -> None:
    app.command("calibrate")(calibrate)


def calibrate(
    runs: Annotated[list[Path], typer.Argument(metavar="RUNS...", help=_RUNS_HELP, show_default=False)],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            metavar="FILE",
            help="The calibration file, for `sharpening forecast --calibration FILE`.",
            show_default=False,
        ),
    ],
    base: Annotated[
        Path | None,
        typer.Option(
            "--base",
            metavar="FILE",
            help="Take over from this calibration what the runs cannot tell; `shipped`: from the one that"
            " comes with the package. Default: what they cannot tell is missing.",
            show_default=False,
        ),
    ] = None,
    json_target: JsonOption = None,
):
    """Fit the forecast on your own measured runs."""
    if find_spec("sklearn") is None:
        raise ModuleNotFoundError(name="sklearn")
    import warnings

    from llm_bridge.cli.outputs import Outputs, check_file, to_json, write_files
    from llm_bridge.console.progress import terminal_progress
    from llm_bridge.forecast.calibration.file import read_calibration
    from llm_bridge.forecast.calibration.pairing import paired, readings, unused
    from llm_bridge.forecast.calibration.records import read_records
    from llm_bridge.forecast.calibration.survival import SHIPPED as SHIPPED_FILE

    outputs = Outputs(json_target)
    outputs.check()
    check_file("output", output)
    with outputs.reserved():
        spare = None
        if base is not None:
            spare = read_calibration(SHIPPED_FILE if str(base) == SHIPPED else base, "base")
        groups, forecasts = paired(*read_records(runs))
        read = readings(groups, forecasts)
        from llm_bridge.forecast.calibration.own import calibration_of, fit_parts
        from llm_bridge.report.document import plain
        from llm_bridge.report.tables import print_records

        with warnings.catch_warnings(), terminal_progress() as progress:
            warnings.simplefilter("ignore")
            parts = fit_parts(read, spare, progress)
        rewards = {run.settings.reward for mine in groups.values() for run in mine}
        document = plain(calibration_of(parts, read, rewards, spare, "sharpening calibrate"))
        write_files({output: to_json(document).encode()}, "output")
        rows, console = plain([part.as_row() for part in parts]), outputs.console()
        print_records(console, "", rows, COLUMNS)
        for line in _told(rows, document, unused(forecasts, groups), output):
            console.print(line, markup=False)
        outputs.write_json(rows)


def _told(rows: list[dict], document: dict, spare: list[str], output: Path) -> list[str]:
    """What the table leaves open, one sentence each."""
    lines = []
    for row in rows:
        if row["why"]:
            stands_in = "the base's is taken" if row["from"] == "base" else "it is missing"
            lines.append(f"{row['name']} ({row['kind']}): {stands_in}, since {row['why']}.")
    if document["left_out"] == "settings":
        lines.append(
            "Intervals leave out one setting at a time, since the runs have too few models: they speak about"
            " other settings of these models, not about other models."
        )
    lines += [f"{kind} tasks: forecasts cannot use this file." for kind in _missing(rows, document)]
    lines += [f"No run goes with the forecast {source}." for source in dict.fromkeys(spare)]
    return [*lines, f"{document['runs']} runs. Use it with: sharpening forecast … --calibration {output}"]


def _missing(rows: list[dict], document: dict) -> list[str]:
    return [kind for kind in dict.fromkeys(row["kind"] for row in rows[:-1]) if kind not in document["heads"]]
