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
    rows = [
        (int(step), float(kept), float(excess))
        for step, kept, excess in re.findall(
            r"step +(\d+) +mode_retention ([\d.]+) +excess_kl ([\d.]+) nats", done.stdout
        )
    ]
    collapsed, stopped = map(
        int,
        re.search(
            r"collapsed at step (\d+) \(mode_retention\), stopped at step (\d+) of 60", done.stdout
        ).groups(),
    )
    steps, kept, excess = zip(*rows, strict=True)
    assert steps == tuple(range(0, stopped + 1, 2)) and collapsed == stopped - 2 < 58
    assert kept[0] > 0.85 and min(kept[:-2]) > 0.5 >= max(kept[-2:])
    assert excess[0] < 0.1 < 0.5 < excess[-1]
