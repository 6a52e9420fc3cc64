"""Checkpoints of a run: marked before they are written, sealed with the sum of every file after, and only
sealed ones whose sums hold are resumed.

What else lies in the folder, `checkpoint-best` or a checkpoint of somebody else's, is never removed.
"""

import hashlib
import json
import logging
import re
import shutil
from pathlib import Path

from llm_bridge.models.digest import file_digest
from llm_bridge.training.run_folder import read_json
from sharpening.errors import InputError
from sharpening.trajectory import write_json

log = logging.getLogger(__name__)
MARK = "sharpening.json"
KEPT = 2
"""Checkpoints that stay while a run goes on: the last one, and one to fall back to."""


def numbered(output_dir: Path) -> dict[int, Path]:
    """The folders `checkpoint-<step>` by step, whoever wrote them."""
    found = {}
    for path in output_dir.glob("checkpoint-*"):
        if (match := re.fullmatch(r"checkpoint-(\d{1,18})", path.name)) and path.is_dir():
            found[int(match[1])] = path
    return dict(sorted(found.items()))


class Checkpoints:
    """The checkpoints of one run in its folder.

    run: the name under which the run marks what it writes. told: sentences about what was found to be
    damaged or in the way.
    """

    def __init__(self, output_dir: Path, run: str):
        self.output_dir, self.run = Path(output_dir), run
        self.told: list[str] = []

    def begin(self, step: int) -> Path:
        """An empty folder for the checkpoint of `step`, marked as this run's; one of another's is moved
        aside.
        """
        folder = self.output_dir / f"checkpoint-{step}"
        if self._is_ours(folder) or _just_begun(folder):
            shutil.rmtree(folder)
        elif folder.exists():
            aside = next(
                path
                for number in range(1, 10**6)
                if not (path := folder.with_name(f"kept-{number}-{folder.name}")).exists()
            )
            folder.rename(aside)
            self._tell(f"{folder.name} was not written by this run, and is now {aside.name}.")
        folder.mkdir(exist_ok=True)
        _write_mark(folder, {"run": self.run})
        return folder

    def seal(self, step: int) -> None:
        """Say that the checkpoint of `step` is whole, then remove this run's older ones but the one
        before.
        """
        folder = self.output_dir / f"checkpoint-{step}"
        sums = {name: file_digest(folder / name) for name in _files(folder)}
        _write_mark(folder, {"run": self.run, "step": step, "files": sums})
        sealed = [path for path in numbered(self.output_dir).values() if "files" in (self._mark(path) or {})]
        for old in sealed[:-KEPT]:
            shutil.rmtree(old)

    def last_whole(self) -> tuple[int, Path] | None:
        """(step, folder) of the newest checkpoint that is as it was written; None where none was written.

        Raises: InputError if checkpoints are there and none of them is whole.
        """
        damaged: dict[str, str] = {}
        for step, folder in reversed(numbered(self.output_dir).items()):
            reason = self._damage(step, folder)
            if reason is None:
                if damaged:
                    self._tell(f"{_list(damaged)}; the run goes on from {folder.name}.")
                return step, folder
            if reason:
                damaged[folder.name] = reason
        if damaged:
            raise InputError(
                "output",
                str(self.output_dir),
                f"it holds no checkpoint that is whole ({_list(damaged)}), so its run cannot go on",
                "Remove the folder to start anew, or choose another with --output",
            )
        return None

    def discard(self, step: int) -> None:
        """Remove the checkpoint of `step` if this run began it and could not finish it."""
        folder = self.output_dir / f"checkpoint-{step}"
        if self._is_ours(folder) and "files" not in (self._mark(folder) or {}):
            shutil.rmtree(folder, ignore_errors=True)

    def remove_all(self) -> None:
        """Remove the checkpoints that this run wrote."""
        for folder in numbered(self.output_dir).values():
            if self._is_ours(folder):
                shutil.rmtree(folder)

    def _tell(self, sentence: str) -> None:
        self.told.append(sentence)
        log.warning("%s: %s", self.output_dir, sentence)

    def _mark(self, folder: Path) -> dict | None:
        """The mark, if it is whole."""
        mark = read_json(folder / MARK)
        if not isinstance(mark, dict) or mark.pop("sum", None) != _sum(mark):
            return None
        return mark

    def _is_ours(self, folder: Path) -> bool:
        return not folder.is_symlink() and (self._mark(folder) or {}).get("run") == self.run

    def _damage(self, step: int, folder: Path) -> str | None:
        """Why the checkpoint cannot be resumed; None if it can, "" if its writing was broken off."""
        mark = self._mark(folder)
        if mark is None:
            begun = not (folder / MARK).exists() and read_json(folder / "trainer_state.json") is None
            return "" if begun else f"its {MARK} is missing or broken"
        if mark.get("run") != self.run:
            return "it belongs to another run"
        if "files" not in mark:
            return ""
        if mark["step"] != step:
            return f"it is the checkpoint of step {mark['step']}"
        for name, wanted in mark["files"].items():
            try:
                if file_digest(folder / name) != wanted:
                    return f"{name} is not as it was written"
            except OSError:
                return f"{name} is missing or cannot be read"
        return None


def _files(folder: Path) -> list[str]:
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != MARK
    )


def _just_begun(folder: Path) -> bool:
    """Whether nothing is in the folder, or only a mark that a killed process had not yet put in its place."""
    if not folder.is_dir() or folder.is_symlink():
        return False
    return all(
        path.match(f".{MARK}.*.partial") and path.is_file() and not path.is_symlink()
        for path in folder.iterdir()
    )


def _write_mark(folder: Path, mark: dict) -> None:
    write_json(folder / MARK, mark | {"sum": _sum(mark)})


def _sum(mark: dict) -> str:
    return hashlib.sha256(json.dumps(mark, sort_keys=True).encode()).hexdigest()


def _list(damaged: dict[str, str]) -> str:
    return "; ".join(f"{name} is damaged: {reason}" for name, reason in damaged.items())
