"""The options that say how prompts are put to a model, declared once, and what a run says of them at its start."""

import json
import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from sharpening.errors import InputError

if TYPE_CHECKING:
    from llm_bridge.tasks.form import PromptForm

PROMPTS = "Prompts"
_LONGEST = 600

OPTIONS = {
    "chat": Annotated[
        bool | None,
        typer.Option(
            "--chat/--no-chat",
            help="Put plain prompts as the message of a user, through the tokenizer's chat template; or put chats as"
            " plain text. Default: lists of messages are chats, texts are plain text.",
            rich_help_panel=PROMPTS,
            show_default=False,
        ),
    ],
    "image_folder": Annotated[
        str | None,
        typer.Option(
            "--image-folder",
            metavar="DIR",
            help="Where the paths of images in a JSONL file begin; nothing outside of it is opened. Default: the"
            " file's own folder.",
            rich_help_panel=PROMPTS,
            show_default=False,
        ),
    ],
    "system": Annotated[
        str | None,
        typer.Option(
            "--system", metavar="TEXT", help="System message of every chat.", rich_help_panel=PROMPTS
        ),
    ],
    "few_shot": Annotated[
        str | None,
        typer.Option(
            "--few-shot",
            metavar="FILE|TEXT",
            help="Examples in front of every question: a text or a text file, as it is; or a JSONL file of prompts and"
            " answers, in a chat as messages of user and assistant.",
            rich_help_panel=PROMPTS,
        ),
    ],
    "stop": Annotated[
        list[str] | None,
        typer.Option(
            "--stop",
            metavar="STRING",
            help="A completion ends with the token that completes this text, and its answer is read from what stands"
            " before. May be repeated.",
            rich_help_panel=PROMPTS,
        ),
    ],
    "chat_template_kwargs": Annotated[
        str | None,
        typer.Option(
            "--chat-template-kwargs",
            metavar="JSON",
            help="As in TRL: what the chat template is told beside the messages, such as"
            " '{\"enable_thinking\": false}'.",
            rich_help_panel=PROMPTS,
        ),
    ],
}
"""Name of the field of PromptForm -> its annotation."""


def prompt_form(
    *, chat=None, image_folder=None, system=None, few_shot=None, stop=None, chat_template_kwargs=None
) -> "PromptForm":
    """The form that the options ask for. Raises: InputError for contradictions, and for what is no JSON object."""
    from llm_bridge.tasks.form import PromptForm

    options: dict = {}
    if chat_template_kwargs is not None:
        try:
            told = json.loads(chat_template_kwargs)
        except ValueError:
            told = None
        if not isinstance(told, dict):
            rule = "it must be a JSON object"
            fix = """Write it as '{"enable_thinking": false}'"""
            raise InputError("chat_template_kwargs", chat_template_kwargs, rule, fix)
        options = told
    return PromptForm(chat, system, few_shot, tuple(stop or ()), options, image_folder)


def seen_by(model: str, task):
    """The task with its prompts as the model sees them; of the model its tokenizer alone is loaded, if anything of it
    can matter.

    Raises: InputError as `load_model` and `llm_bridge.tasks.form.for_tokenizer`.
    """
    from llm_bridge.models.built_in import names
    from llm_bridge.models.chat import messages_of
    from llm_bridge.tasks.form import for_tokenizer

    chats = messages_of(task.problems[0].prompt) is not None
    if not chats and (model in names() or not hasattr(task, "path")):
        return task
    from llm_bridge.console.quiet import quiet_libraries
    from llm_bridge.models.loading import load_reader

    with quiet_libraries():
        return for_tokenizer(task, load_reader(model))


def prompt_told(task) -> list[str]:
    """What is said at the start of a run on how prompts are put: the first one as the model sees it, and the stop
    strings; nothing for plain prompts that are put as they are.
    """
    from llm_bridge.tasks.form import form_told

    told = form_told(task)
    if len(told) == 2 and not told["chat"]:
        return []
    text = told["example"]
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}"
    lines = [f"  The model sees: {text!r}"]
    if told.get("stop"):
        stops = ", ".join(map(repr, told["stop"]))
        lines.append(
            f"  A completion ends with the token that completes {stops}; what stands before is read."
        )
    return lines


def command_words(told: dict) -> str:
    """The options of a command line that give this form again, with a space in front; "" for none."""
    words = []
    if "chat" in told:
        words.append("--chat" if told["chat"] else "--no-chat")
    for name in ("image_folder", "system", "few_shot"):
        words += [f"--{name.replace('_', '-')}", told[name]] if name in told else []
    for stop in told.get("stop", ()):
        words += ["--stop", stop]
    if "chat_template_kwargs" in told:
        words += ["--chat-template-kwargs", json.dumps(told["chat_template_kwargs"])]
    return f" {shlex.join(words)}" if words else ""
