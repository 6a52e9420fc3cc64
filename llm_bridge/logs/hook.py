"""A command of the user's that is run for each finding."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from llm_bridge.console.printable import printable
from llm_bridge.logs.finding import Finding
from sharpening.errors import InputError

SECONDS = 60
FIELDS = ("name", "level", "step", "message", "log")


class Hook:
    """Runs a command for findings: no shell, so nothing that stands in a log is ever interpreted.

    `command` is cut into words as a shell would; {name}, {level}, {step}, {message} and {log} in a word are
    replaced, and remain part of that word. The finding comes as JSON on standard input. A command that fails
    or takes longer than a minute is told on standard error, and the watching goes on.
    """

    def __init__(self, command: str, log: Path):
        try:
            self.words = shlex.split(command)
        except ValueError as error:
            raise InputError(
                "on_finding", command, f"it cannot be cut into words ({error})", "Close its quotes"
            ) from error
        if not self.words:
            raise InputError("on_finding", command, "it names no command", "Give a command, or leave it out")
        if shutil.which(self.words[0]) is None:
            raise InputError(
                "on_finding",
                command,
                f"there is no command {self.words[0]!r}",
                "Give its path, and make it executable",
            )
        self.log = log

    def __call__(self, finding: Finding) -> None:
        """Run the command for one finding."""
        said = finding.as_dict() | {"log": str(self.log)}
        words = [self.words[0], *(_filled(word, said) for word in self.words[1:])]
        try:
            done = subprocess.run(
                words,
                input=json.dumps(said) + "\n",
                text=True,
                timeout=SECONDS,
                check=False,
                stdout=sys.stderr if _has_descriptor(sys.stderr) else subprocess.DEVNULL,
                env=os.environ,
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            print(f"--on-finding: {printable(str(error), 300)}", file=sys.stderr)
            return
        if done.returncode:
            print(f"--on-finding: {printable(words[0])} ended with status {done.returncode}", file=sys.stderr)


def _filled(word: str, said: dict) -> str:
    for field in FIELDS:
        word = word.replace("{" + field + "}", "\0" + field + "\0")
    parts = word.split("\0")
    return "".join(
        ("" if said[part] is None else str(said[part])) if place % 2 else part
        for place, part in enumerate(parts)
    )


def _has_descriptor(stream) -> bool:
    try:
        stream.fileno()
    except (AttributeError, OSError, ValueError):
        return False
    return True
