"""What rl-doctor and rlprobe say of logs, look by look. Runs in an environment that has both (`pip install rldoctor==0.2.0
rlprobe==0.1.0`) and needs nothing of this project: lines of JSON in, {"name", "rows", "looks"}, lines of JSON out,
{"name", tool: {level: first step at which it was reached}}.
"""

import json
import math
import sys

LEVELS = {"rl-doctor": ("warning", "critical"), "rlprobe": ("warn", "critical")}
FIELDS = {
    "reward": "reward_mean",
    "reward_std": "reward_std",
    "frac_reward_zero_std": "zero_variance_group_frac",
    "kl": "kl_mean",
    "entropy": "entropy_mean",
    "clip_ratio/region_mean": "clip_fraction",
    "loss": "loss",
    "learning_rate": "lr",
    "grad_norm": "grad_norm",
    "completions/mean_length": "completion_len_mean",
    "response_length": "completion_len_mean",
    "completions/max_length": "completion_len_max",
    "completions/clipped_ratio": "truncation_rate",
}
"""Keys of TRL, as rlprobe's own callback for TRL maps them, and the one of published curves."""


def rl_doctor_levels(rows: list[dict]) -> set[str]:
    """The levels of its problems, from what it makes of plain rows."""
    from rl_doctor import diagnose, run_from_records

    return {finding.severity.name.lower() for finding in diagnose(run_from_records(rows)).problems}


def rlprobe_levels(rows: list[dict]) -> set[str]:
    """The severities of its findings; completions are not given to it."""
    from rlprobe.doctor.engine import diagnose_view
    from rlprobe.doctor.runview import RunView
    from rlprobe.schemas import RunManifest, StepRecord

    records = [
        StepRecord(
            step=row["step"],
            **{FIELDS[key]: float(value) for key, value in row.items() if key in FIELDS and _finite(value)},
        )
        for row in rows
    ]
    manifest = RunManifest(run_id="run", created_at="", algorithm="grpo")
    return {
        finding.severity for finding in diagnose_view(RunView(manifest, records, samples_provider=lambda: []))
    }


def _finite(value) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def watched(rows: list[dict], looks: list[int]) -> dict:
    """Tool to {level: first look at which it was reached, null for never}; a level stands for those above it too."""
    found: dict = {}
    for tool, ask in (("rl-doctor", rl_doctor_levels), ("rlprobe", rlprobe_levels)):
        low, high = LEVELS[tool]
        first: dict = {low: None, high: None}
        for step in looks:
            if first[low] is not None and first[high] is not None:
                break
            levels = ask([row for row in rows if row["step"] <= step])
            if high in levels and first[high] is None:
                first[high] = step
            if levels & {low, high} and first[low] is None:
                first[low] = step
        found[tool] = first
    return found


if __name__ == "__main__":
    for line in sys.stdin:
        given = json.loads(line)
        print(json.dumps({"name": given["name"]} | watched(given["rows"], given["looks"])), flush=True)
