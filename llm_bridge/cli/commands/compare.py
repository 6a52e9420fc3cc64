"""`sharpening compare`: the forecast, then the measured run, and how far apart they are."""

import typer

from llm_bridge.cli.options import OutputOption, Request, VoicesOption, run_command

ORDER = 30


def register(app: typer.Typer) -> None:
    app.command("compare")(run_command(compare))


def compare(request: Request, *, output: OutputOption = None, voices: VoicesOption = False):
    """Forecast, then measure, and show how far apart the two are."""
    from llm_bridge.cli.runs import interruptible, run_forecast, run_measurement
    from llm_bridge.report.document import comparison_document
    from llm_bridge.report.tables import print_comparison

    folder = request.run_folder(output)
    with request.outputs.reserved(), interruptible(folder):
        request.check(folder)
        predicted = run_forecast(request, voices=voices)
        measured = run_measurement(request, folder)
        request.deliver(
            comparison_document(predicted, measured),
            lambda console: print_comparison(console, predicted, measured),
            forecast=predicted,
            measurement=measured,
        )
        if measured.interrupted:
            raise KeyboardInterrupt
