"""The command line. Each module in `llm_bridge.cli.commands` is one command (or group) and has `ORDER` and
`register(app)`.
"""

import gc
import importlib
import pkgutil

import typer

from llm_bridge.cli.errors import Group

HELP = (
    "Forecast and measure when label-free reinforcement learning sharpens a language model, and when it"
    " collapses it."
)


def create_app() -> typer.Typer:
    """The application with every command found in `llm_bridge.cli.commands`."""
    from llm_bridge.cli import commands

    app = typer.Typer(
        cls=Group, help=HELP, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich"
    )

    @app.callback()
    def sharpening(
        version: bool = typer.Option(
            False, "--version", help="Print the version and stop.", callback=_version, is_eager=True
        ),
    ):
        pass

    modules = (
        importlib.import_module(f"{commands.__name__}.{found.name}")
        for found in pkgutil.iter_modules(commands.__path__)
    )
    for module in sorted(modules, key=lambda module: module.ORDER):
        module.register(app)
    return app


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"sharpening {version('sharpening')}")
        except PackageNotFoundError:
            print("sharpening (not installed)")
        raise typer.Exit


COLLECT_AFTER = (100_000, 50, 1000)
"""Thresholds of Python's cyclic garbage collector for this process. At the usual (700, 10, 10) it walks again
and again through what importing torch and transformers builds: a seventh of a cold forecast.
"""


def main() -> None:
    """Entry point of the `sharpening` command."""
    gc.set_threshold(*COLLECT_AFTER)
    create_app()(prog_name="sharpening")
