"""Write logs as trainers do, and read what the monitor says of them."""

import json

from llm_bridge import read_log
from llm_bridge.logs.completions import read_trl, read_verl
from llm_bridge.logs.groups import groups_log
from llm_bridge.logs.trl_rewards import logged_rewards


def findings_of(path, **options):
    """Findings by name."""
    return {finding.name: finding for finding in read_log(path, **options)}


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_trl(folder, steps):
    """TRL's completions folder: {step: {column: values}}; `step` and a zero `advantage` are added."""
    import pyarrow
    import pyarrow.parquet as parquet

    inner = folder / "completions"
    inner.mkdir(parents=True, exist_ok=True)
    for step, columns in steps.items():
        count = len(columns["prompt"])
        table = {"step": [step] * count, **columns}
        table.setdefault("advantage", [0.0] * count)
        parquet.write_table(pyarrow.table(table), inner / f"completions_{step:05d}.parquet")
    return folder


def trl_log(folder, pattern=None, history=None):
    """The RunLog of TRL completions; `history`: the log_history beside them."""
    rollouts = read_trl(list((folder / "completions").glob("*.parquet")))
    return groups_log(rollouts, "TRL", pattern, logged_rewards(history))


def verl_log(folder, pattern):
    """The RunLog of verl rollouts."""
    return groups_log(read_verl(list(folder.glob("*.jsonl"))), "verl", pattern)
