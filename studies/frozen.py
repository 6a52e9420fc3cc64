"""The law as it stood before the blind priors were measured: digests of the calibration and of the code that reads it.

python -m studies.frozen ROUND      # writes results/frozen-ROUND.json; done once, before any of its runs was looked at
"""

import hashlib
import json
import sys
import time
from pathlib import Path

from studies.study import RESULTS

ROOT = Path(__file__).parents[1]
PATHS = (
    "llm_bridge/forecast/calibration/coefficients.json",
    "llm_bridge/forecast/calibration/features.py",
    "llm_bridge/forecast/calibration/fit.py",
    "llm_bridge/forecast/calibration/likelihood.py",
    "llm_bridge/forecast/calibration/survival.py",
    "llm_bridge/forecast/calibration/outcome.py",
    "llm_bridge/forecast/levels.py",
    "llm_bridge/forecast/pilot.py",
    "studies/fitting.py",
    "studies/scoring.py",
    "studies/left_out.py",
)


def digest(path: str) -> str:
    """SHA-256 of what stands at a path of the repository now."""
    return hashlib.sha256((ROOT / path).read_bytes()).hexdigest()


def digests() -> dict[str, str]:
    """Path to its digest."""
    return {path: digest(path) for path in PATHS}


def main(name: str):
    record = {"date": time.strftime("%Y-%m-%d %H:%M", time.gmtime()), "digests": digests()}
    (RESULTS / f"frozen-{name}.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
