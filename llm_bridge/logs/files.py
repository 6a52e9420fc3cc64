"""Text files read line by line, whatever was given for one: a pipe, a folder, another encoding, a line without
an end.
"""

import codecs
import stat
from collections.abc import Iterator
from pathlib import Path

from sharpening.errors import InputError

LONGEST_LINE = 16 << 20
"""Characters of a line of JSON or CSV; a longer one is no row of a log."""
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_PACKED = (b"\x1f\x8b", b"PK\x03\x04", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zX")
_HELP = "Give a log that `sharpening monitor --help` lists"


def check_file(path: Path) -> None:
    """Raise InputError unless the path is a regular file: reading a pipe or a device could wait for ever."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise unreadable(path, error) from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, a socket or a device"
        raise InputError("log", str(path), f"it is {kind}, and a file is needed", "Write the log to a file")


def text_lines(path: Path, longest: int = LONGEST_LINE) -> Iterator[tuple[int, str]]:
    """(line number from 1, line with its end) of a text file: UTF-8, or UTF-16 or UTF-32 with their mark.

    Raises InputError for a file that is not text, a NUL byte and a line of more than `longest`
    characters. A last line that ends within a character, or is NUL bytes as a crash leaves them, is given as
    one NUL: an incomplete line.
    """
    check_file(path)
    number = 0
    try:
        for number, line in enumerate(_decoded(path, longest), start=1):
            if len(line) > longest:
                raise _refused(path, f"line {number} has more than {longest:,} characters")
            if "\0" in line and (line.endswith("\n") or line.strip("\0")):
                raise _refused(path, f"line {number} holds NUL bytes, so it is no text file")
            yield number, line
    except UnicodeError as error:
        reason = getattr(error, "reason", str(error))
        rule = f"it is not UTF-8 after line {number} ({reason})"
        raise InputError("log", str(path), rule, "Convert it to UTF-8 first") from error
    except OSError as error:
        raise unreadable(path, error) from error


def _decoded(path: Path, longest: int) -> Iterator[str]:
    encoding = _encoding(path)
    if not encoding.startswith("utf-8"):
        with open(path, encoding=encoding, newline="\n") as file:
            while line := file.readline(longest + 1):
                yield line
        return
    with open(path, "rb") as file:
        while data := file.readline(longest + 1):
            try:
                yield data.decode(encoding)
            except UnicodeDecodeError as error:
                if error.reason != "unexpected end of data" or data.endswith(b"\n") or file.read(1):
                    raise
                yield "\0"
            encoding = "utf-8"


def unreadable(path: Path, error: OSError) -> InputError:
    """The InputError for a file that the system refuses to read."""
    return InputError(
        "log", str(path), f"it cannot be read ({error.strerror or error})", "Check its path and permissions"
    )


def _encoding(path: Path) -> str:
    with open(path, "rb") as file:
        head = file.read(4)
    if head.startswith(_PACKED):
        raise _refused(path, "it is compressed", "Unpack it first")
    return next((encoding for mark, encoding in _MARKS if head.startswith(mark)), "utf-8")


def _refused(path: Path, rule: str, fix: str = _HELP) -> InputError:
    return InputError("log", str(path), rule, fix)
