"""What a command wrote in a folder that the user named, so that it never replaces anybody else's file."""

import json
from pathlib import Path

from sharpening.errors import InputError
from sharpening.trajectory import write_json

RECORD = ".sharpening.json"
REPORT = ("report.html", "result.json", "curves.png", "collapse_steps.png", "rise_and_fall.png", "votes.png")
"""Every file that a report can consist of."""


def check_report_folder(folder: Path) -> None:
    """Raise InputError if a file of the report's would replace one that no report of ours wrote.

    A report is known by what its page and its JSON say; its figures belong to them.
    """
    there = [name for name in REPORT if (folder / name).exists() or (folder / name).is_symlink()]
    ours = {
        name
        for name, known in (("result.json", _is_result), ("report.html", _is_page))
        if known(folder / name)
    }
    strange = [name for name in there if name not in ours and not (ours and name.endswith(".png"))]
    if strange:
        raise InputError(
            "report",
            str(folder),
            f"it holds {', '.join(strange)}, which no report of this command wrote",
            "Choose another folder with --report, or move what is there",
        )


def own_folder(folder: Path, kind: str, name: str) -> None:
    """Make a folder that is missing or empty the place of `name` (a study, a model), or know it again.

    Raises: InputError for a folder with other files, or with another's results.
    """
    record = _read(folder / RECORD).get(kind)
    if record is None and kind == "study":
        record = _read(folder / "result.json").get("study")
    if record == name:
        return
    strange = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if strange or record is not None:
        held = f"it holds {record}" if record is not None else f"it is not empty ({', '.join(strange[:3])})"
        raise InputError(
            "output",
            str(folder),
            f"{held}, and {name} writes in a folder of its own",
            "Choose a new or empty folder with --output",
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / RECORD, {kind: name})


def _is_result(path: Path) -> bool:
    return {"schema", "kind"} <= set(_read(path))


def _is_page(path: Path) -> bool:
    try:
        return "Sharpening · " in path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False


def _read(path: Path) -> dict:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
