"""docs/extending.md, word for word: each block is one new file in a copy of the packages, and the commands know it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = {
    "A reward": "sharpening/rewards/minority.py",
    "A theorem": "sharpening/theorems/s99_unanimous_stays.py",
    "A task": "llm_bridge/tasks/parity.py",
    "A log format": "llm_bridge/logs/formats/pairs.py",
}


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """The packages without weights, and the files of the page added to them."""
    folder = tmp_path_factory.mktemp("stranger")
    for package in ("sharpening", "llm_bridge"):
        shutil.copytree(
            ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors")
        )
    sections = re.split(r"(?m)^## ", (ROOT / "docs" / "extending.md").read_text())
    blocks = {part.splitlines()[0]: re.search(r"(?s)```python\n(.*?)```", part) for part in sections[1:]}
    assert set(blocks) == set(FILES)
    for title, file in FILES.items():
        assert not (folder / file).exists()
        (folder / file).write_text(blocks[title][1])
    return folder


def told(folder, *arguments):
    """What `sharpening ARGUMENTS --json -` of the copy prints."""
    environment = os.environ | {"PYTHONPATH": str(folder)}
    command = [sys.executable, "-m", "llm_bridge.cli", *arguments, "--json", "-"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_a_reward_a_task_and_a_log_format_are_one_file_each(copied):
    assert "minority" in {card["name"] for card in told(copied, "rewards")}
    assert "parity" in {task["name"] for task in told(copied, "tasks")}
    lines = (f"step={step} reward={0.5 + step / 400} entropy={2 - step / 100}" for step in range(0, 100, 10))
    (copied / "run.pairs").write_text("\n".join(lines))
    assert isinstance(told(copied, "monitor", "run.pairs"), list)
    assert told(copied, "monitor", "run.pairs") == told(copied, "monitor", str(copied))


def test_a_theorem_is_one_file_and_is_checked_at_once(copied):
    found = told(copied, "theorems", "S99", "--check", "--cases", "50")
    assert found[0]["name"] == "S99" and "holds" in json.dumps(found)
