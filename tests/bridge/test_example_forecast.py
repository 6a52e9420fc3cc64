"""The script of the page on one's own run works as it stands."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "docs/examples/grpo_forecast.py"


def test_a_plain_trl_script_is_forecast_by_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, str(SCRIPT)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    verdict, *sentences = done.stdout.splitlines()
    assert verdict.isidentifier() and any("an adapter (LORA)" in line for line in sentences)
    assert any("a schedule of the learning rate (cosine)" in line for line in sentences)
    assert any("copies the adapter's weights" in line for line in done.stderr.splitlines())
    assert not list((tmp_path / "run").rglob("*"))


def test_the_script_is_short_and_the_page_names_it():
    code = [line for line in SCRIPT.read_text().splitlines() if line.strip()]
    assert len(code) <= 32
    assert "docs/examples/grpo_forecast.py" in (ROOT / "docs/your_run.md").read_text()
