"""The frame of a study of the paper: a grid of cells, each computed once and kept, then one small result with its
figure and its finding.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from llm_bridge.report.document import plain
from sharpening.errors import InputError
from sharpening.plots import Figure, figure_bytes
from sharpening.trajectory import write_json
from studies.paper.cells import KINDS
from studies.study import PACKAGES, made_with

RESULTS = Path(__file__).parents[1] / "results" / "paper"
FIGURES = Path(__file__).parents[2] / "docs" / "figures" / "paper"
CELLS, RESULT, FIGURE = "cells", "result.json", "figure.png"
TIMES = ("date", "times")
"""Keys of a result that may differ between two runs of the same study; nothing else does."""

VERDICTS = {
    "reproduced": "the claim holds here",
    "partly": "part of the claim holds here",
    "contradicted": "the opposite was seen here",
    "cannot be tested": "nothing at this size can tell",
}


@dataclass(frozen=True)
class Cell:
    """One piece of work: `kind` names the function of `studies.paper.cells` that does it, `settings` (plain data) is
    all that it reads, `label` groups it for figures. weight: seconds it takes, roughly, for the time left.
    """

    kind: str
    label: str
    settings: dict
    weight: float = 10.0

    @property
    def name(self) -> str:
        """Names its file: the label, and a digest of all that it depends on."""
        told = json.dumps([self.kind, self.label, self.settings], sort_keys=True)
        plain_label = "".join(letter if letter.isalnum() else "-" for letter in self.label)
        return f"{self.kind}-{plain_label}-{hashlib.sha256(told.encode()).hexdigest()[:10]}"


@dataclass(frozen=True)
class Finding:
    """What a result says of the claim: one of VERDICTS, why in one or two sentences, and the numbers they rest on."""

    verdict: str
    sentence: str
    numbers: dict = field(default_factory=dict)

    def __post_init__(self):
        if self.verdict not in VERDICTS:
            raise InputError("verdict", self.verdict, f"known verdicts are {', '.join(VERDICTS)}")


@dataclass(frozen=True)
class PaperStudy:
    """A claim of the literature, and what tests it here.

    grid: the cells, fewer and shorter with quick=True; seeds: those that every trained group has. metric: what the
    verdict reads. figure and find read the result alone. `run` skips cells that the folder holds, and a cell that
    trains goes on from its last checkpoint: a study that was killed ends in the same result but for TIMES.
    """

    name: str
    description: str
    claim: str
    source: str
    grid: Callable[[bool], list[Cell]]
    seeds: tuple[int, ...]
    metric: str
    figure: Callable[[dict], Figure]
    find: Callable[[dict], Finding]

    @property
    def command(self) -> str:
        return f"sharpening study run {self.name}"

    def run(self, folder: Path, progress=None, quick: bool = False, workers: int = 2) -> dict:
        """Compute what `folder` lacks, and write result.json and figure.png there."""
        from llm_bridge.console.progress import NullProgress

        folder = Path(folder)
        (folder / CELLS).mkdir(parents=True, exist_ok=True)
        cells, progress = self.grid(quick), progress or NullProgress()
        started = time.monotonic()
        waiting = [cell for cell in cells if not (folder / CELLS / f"{cell.name}.json").is_file()]
        if len(waiting) < len(cells):
            progress.say(f"{self.name}: {len(cells) - len(waiting)} of {len(cells)} parts are there already")
        bar = progress.start(self.name, round(sum(cell.weight for cell in waiting)) or None)
        for weight in computed(waiting, folder, workers):
            bar.advance(round(weight))
        bar.close()
        records = [json.loads((folder / CELLS / f"{cell.name}.json").read_text()) for cell in cells]
        result = self.result(records, quick, time.monotonic() - started)
        write_json(folder / RESULT, result, indent=None)
        (folder / FIGURE).write_bytes(figure_bytes(self.figure(result)))
        return result

    def result(self, records: list[dict], quick: bool = False, seconds: float = 0.0) -> dict:
        """The compact result of the cells' records."""
        command = self.command + (" --quick" if quick else "")
        trained = any(KINDS[record["kind"]].trains for record in records)
        made = made_with(self.name, command, PACKAGES if trained else ("jax", "numpy"))
        seconds = sum(record.pop("seconds", 0.0) for record in records) or seconds
        found = plain(
            {
                **made,
                "claim": self.claim,
                "source": self.source,
                "quick": quick,
                "seeds": list(self.seeds),
                "metric": self.metric,
                "cells": records,
                "times": {"seconds": round(seconds, 1)},
            }
        )
        finding = self.find(found)
        told = {"verdict": finding.verdict, "sentence": finding.sentence, "numbers": finding.numbers}
        return found | {"finding": plain(told)}


def computed(cells: list[Cell], folder: Path, workers: int) -> Iterable[float]:
    """Compute the cells by joblib, on whatever backend is set, and yield the weight of each that is done."""
    from joblib import Parallel, delayed

    # The longest first, so that none is left alone at the end.
    order = sorted(cells, key=lambda cell: -cell.weight)
    calls = (delayed(compute)(cell, folder) for cell in order)
    yield from Parallel(n_jobs=min(workers, len(cells)) or 1, return_as="generator_unordered")(calls)


def compute(cell: Cell, folder: Path) -> float:
    """Do one cell and keep its record; returns its weight."""
    started = time.monotonic()
    work = folder / "runs" / cell.name
    record = {"kind": cell.kind, "label": cell.label, "settings": cell.settings}
    record |= KINDS[cell.kind].do(cell.settings, work)
    # What a run cost in seconds is its own count, which adds up its sittings.
    record.setdefault("seconds", round(time.monotonic() - started, 1))
    write_json(folder / CELLS / f"{cell.name}.json", plain(record), indent=None)
    return cell.weight


def load_result(name: str) -> dict:
    """The committed result of a study of the paper. Raises: InputError where none is committed."""
    path = RESULTS / f"{name}.json"
    if not path.is_file():
        raise InputError(
            "name", name, "no result of this study is committed", f"Run it: `sharpening study run {name}`"
        )
    return json.loads(path.read_text())


def result_in(folder: Path, name: str) -> dict:
    """The result of a study in a folder. Raises: InputError where it holds none of that study."""
    try:
        found = json.loads((Path(folder) / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = {}
    if not isinstance(found, dict) or found.get("study") != name or "finding" not in found:
        raise InputError(
            "output",
            str(folder),
            f"it holds no finished result of {name}",
            f"Run it: `sharpening study run {name} --output {folder}`",
        )
    return found
