"""What the command line itself gave, and the options of the line that finds a result again."""

import importlib
import shlex

import typer

from llm_bridge.report.command import number_word

COVERED = {"model", "task", "answer_pattern", "config_file", "set_fields"}
"""Shown by a line of settings itself: files of fields and `--set` as the fields that they set."""
TARGETS = {"json_target", "report"}
"""Where a result is written, which is no part of it."""


def _context():
    # Typer may bring a click of its own: the one whose context it makes knows where a value came from.
    home = typer.Context.__mro__[1].__module__.rpartition(".")[0]
    return importlib.import_module(f"{home}.globals").get_current_context(silent=True)


def given_options() -> set[str]:
    """The options that the command line itself gives."""
    context = _context()
    if context is None:
        return set()
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if getattr(source, "name", "") == "COMMANDLINE"}


def other_words(shown) -> str:
    """Every option that was given and is none of `shown`, as it was given, with a space in front; "" for none."""
    context, given = _context(), given_options() - {*shown} - COVERED - TARGETS
    words: list[str] = []
    for option in context.command.params if context is not None else ():
        if option.name in given:
            words += _words(option, context.params[option.name])
    return f" {shlex.join(words)}" if words else ""


def _words(option, value) -> list[str]:
    flag = max(option.opts, key=len)
    if isinstance(value, bool):
        return [flag if value else max(option.secondary_opts, key=len)]
    values = value if isinstance(value, list | tuple) else [value]
    return [word for one in values for word in (flag, number_word(one))]
