"""Commit what a study found: `python -m studies.paper.publish NAME [FOLDER]` copies the result of a full run (default
folder: runs/studies/NAME) to studies/results/paper and draws its figure in docs/figures/paper.
"""

import sys
from pathlib import Path

from sharpening import InputError
from sharpening.plots import figure_bytes
from sharpening.trajectory import write_json
from studies.paper import PAPER
from studies.paper.frame import FIGURES, RESULTS, result_in


def publish(name: str, folder: Path) -> None:
    """Raises: InputError for a quick form, and where the folder holds no result."""
    result = result_in(folder, name)
    if result["quick"]:
        raise InputError("folder", str(folder), "it holds the quick form", "Run the study without --quick")
    RESULTS.mkdir(parents=True, exist_ok=True)
    FIGURES.mkdir(parents=True, exist_ok=True)
    write_json(RESULTS / f"{name}.json", result, indent=None)
    (FIGURES / f"{name}.png").write_bytes(figure_bytes(PAPER[name].figure(result)))


if __name__ == "__main__":
    chosen = sys.argv[1]
    publish(chosen, Path(sys.argv[2]) if len(sys.argv) > 2 else Path("runs") / "studies" / chosen)
