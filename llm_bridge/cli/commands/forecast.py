"""`sharpening forecast`: probe the model, then say when the reward will break it, before any training."""

import typer

from llm_bridge.cli.options import Request, run_command

ORDER = 10


def register(app: typer.Typer) -> None:
    app.command("forecast")(run_command(forecast))


def forecast(request: Request):
    """Forecast, before any training, when the reward will break the model."""
    from llm_bridge.cli.runs import run_forecast
    from llm_bridge.report.document import forecast_document
    from llm_bridge.report.tables import print_forecast

    with request.outputs.reserved():
        request.check()
        found = run_forecast(request)
        request.deliver(forecast_document(found), lambda console: print_forecast(console, found), forecast=found)
