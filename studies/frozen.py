"""The law as it stood before the blind priors were measured: digests of the calibration and of the code that reads it.

python -m studies.frozen      # writes results/frozen.json; done once, before any blind run was looked at
"""

import hashlib
import json
import time
from pathlib import Path

from studies.study import RESULTS

ROOT = Path(__file__).parents[1]
PATHS = (
    "llm_bridge/forecast/calibration/coefficients.json",
    "llm_bridge/forecast/calibration/features.py",
    "llm_bridge/forecast/calibration/survival.py",
    "llm_bridge/forecast/calibration/outcome.py",
    "llm_bridge/forecast/levels.py",
    "llm_bridge/forecast/pilot.py",
    "studies/fitting.py",
    "studies/scoring.py",
    "studies/left_out.py",
)


def digests() -> dict[str, str]:
    """Path to SHA-256 of what stands there now."""
    return {path: hashlib.sha256((ROOT / path).read_bytes()).hexdigest() for path in PATHS}


def main():
    record = {"date": time.strftime("%Y-%m-%d %H:%M", time.gmtime()), "digests": digests()}
    (RESULTS / "frozen.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
