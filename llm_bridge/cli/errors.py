"""Exit status: 0 done, 1 what a command looked for was found, 2 bad usage or input, 3 interrupted and
resumable, 70 a fault of this program, 130 interrupted, 141 the reader of the output has gone.

Every failure is told in one paragraph on standard error, without a traceback.
"""

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from llm_bridge.console.launch import process, wants_one_process
from llm_bridge.console.printable import printable
from sharpening.errors import InputError

BAD_INPUT, INTERRUPTED, FAULT, STOPPED, PIPE_CLOSED = 2, 3, 70, 130, 141
TRACEBACK = "SHARPENING_TRACEBACK"
"""Environment variable; where it is set, a fault also shows where it arose."""

_EXTRAS = {
    "torch",
    "transformers",
    "trl",
    "accelerate",
    "datasets",
    "tokenizers",
    "safetensors",
    "math_verify",
    "gguf",
    "huggingface_hub",
    "pyarrow",
    "openai",
    "pydantic",
    "sklearn",
}
_EXTRA_OF = {"gguf": "gguf", "openai": "served", "sklearn": "calibrate"}
_DISK_ERRORS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EIO,
}


class Group(TyperGroup):
    """A command group that turns expected failures into one paragraph and an exit status; without arguments
    it shows its help.
    """

    def parse_args(self, ctx, args):
        return super().parse_args(ctx, args or ["--help"])

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> NoReturn:
        words = list(sys.argv[1:] if args is None else args)
        if process()[0]:
            sys.stdout = sys.stderr = open(os.devnull, "w")  # the first process tells  # noqa: SIM115
        if alone := wants_one_process(words):
            sys.exit(complain(_one_process(alone)))
        try:
            status = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except (typer.Abort, KeyboardInterrupt):
            status = STOPPED
        except SystemExit as stop:
            # click and rich turn a closed pipe into status 1, which says "found" here.
            if not isinstance(stop.__context__, BrokenPipeError):
                raise
            status = _tell(stop.__context__)
        except Exception as error:
            status = _tell_usage(error) if hasattr(error, "format_message") else _tell(error)
        sys.exit(status if isinstance(status, int) else 0)


def _one_process(command: str) -> str:
    return (
        f"{process()[1]} processes were started, and `sharpening {command}` runs in one. Start it without the launcher;"
        " `sharpening measure` can be shared."
    )


def _tell(error: Exception) -> int:
    if isinstance(error, InputError):
        return complain(
            str(error), everywhere="torch" in sys.modules and not vars(error).get("told_by_first", False)
        )
    if isinstance(error, ModuleNotFoundError) and error.name in _EXTRAS:
        extra = _EXTRA_OF.get(error.name, "llm")
        return complain(
            f"This needs the package {error.name}, which is not installed. Install it with: pip install"
            f" 'sharpening[{extra}]'"
        )
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    if isinstance(error, ConnectionError) and error.errno is None:
        return complain(str(error))
    if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
        return complain(
            f"`{error.filename or 'output'}` cannot be written or read: {error.strerror}. Choose another"
            " place."
        )
    return _tell_fault(error)


def _tell_fault(error: Exception) -> int:
    """A fault of the program itself: never the status of a finding, so that scripts can tell them apart."""
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    place = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" at {os.path.basename(place[0].filename)}:{place[0].lineno}" if place else ""
    complain(
        f"This is a fault of sharpening, not a result: {type(error).__name__}{where}: {str(error)[:500]}. Set"
        f" {TRACEBACK}=1 to see where it arose, and report it with the input that caused it.",
        everywhere=True,
    )
    return FAULT


def _tell_usage(error) -> int:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "sharpening"
    return complain(f"{error.format_message().rstrip('.')}. See `{path} --help`.")


def complain(paragraph: str, everywhere: bool = False) -> int:
    """Print one paragraph on standard error; the exit status for bad input. Of several processes only the first
    does, unless `everywhere`.
    """
    rank = process()[0]
    name, stream = ("Error", sys.stderr) if not rank else (f"Error in process {rank}", sys.__stderr__)
    if everywhere or not rank:
        print(f"{name}: " + printable(" ".join(paragraph.split())), file=stream)
    return BAD_INPUT
