"""Cells that read the committed results of other studies: collapse steps by criterion, and curves under labels."""

from pathlib import Path

from studies.study import load_result


def stored_steps(settings: dict, folder: Path) -> dict:
    """Of all runs of a committed `study` under votes whose settings differ in rate and seed alone: the steps of the
    `criteria`, None where the run ended first, with the run's label, seed and last step.
    """
    usual = {"learning_rate", "seed", "max_steps", "eval_every", "eval_prompts"}
    rows = []
    for run in load_result(settings["study"])["runs"]:
        if set(run["settings"]) <= usual:
            steps = {name: run["collapse"][name]["step"] for name in settings["criteria"]}
            rows.append(
                {"label": run["label"], "seed": run["settings"]["seed"], "end": run["curve"]["step"][-1]}
                | steps
            )
    rows.sort(key=lambda row: (row["label"], row["seed"]))
    return {"rows": rows}
