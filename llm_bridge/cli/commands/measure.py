"""`sharpening measure`: train for real, evaluate on fixed prompts, resume where an earlier run stopped."""

from pathlib import Path

import typer

from llm_bridge.cli.options import OutputOption, Request, run_command
from llm_bridge.console.launch import process

ORDER = 20


def register(app: typer.Typer) -> None:
    app.command("measure")(run_command(measure))


def measure(request: Request, output: OutputOption = None):
    """Train the model for real and measure when it collapses; run again to resume."""
    from llm_bridge.cli.runs import interruptible, run_measurement
    from llm_bridge.report.document import measurement_document
    from llm_bridge.report.tables import print_measurement

    folder: Path = request.run_folder(output)
    with request.outputs.reserved(), interruptible(folder):
        request.check(folder)
        found = run_measurement(request, folder)
        if process()[0] == 0:
            request.deliver(
                measurement_document(found),
                lambda console: print_measurement(console, found),
                measurement=found,
            )
        if found.interrupted:
            raise KeyboardInterrupt
