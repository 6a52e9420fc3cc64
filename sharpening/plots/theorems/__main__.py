"""Write the figures of all theorems, or of those named: `python -m sharpening.plots.theorems
docs/figures/theorems [S1 C3 ...]`.
"""

import argparse
from pathlib import Path

from sharpening.plots.theorems import figure_names, theorem_figure
from sharpening.plots.theorems.canvas import picture


def main() -> None:
    """Write FOLDER/name.png, the name in lower case, for each theorem."""
    parser = argparse.ArgumentParser(prog="python -m sharpening.plots.theorems", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", help="theorems; default: all")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    for name in asked.names or figure_names():
        (asked.folder / f"{name.lower()}.png").write_bytes(picture(theorem_figure(name)))


if __name__ == "__main__":
    main()
