"""`sharpening zoo list | build NAME | import FILE.gguf`: tiny transformers with known priors."""

from pathlib import Path
from typing import Annotated

import typer

from llm_bridge.cli.errors import Group
from llm_bridge.cli.options import JsonOption
from llm_bridge.cli.outputs import Outputs, check_folder
from llm_bridge.cli.ownership import own_folder
from llm_bridge.cli.records import show_records
from sharpening.errors import InputError

ORDER = 52


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        cls=Group,
        help="Tiny transformers with known priors: list, build, or import one from GGUF.",
        rich_markup_mode="rich",
    )
    group.command("list")(list_models)
    group.command("build")(build)
    group.command("import")(import_gguf)
    app.add_typer(group, name="zoo")


def list_models(json_target: JsonOption = None):
    """List the built-in models with their measured priors."""
    from llm_bridge import zoo

    columns = {
        "name": "Model",
        "task": "Task",
        "parameters": "Parameters",
        "accuracy": "Accuracy",
        "label_accuracy": "Label accuracy",
        "majority_ratio": "Majority ratio",
        "entropy": "Entropy (nats)",
        "about": "Prior",
    }
    show_records(json_target, zoo.list_models(), columns)


def build(
    name: Annotated[
        str,
        typer.Argument(
            help="A recipe: a built-in model (`sharpening zoo list`), or one that is not shipped."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="DIR",
            help="Where to write it. Default: into the package; models/NAME for a recipe that is not shipped.",
            show_default=False,
        ),
    ] = None,
    json_target: JsonOption = None,
):
    """Pre-train a built-in model from its recipe, on the CPU, and measure its prior."""
    from llm_bridge import zoo
    from llm_bridge.console.progress import terminal_progress
    from llm_bridge.report.document import plain

    if name not in (*zoo.names(), *zoo.others()):
        raise InputError(
            "name",
            name,
            f"built-in models are {', '.join(zoo.names())}; other recipes {', '.join(zoo.others())}",
            "Choose one of them",
        )
    if name not in zoo.names() and output is None:
        output = Path("models") / name
    outputs = Outputs(json_target)
    outputs.check()
    if output is not None:
        check_folder("output", output)
        own_folder(output, "model", name)
    with outputs.reserved():
        with terminal_progress() as progress:
            record = zoo.build(name, output, progress)
        outputs.console().print(
            f"{name}: {', '.join(f'{key} {value}' for key, value in plain(record).items())}", markup=False
        )
        outputs.write_json(plain({"name": name, **record}))


def import_gguf(
    file: Annotated[Path, typer.Argument(metavar="FILE.gguf", help="A GGUF file.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="DIR", help="Where to write it. Default: models/FILE.", show_default=False
        ),
    ] = None,
    json_target: JsonOption = None,
):
    """Write a trainable copy (Hugging Face format, safetensors) of a GGUF model, once."""
    from llm_bridge import zoo

    if not file.is_file():
        raise InputError("file", str(file), "there is no such GGUF file", "Give the path of a .gguf file")
    folder = output or Path("models") / file.stem
    check_folder("output", folder)
    outputs = Outputs(json_target)
    outputs.check()
    if not (folder / "config.json").exists():  # else import_gguf says that it already holds a model
        own_folder(folder, "model", file.name)
    with outputs.reserved():
        written = zoo.import_gguf(str(file), str(folder))
        print(f"Wrote {written}. Use it as MODEL: sharpening forecast {written} --task capitals")
        outputs.write_json({"name": file.stem, "folder": str(written)})
