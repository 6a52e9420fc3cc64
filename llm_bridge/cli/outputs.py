"""Where results go: checked before any work, written all at once after it; a failure leaves earlier results
as they were.
"""

import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path

from llm_bridge.cli.ownership import check_report_folder
from sharpening.errors import InputError

_STDOUT = ("-", "/dev/stdout")
_PROBE_BYTES = 1 << 20


class Outputs:
    """The targets of `--json` and `--report`, and the console for people.

    With `--json -` standard output belongs to the JSON: everything else, libraries included, goes to standard
    error.
    """

    def __init__(self, json_target: str | None = None, report: Path | None = None):
        self.on_stdout = json_target in _STDOUT
        self.json_path = Path(json_target) if json_target is not None and not self.on_stdout else None
        self.report = report
        self._text: str | None = None

    @property
    def wants_json(self) -> bool:
        return self.on_stdout or self.json_path is not None

    def check(self) -> None:
        """Raise InputError unless every target can be written now."""
        if self.json_path is not None:
            check_file("json", self.json_path)
        if self.report is not None:
            check_report_folder(self.report)
            check_folder("report", self.report)

    def console(self):
        """The rich console for tables: standard output, or standard error if that belongs to the JSON."""
        from rich.console import Console

        stream = sys.stderr if self.on_stdout else sys.stdout
        return Console(file=stream, width=None if stream.isatty() else 120, soft_wrap=False, highlight=False)

    @contextlib.contextmanager
    def reserved(self):
        """Inside, standard output goes to standard error where the JSON is to have it for itself; the JSON
        follows on leaving.
        """
        if not self.on_stdout:
            yield
            return
        sys.stdout.flush()
        try:
            descriptor = sys.stdout.fileno()
            saved = os.dup(descriptor)
        except (OSError, ValueError):
            saved = None
        try:
            if saved is not None:
                os.dup2(sys.stderr.fileno(), descriptor)
            with contextlib.redirect_stdout(sys.stderr):
                yield
        finally:
            if saved is not None:
                os.dup2(saved, descriptor)
                os.close(saved)
            if self._text is not None:
                sys.stdout.write(self._text)
                sys.stdout.flush()

    def write_json(self, document: dict | list) -> None:
        """Write the document where `--json` asked for it (standard output: on leaving `reserved`), if it
        did.
        """
        if not self.wants_json:
            return
        text = to_json(document)
        if self.on_stdout:
            self._text = text
        elif self.json_path is not None:
            write_files({self.json_path: text.encode()}, "json")

    def write_report(self, files: dict[str, bytes]) -> None:
        """Write the report's files (name -> content) into the `--report` folder, all or none."""
        if self.report is not None:
            self.report.mkdir(parents=True, exist_ok=True)
            write_files({self.report / name: content for name, content in files.items()}, "report")


def to_json(document: dict | list) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def check_file(argument: str, path: Path) -> None:
    """Raise InputError unless the file can be created or replaced."""
    if path.is_dir():
        raise InputError(argument, str(path), "it is a folder, and a file is needed", "Give a file name")
    if path.exists() and not os.access(path, os.W_OK):
        raise InputError(
            argument, str(path), "the file may not be written", "Change its permissions or give another name"
        )
    if path.exists() and not path.is_file():
        _probe_device(argument, path)
    else:
        check_folder(argument, path.resolve().parent, shown=path)


def check_folder(argument: str, folder: Path, *, shown: Path | None = None) -> None:
    """Raise InputError, which shows the path `shown`, unless files can be written in the folder, made if it
    is missing.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0" * _PROBE_BYTES)
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        raise _unwritable(argument, shown or folder, error) from error


def write_files(contents: dict[Path, bytes], argument: str) -> None:
    """Replace every file, or none if one cannot be written; special files such as pipes are written in
    place.
    """
    waiting: list[tuple[str, Path]] = []
    path = None
    try:
        for path, content in contents.items():
            if path.exists() and not path.is_file():
                path.write_bytes(content)
                continue
            target = path.resolve()
            handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
            waiting.append((temporary, target))
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(temporary, _mode(target))
        for temporary, path in waiting:
            os.replace(temporary, path)
    except OSError as error:
        raise _unwritable(argument, path, error) from error
    finally:
        for temporary, _ in waiting:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)


def _mode(target: Path) -> int:
    if target.exists():
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _probe_device(argument: str, path: Path) -> None:
    if not path.is_char_device():
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOCTTY)
        try:
            os.write(descriptor, b"")
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _unwritable(argument, path, error) from error


def _unwritable(argument: str, path: Path | None, error: OSError) -> InputError:
    in_the_way = isinstance(error, FileExistsError | NotADirectoryError)
    reason = "a file is in the way of its folder" if in_the_way else error.strerror
    return InputError(
        argument, str(path), f"it cannot be written ({reason})", "Free some space or choose another place"
    )
