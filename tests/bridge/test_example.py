"""The example script of the documentation runs as it stands and shows what its text promises."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_grpo_with_monitor_stops_a_collapsing_run(tmp_path):
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs/examples/grpo_with_monitor.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started < 40
    found = re.findall(
        r"step +(\d+) +mode_mass ([\d.]+) +mode_retention ([\d.]+) +excess_kl ([\d.]+) nats", done.stdout
    )
    steps, mass, kept, excess = zip(*[(int(row[0]), *map(float, row[1:])) for row in found], strict=True)
    stopped = int(re.search(r"stopped at step (\d+) of 60", done.stdout).group(1))
    # Advice ends it while most majority answers stand, long before the criterion would.
    assert "mode_mass_falls" in done.stdout and "collapsed at step" not in done.stdout
    assert steps == tuple(range(0, stopped + 1, 2)) and stopped < 20
    assert mass[0] - mass[-1] > 0.1 and min(kept) > 0.5 and kept[0] > 0.85
    assert excess[0] < 0.1 < excess[-1] < 2
