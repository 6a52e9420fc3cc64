"""`sharpening mcs`: the Model Collapse Step of He et al. 2026, by their protocol."""

from pathlib import Path
from typing import Annotated

import typer

from llm_bridge.cli.options import TRAINING, OutputOption, Request, run_command, setting_option
from llm_bridge.cli.prompting import OPTIONS as PROMPT_OPTIONS
from llm_bridge.cli.shown import given_options, other_words
from llm_bridge.training.mcs import EVAL_EVERY, FREE, MAX_STEPS, PROMPTS, ROLLOUTS, mcs_settings
from llm_bridge.training.settings import RunSettings

ORDER = 25

_TEXTS = {
    "learning_rate": f"Learning rate, constant. Default: {RunSettings.learning_rate:g} for built-in models, none for others.",
    "max_steps": f"Steps, each a batch of {PROMPTS} prompts × {ROLLOUTS} rollouts: the horizon.",
    "eval_every": "Evaluate every so many steps: how exactly the MCS is known."
    f" Default: {EVAL_EVERY[False]}, with --aggressive {EVAL_EVERY[True]}.",
}
_DEFAULTS = {"learning_rate": None, "max_steps": MAX_STEPS, "eval_every": None, "eval_prompts": None}
AggressiveOption = Annotated[
    bool,
    typer.Option(
        "--aggressive",
        help=f"Mini-batch 1: learn from each batch in {PROMPTS} updates, so that it collapses sooner.",
        rich_help_panel=TRAINING,
    ),
]


def _offered() -> dict:
    found = {
        name: setting_option(name, _DEFAULTS.get(name, getattr(RunSettings, name)), _TEXTS.get(name))
        for name in FREE
    }
    return {"aggressive": (AggressiveOption, False)} | found


def register(app: typer.Typer) -> None:
    app.command("mcs")(run_command(mcs, make=mcs_settings, offered=_offered()))


def mcs(request: Request, output: OutputOption = None):
    """Measure the Model Collapse Step (He et al. 2026): majority votes, 64 prompts × 8 rollouts a step, no KL."""
    from llm_bridge.cli.runs import interruptible, run_measurement
    from llm_bridge.report.mcs import mcs_command, mcs_document, print_mcs
    from llm_bridge.training.mcs import check_labelled, model_collapse_step

    check_labelled(request.task)
    folder: Path = request.run_folder(output)
    with request.outputs.reserved(), interruptible(folder):
        request.check(folder, stop_on_collapse=True)
        measured = run_measurement(request, folder, stop_on_collapse=True)
        found = model_collapse_step(measured)
        request.deliver(
            mcs_document(found),
            lambda console: print_mcs(console, found),
            command=mcs_command(found, *request.source, given=given_options())
            + request.form_words
            + other_words({"aggressive", *FREE, *PROMPT_OPTIONS}),
            measurement=measured,
            mcs=found,
        )
        if measured.interrupted:
            raise KeyboardInterrupt
