"""Exit status: 0 done, 2 bad usage or input, 3 interrupted and resumable, 130 interrupted.

Bad input is told in one paragraph on standard error, without a traceback.
"""

import errno
import os
import sys

import typer
from typer.core import TyperGroup

from sharpening.errors import InputError

BAD_INPUT, INTERRUPTED, STOPPED = 2, 3, 130

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
    "lifelines",
    "pandas",
    "sklearn",
}
_EXTRA_OF = {
    "gguf": "gguf",
    "openai": "served",
    "lifelines": "calibrate",
    "pandas": "calibrate",
    "sklearn": "calibrate",
}
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

    def main(self, args=None, prog_name=None, standalone_mode=True, **extra):
        try:
            status = super().main(args=args, prog_name=prog_name, standalone_mode=False, **extra)
        except (InputError, OSError, ModuleNotFoundError, typer.Abort, KeyboardInterrupt) as error:
            status = _tell(error)
        except Exception as error:
            if not hasattr(error, "format_message"):
                raise
            status = _tell_usage(error)
        sys.exit(status if isinstance(status, int) else 0)


def _tell(error: BaseException) -> int:
    if isinstance(error, InputError):
        return complain(str(error))
    if isinstance(error, ModuleNotFoundError):
        if error.name not in _EXTRAS:
            raise error
        extra = _EXTRA_OF.get(error.name, "llm")
        return complain(
            f"This needs the package {error.name}, which is not installed. Install it with: pip install"
            f" 'sharpening[{extra}]'"
        )
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if isinstance(error, ConnectionError) and error.errno is None:
        return complain(str(error))
    if isinstance(error, OSError):
        if error.errno not in _DISK_ERRORS:
            raise error
        return complain(
            f"`{error.filename or 'output'}` cannot be written or read: {error.strerror}. Choose another"
            " place."
        )
    return STOPPED


def _tell_usage(error) -> int:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "sharpening"
    return complain(f"{error.format_message().rstrip('.')}. See `{path} --help`.")


def complain(paragraph: str) -> int:
    """Print one paragraph on standard error; the exit status for bad input."""
    print("Error: " + " ".join(paragraph.split()), file=sys.stderr)
    return BAD_INPUT
