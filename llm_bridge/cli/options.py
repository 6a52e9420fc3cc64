"""The options that forecast, measure and compare share, declared once: names and defaults come from
`RunSettings`.
"""

import hashlib
import inspect
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llm_bridge.cli.outputs import Outputs, check_folder
from llm_bridge.cli.prompting import OPTIONS as PROMPT_OPTIONS
from llm_bridge.cli.prompting import command_words, prompt_form, prompt_told, seen_by
from llm_bridge.cli.shown import given_options, other_words
from llm_bridge.cli.trl_run import ConfigOption, SetOption, given_fields, several_rewards, with_trl_fields
from llm_bridge.console.launch import process
from llm_bridge.training.settings import RunSettings
from sharpening.errors import InputError

if TYPE_CHECKING:
    from llm_bridge.tasks import Task

TRAINING, EVALUATION, OUTPUT = "Training", "Evaluation", "Output"

JsonOption = Annotated[
    str | None,
    typer.Option(
        "--json",
        metavar="FILE",
        help="Write the result as JSON (- for standard output).",
        rich_help_panel=OUTPUT,
    ),
]
ReportOption = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="DIR",
        help="Write a self-contained HTML page, PNG figures and the JSON.",
        rich_help_panel=OUTPUT,
    ),
]
VoicesOption = Annotated[
    bool,
    typer.Option(
        "--voices",
        help="Also ask the voices of theory, for comparison: they change no verdict. A report always does.",
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="DIR",
        help="Folder of the run: checkpoints and curve. Default: runs/<model>-<task>-<hash of the settings>.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]
_MODEL_HELP = (
    "Hugging Face folder or hub id, GGUF file, or built-in name (see `sharpening zoo list`). Default: a"
    " shipped tiny transformer."
)
_TASK_HELP = (
    "Built-in task (see `sharpening tasks`) or a JSONL file with prompt and, on every line or on none,"
    " answer. Default: that of the built-in model."
)
_PATTERN_HELP = (
    "How a JSONL task reads an answer: last-number, boxed, text, choice, answer-tag or regex:PATTERN. Default:"
    " chosen by the true answers, text without any."
)

_SETTINGS = {
    "reward": (
        list[str],
        TRAINING,
        "Reward (see `sharpening rewards`); may be repeated, then also with the path of a function of yours"
        " (my_rewards.short); weights: --set reward_weights=[1.0,0.5].",
    ),
    "prompts_per_step": (int, TRAINING, "Prompts in one optimizer step."),
    "rollouts": (int, TRAINING, "Completions sampled per prompt: the voters."),
    "temperature": (float, TRAINING, "Sampling temperature."),
    "learning_rate": (
        float | None,
        TRAINING,
        "Learning rate; constant without --set lr_scheduler_type. Default:"
        f" {RunSettings.learning_rate:g} for built-in models, none for others.",
    ),
    "optimizer": (str, TRAINING, "adam or sgd."),
    "beta": (float, TRAINING, "Weight of the KL penalty to the initial model."),
    "dataset_size": (
        int | None,
        TRAINING,
        "Train on this many prompts, again and again. Default: fresh prompts at every step.",
    ),
    "max_steps": (int, TRAINING, "Optimizer steps: the horizon."),
    "seed": (int, TRAINING, "Seed of everything random in the run."),
    "criterion": (str, EVALUATION, "The collapse criterion that the verdict speaks about."),
    "max_new_tokens": (int | None, EVALUATION, "Longest completion. Default: the task's."),
    "eval_every": (int, EVALUATION, "Evaluate every so many steps."),
    "eval_prompts": (
        int | None,
        EVALUATION,
        (
            f"Held-out prompts, the same at every evaluation. Default: {RunSettings.eval_prompts}, fewer in"
            " small tasks."
        ),
    ),
    "mask_truncated_completions": (
        bool,
        TRAINING,
        "As in TRL: completions cut off at --max-new-tokens are left out of the loss; here they do not vote"
        " and count as no answer, too.",
    ),
    "train_rollouts": (
        int | None,
        TRAINING,
        "Of the --rollouts that vote, learn from this many alone (TTRL: 32 of 64). Default: all.",
    ),
    "eval_early": (
        bool,
        EVALUATION,
        "Evaluate after steps 1, 2, 3, 5, 8, 12, 16, 24, … first, until those are --eval-every apart.",
    ),
}


@dataclass(frozen=True)
class Request:
    """What a run command was asked for, already checked as far as it can be without loading a model."""

    model: str
    task: "Task"
    source: tuple[str, str | None]
    settings: RunSettings
    outputs: Outputs

    @property
    def form_words(self) -> str:
        """The options that put the prompts so again, with a space in front; "" for none."""
        return command_words(getattr(self.task, "form", {}))

    def check(self, folder: Path | None = None, stop_on_collapse: bool = False) -> None:
        """Raise InputError now if the name cannot be a model's, or if `folder` cannot become or go on as this
        run's; then say what was left out of the task.
        """
        from llm_bridge.models.names import check_model_name

        check_model_name(self.model)
        if folder is not None:
            from llm_bridge.training.run_folder import check_folder_is_ours, check_owner, run_identity

            if check_folder_is_ours(folder) is not None:
                identity = run_identity(self.model, self.task, self.settings, stop_on_collapse)
                check_owner(folder, identity)
            check_folder("output", folder)
        for note in self.task.notes:
            print(f"Note: {note}", file=sys.stderr)

    def run_folder(self, chosen: Path | None) -> Path:
        """The folder that was chosen, or `runs/<model>-<task>-<hash>`: the same request always finds its own
        folder again.
        """
        form = getattr(self.task, "form", {})
        return chosen or folder_of(
            [
                *(self.model, *self.source, self.settings.as_dict()),
                *([form] if form else []),
                *([process()[1]] if process()[1] > 1 else []),
            ],
            slug(self.model),
            slug(self.source[0]),
        )

    def deliver(self, document: dict, show: Callable, *, command: str | None = None, **results) -> None:
        """Show the tables, then write the JSON and the report that were asked for, the command that finds the same
        again in both. command: its line, where it is not that of the settings.
        """
        from llm_bridge.tasks.form import RAW_TEXT, form_told

        document["prompts"] = form_told(self.task)
        document["command"] = command = command or self.command_line(document["kind"])
        for note in document.get("forecast", document).get("notes", []):
            # Of a built-in task it is known once the model is loaded.
            if note.startswith(RAW_TEXT) and note not in self.task.notes:
                print(f"Note: {note}", file=sys.stderr)
        show(self.outputs.console())
        if self.outputs.report is not None:
            from llm_bridge.report.files import report_files

            self.outputs.write_report(report_files(document, command=command, **results))
        self.outputs.write_json(document)

    def command_line(self, kind: str) -> str:
        from llm_bridge.report.command import command_line

        command = {"measurement": "measure", "comparison": "compare"}.get(kind, kind)
        line = command_line(
            command, self.model, self.source[0], self.settings, self.source[1], given=given_options()
        )
        return line + self.form_words + other_words({*_SETTINGS, *PROMPT_OPTIONS})


def run_command(
    function: Callable, *, make: Callable[..., RunSettings] = RunSettings, offered: dict | None = None
) -> Callable:
    """Turn `function(request, *, own options)` into a command with MODEL, --task, the run settings, --json
    and --report.

    offered: name to (annotation, default) of options that make the settings, where these are not all of RunSettings;
    `make` turns their values into settings. A command of its own kind of run takes neither --config nor --set.
    """
    own = [
        parameter.replace(kind=parameter.KEYWORD_ONLY)
        for parameter in inspect.signature(function, eval_str=True).parameters.values()
    ][1:]

    def command(**values):
        own_values = {parameter.name: values.pop(parameter.name) for parameter in own}
        return function(_request(make, **values), **own_values)

    command.__name__, command.__doc__ = function.__name__, function.__doc__
    return with_options(
        command,
        [
            *_shared_parameters(offered),
            *own,
            _option("json_target", JsonOption),
            _option("report", ReportOption),
        ],
    )


def with_options(command: Callable, parameters: Iterable[inspect.Parameter]) -> Callable:
    """The same command; what typer reads of it are these parameters."""
    vars(command)["__signature__"] = inspect.Signature(list(parameters))
    command.__annotations__ = {}
    return command


def _request(
    make,
    *,
    model,
    task,
    answer_pattern,
    json_target,
    report,
    eval_prompts,
    config_file=None,
    set_fields=None,
    **values,
) -> Request:
    from llm_bridge.models.built_in import DEFAULT_MODEL
    from llm_bridge.tasks import get_task
    from llm_bridge.training.reward_function import check_reward

    form = prompt_form(**{option: values.pop(option) for option in PROMPT_OPTIONS})
    given = given_fields(config_file, set_fields)
    other: dict = {}
    if given:
        values, other = with_trl_fields(values, given, given_options())
        model, task = model or other["model"], task or other["task"]
    model = model or DEFAULT_MODEL
    check_local_model(model)
    name = task_name(model, task)
    values = with_learning_rate(values, model)
    values = several_rewards(values) if "reward" in values else values
    chosen = make(**values, **({} if eval_prompts is None else {"eval_prompts": eval_prompts}))
    outputs = Outputs(json_target, report)
    outputs.check()
    found = get_task(name, answer_pattern, form)
    check_reward(chosen.parsed_reward, found)
    if eval_prompts is None:
        chosen = replace(chosen, eval_prompts=found.default_eval_prompts)
    train, _ = found.split(chosen.eval_prompts, chosen.dataset_size)
    if other.get("epochs"):
        chosen = replace(
            chosen, max_steps=max(1, round(other["epochs"] * len(train) / chosen.prompts_per_step))
        )
    found = seen_by(model, found)
    tell_readings(found)
    return Request(model, found, (name, answer_pattern), chosen, outputs)


def with_learning_rate(values: dict, model: str) -> dict:
    """The settings with a learning rate: the built-in models' own, where one of them is asked.

    Raises: InputError for another model without one: what is right for one breaks another at once.
    """
    from llm_bridge.models.built_in import names

    if values["learning_rate"] is not None:
        return values
    if model not in names():
        raise InputError(
            "learning_rate",
            None,
            f"{model} is not a built-in model, and no learning rate is right for every model",
            "Give the one you plan, e.g. --learning-rate 1e-6",
        )
    return values | {"learning_rate": RunSettings.learning_rate}


def tell_readings(task) -> None:
    """Say on standard error how a file's answers are read, with examples, and how prompts are put where they are not
    put as they are; built-in tasks need no such check.
    """
    from llm_bridge.tasks.readings import reading_told

    told = prompt_told(task)
    if told or getattr(task, "answer_pattern", None):
        typer.echo("\n".join([*reading_told(task), *told]), err=True)


def task_name(model: str, task: str | None) -> str:
    """The task that was chosen, or the built-in model's own; InputError where there is neither."""
    from llm_bridge.models.built_in import default_task

    name = task or default_task(model)
    if name is None:
        raise InputError(
            "task",
            task,
            f"{model} is not a built-in model, so it has no task of its own",
            "Give --task NAME or --task FILE.jsonl",
        )
    return name


def check_local_model(model: str) -> None:
    """Raise InputError for a name that can only be a path and where nothing is, without the seconds that
    loading torch takes.
    """
    from llm_bridge.models.built_in import names

    local = model.startswith(("/", ".", "~")) or model.endswith(".gguf") or model.count("/") != 1
    if model not in names() and local and not Path(model).exists():
        raise InputError(
            "model",
            model,
            f"there is no such file or folder, and built-in models are {', '.join(names())}",
            "Give a Hugging Face folder or hub id, a .gguf file, or a built-in name",
        )


def setting_option(name: str, default, text: str | None = None) -> tuple:
    """(annotation, default) of one option of _SETTINGS, for `offered`; `text`: its help, where it is another here."""
    kind, panel, usual = _SETTINGS[name]
    kind = kind | None if default is None else kind
    flags = f"--{name.replace('_', '-')}"
    if kind is bool:
        flags += f"/--no-{name.replace('_', '-')}"
    return Annotated[kind, typer.Option(flags, help=text or usual, rich_help_panel=panel)], default


def _shared_parameters(offered: dict | None = None) -> list[inspect.Parameter]:
    defaults = {field.name: field.default for field in fields(RunSettings) if field.name != "config"}
    defaults |= {"reward": [RunSettings.reward], "learning_rate": None}
    if set(defaults) != set(_SETTINGS):
        raise RuntimeError(
            f"run settings without an option, or the reverse: {set(defaults) ^ set(_SETTINGS)}"
        )
    parameters = [
        _option(
            "model",
            Annotated[str | None, typer.Argument(metavar="MODEL", help=_MODEL_HELP, show_default=False)],
        ),
        _option(
            "task",
            Annotated[
                str | None,
                typer.Option("--task", metavar="NAME|FILE.jsonl", help=_TASK_HELP, show_default=False),
            ],
        ),
        _option(
            "answer_pattern",
            Annotated[
                str | None,
                typer.Option("--answer-pattern", metavar="PATTERN", help=_PATTERN_HELP, show_default=False),
            ],
        ),
    ]
    parameters += [_option(name, annotation) for name, annotation in PROMPT_OPTIONS.items()]
    if offered is not None:
        return parameters + [
            _option(name, annotation, value) for name, (annotation, value) in offered.items()
        ]
    for name in _SETTINGS:
        parameters.append(
            _option(name, *setting_option(name, None if name == "eval_prompts" else defaults[name]))
        )
    parameters.append(_option("config_file", ConfigOption))
    parameters.append(_option("set_fields", SetOption))
    return parameters


def _option(name: str, annotation, default=None) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def folder_of(identity: list, *parts: str) -> Path:
    """`runs/<parts>-<hash of identity>`."""
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]
    return Path("runs") / "-".join((*parts, digest))


def slug(text: str) -> str:
    """The last part of a name or path, fit for a folder's name."""
    name = Path(text.rstrip("/")).name
    return (
        "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in name)[:60] or "unnamed"
    )
